"""A training setup as numbers, or as arrays that stand for many setups at once.

Every formula of this package takes a Layout, so the scalar estimate and the search over millions of
settings are the same arithmetic.
"""

from dataclasses import dataclass, fields

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.memory import GIB
from optimizer.cost.training.constants import ENGINES
from optimizer.spec.training import TrainingSetup


@dataclass(frozen=True)
class Layout:
    """The fields of a `TrainingSetup` that may vary; choices are 0 or 1."""

    tensor_parallel: Number
    sequence_parallel: Number
    pipeline_parallel: Number
    pipeline_interleave: Number
    data_parallel: Number
    context_parallel: Number
    expert_parallel: Number
    microbatch: Number
    global_batch: Number
    sequence_length: int
    recompute_light: Number
    """1 where norms, activations and projections from latents are computed again, and no more."""
    recompute_attention: Number
    """1 where the attention core is computed again, alone or with the whole layer."""
    recompute_layers: Number
    """1 where whole layers are."""
    zero_stage: Number
    zero_group: Number
    """Ranks that share one copy of what is sharded."""
    gradient_bytes: float
    optimizer_bytes: float
    zero_bubble: Number
    dualpipe: Number
    """1 where microbatches enter at both ends, and each hides the messages of another."""
    flash_attention: bool
    dropout: bool
    overlap: bool
    engine: str
    reserve_gib: float | None = None
    """None for what the engine takes."""
    dtype: str = "bf16"
    dispatch: str = "deepep"
    dispatch_dtype: str | None = None
    layers: Number | None = None
    """Layers of the largest stage of these chips; None for the largest of equal ones."""

    @property
    def kept_bytes(self) -> float:
        """Bytes of an element that a product reads, and that is kept for its backward pass."""
        return 2.0 if self.dtype == "bf16" else 1.0

    @property
    def dispatch_bytes(self) -> float:
        """Bytes of an element on its way to an expert; 8-bit blocks of 128 bring a scale of four bytes."""
        own = self.dispatch_dtype or ("bf16" if self.dtype == "bf16" else "fp8")
        return 2.0 if own == "bf16" else 1.0 + 4.0 / 128

    @property
    def copies(self) -> Number:
        """Stages whose weights a rank holds: DualPipe's ranks hold two, one for each direction."""
        return np.where(self.dualpipe, 2, 1)

    @property
    def light(self) -> Number:
        """1 where neither the outputs of norms nor those of activations are kept."""
        return np.maximum(self.recompute_light, self.recompute_attention * self.flash_attention)

    @property
    def inputs_alone(self) -> Number:
        """1 where a layer keeps its input only: whole layers are computed again, and gradients at once.

        A zero-bubble schedule puts the gradients of weights off, and until then keeps what these read.
        """
        put_off = np.logical_and(self.zero_bubble, np.greater(self.pipeline_parallel, 1))
        return self.recompute_layers * (1 - put_off)

    @property
    def reserve_bytes(self) -> float:
        """Bytes that the framework takes on each chip beside tensors."""
        own = ENGINES[self.engine].reserve_gib if self.reserve_gib is None else self.reserve_gib
        return own * GIB

    @property
    def n_microbatches(self) -> Number:
        """Microbatches each pipeline runs in a step; the last may be part full."""
        return np.ceil(self.global_batch / (self.microbatch * self.data_parallel))

    @property
    def tokens(self) -> Number:
        """Tokens of a microbatch on one rank, before sequence parallelism."""
        return self.sequence_length * self.microbatch / self.context_parallel

    @property
    def sequence_shards(self) -> Number:
        """Ranks over which norms and residuals are split."""
        return np.where(self.sequence_parallel, self.tensor_parallel, 1)

    @property
    def replicas(self) -> Number:
        """Ranks with the same weights before ZeRO: data and context parallel."""
        return self.data_parallel * self.context_parallel

    @property
    def expert_replicas(self) -> Number:
        """Ranks with the same experts: experts are not split over tensor-parallel ranks once they spread."""
        spread = self.replicas * self.tensor_parallel / self.expert_parallel
        return np.where(self.expert_parallel > 1, np.maximum(spread, 1), self.replicas)

    @property
    def expert_tensor_parallel(self) -> Number:
        """Ranks over which one expert's width is split."""
        return np.where(self.expert_parallel > 1, 1, self.tensor_parallel)


def layout_of(setup: TrainingSetup) -> Layout:
    """The numbers of one setup."""
    own = setup.model_dump()
    known = {field.name for field in fields(Layout)}
    replicas = setup.data_parallel * setup.context_parallel
    return Layout(
        **{name: value for name, value in own.items() if name in known and name != "zero_group"},
        recompute_light=int(setup.recompute == "light"),
        recompute_attention=int(setup.recompute in ("selective", "full")),
        recompute_layers=int(setup.recompute == "full"),
        zero_group=(setup.zero_group or replicas) if setup.zero_stage else 1,
        zero_bubble=int(setup.schedule == "zero_bubble"),
        dualpipe=int(setup.schedule == "dualpipe"),
    )
