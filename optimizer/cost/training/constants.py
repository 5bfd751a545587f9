"""The few constants of training that no datasheet gives.

Fitted together with the chips' shares to every other row of tiers A and B of benchmarks/points/training.csv
(`benchmarks/training_fit.py` prints fitted and held-out errors), rounded. They belong to an engine or to all,
never to a model or a chip.
"""

from dataclasses import dataclass

CAST_BYTES = 5.0
"""Bytes for each element quantised: read in 16 bit, written in 8 bit twice (also transposed), scales."""
ELEMENTWISE_BACKWARD = 2.0
"""Gradients in and out and the saved input, against the forward pass's input and output."""
FLASH_BACKWARD = 2.5
"""Products of a flash kernel's backward pass against its forward: five against two (arXiv 2307.08691)."""
EXPERTS = 1.8
"""Time of experts in training against inference kernels: permutations both ways, imbalance, host waits."""
LEAK = 0.1
"""Share of hidden communication that still costs time: it takes cores and memory bandwidth."""
EXCHANGE_CORES = 20 / 132
"""The same of tokens on their way to experts: 20 of an H800's 132 cores move them (arXiv 2412.19437)."""


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
    """The same of tokens on their way to experts and back."""
    data_exposed: float
    """Share of gathered weights and summed gradients that it never hides, even behind enough computing."""
    split_boundary: bool
    """Whether tensor-parallel ranks each send a part of a pipeline message (arXiv 2104.04473)."""
    broadcasts: bool
    """Whether ZeRO 1 and 2 end a step with each rank's broadcast of its weights: over one network port a
    chip at a time, behind nothing."""
    reserve_gib: float = 5.0
    """Memory that the framework takes beside tensors: see `RESERVE`."""


ENGINES = {
    "megatron": EngineProfile(1.0, 1.0, 0.0, 0.55, 0.8, 0.1, True, False, 6.1),
    "deepspeed": EngineProfile(3.0, 1.0, 0.0, 1.0, 1.0, 0.5, False, False, 12.5),
    "pytorch": EngineProfile(1.3, 0.6, 0.5, 0.9, 0.9, 0.42, False, True),
    "torch_compile": EngineProfile(1.0, 1.0, 0.3, 0.9, 0.9, 0.3, False, False),
    "xla": EngineProfile(0.84, 1.0, 0.0, 0.5, 0.7, 0.1, False, False, 1.0),
}
"""Megatron-LM and NeMo; Megatron-DeepSpeed of 2022; PyTorch FSDP, eager and compiled; JAX."""

RESERVE = (
    "CUDA context, buffers of communicators (0.5-1.6 GiB each, NVIDIA/nccl issues 864 and 964), fragments: "
    "DeepSeek-V3's own setup leaves 6.2 GiB for them; 70 billion parameters on 16 chips of 80 GB, which "
    "failed whatever was tried, 6.1 (NVIDIA/Megatron-LM issue 1308)"
)
"""Where Megatron's `reserve_gib` is from; no measured step of it has less than 8 GiB beyond its tensors.

DeepSpeed's is the median of the 54 steps of bigscience that report their memory, 12.6 GiB, 4 of them its
buckets and 32-bit parts of gradients. PyTorch's is an estimate: torchtitan reports 7 GiB eager and 2
compiled. XLA plans its memory ahead: no fragments, and one runtime.
"""
