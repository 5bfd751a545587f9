"""Why no deployment will do: a smallest conflict of named bounds, and the nearest value of each that would.

Each relaxation is the optimum of one quantity, or the nearest value of a latency or memory bound at which
some configuration returns, and is verified by solving again with it, rounded outwards.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.columns.at_worst import slowed
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.columns.scenarios import Uncertain, part_of
from optimizer.errors import InputError
from optimizer.metrics import held_least, held_sums, latencies, scale
from optimizer.questions.deployment.nearest import fewer, nearest_part
from optimizer.questions.deployment.optimum import Packed, optimum
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.words import looser, sentence, unit_of_rule
from optimizer.search.conflict import Names, smallest_conflict
from optimizer.search.most_tokens import most_reached
from optimizer.search.rounding import outward
from optimizer.spec.answer import TOGETHER, Conflict, Relaxation
from optimizer.watch import UNWATCHED, Stopped, Watch

_WIDER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("weight_dtype", {"weight_dtype": ("fp8",)}),
    ("kv_dtype", {"kv_dtype": ("fp8",)}),
    ("pipeline_parallel", {"pipeline_parallel": (1, 2, 3, 4, 8)}),
    ("mode", {"mode": ("aggregated", "disaggregated")}),
    ("second_tier", {"second_tier": (False, True)}),
)
"""Choices of a deployment that are tried when a problem leaves them out."""

Bounds = Mapping[str, float]
Prepare = Callable[[DeploymentProblem, None, Watch], DeploymentColumns]


def explain_deployment(
    problem: DeploymentProblem,
    columns: DeploymentColumns,
    bounds: Bounds,
    prepare: Prepare,
    watch: Watch = UNWATCHED,
) -> Conflict | None:
    """The smallest conflict of an infeasible deployment, and verified changes that would do.

    None if a question on the way stays undecided: what is not proven to conflict is not shown as if it were.
    """
    search = _Explanation(columns, bounds, watch)
    try:
        names = search.smallest()
        if not names:
            raise InputError(
                "deployment.mode: no whole replica: a prefill and a decode configuration are needed"
            )
        changes = [search.relax(name) for name in names]
        if all(change.to is None for change in changes):
            names, changes = search.together(names)
        changes += list(wider(problem, bounds, prepare, watch))
    except Stopped:
        return None
    return Conflict(constraints=tuple(names), relaxations=tuple(changes))


def relaxed(columns: DeploymentColumns, bounds: Bounds, name: str, watch: Watch = UNWATCHED) -> Relaxation:
    """The nearest change of one bound, all others kept. Raises Stopped."""
    return _Explanation(columns, bounds, watch).relax(name)


@dataclass
class _Explanation:
    columns: DeploymentColumns
    bounds: Bounds
    watch: Watch

    def smallest(self) -> list[str]:
        """A smallest set of bounds that leaves no plan."""
        return smallest_conflict(list(self.bounds), self._around)

    def _around(self, names: Names) -> Names | None:
        return names if self.feasible(self._only(names)) else None

    def _only(self, names: Any) -> dict[str, float]:
        return {name: value for name, value in self.bounds.items() if name in names}

    def feasible(self, bounds: Bounds) -> bool:
        """Whether a plan exists under these bounds. Raises Stopped."""
        self.watch.check()
        if "requests_per_s" not in bounds:
            return self._serves_anything(bounds)
        quick = optimum(self.columns, (("chips", 1),), bounds, watch=self.watch, confirm=False)
        return bool(quick.counts or self._best("chips", 1, bounds).counts)

    def _serves_anything(self, bounds: Bounds) -> bool:
        """Without a demand a plan is one replica, or a pair."""
        return bool(self._best("chips", 1, {**bounds, "requests_per_s": 1e-8}).counts)

    def _best(self, name: str, sense: int, bounds: Bounds) -> Packed:
        """The optimum of one quantity. Raises Stopped if it is not even decided whether there is a plan."""
        self.watch.check()
        found = optimum(self.columns, ((name, sense),), bounds, watch=self.watch)
        if found.status == "unknown":
            raise Stopped
        return found

    def relax(self, name: str) -> Relaxation:
        """The nearest change of one bound, all others kept, that leaves a plan."""
        others = {key: value for key, value in self.bounds.items() if key != name}
        to = self._nearest(name, others)
        if to is not None and not self.feasible({**others, name: to}):
            to = None
        words = "no change of it alone is enough" if to is None else self._sentence(name, to)
        return Relaxation(
            constraint=name, sentence=words, from_=self.bounds[name], to=to, unit=unit_of_rule(name)
        )

    def together(self, names: list[str]) -> tuple[list[str], list[Relaxation]]:
        """Several conflicts at once: a bound of each must give way, and these values do so together."""
        lifted, kept = list(names), dict(self.bounds)
        while True:
            kept = {key: value for key, value in self.bounds.items() if key not in lifted}
            if self.feasible(kept):
                break
            lifted += smallest_conflict(list(kept), self._around)
        changes = []
        for name in lifted:
            to = self._nearest(name, kept)
            to = self.bounds[name] if to is None else looser(name, self.bounds[name], to)
            kept[name] = to
            words = self._sentence(name, to) + TOGETHER
            change = Relaxation(
                constraint=name, sentence=words, from_=self.bounds[name], to=to, unit=unit_of_rule(name)
            )
            changes += [change] if to != self.bounds[name] else []
        return [change.constraint for change in changes], changes

    def _sentence(self, name: str, to: float) -> str:
        by = self.columns.priced_by
        return sentence(name, to, by.traffic.priced_at if by else None, self.columns.robust)

    def _nearest(self, name: str, others: dict[str, float]) -> float | None:
        if name == "requests_per_s":
            return self._most_traffic(others)
        if name == "utilisation_max":
            most = self._most_traffic({k: v for k, v in others.items() if k != "requests_per_s"})
            return outward(others["requests_per_s"] / most, 1) if most else None
        if name == "spares":
            return fewer(self.bounds[name], lambda lost: self.feasible({**others, name: lost}))
        if name == "memory_capacity" or name.removesuffix("_max") in latencies():
            return self._nearest_of_rows(name, others)
        if (part := part_of(name)) is not None:
            own = self.columns.robust or Uncertain()
            return nearest_part(own, part, self.bounds[name], lambda to: self.feasible({**others, name: to}))
        metric = name.removesuffix("_min")
        if metric in held_sums():
            return self._most(metric, others)
        if metric in held_least():
            return most_reached(self.bounds[name], lambda tokens: self.feasible({**others, name: tokens}))
        quantity = name if name.startswith("inventory:") else name.removesuffix("_max")
        return self._least(quantity, others)

    def _most_traffic(self, others: dict[str, float]) -> float | None:
        rest = {key: value for key, value in others.items() if key != "requests_per_s"}
        try:
            found = self._best("requests_per_s", -1, rest)
        except InputError:
            return None
        return outward(found.served, -1) if found.counts else None

    def _most(self, quantity: str, others: dict[str, float]) -> float | None:
        wanted = others if "requests_per_s" in others else {**others, "requests_per_s": 1e-8}
        try:
            found = self._best(quantity, -1, wanted)
        except InputError:  # nothing limits it
            return self.bounds[f"{quantity}_min"]
        return found.values[quantity] if found.counts else None

    def _least(self, quantity: str, others: dict[str, float]) -> float | None:
        wanted = others if "requests_per_s" in others else {**others, "requests_per_s": 1e-8}
        found = self._best(quantity, 1, wanted)
        if not found.counts:
            return None
        value = found.values[quantity]
        return value if scale(quantity) == 1 else outward(value, 1)

    def _nearest_of_rows(self, name: str, others: dict[str, float]) -> float | None:
        """The least value at which a row returns that makes a plan: by halving the sorted values."""
        metric = name.removesuffix("_max")
        without = latencies().get(metric)
        values = (
            self.columns.memory_share()
            if without is None
            else slowed(self.columns.replicas, self.columns.robust, metric, self.bounds)
        )
        if self.feasible({**others, name: self.bounds[name]}):
            return self.bounds[name]
        steps = np.unique(values[values > self.bounds[name]])
        if self.columns.percentile is not None and name == "ttft_ms_max" and len(steps):
            steps = np.unique(np.concatenate([steps, self.bounds[name] * np.geomspace(1.01, 100, 200)]))
        low, high = 0, len(steps)
        while low < high:
            middle = (low + high) // 2
            if self.feasible({**others, name: float(steps[middle])}):
                high = middle
            else:
                low = middle + 1
        return outward(float(steps[low]), 1) if low < len(steps) else None


def wider(
    problem: DeploymentProblem,
    bounds: Bounds,
    prepare: Prepare,
    watch: Watch = UNWATCHED,
) -> Iterator[Relaxation]:
    """Choices the problem leaves out that would do with every bound kept, priced by the cost model."""
    if problem.performance_table is not None:
        return
    for field, change in _WIDER:
        now = getattr(problem.deployment, field)
        space = problem.deployment.changed(**change)
        if set(change[field]) <= set(now) or (problem.room_asked and problem.room_unknown(space)):
            continue
        try:
            other = prepare(problem.changed(deployment=space), None, watch)
        except InputError:
            continue
        found = optimum(other, (("chips", 1),), bounds, watch=watch)
        if found.status == "unknown":
            watch.check()
            continue  # nobody knows whether it would do
        if found.counts:
            to = ", ".join(sorted({_value(other.replicas, field, i) for i in found.counts}))
            words = f"{field} {to} would do"
            yield Relaxation(
                constraint=f"deployment.{field}", sentence=words, from_=list(now), to=to, unit=""
            )


def _value(replicas: Replicas, field: str, row: int) -> str:
    """What a row has of a choice, as a problem file writes it."""
    if field == "second_tier":
        return "true" if replicas.second_tier_gib[row] else "false"
    return str(getattr(replicas, field)[row])
