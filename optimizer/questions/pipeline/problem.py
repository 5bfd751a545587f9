"""A pipeline question: the layers of one replica over stages on unlike chips, and what it answers."""

from typing import Annotated

from pydantic import Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.deployment import Milliseconds, Share
from optimizer.spec.documents import Documents
from optimizer.spec.domains import FORMAT_VALUES, Domain, Positive
from optimizer.spec.engine import FIGURES, EngineName, HasEngine
from optimizer.spec.flat import HasFormats, flat
from optimizer.spec.quantity import Tokens


class StageGroup(Strict):
    """Chips of one kind that stand next to each other in the pipeline."""

    chip: str
    chips: Positive
    tensor_parallel: Domain | None = None
    """Chips of one stage; without it every power of two that divides `chips` and fits the domain."""


class Pipeline(Strict):
    """The stages in the order a token passes them."""

    stages: Annotated[tuple[StageGroup, ...], Field(min_length=1, max_length=16)]


@flat(FIGURES, after="engine")
@flat(FORMAT_VALUES)
class StageSpace(HasEngine, HasFormats):
    """How the replica runs."""

    batch: Domain = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    """Sequences in one stage at a time; with p stages, p times as many are in flight."""
    engine: EngineName = "trtllm"
    """An engine profile: one that ships, or a file of yours."""


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
