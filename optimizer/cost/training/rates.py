"""The chip as a long training run meets it.

Kernel constants of a chip file hold for single kernels on a cool chip. A run sustains less: power limits the
clock, and products of the backward pass have other shapes. `efficiency.training` of a chip file has the
shares fitted to measured steps; where it is missing, the kernels' shares times fallback factors stand in.
"""

from optimizer.cost.training.constants import ENGINES
from optimizer.spec.chip import Chip, Efficiency, Gemm, PrefillAttention
from optimizer.spec.dtypes import ComputeDtype

FALLBACK_PRODUCTS = 0.93
"""Sustained against isolated products, where a chip's kernels were measured and its training was not."""
FALLBACK_ATTENTION = 0.75
"""Forward and backward against forward alone."""
UNMEASURED_PRODUCTS = 0.62
UNMEASURED_ATTENTION = 0.35
_NARROW: dict[ComputeDtype, float] = {"bf16": 1.0, "fp8": 0.75, "int8": 0.75, "fp4": 0.5}
"""Narrow formats reach less of their higher peaks, as a share of the bf16 share."""


def training_chip(chip: Chip, engine: str) -> Chip:
    """The chip with the efficiencies of a training run in place of its kernels'."""
    own = chip.efficiency
    products = {d: _product(own, d, products_share(chip, d)) for d in chip.dense_flops}
    experts = {
        d: fit.changed(compute=_share(fit.compute * products[d].compute / _kernel(own, d).compute))
        for d, fit in own.experts.items()
        if d in products
    }
    attention = _attention(own, attention_share(chip) * ENGINES[engine].attention)
    reached = own.changed(gemm=products, attention_prefill=attention, experts=experts)
    return chip.with_efficiency(reached)


def products_share(chip: Chip, dtype: ComputeDtype) -> float:
    """Share of the peak that large products sustain."""
    own = chip.efficiency
    fitted = own.training.products if own.training else {}
    measured = own.gemm if "gemm" in own.model_fields_set else {}
    if dtype in fitted:
        return fitted[dtype]
    if dtype in measured:
        return measured[dtype].compute * FALLBACK_PRODUCTS
    wide = UNMEASURED_PRODUCTS
    if "bf16" in fitted:
        wide = fitted["bf16"]
    elif measured:
        wide = measured["bf16"].compute * FALLBACK_PRODUCTS
    return wide * _NARROW[dtype]


def attention_share(chip: Chip) -> float:
    """Share of the bf16 peak of flash attention, both passes."""
    own = chip.efficiency
    if own.training:
        return own.training.attention
    if "attention_prefill" not in own.model_fields_set:
        return UNMEASURED_ATTENTION
    return _usual(own).peak * FALLBACK_ATTENTION


def _kernel(own: Efficiency, dtype: ComputeDtype) -> Gemm:
    return own.gemm.get(dtype, own.gemm["bf16"])


def _product(own: Efficiency, dtype: ComputeDtype, share: float) -> Gemm:
    return _kernel(own, dtype).changed(compute=_share(share))


def _usual(own: Efficiency) -> PrefillAttention:
    """The attention kernel of heads 128 wide, or of the widest heads measured."""
    table = own.attention_prefill
    return table.get(128) or table[max(table)]


def _attention(own: Efficiency, share: float) -> dict[int, PrefillAttention]:
    """Every head width scaled alike, so that heads of 128 reach the share on long sequences."""
    scale = share / _usual(own).peak
    return {width: fit.changed(peak=_share(fit.peak * scale)) for width, fit in own.attention_prefill.items()}


def _share(of: float) -> float:
    """A share that a chip's file may state: of the whole at most, and not nothing."""
    return min(1.0, max(1e-4, of))
