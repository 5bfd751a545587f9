"""A fleet question: several services, each a model with its own traffic and limits, share one inventory."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from optimizer.metrics import held_least, is_whole, totals
from optimizer.spec.base import Strict
from optimizer.spec.deployment import AtPercentile, Offers, Percentile, ReplicaSpace, Requests, bounds_on
from optimizer.spec.documents import Documents
from optimizer.spec.domains import choices
from optimizer.spec.quantity import Tokens
from optimizer.spec.robust import Robust
from optimizer.spec.values import RequestsPerS

Goal: Any = Literal[totals()]


class Bucket(Strict):
    """Requests of one size."""

    input_tokens: Tokens
    output_tokens: Tokens
    requests_per_s: RequestsPerS
    rows: dict[str, str | int | float] = {}
    """With a performance table: only rows that have these values in these columns are for this bucket."""


Quality = Annotated[float, Field(ge=0, le=1)]


class Answered(Requests):
    """What each request must keep, each replica, and the answers of a service together."""

    quality_min: Quality | None = None
    """The mean quality of all answers, each model's weighted with the traffic that it answers."""


if TYPE_CHECKING:
    Served = Answered
else:
    Served = bounds_on("Served", Answered, {}, held_least())


class Choice(Strict):
    """A model that may answer some of a service's traffic."""

    name: Annotated[str, Field(max_length=200)] = ""
    """What answers call it; without it the model's name, or the table's."""
    architecture: str | None = None
    performance_table: choices(str) | None = None  # type: ignore[valid-type]
    quality: Quality | None = None
    """Of its answers, on any scale from 0 to 1 that all models of the service are measured on."""
    deployment: ReplicaSpace | None = None
    """How its replicas may run; without it the service's."""

    @property
    def called(self) -> str:
        """Its name in answers."""
        return self.name or self.architecture or (self.performance_table or ("",))[0]


class Service(AtPercentile):
    """One model, or several to choose from, and the traffic."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    architecture: str | None = None
    performance_table: choices(str) | None = None  # type: ignore[valid-type]
    models: Annotated[tuple[Choice, ...], Field(min_length=1)] | None = None
    """Models that may answer, each with a quality: which of them answer how much is chosen."""
    deployment: ReplicaSpace | None = None
    """How its replicas may run; without it the fleet's `deployment`."""
    traffic: Annotated[tuple[Bucket, ...], Field(min_length=1)]
    constraints: Served = Served()
    percentile: Percentile | None = None
    """Of its requests, which come at random: which latencies and their bounds are of, as in a deployment."""

    @property
    def answered_by(self) -> tuple[Choice, ...]:
        """The models that may answer: the only one where it is given by itself."""
        only = Choice(architecture=self.architecture, performance_table=self.performance_table)
        return self.models or (only,)

    def number_of(self, model: str) -> int:
        """Which of the models a pool names; the only one where it names none."""
        return [own.called for own in self.models].index(model) if self.models else 0

    def runs(self, model: Choice) -> str:
        """What a pool of one of its models says it runs."""
        return f"{self.name}/{model.called}" if self.models else self.name

    @property
    def tabled(self) -> bool:
        """Whether a table states the figures of some of its replicas."""
        return any(model.performance_table is not None for model in self.answered_by)

    @property
    def requests_per_s(self) -> float:
        """All its traffic."""
        return sum(bucket.requests_per_s for bucket in self.traffic)

    @model_validator(mode="after")
    def _priced(self) -> "Service":
        given = (self.architecture, self.performance_table, self.models)
        if sum(one is not None for one in given) != 1:
            raise ValueError(f"{self.name}: give one of architecture, performance_table and models")
        if self.tabled and self.queued_at is not None:
            raise ValueError(
                f"{self.name}: percentile {self.queued_at:g}: a performance_table states figures of replicas "
                "without a queue; leave it out, or give none"
            )
        for name in held_least() if self.tabled else ():
            if f"{name}_min" in self.constraints.given():
                raise ValueError(
                    f"{self.name}: {name}_min: a performance_table does not state it; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _chosen_from(self) -> "Service":
        least = self.constraints.quality_min
        if self.models is None and least is not None:
            raise ValueError(
                f"{self.name}: quality_min: needs models, each with its quality; or leave it out"
            )
        for number, model in enumerate(self.models or (), 1):
            where = f"{self.name}: models {number}"
            if (model.architecture is None) == (model.performance_table is None):
                raise ValueError(f"{where}: give either architecture or performance_table")
            if model.quality is None:
                raise ValueError(f"{where}, {model.called[:64]}: give its quality, from 0 to 1")
            if model.deployment is not None and "mix" in model.deployment.model_fields_set:
                raise ValueError(f"{where}: deployment.mix is of the whole service; give it there")
        names = [model.called for model in self.models or ()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{self.name}: models: two are called {twice[:64]}; give one of them a name")
        best = max((model.quality or 0.0 for model in self.models or ()), default=0.0)
        if least is not None and least > best:
            raise ValueError(
                f"{self.name}: quality_min {least:g} is above {best:g}, the best model's; give at most that"
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
    robust: Robust | None = None
    """What may turn out worse than predicted or asked for, of all services, and the plan still holds."""

    @model_validator(mode="after")
    def _askable(self) -> "FleetProblem":
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError(f"give either minimize ({', '.join(totals())}) or maximize: requests_per_s")
        names = [service.name for service in self.services]
        if len(set(names)) < len(names):
            raise ValueError("services: two services have the same name")
        return self

    @model_validator(mode="after")
    def _known_worst(self) -> "FleetProblem":
        own = self.robust
        if own is None:
            return self
        if own.losses is not None:
            raise ValueError("robust.losses: a fleet has none; ask for the service as a deployment")
        if own.in_requests:
            raise ValueError("robust.traffic: requests_per_s is of one service; give factors of all traffic")
        if any(service.tabled for service in self.services):
            own.require_factors()
        return self

    @property
    def goal(self) -> tuple[str, int]:
        """(quantity, +1 to minimise or -1 to maximise)."""
        return (self.minimize, 1) if self.minimize else ("requests_per_s", -1)
