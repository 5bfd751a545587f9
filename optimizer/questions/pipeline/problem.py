"""A pipeline question: the layers of one replica over stages on unlike chips, and what it answers."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.deployment import Milliseconds, Share
from optimizer.spec.deployment_plan import DeploymentCertificate
from optimizer.spec.documents import Documents
from optimizer.spec.domains import Domain, HostMs, Positive
from optimizer.spec.dtypes import KvDtype, WeightDtype
from optimizer.spec.engine import EngineName
from optimizer.spec.plan import Assumption, Binding, Conflict, Objective, Status
from optimizer.spec.quantity import Tokens
from optimizer.spec.shown import Solved


class StageGroup(Strict):
    """Chips of one kind that stand next to each other in the pipeline."""

    chip: str
    chips: Positive
    tensor_parallel: Domain | None = None
    """Chips of one stage; without it every power of two that divides `chips` and fits the domain."""


class Pipeline(Strict):
    """The stages in the order a token passes them."""

    stages: Annotated[tuple[StageGroup, ...], Field(min_length=1, max_length=16)]


class StageSpace(Strict):
    """How the replica runs."""

    weight_dtype: WeightDtype = "bf16"
    kv_dtype: KvDtype = "bf16"
    batch: Domain = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    """Sequences in one stage at a time; with p stages, p times as many are in flight."""
    engine: EngineName = "trtllm"
    """An engine profile: one that ships, or a file of yours."""
    host_ms: HostMs | None = None
    """In place of the engine's own."""
    reserve_gib: Annotated[float, Field(ge=0, le=1024)] | None = None


class RequestSize(Strict):
    """The requests the replica serves."""

    input_tokens: Tokens
    output_tokens: Tokens


class StageBounds(Strict):
    """What the replica must keep."""

    ttft_ms_max: Milliseconds | None = None
    tpot_ms_max: Milliseconds | None = None
    memory_capacity: Share = 1.0


class PipelineProblem(Strict):
    """One question about one replica whose stages are unlike."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    question: str = ""
    documents: Documents = Documents()
    architecture: str
    pipeline: Pipeline
    deployment: StageSpace = StageSpace()
    workload: RequestSize
    maximize: str | None = None
    minimize: str | None = None
    constraints: StageBounds = StageBounds()

    @model_validator(mode="after")
    def _askable(self) -> "PipelineProblem":
        if (self.maximize, self.minimize) not in ((None, "tpot_ms"), ("output_tokens_per_s", None)):
            raise ValueError("give maximize: output_tokens_per_s, or minimize: tpot_ms")
        return self


class Stage(Strict):
    """One stage of the answer."""

    chip: str
    tensor_parallel: int
    layers: tuple[int, ...]
    """Layers of each kind, in the order of the model's groups."""
    ms: float
    utilisation: float
    """Its time over the slowest stage's."""
    memory_gib: float
    hbm_usable_gib: float


class PipelineResult(Solved):
    """What a pipeline study returns; `wall_s` is the only field that differs between two equal runs."""

    status: Status
    objective: Objective
    architecture: str
    stages: tuple[Stage, ...] = ()
    batch: int | None = None
    metrics: dict[str, float] = {}
    equal_split: dict[str, float] = {}
    """The same stages with equal numbers of layers, for comparison; empty if that does not fit."""
    binding: tuple[Binding, ...] = ()
    binding_untried: tuple[str, ...] = ()
    """Rules that there was no time to drop."""
    conflict: Conflict | None = None
    assumptions: tuple[Assumption, ...] = ()
    certificate: DeploymentCertificate
    wall_s: float
    version: str
    problem: dict[str, Any]
