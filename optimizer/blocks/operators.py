"""The operators a layer is made of, as plain shapes on one tensor-parallel rank.

Every field is a number or a numpy array; arrays describe many layer kinds at once. What an operator
costs in seconds is decided by `optimizer.cost.roofline`, never here.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Number = Any
"""An int, a float, or a numpy array of them."""


@dataclass(frozen=True, slots=True)
class Gemm:
    """(m x k) times (k x n); k x n are weights in `weight_dtype` ('' = as `component` is stored)."""

    name: str
    m: Number
    n: Number
    k: Number
    weight_dtype: str = ""
    component: str = ""
    kernels = 1

    @property
    def elements(self) -> Number:
        """Weights of the matrix."""
        return self.n * self.k

    @property
    def width_in(self) -> Number:
        """Elements read of each row."""
        return self.k

    @property
    def width_out(self) -> Number:
        """Elements written of each row."""
        return self.n


@dataclass(frozen=True, slots=True)
class Products:
    """Some products of the same `m` rows, of which only sums are known; what a `Gemm` says of one.

    They cost no more than the products one by one: one may read while another multiplies.
    """

    name: str
    m: Number
    elements: Number
    width_in: Number
    width_out: Number
    kernels: Number
    weight_dtype: str = ""
    component: str = ""


@dataclass(frozen=True, slots=True)
class PrefillAttention:
    """Causal attention of one chunk of `tokens` tokens in each of `prompts` prompts.

    A token attends to itself and what comes before it, at most `window` tokens in all. `prefix` cached tokens
    come before the first of `chunks` chunks; the operator is their mean, so that `chunks` times it is exact.
    """

    name: str
    tokens: Number
    window: Number
    n_heads: Number
    n_kv_heads: Number
    d_head: Number
    prompts: Number = 1
    prefix: Number = 0
    chunks: Number = 1
    dtype: str = "bf16"
    """Of its products, where the chip has it."""

    @property
    def pairs(self) -> Number:
        """Pairs of a token and one it attends to, in the mean chunk of one prompt."""
        end = self.prefix + self.chunks * self.tokens
        return (self._pairs_up_to(end) - self._pairs_up_to(self.prefix)) / self.chunks

    @property
    def cached(self) -> Number:
        """Tokens before the mean chunk whose keys and values are read again."""
        return np.minimum(self.prefix + (self.chunks - 1) * self.tokens / 2, self.window)

    def _pairs_up_to(self, tokens: Number) -> Number:
        kept = np.minimum(tokens, self.window)
        return tokens * kept - kept * (kept - 1) / 2


@dataclass(frozen=True, slots=True)
class DecodeAttention:
    """`queries` new tokens of each of `batch` sequences attend to `context` cached tokens."""

    name: str
    batch: Number
    context: Number
    n_heads: Number
    n_kv_heads: Number
    d_head: Number
    queries: Number = 1


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Decode attention on a compressed cache (MLA, absorbed): all heads read one latent per token."""

    name: str
    batch: Number
    context: Number
    n_heads: Number
    d_latent: Number
    d_rope: Number
    queries: Number = 1


@dataclass(frozen=True, slots=True)
class Experts:
    """The routed experts of one layer on one rank: `rows` tokens, each to `n_active` of `n_experts`.

    `n_local` experts of the layer live on the rank; `d_expert` is what the rank holds of their width. `sent`
    is the share of the tokens that come to the rank where each is sent only to the ranks of its experts.
    """

    name: str
    rows: Number
    d_model: Number
    d_expert: Number
    n_experts: Number
    n_active: Number
    n_local: Number
    gated: bool
    launched: Number = 0.0
    """Share of steps that carry prompts: those are launched kernel by kernel, not as one captured graph."""
    sent: Number = 1.0


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
class ExpertExchange:
    """Tokens on their way between attention ranks and the ranks of their experts: `rows` of each rank.

    `ranks` exchange; each token goes to `n_active` of `n_experts`, which lie on `groups` groups of ranks,
    each expert split over its group. Outward it may be in 8 bit; the experts' sums come back in 16 bit.
    """

    name: str
    rows: Number
    d_model: Number
    n_experts: Number
    n_active: Number
    ranks: int
    groups: int
    outward: bool


@dataclass(frozen=True, slots=True)
class Collective:
    """An exchange of `bytes` between `ranks` that lie `stride` chips apart.

    Gathered, each ends with all the bytes, of which it held one part; all to all, each sends what it holds.
    """

    name: str
    how: Literal["all_gather", "all_to_all"]
    bytes: Number
    ranks: int
    stride: int


@dataclass(frozen=True, slots=True)
class StageTransfer:
    """Activations of `bytes` handed from each pipeline stage to the next, `hops` times in a row."""

    name: str
    bytes: Number
    hops: int


@dataclass(frozen=True, slots=True)
class Host:
    """Time of the serving engine per step that no kernel hides."""

    name: str
    seconds: Number


@dataclass(frozen=True, slots=True)
class ForSome:
    """An operator that only some of the layer kinds of its arrays have: `present` is 1 or 0 for each.

    Or one that `present` layers have each.
    """

    operator: Any
    present: Number

    @property
    def name(self) -> str:
        """The operator's own."""
        return str(self.operator.name)


Operator = (
    Gemm
    | Products
    | PrefillAttention
    | DecodeAttention
    | LatentAttention
    | Experts
    | ExpertExchange
    | Elementwise
    | AllReduce
    | Collective
    | StageTransfer
    | Host
    | ForSome
)


@dataclass(frozen=True, slots=True)
class Weights:
    """Elements on one rank: matrices take the weight dtype, vectors (norms, biases) stay 16 bit.

    Routed experts may have a format of their own.
    """

    matrix: Number
    vector: Number
    experts: Number = 0
