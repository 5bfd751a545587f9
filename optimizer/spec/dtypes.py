"""Number formats: bytes per element, scales included, and the arithmetic a format runs in.

Sources: block formats from the OCP microscaling specification and NVIDIA's NVFP4 (one 8-bit scale
per 32 or 16 elements); int4 with one 16-bit scale per 128 elements, the usual GPTQ/AWQ group.
"""

from dataclasses import dataclass
from typing import Literal

WeightDtype = Literal["bf16", "fp8", "mxfp8", "w8a8", "int8", "int4", "mxfp4", "nvfp4"]
KvDtype = Literal["bf16", "fp8"]
ComputeDtype = Literal["bf16", "fp8", "int8", "fp4"]

BYTES: dict[str, float] = {
    "bf16": 2.0,
    "fp8": 1.0,
    "mxfp8": 1 + 1 / 32,
    "w8a8": 1.0,
    "int8": 1.0,
    "int4": 0.5 + 2 / 128,
    "mxfp4": 0.5 + 1 / 32,
    "nvfp4": 0.5 + 1 / 16,
}

# Weights in int8 and int4 are de-quantised on the fly ("weight only"): they save bytes, not FLOPs. In w8a8
# activations have 8 bits too.
ARITHMETIC: dict[str, ComputeDtype] = {
    "bf16": "bf16",
    "fp8": "fp8",
    "mxfp8": "fp8",
    "w8a8": "int8",
    "int8": "bf16",
    "int4": "bf16",
    "mxfp4": "fp4",
    "nvfp4": "fp4",
}

PADDED = {"mxfp4": (256, 128)}
"""Multiples that routed experts are padded to (model width, expert width) where a chip lacks the arithmetic.

vllm-project/vllm issue 23278: gpt-oss-120b loads 65.97 GiB on an H100, where its file has 60.7: 3072 x 2944
for each 2880 x 2880.
"""
SCALED = {"fp8": 8, "mxfp8": 8, "w8a8": 8, "int8": 8, "int4": 4, "mxfp4": 4, "nvfp4": 4}
"""Bits of an element, without scales, of the formats that have fewer than 16."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How weights lie in memory: the format whose kernels read them, and bytes an element with scales."""

    dtype: str
    bytes: float


PLAIN: dict[str, Stored] = {dtype: Stored(dtype, size) for dtype, size in BYTES.items()}
"""Of a format with its usual groups."""
