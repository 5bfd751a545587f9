"""The chip as a long training run meets it.

Kernel constants of a chip file hold for single kernels on a cool chip. A run sustains less: power limits the
clock, and products of the backward pass have other shapes. `efficiency.training` of a chip file has the shares
fitted to measured steps; where it is missing, the kernels' shares times fallback factors stand in.
"""

from functools import lru_cache

from optimizer.cost.training.constants import ENGINES
from optimizer.spec.chip import Chip, Gemm

FALLBACK_PRODUCTS = 0.93
"""Sustained against isolated products: the median of the fitted NVIDIA chips."""
FALLBACK_ATTENTION = 0.75
"""Forward and backward against forward alone."""
UNMEASURED_PRODUCTS = 0.62
UNMEASURED_ATTENTION = 0.35


@lru_cache(maxsize=64)
def _rates(key: tuple[str, str], held: "_Held") -> Chip:
    chip, engine = held.chip, key[1]
    own = chip.efficiency
    products = {}
    for dtype in chip.dense_flops:
        base = own.gemm.get(dtype)
        share = products_share(chip, dtype)
        products[dtype] = (base or own.gemm["bf16"]).model_copy(update={"compute": share})
    widest = max(own.attention_prefill)
    peak = attention_share(chip) * ENGINES[engine].attention
    attention = {
        width: fit.model_copy(update={"peak": fit.peak / own.attention_prefill[min(128, widest)].peak * peak if 128 in own.attention_prefill else peak})
        for width, fit in own.attention_prefill.items()
    }
    experts = {
        dtype: fit.model_copy(update={"compute": fit.compute * products[dtype].compute / own.gemm.get(dtype, own.gemm["bf16"]).compute})
        for dtype, fit in own.experts.items()
        if dtype in products
    }
    update = {"gemm": products, "attention_prefill": attention, "experts": experts}
    return chip.model_copy(update={"efficiency": own.model_copy(update=update)})


class _Held:
    """Hashable by identity, so that the cache does not hash a chip's dictionaries."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip

    def __hash__(self) -> int:
        return id(self.chip)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.chip is self.chip


def training_chip(chip: Chip, engine: str) -> Chip:
    """The chip with the efficiencies of a training run in place of its kernels'."""
    return _rates((chip.name, engine), _Held(chip))


def products_share(chip: Chip, dtype: str) -> float:
    """Share of the peak that large products sustain."""
    own = chip.efficiency
    if own.training and dtype in own.training.products:
        return own.training.products[dtype]  # type: ignore[index]
    measured: Gemm | None = own.gemm.get(dtype) if "gemm" in own.model_fields_set else None  # type: ignore[call-overload]
    if measured:
        return measured.compute * FALLBACK_PRODUCTS
    wide = own.training.products.get("bf16") if own.training else None
    wide = wide or (own.gemm["bf16"].compute * FALLBACK_PRODUCTS if "gemm" in own.model_fields_set else UNMEASURED_PRODUCTS)
    # Narrow formats reach less of their higher peaks: 8 bit three quarters, 4 bit half of the share.
    return wide * {"bf16": 1.0, "fp8": 0.75, "int8": 0.75, "fp4": 0.5}[dtype]


def attention_share(chip: Chip) -> float:
    """Share of the bf16 peak of flash attention, both passes."""
    own = chip.efficiency
    if own.training:
        return own.training.attention
    if "attention_prefill" not in own.model_fields_set:
        return UNMEASURED_ATTENTION
    table = own.attention_prefill
    return (table.get(128) or table[max(table)]).peak * FALLBACK_ATTENTION
