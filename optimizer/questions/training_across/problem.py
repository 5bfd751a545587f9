"""A training question over clusters of unlike chips: which stages of one pipeline lie where?"""

from typing import Annotated, Any

from pydantic import Field, StrictBool, field_serializer, field_validator, model_validator

from optimizer.questions.training.problem import bounds_with_units
from optimizer.spec.base import Strict
from optimizer.spec.documents import Documents
from optimizer.spec.domains import Domain, choices
from optimizer.spec.long_run import LongRun
from optimizer.spec.quantity import BytesPerSecond, Seconds, Tokens, TrainingTokens, format_quantity
from optimizer.spec.training import Degree, Dispatch, DispatchDtype, Engine, Recompute, TrainingDtype

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


class AcrossSetup(Strict):
    """What is free, and what all clusters share. A degree left out takes every value that divides."""

    data_parallel: Domain | None = None
    """Replicas, each over all clusters in use."""
    microbatch: Domain | None = None
    recompute: choices(Recompute) = ("none", "light", "selective", "full")  # type: ignore[valid-type]
    """Each cluster has its own."""
    zero_stage: choices(Stage) = (0, 1)  # type: ignore[valid-type]
    """Each cluster has its own. In a pipeline what stages 2 and 3 shard would travel with each microbatch."""
    sequence_parallel: StrictBool = True
    dtype: TrainingDtype = "bf16"
    dispatch: Dispatch = "deepep"
    dispatch_dtype: DispatchDtype | None = None
    engine: Engine = "megatron"
    gradient_bytes: Annotated[float, Field(ge=1e-3, le=8)] = 4.0
    optimizer_bytes: Annotated[float, Field(ge=0, le=32)] = 12.0
    flash_attention: StrictBool = True
    dropout: StrictBool = False
    overlap: StrictBool = True
    reserve_gib: Annotated[float, Field(ge=0, le=1024)] | None = None
    """Memory that the framework takes beside tensors; the engine's where not given."""


class AcrossProblem(Strict):
    """One question about training on several clusters."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    question: str = ""
    documents: Documents = Documents()
    train_model: str
    train_on: Annotated[tuple[ClusterOffer, ...], Field(min_length=1, max_length=MOST_CLUSTERS)]
    network: Between | None = None
    """Between clusters; without it the slower of the networks of the two chips."""
    global_batch: Degree
    sequence_length: Tokens = 4096
    training_tokens: TrainingTokens = 15 * 10**12
    setup: AcrossSetup = AcrossSetup()
    long_run: LongRun = LongRun()
    minimize: str | None = None
    maximize: str | None = None
    constraints: dict[str, Annotated[float, Field(gt=0, le=1e18)]] = {}

    @field_validator("constraints", mode="before")
    @classmethod
    def _times(cls, given: Any) -> Any:
        """Bounds on times may be text that says its unit: train_days_max: 3 d."""
        return bounds_with_units(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _askable(self) -> "AcrossProblem":
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError("give either minimize or maximize, with one metric")
        if not any(self.global_batch % d == 0 for d in self.setup.data_parallel or (1,)):
            values = ", ".join(map(str, (self.setup.data_parallel or ())[:8]))
            raise ValueError(
                f"setup.data_parallel: none of {values} divides global_batch {self.global_batch}; "
                "give a divisor of it"
            )
        return self
