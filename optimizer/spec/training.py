"""How a model is trained: the split over chips, the batch, what is recomputed, sharded and overlapped."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from optimizer.spec.base import Strict
from optimizer.spec.long_run import LongRun
from optimizer.spec.quantity import Tokens

Degree = Annotated[int, Field(ge=1, le=10**8, strict=True)]
Recompute = Literal["none", "light", "selective", "full"]
TrainingDtype = Literal["bf16", "fp8", "mxfp8", "mxfp4", "nvfp4"]
Schedule = Literal["1f1b", "zero_bubble", "dualpipe"]
Dispatch = Literal["all_to_all", "deepep"]
DispatchDtype = Literal["bf16", "fp8"]
Engine = Literal["megatron", "deepspeed", "pytorch", "torch_compile", "xla"]


class TrainingSetup(Strict):
    """One way to run a training step. Chips = tensor x pipeline x context x data parallel.

    Expert parallelism is carved out of tensor x context x data parallel, as in Megatron.
    """

    tensor_parallel: Degree = 1
    sequence_parallel: StrictBool = True
    """Norms and residuals are split along the sequence over the tensor-parallel ranks."""
    pipeline_parallel: Degree = 1
    pipeline_interleave: Degree = 1
    """Model chunks on each pipeline stage."""
    data_parallel: Degree = 1
    context_parallel: Degree = 1
    expert_parallel: Degree = 1
    microbatch: Degree = 1
    global_batch: Degree = 1
    """Sequences in one optimizer step, over all ranks."""
    sequence_length: Tokens = 4096
    recompute: Recompute = "none"
    """What the backward pass computes again: nothing; norms, activations and projections from latents
    (light); the attention core; or whole layers."""
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 1
    """Sharded over the data-parallel ranks: 1 optimizer, 2 and gradients, 3 and weights (FSDP)."""
    zero_group: Degree | None = None
    """Ranks that share one copy of what ZeRO shards; all data-parallel ranks where not given."""
    engine: Engine = "megatron"
    """Whose kernels: Megatron's fused ones, Megatron-DeepSpeed's, PyTorch's own, or the XLA compiler's."""
    dtype: TrainingDtype = "bf16"
    """Format of the matrix products, and of their inputs that are kept; weights are kept in 16 bit."""
    dispatch: Dispatch = "deepep"
    """How tokens reach their experts: a copy for each, or one to each domain and there one to each rank."""
    dispatch_dtype: DispatchDtype | None = None
    """Format in which tokens travel to their experts; fp8 where products are narrow and none is given. They
    come back in 16 bit."""
    gradient_bytes: Annotated[float, Field(ge=1e-3, le=8)] = 4.0
    optimizer_bytes: Annotated[float, Field(ge=0, le=32)] = 12.0
    """Bytes of the optimizer for each parameter: a 32-bit copy and Adam's two moments."""
    reserve_gib: Annotated[float, Field(ge=0, le=1024)] | None = None
    """Memory on each chip that the framework takes beside tensors; the engine's where not given."""
    schedule: Schedule = "1f1b"
    flash_attention: StrictBool = True
    """False: scores go through memory, as in all training before 2022."""
    dropout: StrictBool = False
    overlap: StrictBool = True
    """Whether gradients, gathered weights and pipeline messages travel while the chips compute."""

    @property
    def n_chips(self) -> int:
        """Chips of the whole job."""
        return self.tensor_parallel * self.pipeline_parallel * self.context_parallel * self.data_parallel

    @property
    def n_microbatches(self) -> int:
        """Microbatches each pipeline runs in a step; the last may be part full."""
        return -(-self.global_batch // (self.microbatch * self.data_parallel))


class TrainingSection(TrainingSetup):
    """How the architectures of a problem are trained: a setup, on a chip that may be another than serves."""

    hardware: str | None = None
    """The first chip of the problem where not given."""
    long_run: LongRun = LongRun()
    """What the run loses beside its steps; part of train_usd."""
