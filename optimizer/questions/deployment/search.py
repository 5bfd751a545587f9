"""Optima of a deployment in several metrics in turn, a latency or the longest request among them.

Totals are objectives of the integer programme. A latency is the worst of a plan's configurations, so only
a configuration's own value can be least, and a higher bound never takes a plan away: the least value at
which a plan is left is found by halving, and the next smaller one is proven to leave none. So is the longest
request that all replicas have room for, in whole tokens.
"""

from math import ceil
from typing import Any

import numpy as np

from optimizer.columns.scenarios import part_of
from optimizer.metrics import held_least, latencies
from optimizer.questions.deployment.bounded import ANY_TRAFFIC, Bounded
from optimizer.questions.deployment.longest import longest
from optimizer.questions.deployment.optimum import Packed
from optimizer.questions.deployment.programme import tokens_counted
from optimizer.questions.deployment.quickest import quickest
from optimizer.search.steps import at_most, whole_steps
from optimizer.spec.studies import Aim


class DeploymentSearch(Bounded):
    """The aims of one re-solve, each in turn."""

    def lexicographic(self, aims: tuple[Aim, ...]) -> Packed | None:
        """The best plan in the first aim, of those in the second, and so on; None if there is no plan.

        The first is held at its optimum, a later one at its step; equals are settled as `solve` does.
        """
        plan: Packed | None = None
        for number, aim in enumerate(aims):
            last = number == len(aims) - 1
            plan = self._reached(aim, exactly=number == 0 or last)
            if plan is None:
                return None
        return None if plan is None else self.settled(plan)

    def settled(self, plan: Packed) -> Packed:
        """Among equals those with fewest chips, then the quickest at the traffic, then what serves most.

        The quickest is sought where traffic is asked for, and the cost model says what less of it takes.
        """
        fewest = self.least("chips", 1, confirm=False)
        if fewest.counts:
            plan = fewest
            self.hold("chips", fewest.values["chips"])
        served = self.least("requests_per_s", -1, confirm=False)
        plan = served if served.counts else plan
        wanted = self.bounds.get("requests_per_s", 0.0)
        if self.columns.priced_by is None or not plan.counts or not ANY_TRAFFIC < wanted <= self.traffic:
            return plan
        if tokens_counted((), self.bounds):  # fuller rows leave caches less room
            return plan
        if any(map(part_of, self.bounds)):  # what holds the most at the worst is what was asked for
            return plan
        return quickest(self.columns, self.bounds, plan, self._most_within) or plan

    def _most_within(self, tpot_ms: float) -> Packed:
        """The plan that serves the most, of rows that are as quick."""
        given = dict(self.bounds)
        self.hold("tpot_ms", tpot_ms)
        try:
            return self.least("requests_per_s", -1, confirm=False)
        finally:
            self.bounds = given

    def _reached(self, aim: Aim, exactly: bool) -> Packed | None:
        """The optimum of one aim, which is then held."""
        if aim.metric in latencies():
            return self._least_latency(aim, exactly)
        if aim.metric in held_least():
            return self._most_held(aim, exactly)
        linear = "requests_per_s" if aim.metric in ("requests_per_s", "output_tokens_per_s") else aim.metric
        found = self.least(linear, aim.sign)
        if not found.counts:
            return None
        value = found.values[linear]
        if exactly:
            self.hold(linear, value)
        else:
            scale = self.output_tokens if aim.metric == "output_tokens_per_s" else 1
            self.hold(aim.metric, at_most(aim, whole_steps(aim, value * scale)))
        return found

    def _least_latency(self, aim: Aim, exactly: bool) -> Packed | None:
        """The least of the configurations' values at which a plan is left."""
        given = dict(self.bounds)
        found = self.any_plan()
        if found is None:
            return None
        values = self._values(aim.metric)
        low, high = 0, len(values) - 1
        while low < high:
            middle = (low + high) // 2
            self.bounds = given | {self.held_as(aim.metric): float(values[middle])}
            trial = self.any_plan()
            if trial is None:
                low = middle + 1
            else:
                high, found = middle, trial
        self.bounds = given
        if len(values):
            value = float(values[high])
            self.hold(aim.metric, value if exactly else at_most(aim, whole_steps(aim, value)))
        return found

    def _most_held(self, aim: Aim, exactly: bool) -> Packed | None:
        """The plan whose replicas all have room for the longest request."""
        found = self.longest(aim.metric)
        if found is not None:
            value = found.values[aim.metric]
            self.hold(aim.metric, value if exactly else at_most(aim, whole_steps(aim, value)))
        return found

    def longest(self, metric: str) -> Packed | None:
        """A plan whose replicas all have room for the most tokens, proven; None if there is no plan."""
        rule, given = f"{metric}_min", dict(self.bounds)
        least = ceil(given.get(rule, 0))

        def within(tokens: int) -> dict[str, float]:
            return {**given, rule: float(tokens)} if tokens else given

        def plan_at(tokens: int) -> Packed | None:
            self.bounds = dict(within(tokens))
            return self.any_plan()

        def left(tokens: int) -> bool:
            return bool(len(self.columns.within(within(tokens), prune=False).rows))

        try:
            return longest(metric, least, left, plan_at)
        finally:
            self.bounds = given

    def _values(self, metric: str) -> Any:
        """Distinct values of the configurations that the bounds on one replica leave, ascending."""
        rows = self.columns.within(self.bounds, prune=False).rows
        own = rows[self.columns.replicas.mode[rows] != latencies()[metric]]
        return np.unique(getattr(self.columns.replicas, metric)[own])
