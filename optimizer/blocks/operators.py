"""The operators a layer is made of, as plain shapes on one tensor-parallel rank.

Every field is a number or a numpy array; arrays describe many layer kinds at once. What an operator
costs in seconds is decided by `optimizer.cost.roofline`, never here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

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
class LatentAttention:
    """Decode attention on a compressed cache (MLA, absorbed): all heads read one latent per token."""

    name: str
    batch: Number
    context: Number
    n_heads: Number
    d_latent: Number
    d_rope: Number


@dataclass(frozen=True, slots=True)
class Experts:
    """The routed experts of one layer on one rank: `rows` tokens, each to `n_active` of `n_experts`.

    `n_local` experts of the layer live on the rank; `d_expert` is what the rank holds of their width.
    """

    name: str
    rows: Number
    d_model: Number
    d_expert: Number
    n_experts: Number
    n_active: Number
    n_local: Number
    gated: bool


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


Operator = (
    Gemm | PrefillAttention | DecodeAttention | LatentAttention | Experts | Elementwise | AllReduce | Host
)


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass of a replica: one token of each of `batch` sequences, and some prompts.

    A decode step has no prompts, a prefill no batch, a step of continuous batching both. `prompts` is a rate
    and need not be whole. `batch` and `prompts` may be arrays: many steps at once.
    """

    d_model: Number
    tensor_parallel: int
    batch: Number
    context: float
    prompts: Number
    prompt_tokens: int

    @property
    def decodes(self) -> bool:
        """Whether sequences are decoded."""
        return bool(np.any(self.batch))

    @property
    def prefills(self) -> bool:
        """Whether prompts are prefilled."""
        return bool(np.any(self.prompts))

    @property
    def rows(self) -> Number:
        """Tokens computed."""
        return self.batch + self.prompts * self.prompt_tokens

    @property
    def sampled(self) -> Number:
        """Rows that need a next token."""
        return self.batch + self.prompts


@dataclass(frozen=True, slots=True)
class Weights:
    """Elements on one rank: matrices take the weight dtype, vectors (norms, biases) stay 16 bit."""

    matrix: Number
    vector: Number
