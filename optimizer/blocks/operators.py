"""The operators a layer is made of, as plain shapes on one tensor-parallel rank.

Every field is a number or a numpy array; arrays describe many layer kinds at once. What an operator
costs in seconds is decided by `optimizer.cost.roofline`, never here.
"""

from dataclasses import dataclass
from typing import Any

Number = Any
"""An int, a float, or a numpy array of them."""


@dataclass(frozen=True, slots=True)
class Gemm:
    """(m x k) times (k x n); k x n are weights stored in `weight_dtype` ('' = the layer's own)."""

    name: str
    m: Number
    n: Number
    k: Number
    weight_dtype: str = ""


@dataclass(frozen=True, slots=True)
class PrefillAttention:
    """Causal attention inside `prompts` prompts of `tokens` tokens, over at most `window` of them."""

    name: str
    tokens: Number
    window: Number
    n_heads: Number
    n_kv_heads: Number
    d_head: Number
    prompts: Number = 1


@dataclass(frozen=True, slots=True)
class DecodeAttention:
    """One new token of each of `batch` sequences attends to `context` cached tokens."""

    name: str
    batch: Number
    context: Number
    n_heads: Number
    n_kv_heads: Number
    d_head: Number


@dataclass(frozen=True, slots=True)
class Elementwise:
    """Norms, rotations, activations, copies: bytes through memory, hardly any arithmetic."""

    name: str
    bytes: Number


@dataclass(frozen=True, slots=True)
class AllReduce:
    """Sum of a tensor of `bytes` over the tensor-parallel group (the full tensor, not a shard)."""

    name: str
    bytes: Number


@dataclass(frozen=True, slots=True)
class Host:
    """Time of the serving engine per step that no kernel hides."""

    name: str
    seconds: Number


Operator = Gemm | PrefillAttention | DecodeAttention | Elementwise | AllReduce | Host


@dataclass(frozen=True, slots=True)
class Weights:
    """Elements on one rank: matrices take the weight dtype, vectors (norms, biases) stay 16 bit."""

    matrix: Number
    vector: Number
