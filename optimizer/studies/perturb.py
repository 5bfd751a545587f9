"""What each constraint, dimension and constant costs: the problem solved again with one thing changed.

Every difference is between two proven optima. A constraint that is tightened without breaking the plan
leaves the plan optimal, since there are only fewer others; such a move needs no solve.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from optimizer.questions.options import Options
from optimizer.questions.question import Ask
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Change, Critical, Optimum, Perturbation
from optimizer.studies.changes import (
    Try,
    Variation,
    bearings_of,
    change_of,
    effect,
    tries_of_bands,
    tries_of_constants,
    tries_of_rules,
)
from optimizer.studies.executors import Here
from optimizer.studies.resolves import Resolves
from optimizer.studies.sensitivity import critical_changes
from optimizer.version import VERSION
from optimizer.watch import Stopped

_TRIES = 6
"""Neighbouring values of a dimension tried on each side until one leaves a plan."""


def perturb(
    problem: BaseModel,
    vary: Sequence[Variation] = (),
    executor: Executor | None = None,
    journal: Path | None = None,
    options: Options = Options(),
) -> Perturbation:
    """Move and drop every constraint, hold every dimension at its neighbours, scale the constants named.

    Each is solved to its proven optimum; `alone` shows a dimension changed with all else kept. For each
    constant of `vary` it is also bisected how far it may be wrong, either way, before the plan changes.
    """
    study = {"study": "perturb"}
    resolves = Resolves(problem, study, executor or Here(), journal, options.watch())
    try:
        return _Perturb(problem, resolves, tuple(vary)).run()
    finally:
        resolves.close()


class _Perturb:
    """One perturbation study in the making."""

    def __init__(self, problem: BaseModel, resolves: Resolves, vary: tuple[Variation, ...]) -> None:
        self.problem, self.resolves, self.vary = problem, resolves, vary
        self.question = resolves.question
        self.aims = self.question.own_aims()
        for variation in vary:
            self.question.check_constant(variation.path)
        self.changes: list[Change] = []

    def run(self) -> Perturbation:
        """Solve, then every change; InputError for a constant that does not exist."""
        critical: list[Critical] = []
        status = "complete"
        base: Plan | None = None
        try:
            base = self.resolves.one(Ask(aims=self.aims)).plan
            if base is not None:
                constants = tries_of_constants(self.question, self.aims, base, self.vary)
                self.resolves.say("constraints", left=len(constants), more=True)
                tries = tries_of_rules(self.question, self.aims, base)
                self._solved(base, tries + tries_of_bands(self.question, self.aims, base))
                self.resolves.say("constants", more=True)
                self._solved(base, constants)
                self.resolves.say("dimensions", more=True)
                self._dimensions(base)
                self.resolves.say("how far a constant may be wrong", more=True)
                critical = critical_changes(self.resolves, self.aims, base, [v.path for v in self.vary])
        except Stopped:
            status = "partial" if base is not None else "unknown"
        conflict = None
        if base is None and status == "complete":
            status, conflict = "infeasible", self.question.conflict(self.resolves.watch)
        bearings = bearings_of(self.question, self.aims[0], base, self.changes)
        stopped = status == "unknown"
        return Perturbation(
            status=status,
            objective=self.aims[0],
            value=None if base is None else base.metrics[self.aims[0].metric],
            plan=base,
            bearings=tuple(bearings),
            changes=tuple(sorted(self.changes, key=effect)),
            critical=tuple(critical),
            conflict=conflict,
            work=self.resolves.work,
            confirmed_by=() if base is None else self.question.witnesses(self.resolves.work),
            stopped=self.question.unprepared() if stopped else "",
            at_hand=self.question.at_hand(self.aims[0]) if stopped else None,
            assumptions=() if base is None else self.question.cautions((base,)),
            version=VERSION,
            problem=self.problem.model_dump(mode="json", exclude_unset=True),
        )

    def _dimensions(self, base: Plan) -> None:
        """Each free choice held at the nearest other values: numbers on both sides, others at every one."""
        chosen = self.question.choices(base)
        sides: list[tuple[str, list[Any]]] = []
        for name, values in self.question.domains().items():
            own = chosen[name]
            if isinstance(own, str):
                sides += [(name, [value]) for value in values if value != own]
                continue
            lower = [value for value in reversed(values) if value < own][:_TRIES]
            higher = [value for value in values if value > own][:_TRIES]
            sides += [(name, side) for side in (lower, higher) if side]
        for depth in range(_TRIES):
            live = [(name, values[depth]) for name, values in sides if len(values) > depth]
            tries = [
                Try("dimension", n, f"= {v}", chosen[n], v, Ask(aims=self.aims, within={n: (v,)}))
                for n, v in live
            ]
            changes = self._solved(base, tries)
            done = {(c.name, c.to) for c in changes if c.objective is not None}
            sides = [s for s in sides if len(s[1]) > depth + 1 and (s[0], s[1][depth]) not in done]

    def _solved(self, base: Plan, tries: list[Try]) -> list[Change]:
        """Solve with each change; those that were solved are kept when the study is stopped among them."""
        live = [item for item in tries if not self._unchanged(base, item)]
        asks = [item.ask for item in live]
        try:
            self.resolves.all(asks)
        finally:
            answers = dict(zip(map(id, live), self.resolves.known(asks), strict=True))
            plans = [(item, answers[id(item)]) if id(item) in answers else (item, base) for item in tries]
            new = []
            for item, known in plans:
                if known is not None:
                    new += self._shown(base, item, known.plan if isinstance(known, Optimum) else known)
            self.changes += new
        return new

    def _shown(self, base: Plan, item: Try, plan: Plan | None) -> list[Change]:
        """A change that was solved; none where no time is left to price the old plan with it."""
        try:
            return [change_of(self.question, self.aims[0], base, item, plan)]
        except Stopped:
            return []

    def _unchanged(self, base: Plan, item: Try) -> bool:
        """Whether a tighter constraint that the plan keeps leaves it optimal, with no solve."""
        return (
            item.kind == "constraint"
            and item.new is not None
            and self.question.tighter(item.name, item.old, item.new)
            and self.question.keeps(base, item.name, item.new)
        )
