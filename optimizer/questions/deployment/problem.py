"""A deployment question: how many chips, of which kind, set up how, for this traffic within these limits."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from optimizer.metrics import counted, held_least, held_sums, is_whole, listed, traffic
from optimizer.spec.base import Strict
from optimizer.spec.deployment import Count0, Offers, ReplicaSpace, Requests, Share, Traffic, bounds_on
from optimizer.spec.documents import Documents
from optimizer.spec.domains import choices
from optimizer.spec.robust import Robust
from optimizer.spec.values import RequestsPerS

MINIMIZE, MAXIMIZE = counted(), (*traffic(), *listed("held"))
Minimized: Any = Literal[MINIMIZE]
Maximized: Any = Literal[MAXIMIZE]


class Kept(Requests):
    """What a deployment must keep, beside bounds on totals (`chips_max`): conflicts name each."""

    requests_per_s_min: RequestsPerS | None = None
    utilisation_max: Share | None = None
    """Demand over capacity, of every pool."""
    spares: Count0 | None = None
    """Replicas of which any may be lost at once, and the plan still serves the traffic."""


if TYPE_CHECKING:
    Bounds = Kept
else:
    Bounds = bounds_on(
        "Bounds", Kept, {name: is_whole(name) for name in MINIMIZE}, (*held_least(), *held_sums())
    )


class DeploymentProblem(Strict):
    """One question about a fixed model and its traffic."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    question: str = ""
    documents: Documents = Documents()
    architecture: str | None = None
    hardware: Offers
    deployment: ReplicaSpace = ReplicaSpace()
    workload: Traffic
    performance_table: choices(str) | None = None  # type: ignore[valid-type]
    """CSV files of replica configurations, used instead of the cost model."""
    performance_table_rows: dict[str, str | int | float] = {}
    """Only rows that have these values in these columns."""
    minimize: choices(Minimized) | None = None  # type: ignore[valid-type]
    maximize: Maximized | None = None
    constraints: Bounds = Bounds()
    robust: Robust | None = None
    """What may turn out worse than predicted or asked for, and the plan still holds."""

    @model_validator(mode="after")
    def _askable(self) -> "DeploymentProblem":
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError(
                f"give either minimize ({', '.join(MINIMIZE)}, or a list) or maximize ({', '.join(MAXIMIZE)})"
            )
        if self.minimize is not None and self.demand is None:
            raise ValueError("workload.requests_per_s: give the traffic that must be served")
        if self.architecture is None and self.performance_table is None:
            raise ValueError("give architecture (a model's name), or performance_table")
        if self.queued_at is not None and self.constraints.ttft_ms_max is None:
            raise ValueError("workload.percentile: of a table it needs constraints.ttft_ms_max, to queue for")
        for name in self.room_asked:
            if why := self.room_unknown():
                raise ValueError(f"{name}: {why}")
        self._require_known_worst()
        named = [offer.chip for offer in self.hardware]
        if len(set(named)) < len(named):
            raise ValueError("hardware: the same chip is listed twice; give it one max_count")
        return self

    def _require_known_worst(self) -> None:
        """ValueError where what may go wrong is said in what the problem does not have."""
        own = self.robust
        if own is None:
            return
        if self.performance_table is not None:
            own.require_factors()
        if own.in_requests and self.workload.requests_per_s is None:
            raise ValueError("robust.traffic: requests_per_s needs workload.requests_per_s; give factors")

    @property
    def demand(self) -> float | None:
        """Requests per second that must be served."""
        rates = [r for r in (self.workload.requests_per_s, self.constraints.requests_per_s_min) if r]
        return max(rates) if rates else None

    @property
    def priced_at(self) -> float | None:
        """The percentile that the cost model's figures are of; None for full replicas, and for tables."""
        return self.workload.priced_at if self.performance_table is None else None

    @property
    def queued_at(self) -> float | None:
        """The percentile of requests that queue for what tables state; None where nobody is said to."""
        return None if self.performance_table is None else self.workload.queued_at

    @property
    def room_asked(self) -> tuple[str, ...]:
        """What its objective and its bounds ask of the room that replicas have for caches."""
        asked = [self.maximize, *(rule.removesuffix("_min") for rule in self.constraints.given())]
        return tuple(name for name in listed("held") if name in asked)

    def room_unknown(self, space: ReplicaSpace | None = None) -> str | None:
        """Why nobody knows how many tokens caches of replicas hold; None if the cost model does.

        `space`: how replicas may run, where it is not the problem's own.
        """
        own = space or self.deployment
        if self.performance_table is not None:
            return "a performance_table does not state what replicas have room for; leave it out"
        if "separated" in own.mode:
            return "is not known of experts that lie apart; leave mode separated out"
        if True in own.second_tier:
            return "counts caches in fast memory; leave second_tier out"
        return None

    @property
    def objectives(self) -> tuple[tuple[str, int], ...]:
        """(quantity, +1 to minimise or -1 to maximise), the most important first."""
        if self.minimize is not None:
            return tuple((name, 1) for name in self.minimize)
        most = self.maximize if self.maximize in listed("held") else "requests_per_s"
        return ((str(most), -1),)
