"""A fleet question: several services, each a model with its own traffic and limits, share one inventory."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from optimizer.metrics import held_least, is_whole, totals
from optimizer.spec.base import Strict
from optimizer.spec.deployment import Offers, ReplicaSpace, Requests, bounds_on
from optimizer.spec.documents import Documents
from optimizer.spec.domains import choices
from optimizer.spec.quantity import Tokens
from optimizer.spec.values import RequestsPerS

Goal: Any = Literal[totals()]


class Bucket(Strict):
    """Requests of one size."""

    input_tokens: Tokens
    output_tokens: Tokens
    requests_per_s: RequestsPerS
    rows: dict[str, str | int | float] = {}
    """With a performance table: only rows that have these values in these columns are for this bucket."""


if TYPE_CHECKING:
    Served = Requests
else:
    Served = bounds_on("Served", Requests, {}, held_least())


class Service(Strict):
    """One model and its traffic."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    architecture: str | None = None
    performance_table: choices(str) | None = None  # type: ignore[valid-type]
    deployment: ReplicaSpace | None = None
    """How its replicas may run; without it the fleet's `deployment`."""
    traffic: Annotated[tuple[Bucket, ...], Field(min_length=1)]
    constraints: Served = Served()

    @property
    def requests_per_s(self) -> float:
        """All its traffic."""
        return sum(bucket.requests_per_s for bucket in self.traffic)

    @model_validator(mode="after")
    def _priced(self) -> "Service":
        if (self.architecture is None) == (self.performance_table is None):
            raise ValueError(f"{self.name}: give either architecture or performance_table")
        for name in held_least() if self.performance_table is not None else ():
            if f"{name}_min" in self.constraints.given():
                raise ValueError(
                    f"{self.name}: {name}_min: a performance_table does not state it; leave it out"
                )
        return self


class Whole(Strict):
    """What the whole fleet must keep: bounds on totals (`chips_max`)."""

    def given(self) -> dict[str, float]:
        """The bounds in force, by name."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


if TYPE_CHECKING:
    FleetBounds = Whole
else:
    FleetBounds = bounds_on("FleetBounds", Whole, {name: is_whole(name) for name in totals()})


class FleetProblem(Strict):
    """One question about many services."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    question: str = ""
    documents: Documents = Documents()
    hardware: Offers
    deployment: ReplicaSpace = ReplicaSpace()
    services: Annotated[tuple[Service, ...], Field(min_length=1)]
    slices: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Without effect, and said so in the answer: a bucket is split freely. Files of version 1.x have it."""
    minimize: Goal | None = None
    maximize: Literal["requests_per_s"] | None = None
    """The most traffic served, where not all of it can be."""
    constraints: FleetBounds = FleetBounds()

    @model_validator(mode="after")
    def _askable(self) -> "FleetProblem":
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError(f"give either minimize ({', '.join(totals())}) or maximize: requests_per_s")
        names = [service.name for service in self.services]
        if len(set(names)) < len(names):
            raise ValueError("services: two services have the same name")
        return self

    @property
    def goal(self) -> tuple[str, int]:
        """(quantity, +1 to minimise or -1 to maximise)."""
        return (self.minimize, 1) if self.minimize else ("requests_per_s", -1)
