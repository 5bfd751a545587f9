"""All plans near the optimum: the K best, or every plan within a share of it.

Of a kind that has a list of its own it comes from there. Else re-solves make it (Lawler, Management
Science 18, 1972): the best plan of a box of choices is listed, and what is left of the box is cut into
boxes that do not hold its choices, each again with its best plan. The best of all boxes is the next of the
list; nothing is missing, for the boxes cover every other combination.
"""

import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from optimizer.questions.options import Options
from optimizer.questions.question import MOST_LISTED, Ask, Best, question_of, require_few
from optimizer.spec.answer import Answer
from optimizer.spec.plan import Plan
from optimizer.studies.executors import Here
from optimizer.studies.resolves import Resolves
from optimizer.studies.solve import solve
from optimizer.watch import Stopped

_TOP = 10
_SAME = 1e-12

Box = Mapping[str, tuple[Any, ...]]
"""Choices and the values that are left of each."""


def enumerate_plans(
    problem: BaseModel,
    top: int | None = None,
    within: float | None = None,
    options: Options = Options(),
    distinct: Sequence[str] = (),
    executor: Executor | None = None,
    journal: Path | None = None,
) -> Answer:
    """Solve, then list plans, best first: the `top` best, or all within a share of the optimum.

    `within` 0.01 means 1 % of the first objective's optimal value. `distinct` lists only the best plan of
    each combination of these choices; of a kind whose plans are more than their choices, all of its choices
    where none are named. InputError if the band holds more than MOST_LISTED plans, or for what is no choice.
    Stopped, the status is 'feasible', and `plans` are the best there are as far as the listing came.
    """
    start = time.monotonic()
    watch = options.watch()
    question = question_of(problem, watch, options.settings)
    for name in distinct:
        question.parts_of(name)
    result = solve(problem, replace(options, time_limit_s=watch.left()))
    if result.status != "optimal" or result.objective.bound is None:
        return result
    most = top or (_TOP if within is None else MOST_LISTED + 1)
    best = Best(result.status, result.plan, result.objective.value, result.objective.bound)
    study = {"study": "enumerate", "distinct": list(distinct)}
    resolves = Resolves(problem, study, executor or Here(), journal, watch)
    try:
        listed = question.listed(most, inf if within is None else within, distinct, best)
        plans, complete = _by_resolves(resolves, most, within, distinct) if listed is None else listed
    finally:
        resolves.close()
    require_few(len(plans))
    status = result.status if complete else "feasible"
    return result.changed(
        status=status, plans=tuple(plans), plans_complete=complete, wall_s=time.monotonic() - start
    )


def _by_resolves(
    resolves: Resolves, most: int, within: float | None, distinct: Sequence[str]
) -> tuple[list[Plan], bool]:
    """The plans, and whether these are all that was asked for."""
    plans: list[Plan] = []
    walk = _Boxes(resolves, tuple(distinct) or resolves.question.listed_by())
    limit = inf
    try:
        for plan in walk.plans():
            value = walk.key(plan)
            if within is not None and limit == inf:
                limit = value + abs(value) * (within + _SAME)
            if value > limit or len(plans) >= most:
                break
            plans.append(plan)
    except Stopped:
        return plans, False
    return plans, True


@dataclass(order=True)
class _Entry:
    key: float
    number: int
    box: Box = field(compare=False)
    plan: Plan = field(compare=False)


class _Boxes:
    """What is left to list: boxes of choices, each with its best plan."""

    def __init__(self, resolves: Resolves, distinct: tuple[str, ...]) -> None:
        self.resolves, self.question = resolves, resolves.question
        self.aims = self.question.own_aims()
        self.domains: dict[str, tuple[Any, ...]] = {}
        for name in distinct:
            self.domains |= self.question.parts_of(name)
        self.heap: list[_Entry] = []
        self.asked = self.listed = 0

    def key(self, plan: Plan) -> float:
        """The first objective, the lower the better."""
        return self.aims[0].sign * plan.metrics[self.aims[0].metric]

    def plans(self) -> Iterator[Plan]:
        """The plans, best first. Raises Stopped."""
        self._ask([{}])
        while self.heap:
            entry = heapq.heappop(self.heap)
            self.listed += 1
            yield entry.plan
            self._ask(list(self._rest(entry)))

    def _rest(self, entry: _Entry) -> Iterator[Box]:
        """The box without the choices of its best plan, in boxes that do not overlap."""
        own = self.question.part_values(entry.plan)
        held: dict[str, tuple[Any, ...]] = {}
        for name, domain in self.domains.items():
            values = entry.box.get(name, domain)
            others = tuple(value for value in values if value != own[name])
            if others:
                yield {**entry.box, **held, name: others}
            held[name] = (own[name],)

    def _ask(self, boxes: list[Box]) -> None:
        asks = [Ask(aims=self.aims, within=dict(box)) for box in boxes]
        self.resolves.say("list", left=len(self.heap), more=True, points=self.listed)
        for box, answer in zip(boxes, self.resolves.all(asks), strict=True):
            if answer.plan is not None:
                self.asked += 1
                heapq.heappush(self.heap, _Entry(self.key(answer.plan), self.asked, box, answer.plan))
