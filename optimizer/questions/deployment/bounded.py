"""Re-solves of a deployment under bounds that are narrowed from one to the next."""

from collections.abc import Mapping

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.scenarios import held_as
from optimizer.errors import InternalMismatch
from optimizer.metrics import latencies, listed
from optimizer.questions.deployment.optimum import Packed, optimum
from optimizer.watch import UNWATCHED, Stopped, Watch

ANY_TRAFFIC = 1e-8
"""Requests per second that a plan for the most traffic must serve: some."""


class Bounded:
    """Bounds of one re-solve, narrowed as aims are reached."""

    def __init__(
        self,
        columns: DeploymentColumns,
        bounds: Mapping[str, float],
        output_tokens: int,
        watch: Watch = UNWATCHED,
    ) -> None:
        self.columns, self.bounds, self.watch = columns, dict(bounds), watch
        self.output_tokens = output_tokens
        self.traffic = self.bounds.get("requests_per_s", 0.0)
        self.solves = 0

    def any_plan(self) -> Packed | None:
        """Any plan within the bounds; None is proven. Raises Stopped."""
        quick = self._asked("chips", 1, confirm=False)
        found = quick if quick.counts else self.least("chips", 1)
        return found if found.counts else None

    def hold(self, metric: str, limit: float) -> None:
        """Allow only plans at least as good as this in a metric."""
        if metric == "output_tokens_per_s":
            metric, limit = "requests_per_s", limit / self.output_tokens
        if metric in listed("held"):
            metric = f"{metric}_min"
        if metric == "requests_per_s" or metric.endswith("_min"):
            self.bounds[metric] = max(limit, self.bounds.get(metric, limit))
        else:
            name = self.held_as(metric)
            self.bounds[name] = min(limit, self.bounds.get(name, limit))

    def held_as(self, metric: str) -> str:
        """The bound by which a metric that is to be small is held."""
        return held_as(metric, self.bounds) if metric in latencies() else f"{metric}_max"

    def least(self, name: str, sense: int, confirm: bool = True) -> Packed:
        """One question to the solver; confirmed, its answer is proven. Raises Stopped."""
        found = self._asked(name, sense, confirm)
        if found.status in ("optimal", "infeasible"):
            return found
        if self.watch.over or not self.columns.complete:
            raise Stopped  # a plan that is not settled would make a resumed study end otherwise
        if confirm:
            raise InternalMismatch(f"{name}: the optimum could not be confirmed ({found.status})")
        return found

    def _asked(self, name: str, sense: int, confirm: bool) -> Packed:
        self.watch.check()  # each question sorts all configurations
        found = optimum(self.columns, ((name, sense),), self.bounds, watch=self.watch, confirm=confirm)
        self.solves += found.solves
        return found
