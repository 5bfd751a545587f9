"""A training question: one model, one kind of chip, a batch; how should it be split, or how few chips do?"""

from typing import Annotated, Any, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.documents import Documents
from optimizer.spec.domains import Domain, choices
from optimizer.spec.long_run import LongRun
from optimizer.spec.quantity import Tokens, TrainingTokens, parse_time
from optimizer.spec.training import (
    Degree,
    Dispatch,
    DispatchDtype,
    Engine,
    Recompute,
    Schedule,
    TrainingDtype,
)

_TIMES = {"step_s": "s", "train_days": "days"}


Stage = Annotated[int, Field(ge=0, le=3, strict=True)]


class SharedSetup(Strict):
    """What every setting of a question has alike."""

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


class SetupSpace(SharedSetup):
    """What is free. A degree left out takes every value that divides what it splits."""

    tensor_parallel: Domain | None = None
    sequence_parallel: choices(StrictBool) = (False, True)  # type: ignore[valid-type]
    pipeline_parallel: Domain | None = None
    pipeline_interleave: Domain | None = None
    data_parallel: Domain | None = None
    context_parallel: Domain | None = None
    expert_parallel: Domain | None = None
    microbatch: Domain | None = None
    recompute: choices(Recompute) = ("none", "light", "selective", "full")  # type: ignore[valid-type]
    zero_stage: choices(Stage) = (0, 1, 2, 3)  # type: ignore[valid-type]
    zero_group: Domain | None = None
    schedule: choices(Schedule) = ("1f1b", "zero_bubble", "dualpipe")  # type: ignore[valid-type]


class TrainingAsked(Strict):
    """What every question about training says."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    question: str = ""
    documents: Documents = Documents()
    train_model: str
    global_batch: Degree
    sequence_length: Tokens = 4096
    training_tokens: TrainingTokens = 15 * 10**12
    long_run: LongRun = LongRun()
    minimize: str | None = None
    maximize: str | None = None
    constraints: dict[str, Annotated[float, Field(gt=0, le=1e18)]] = {}

    @field_validator("constraints", mode="before")
    @classmethod
    def _times(cls, given: Any) -> Any:
        """Bounds on times may be text that says its unit: train_days_max: 3 d."""
        if not isinstance(given, dict):
            return given
        found = dict(given)
        for name, value in given.items():
            unit = _TIMES.get(str(name).removesuffix("_max").removesuffix("_min"))
            found[name] = parse_time(value, unit) if unit else value
        return found

    @model_validator(mode="after")
    def _one_objective(self) -> Self:
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError("give either minimize or maximize, with one metric")
        return self


class TrainingProblem(TrainingAsked):
    """One question about training."""

    hardware: str
    chips: Degree
    """At most this many."""
    setup: SetupSpace = SetupSpace()
