"""A fleet question: several services, each a model with its own traffic and limits, share one inventory."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.deployment import (
    Count0,
    Milliseconds,
    NotNegative,
    Offers,
    ReplicaSpace,
    Share,
)
from optimizer.spec.documents import Documents
from optimizer.spec.domains import choices
from optimizer.spec.quantity import Tokens
from optimizer.spec.values import RequestsPerS

Goal = Literal["chips", "usd_per_hour", "power_w"]


class Bucket(Strict):
    """Requests of one size."""

    input_tokens: Tokens
    output_tokens: Tokens
    requests_per_s: RequestsPerS
    rows: dict[str, str | int | float] = {}
    """With a performance table: only rows that have these values in these columns are for this bucket."""


class ServiceBounds(Strict):
    """What each request of a service must keep."""

    ttft_ms_max: Milliseconds | None = None
    tpot_ms_max: Milliseconds | None = None
    memory_capacity: Share = 1.0

    def given(self) -> dict[str, float]:
        """The bounds in force, by name."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Service(Strict):
    """One model and its traffic."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    architecture: str | None = None
    performance_table: choices(str) | None = None  # type: ignore[valid-type]
    deployment: ReplicaSpace | None = None
    """How its replicas may run; without it the fleet's `deployment`."""
    traffic: Annotated[tuple[Bucket, ...], Field(min_length=1)]
    constraints: ServiceBounds = ServiceBounds()

    @model_validator(mode="after")
    def _priced(self) -> "Service":
        if (self.architecture is None) == (self.performance_table is None):
            raise ValueError(f"{self.name}: give either architecture or performance_table")
        return self


class FleetBounds(Strict):
    """What the whole fleet must keep."""

    chips_max: Count0 | None = None
    usd_per_hour_max: NotNegative | None = None
    power_w_max: NotNegative | None = None

    def given(self) -> dict[str, float]:
        """The bounds in force, by name."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


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
            raise ValueError(
                "give either minimize (chips, usd_per_hour, power_w) or maximize: requests_per_s"
            )
        names = [service.name for service in self.services]
        if len(set(names)) < len(names):
            raise ValueError("services: two services have the same name")
        return self

    @property
    def goal(self) -> tuple[str, int]:
        """(quantity, +1 to minimise or -1 to maximise)."""
        return (self.minimize, 1) if self.minimize else ("requests_per_s", -1)
