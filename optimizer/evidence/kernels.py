"""Measured kernels: a CSV of single operators, read row by row, and what the cost model says of them.

Columns, as benchmarks/gpu/measure.py writes them: chip, operator, measured_us; and for

    gemm                dtype (of the weights), m, n, k: (m x k) times (k x n)
    copy                size: bytes of a tensor read once and written once
    prefill_attention   tokens (or context), n_heads, n_kv_heads, d_head; batch (1): causal, bf16
    decode_attention    dtype (of the cache), batch, context, n_heads, n_kv_heads, d_head
    all_reduce          size: bytes of the whole tensor; n_chips, all in one domain

Other columns are ignored. Operators come from `optimizer.blocks.operators`, times from the roofline.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.blocks.operators import (
    AllReduce,
    DecodeAttention,
    Elementwise,
    Gemm,
    Operator,
    PrefillAttention,
)
from optimizer.cost.roofline import Roofline
from optimizer.spec import cells
from optimizer.spec.chip import Chip
from optimizer.spec.dtypes import ARITHMETIC
from optimizer.spec.split import FORMAT, Formats, Split

COLUMNS = {"chip", "operator", "measured_us"}
_SHAPE: dict[str, tuple[str, ...]] = {
    "gemm": ("m", "n", "k"),
    "copy": ("size",),
    "prefill_attention": ("tokens", "n_heads", "n_kv_heads", "d_head"),
    "decode_attention": ("batch", "context", "n_heads", "n_kv_heads", "d_head"),
    "all_reduce": ("size", "n_chips"),
}
_SPELLINGS = {"n_heads": "heads", "n_kv_heads": "kv_heads", "tokens": "context", "size": "size_bytes"}
_ARITHMETIC = {dtype: ARITHMETIC[dtype] for dtype in ("bf16", "fp8", "int8", "int4", "nvfp4")}
_FORMATS = {"fp16": "bf16", "bfloat16": "bf16", "float16": "bf16", "": "bf16", "float8_e4m3fn": "fp8"}


@dataclass(frozen=True)
class Part:
    """What has constants of its own: an operator in a format, of a head width, or on a number of chips."""

    operator: str
    key: str | int = ""

    def __str__(self) -> str:
        unit = {"prefill_attention": " wide", "all_reduce": " chips"}.get(self.operator, "")
        return f"{self.operator} {self.key}{unit}".strip()


@dataclass(frozen=True)
class Kernel:
    """One measured kernel."""

    row: int
    part: Part
    shape: dict[str, int]
    seconds: float


class UnreadableKernel(Exception):
    """Why a row is left out."""


def read_kernel(number: int, row: dict[str, str], chip: Chip) -> Kernel:
    """One row of the file, measured on `chip`; UnreadableKernel says why it is left out."""
    operator = (row.get("operator") or "").strip()
    if operator not in _SHAPE:
        raise UnreadableKernel(f"operator '{operator[:30]}' is not fitted; {', '.join(_SHAPE)} are")
    shape = {name: _whole(row, name) for name in _SHAPE[operator]}
    if operator == "prefill_attention":
        shape["batch"] = _whole(row, "batch") if row.get("batch") else 1
    if operator == "all_reduce" and row.get("per_domain") and _whole(row, "per_domain") < shape["n_chips"]:
        raise UnreadableKernel("an all_reduce across domains is not fitted")
    key = _key(operator, (row.get("dtype") or "").strip().lower(), shape, chip)
    return Kernel(number, Part(operator, key), shape, _number(row, "measured_us") * 1e-6)


def _key(operator: str, dtype: str, shape: dict[str, int], chip: Chip) -> str | int:
    """Which constants a row tells something of."""
    dtype = _FORMATS.get(dtype, dtype)
    if operator == "copy":
        return ""
    if operator == "all_reduce":
        if shape["n_chips"] < 2:
            raise UnreadableKernel("an all_reduce of one chip moves nothing")
        return shape["n_chips"]
    if operator == "prefill_attention":
        if dtype != "bf16":
            raise UnreadableKernel(f"prefill_attention is priced in bf16, not '{dtype[:20]}'")
        return shape["d_head"]
    if operator == "decode_attention":
        if dtype not in ("bf16", "fp8"):
            raise UnreadableKernel(f"a cache in '{dtype[:20]}' is not fitted; bf16 and fp8 are")
        return dtype
    if dtype not in _ARITHMETIC:
        raise UnreadableKernel(f"products in '{dtype[:20]}' are not fitted; {', '.join(_ARITHMETIC)} are")
    if chip.arithmetic(dtype) != _ARITHMETIC[dtype]:
        raise UnreadableKernel(f"{chip.name} has no products in {dtype}")
    return dtype


def predicted(part: Part, kernels: list[Kernel], chip: Chip) -> NDArray[np.float64]:
    """Seconds of each of the kernels of one part, by the cost model."""
    columns: dict[str, Any] = {
        name: np.array([float(kernel.shape[name]) for kernel in kernels]) for name in kernels[0].shape
    }
    n_chips = int(part.key) if part.operator == "all_reduce" else 1
    dtype = str(part.key) if part.operator in ("gemm", "decode_attention") else "bf16"
    rates = Roofline(chip, Split(n_chips), Formats(dtype, dtype if dtype == "fp8" else FORMAT))
    seconds = rates.cost(_operator(part.operator, columns)).seconds
    return np.asarray(seconds, dtype=float) + np.zeros(len(kernels))


def _operator(name: str, shape: dict[str, Any]) -> Operator:
    if name == "gemm":
        return Gemm(name, **shape)
    if name == "copy":
        return Elementwise(name, 2 * shape["size"])
    if name == "all_reduce":
        return AllReduce(name, shape["size"])
    if name == "decode_attention":
        return DecodeAttention(name, **shape)
    shape = dict(shape)
    return PrefillAttention(name, window=shape["tokens"], prompts=shape.pop("batch"), **shape)


def _number(row: dict[str, str], name: str) -> float:
    try:
        return cells.number(row.get(name) or row.get(_SPELLINGS.get(name, "")) or "")
    except ValueError as error:
        raise UnreadableKernel(f"{name} is {error}") from None


def _whole(row: dict[str, str], name: str) -> int:
    value = _number(row, name)
    if value != int(value):
        raise UnreadableKernel(f"{name} is not a whole number")
    return int(value)
