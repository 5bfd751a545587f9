"""The few constants of training that no datasheet gives, and what each was fitted on."""

from dataclasses import dataclass

CAST_BYTES = 5.0
"""Bytes through memory for each element quantised: read in 16 bit, written in 8 bit twice (also transposed)."""
ELEMENTWISE_BACKWARD = 2.0
"""Gradients in and out and the saved input, against the forward pass's input and output."""
FLASH_BACKWARD = 2.5
"""Products of a flash kernel's backward pass against its forward: five against two (Dao, arXiv 2307.08691)."""
EXPERTS = 1.3
"""Time of the experts in training against the inference kernels they were fitted on: permutations, imbalance."""
LEAK = 0.1
"""Share of hidden communication that still costs time: it takes cores and memory bandwidth."""


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """What a training framework makes of the same operators."""

    elementwise: float
    """Bytes through memory against fused kernels."""
    attention: float
    """Speed of its attention kernels against the chip's best."""
    selective_products: float
    """Share of the products that its selective recomputation computes again."""
    tensor_exposed: float
    """Share of sequence-parallel messages that it does not hide behind products."""
    expert_exposed: float
    data_exposed: float
    """Share of gathered weights and summed gradients that it does not hide, even behind enough computing."""


ENGINES = {
    "megatron": EngineProfile(1.0, 1.0, 0.0, 0.5, 0.7, 0.1),
    "pytorch": EngineProfile(2.5, 0.6, 0.5, 0.9, 0.9, 0.3),
    "xla": EngineProfile(0.6, 1.0, 0.0, 0.5, 0.7, 0.1),
}
