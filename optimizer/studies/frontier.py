"""The complete Pareto set of a problem in two or three metrics, every point and the completeness proven.

Each step is a re-solve: minimise the first objective within bounds on the others (`studies.boxes`). The
first objective is exact; the others are resolved to a step, so that plans closer than that count as one.
Coarse first: with two objectives the range is cut into parts that are then walked side by side, so that
a stopped study is a frontier with known gaps.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import pairwise
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from optimizer.bands import around
from optimizer.errors import InputError
from optimizer.questions.options import Options
from optimizer.questions.question import Ask
from optimizer.search.steps import at_most, steps_of
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Frontier, FrontierStatus, Gap
from optimizer.studies.asking import Questions, text_of
from optimizer.studies.boxes import NO_FLOOR, Box, Corner, Solved, maximal
from optimizer.studies.executors import Here
from optimizer.studies.frontier_notes import notes_of
from optimizer.studies.published import place_models
from optimizer.studies.resolves import Resolves
from optimizer.version import VERSION
from optimizer.watch import Stopped

if TYPE_CHECKING:
    from optimizer.spec.answer import Conflict

PARTS = 16
"""Parts into which the first pass cuts a frontier of two objectives."""
_FEWEST = 4
"""Boxes asked at once at least, so that more than one worker has work."""


def frontier(
    problem: BaseModel,
    objectives: Sequence[str] = (),
    resolution: dict[str, float] | None = None,
    points: int | None = None,
    models: Sequence[str] = (),
    executor: Executor | None = None,
    journal: Path | None = None,
    options: Options = Options(),
) -> Frontier:
    """The Pareto set of two or three metrics, each in its better direction; complete, with proof.

    `objectives` defaults to the problem's own and the loss. `resolution` gives steps other than the
    defaults; the first objective needs none. `points` stops after that many. `models` are placed beside
    it. Stopped by the time limit or Ctrl-C, the status is 'partial' and `gaps` says what is missing.
    """
    watch, questions = options.watch(), Questions()
    question = questions.of(text_of(problem), watch)
    names = _names(tuple(objectives) or question.usual())
    question.beside(models)
    steps = _steps(names, resolution or {})
    study = {"study": "frontier", "objectives": list(names), "resolution": sorted(steps.items())}
    resolves = Resolves(problem, study, executor or Here(), journal, watch, questions)
    walk = _Walk(problem, names, steps, points, resolves)
    try:
        return walk.run(models)
    finally:
        walk.resolves.close()


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not 2 <= len(names) <= 3:
        raise InputError(f"objectives {','.join(names)[:80]}: name two or three metrics")
    if len(set(names)) < len(names):
        raise InputError(f"objectives {','.join(names)[:80]}: a metric is named twice")
    return names


def _steps(names: tuple[str, ...], resolution: dict[str, float]) -> dict[str, float]:
    strange = [name for name in resolution if name not in names]
    if strange:
        raise InputError(f"resolution {strange[0]}: is not among objectives {','.join(names)}")
    return resolution


class _Walk:
    """One frontier in the making."""

    def __init__(
        self,
        problem: BaseModel,
        names: tuple[str, ...],
        resolution: dict[str, float],
        points: int | None,
        resolves: Resolves,
    ) -> None:
        self.resolves = resolves
        question = resolves.question
        self.aims = tuple(question.aim(name, step=resolution.get(name)) for name in names)
        self.most = points or inf
        self.problem = problem
        self.points: dict[Corner, Plan] = {}
        self.open: list[Box] = []
        self.solved = Solved()
        self.best_first: float | None = None

    def run(self, models: Sequence[str]) -> Frontier:
        """Search until no box is left, or until stopped."""
        conflict: Conflict | None = None
        question, stopped = self.resolves.question, False
        self.open = [Box((inf,) * (len(self.aims) - 1))]
        try:
            self._start()
            while self.open and len(self.points) < self.most:
                self._round()
        except Stopped:
            stopped = True
        status: FrontierStatus = "complete" if not self.open else "partial"
        if not self.points:
            status = "unknown" if stopped else "infeasible"
            conflict = None if stopped else question.conflict(self.resolves.watch)
        found = self._sorted()
        return Frontier(
            status=status,
            objectives=self.aims,
            points=found,
            bands=tuple(around(plan.metrics, question.groups(plan)) for plan in found),
            gaps=() if status != "partial" else tuple(self._gap(box) for box in self.open),
            placed=place_models(question, self.aims, found, models, status == "complete"),
            conflict=conflict,
            notes=notes_of(self.aims, found) if status == "complete" else (),
            work=self.resolves.work,
            confirmed_by=question.witnesses(self.resolves.work) if found else (),
            lattice_points=question.lattice_points,
            stopped=question.unprepared() if stopped else "",
            at_hand=question.at_hand(self.aims[0]) if status == "unknown" else None,
            assumptions=question.cautions(found, self.aims),
            version=VERSION,
            problem=self.problem.model_dump(mode="json", exclude_unset=True),
        )

    def _start(self) -> None:
        """The best plan in the first objective; with two, the range of the second and its parts too."""
        whole = self.open[0]
        first = self._answers([whole])[0]
        self._take(whole, first)
        if len(self.aims) > 2 or first is None or not self.open:
            return
        last = self.resolves.one(Ask(aims=(self.aims[1], self.aims[0])))
        if last.plan is None:
            return
        low, high = steps_of(self.aims[1:], last.plan)[0], self.open[0].corner[0]
        self.open = [Box(self.open[0].corner, low - 1)]
        cuts = sorted({low + (high - low) * i // PARTS for i in range(PARTS)} | {high})
        edges = [low - 1, *cuts]
        self.open = maximal(Box((top,), under) for under, top in pairwise(edges))

    def _round(self) -> None:
        """Answer every open box whose answer does not follow from another's, and split them all."""
        boxes: list[Box] = []
        for box in list(self.open):
            follows, steps = self.solved.implied(box)
            if follows:
                self._close(box, steps)
            else:
                boxes.append(box)
        room = max(_FEWEST, int(min(self.most - len(self.points), len(boxes))))
        boxes = boxes[:room]
        self._say(len(boxes))
        for box, plan in zip(boxes, self._answers(boxes), strict=True):
            self._take(box, plan)
        self.open = maximal(self.open)

    def _say(self, asked: int) -> None:
        """Every open box is a re-solve, and may be split into more."""
        self.resolves.say("frontier", len(self.open) - asked, more=True, points=len(self.points))

    def _answers(self, boxes: list[Box]) -> list[Plan | None]:
        asks = [Ask(aims=self.aims, bounds=self._bounds(box)) for box in boxes]
        try:
            return [answer.plan for answer in self.resolves.all(asks)]
        except Stopped:
            for box, answer in zip(boxes, self.resolves.known(asks), strict=True):
                if answer is not None:
                    self._take(box, answer.plan)
            raise

    def _bounds(self, box: Box) -> dict[str, float]:
        later = zip(self.aims[1:], box.corner, strict=True)
        return {aim.metric: at_most(aim, steps) for aim, steps in later if isfinite(steps)}

    def _take(self, box: Box, plan: Plan | None) -> None:
        steps = None if plan is None else steps_of(self.aims[1:], plan)
        self.solved.add(box, steps)
        if plan is not None and steps is not None:
            self.points.setdefault(steps, plan)
        self._close(box, steps)

    def _close(self, box: Box, steps: Corner | None) -> None:
        self.open.remove(box)
        if steps is not None and not (len(steps) == 1 and steps[0] <= box.floor):
            self.open += box.split(steps)

    def _sorted(self) -> tuple[Plan, ...]:
        """Points from the best first objective to the worst."""
        first = self.aims[0]
        order = sorted(self.points.items(), key=lambda p: (first.sign * p[1].metrics[first.metric], p[0]))
        return tuple(plan for _, plan in order)

    def _gap(self, box: Box) -> Gap:
        beyond = {}
        if box.floor > NO_FLOOR:
            beyond = {self.aims[1].metric: at_most(self.aims[1], box.floor)}
        return Gap(bounds=self._bounds(box), beyond=beyond)
