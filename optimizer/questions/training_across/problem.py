"""A training question over clusters of unlike chips: which stages of one pipeline lie where?"""

from typing import Annotated, Self

from pydantic import Field, StrictBool, field_serializer, model_validator

from optimizer.questions.training.problem import SharedSetup, TrainingAsked
from optimizer.spec.base import Strict
from optimizer.spec.domains import Domain, choices
from optimizer.spec.quantity import BytesPerSecond, Seconds, format_quantity
from optimizer.spec.training import Degree, Recompute

MOST_CLUSTERS = 4
Stage = Annotated[int, Field(ge=0, le=1, strict=True)]


class ClusterOffer(Strict):
    """Chips of one kind that share a network of their own."""

    chip: str
    chips: Degree
    """At most this many."""
    tensor_parallel: Domain | None = None
    """Without it every number of ranks of a scale-up domain over which the layers divide."""
    context_parallel: Domain = (1,)
    expert_parallel: Domain | None = None
    """Without it every number over which the experts divide."""
    stages: Domain | None = None
    """Of the pipeline that lie here, where any do; without it any number."""


class Between(Strict):
    """The link between any two clusters, for each of their chips."""

    bandwidth: BytesPerSecond
    latency: Seconds = Field(default="20 us")

    @field_serializer("bandwidth")
    def _rate(self, value: float) -> str:
        return format_quantity(value, "bytes/s")

    @field_serializer("latency")
    def _time(self, value: float) -> str:
        return format_quantity(value, "s")


class AcrossSetup(SharedSetup):
    """What is free, and what all clusters share. A degree left out takes every value that divides."""

    data_parallel: Domain | None = None
    """Replicas, each over all clusters in use."""
    microbatch: Domain | None = None
    recompute: choices(Recompute) = ("none", "light", "selective", "full")  # type: ignore[valid-type]
    """Each cluster has its own."""
    zero_stage: choices(Stage) = (0, 1)  # type: ignore[valid-type]
    """Each cluster has its own. In a pipeline what stages 2 and 3 shard would travel with each microbatch."""
    sequence_parallel: StrictBool = True


class AcrossProblem(TrainingAsked):
    """One question about training on several clusters."""

    train_on: Annotated[tuple[ClusterOffer, ...], Field(min_length=1, max_length=MOST_CLUSTERS)]
    network: Between | None = None
    """Between clusters; without it the slower of the networks of the two chips."""
    setup: AcrossSetup = AcrossSetup()

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if not any(self.global_batch % d == 0 for d in self.setup.data_parallel or (1,)):
            values = ", ".join(map(str, (self.setup.data_parallel or ())[:8]))
            raise ValueError(
                f"setup.data_parallel: none of {values} divides global_batch {self.global_batch}; "
                "give a divisor of it"
            )
        return self
