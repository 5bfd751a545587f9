"""The loss proxy: pre-training loss per token that scaling laws predict, in nats.

    loss = L(N, D) x S(d_model, n_layers, N') + delta(weight dtype)

L: the Chinchilla form E + A/N^a + B/D^b with Epoch's refit of its data (Besiroglu et al. 2024,
   epoch-research/analyzing-chinchilla @92258837), N with embeddings, D training tokens.
S: the width and depth terms of Gemstones (McLeish et al., arXiv 2502.06857,
   mcleish7/gemstone-scaling-laws @5f420478, hot100b+ delta 1e-4), as the ratio to a model of the same
   N' (without embeddings) and D at the reference aspect d_model / n_layers = 100.
delta: the quantisation-aware law of Chen et al., arXiv 2505.14302, for 4-bit weights.

Limits: fitted up to 16B (L) and 2B (S); one corpus; blind to reasoning, long context, head counts and
the FFN ratio. Only differences within this proxy mean anything: laws differ by 3 % in absolute loss.
Differences below 0.25 % are noise.
"""

from dataclasses import dataclass
from math import exp

import numpy as np

from optimizer.blocks.operators import Number

REFERENCE_ASPECT = 100.0
NOISE = 0.0025
"""Mean error of the laws on their own data: closer losses are equal."""


@dataclass(frozen=True)
class PowerLaw:
    """c x^-p."""

    c: float
    p: float

    def __call__(self, x: Number) -> Number:
        """The law's value at x > 0."""
        return self.c * np.power(np.asarray(x, dtype=float), -self.p)


CHINCHILLA_E = 1.8172
CHINCHILLA_N = PowerLaw(482.01, 0.3478)
CHINCHILLA_D = PowerLaw(2085.43, 0.3658)

GEMSTONES_E = exp(0.4282048563)
GEMSTONES_WIDTH = PowerLaw(exp(1.082043835), 0.2195783536)
GEMSTONES_DEPTH = PowerLaw(exp(-0.2186969889), 0.4758917337)
GEMSTONES_N = PowerLaw(exp(6.0902355695), 0.3636454068)
GEMSTONES_D = PowerLaw(exp(10.4720427681), 0.4935127042)

# dtype: (k, exponent of D, exponent of log2 group, exponent of N, group)
_FOUR_BIT = {
    "int4": (0.2522, 0.1610, 0.3533, 0.3589, 128),
    "nvfp4": (0.1582, 0.0745, 0.7779, 0.2186, 16),
    "mxfp4": (0.1582, 0.0745, 0.7779, 0.2186, 32),
}


def loss(
    d_model: Number,
    n_layers: Number,
    n_params: Number,
    n_embedding_params: Number,
    training_tokens: Number,
    weight_dtype: str = "bf16",
) -> Number:
    """The proxy in nats per token; arrays broadcast."""
    base = CHINCHILLA_E + CHINCHILLA_N(n_params) + CHINCHILLA_D(training_tokens)
    other = np.maximum(np.asarray(n_params, dtype=float) - n_embedding_params, 1.0)
    return base * shape(d_model, n_layers, other, training_tokens) + quantisation(
        weight_dtype, n_params, training_tokens
    )


def shape(d_model: Number, n_layers: Number, n_params: Number, training_tokens: Number) -> Number:
    """S: loss relative to the reference aspect at the same size; `n_params` without embeddings."""
    width = np.power(n_params * REFERENCE_ASPECT / 12.0, 1 / 3)
    common = GEMSTONES_E + GEMSTONES_N(n_params) + GEMSTONES_D(training_tokens)
    here = common + GEMSTONES_WIDTH(d_model) + GEMSTONES_DEPTH(n_layers)
    there = common + GEMSTONES_WIDTH(width) + GEMSTONES_DEPTH(width / REFERENCE_ASPECT)
    return here / there


def quantisation(weight_dtype: str, n_params: Number, training_tokens: Number) -> Number:
    """delta in nats: zero for 16 and 8 bit; W4A16 for int4, W4A4 for the native 4-bit floats."""
    if weight_dtype not in _FOUR_BIT:
        return 0.0
    k, p_tokens, p_group, p_params, group = _FOUR_BIT[weight_dtype]
    scale = k * np.log2(group) ** p_group
    return scale * np.power(training_tokens, p_tokens) / np.power(n_params, p_params)
