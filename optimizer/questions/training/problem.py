"""A training question: one model, one kind of chip, a batch; how should it be split, or how few chips do?"""

from typing import Annotated, Any

from pydantic import Field, StrictBool, field_validator, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.documents import Documents
from optimizer.spec.domains import Domain, choices
from optimizer.spec.plan import Assumption, Binding, Conflict, Objective, Status
from optimizer.spec.quantity import Tokens, TrainingTokens, parse_time
from optimizer.spec.shown import Solved
from optimizer.spec.training import Degree, Engine, Recompute, Schedule, TrainingDtype
from optimizer.spec.training_plan import TrainingEstimate

_TIMES = {"step_s": "s", "train_days": "days"}


def _times_of(given: dict[Any, Any]) -> dict[Any, Any]:
    found = dict(given)
    for name, value in given.items():
        unit = _TIMES.get(str(name).removesuffix("_max").removesuffix("_min"))
        found[name] = parse_time(value, unit) if unit else value
    return found


Stage = Annotated[int, Field(ge=0, le=3, strict=True)]


class SetupSpace(Strict):
    """What is free. A degree left out takes every value that divides what it splits."""

    tensor_parallel: Domain | None = None
    sequence_parallel: choices(StrictBool) = (False, True)  # type: ignore[valid-type]
    pipeline_parallel: Domain | None = None
    pipeline_interleave: Domain | None = None
    data_parallel: Domain | None = None
    context_parallel: Domain | None = None
    expert_parallel: Domain | None = None
    microbatch: Domain | None = None
    recompute: choices(Recompute) = ("none", "selective", "full")  # type: ignore[valid-type]
    zero_stage: choices(Stage) = (0, 1, 2, 3)  # type: ignore[valid-type]
    zero_group: Domain | None = None
    schedule: choices(Schedule) = ("1f1b", "zero_bubble")  # type: ignore[valid-type]
    dtype: TrainingDtype = "bf16"
    engine: Engine = "megatron"
    gradient_bytes: Annotated[float, Field(ge=1e-3, le=8)] = 4.0
    optimizer_bytes: Annotated[float, Field(ge=0, le=32)] = 12.0
    flash_attention: StrictBool = True
    dropout: StrictBool = False
    overlap: StrictBool = True
    reserve_gib: Annotated[float, Field(ge=0, le=1024)] = 2.0
    """Memory left to libraries and fragments."""


class TrainingProblem(Strict):
    """One question about training."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    question: str = ""
    documents: Documents = Documents()
    train_model: str
    hardware: str
    chips: Degree
    """At most this many."""
    global_batch: Degree
    sequence_length: Tokens = 4096
    training_tokens: TrainingTokens = 15 * 10**12
    setup: SetupSpace = SetupSpace()
    minimize: str | None = None
    maximize: str | None = None
    constraints: dict[str, Annotated[float, Field(gt=0, le=1e18)]] = {}

    @field_validator("constraints", mode="before")
    @classmethod
    def _times(cls, given: Any) -> Any:
        """Bounds on times may be text that says its unit: train_days_max: 3 d."""
        return _times_of(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _one_objective(self) -> "TrainingProblem":
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError("give either minimize or maximize, with one metric")
        return self


class TrainingCertificate(Strict):
    """Why the answer can be believed: how many settings there are, and how each was ruled out."""

    cells: int
    """Parts of the lattice in which some degrees are held: what is bounded first."""
    cells_opened: int
    """Those whose splits were listed and bounded; the others cannot win at their best."""
    settings: int
    """Settings of the cells opened that keep every rule of divisibility."""
    splits: int
    """Groups of settings that share degrees and microbatch: what is bounded at once."""
    splits_without_memory: int
    """Ruled out because even their least memory does not fit."""
    splits_by_bound: int
    """Ruled out because even their optimistic time is no better, or breaks a bound."""
    splits_priced: int
    settings_priced: int
    witnesses: int = 0
    """Splits that bounds ruled out and that were priced all the same; a better one is an internal error."""
    confirmed_by: tuple[str, ...]
    checker: str


class TrainingResult(Solved):
    """The best setting, proven, or the smallest conflict."""

    status: Status
    objective: Objective
    estimate: TrainingEstimate | None
    metrics: dict[str, float]
    binding: tuple[Binding, ...] = ()
    binding_untried: tuple[str, ...] = ()
    """Rules that there was no time to drop."""
    conflict: Conflict | None
    assumptions: tuple[Assumption, ...]
    certificate: TrainingCertificate
    wall_s: float
    version: str
    problem: dict[str, Any]
