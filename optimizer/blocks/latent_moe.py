"""Mixture of experts on a narrower vector: a projection to d_latent before the experts, one back behind them.

Nemotron-3 Super and Ultra, Kimi-K3. The router and the shared experts see the whole vector, the routed ones
d_latent of it, which shrinks their weights, their work and what ranks exchange (arXiv 2601.18089; arXiv
2607.24653, equation 11):

    parameters   E d + E g d_latent d_expert + 2 d d_latent + shared experts;  g = 3 gated, 2 not

Both projections are whole on every rank, as in vLLM and SGLang. Where a norm follows the experts' sum
(Kimi-K3) ranks sum up before it, in the narrow width, else behind the projection back.
"""

from typing import Annotated, Any, Literal

from optimizer.blocks import _experts
from optimizer.blocks._experts import CAVEAT, OUTSIDE, hidden_flops, legal, padded, stands_for
from optimizer.blocks._fields import Dimension, Positive
from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

__all__ = ["CAVEAT", "OUTSIDE", "hidden_flops", "legal", "padded", "stands_for"]

ROLE = "ffn"
FAMILY = "moe"
MARK = "d_latent"


class LatentMixtureOfExperts(_experts.RoutedExperts):
    """A mixture of experts that work on a projection of d_latent numbers (Nemotron-3, Kimi-K3)."""

    kind: Literal["latent_moe"] = "latent_moe"
    d_latent: Annotated[Positive, Dimension("Experts' input width", "latent", (512, 1024, 2048, 4096))]
    latent_norm: bool = False
    """A norm between the sum of the experts and the projection back (Kimi-K3)."""


FIELDS = LatentMixtureOfExperts


def in_words(ffn: Any) -> str:
    """For a sentence of a report."""
    return f"{_experts.in_words(ffn)} on vectors of {ffn.d_latent}"


def n_params(ffn: Any, d_model: int) -> Number:
    """Parameters of the router, both projections, all experts and the shared experts."""
    return _experts.n_params(ffn, d_model, ffn.d_latent) + _projections(ffn, d_model) + _norm(ffn)


def n_active_params(ffn: Any, d_model: int) -> Number:
    """Parameters that one token meets; not the router's biases, which only tip the choice of experts."""
    return _experts.n_active_params(ffn, d_model, ffn.d_latent) + _projections(ffn, d_model) + _norm(ffn)


def weights(ffn: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank of a replica with one attention rank."""
    return rank_weights(ffn, d_model, tensor_parallel, 1)


def rank_weights(ffn: Any, d_model: int, tensor_parallel: int, data_parallel: int) -> Weights:
    """Elements stored on one rank of several attention ranks; the projections are on every rank."""
    own = _experts.rank_weights(ffn, d_model, ffn.d_latent, tensor_parallel, data_parallel)
    return Weights(own.matrix + _projections(ffn, d_model), own.vector + _norm(ffn), own.experts)


def unmet(ffn: Any, d_model: Number) -> Number:
    """Parameters that no product of all tokens meets: routed experts, and the gate of the shared ones."""
    return _experts.unmet(ffn, d_model, ffn.d_latent)


def operators(ffn: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    rows = step.rows
    return [
        Elementwise("ffn norm, residual", rows * 6 * step.d_model),
        Gemm("latent projection", rows, ffn.d_latent, step.d_model),
        *_experts.routed_operators(ffn, step, ffn.d_latent),
        *(_normed(ffn, step) if ffn.latent_norm else []),
        Gemm("projection back", rows, step.d_model, ffn.d_latent),
        *_experts.shared_operators(ffn, step),
    ]


def saved(ffn: Any, d_model: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: also the experts' input and their sum."""
    return _experts.saved(ffn, d_model, ffn.d_latent, at) + 4.0 * ffn.d_latent / at.sequence_shards


def _normed(ffn: Any, step: Step) -> list[Operator]:
    """The norm, behind the sum over ranks: an exchange of tokens has summed up already."""
    reduce = AllReduce("latent all-reduce", step.rows * 2 * ffn.d_latent)
    norm = Elementwise("latent norm", step.rows * 4 * ffn.d_latent)
    return [reduce, norm] if step.split.data_parallel == 1 else [norm]


def _projections(ffn: Any, d_model: Number) -> Number:
    return 2 * d_model * ffn.d_latent


def _norm(ffn: Any) -> Number:
    return ffn.latent_norm * ffn.d_latent
