"""Mixture of experts: a router, n_experts feed-forward networks of which each token uses a few, shared ones.

How experts are split over ranks, and what they exchange, is said in `_experts`.
"""

from typing import Any, Literal

from optimizer.blocks import _experts
from optimizer.blocks._experts import CAVEAT, OUTSIDE, hidden_flops, in_words, legal, padded, stands_for
from optimizer.blocks.operators import Elementwise, Number, Operator, Weights
from optimizer.blocks.step import Step

__all__ = ["CAVEAT", "OUTSIDE", "hidden_flops", "in_words", "legal", "padded", "stands_for"]

ROLE = "ffn"
FAMILY = "moe"
MARK = "n_experts"


class MixtureOfExperts(_experts.RoutedExperts):
    """n_experts networks of width d_expert; each token uses n_active_experts and the shared ones."""

    kind: Literal["moe"] = "moe"


FIELDS = MixtureOfExperts


def n_params(ffn: Any, d_model: int) -> Number:
    """Parameters of the router, all experts and the shared experts."""
    return _experts.n_params(ffn, d_model, d_model)


def n_active_params(ffn: Any, d_model: int) -> Number:
    """Parameters that one token meets; not the router's biases, which only tip the choice of experts."""
    return _experts.n_active_params(ffn, d_model, d_model)


def weights(ffn: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank of a replica with one attention rank."""
    return rank_weights(ffn, d_model, tensor_parallel, 1)


def rank_weights(ffn: Any, d_model: int, tensor_parallel: int, data_parallel: int) -> Weights:
    """Elements stored on one rank of several attention ranks."""
    return _experts.rank_weights(ffn, d_model, d_model, tensor_parallel, data_parallel)


def unmet(ffn: Any, d_model: Number) -> Number:
    """Parameters that no product of all tokens meets: routed experts, and the gate of the shared ones."""
    return _experts.unmet(ffn, d_model, d_model)


def operators(ffn: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    return [
        Elementwise("ffn norm, residual", step.rows * 6 * step.d_model),
        *_experts.routed_operators(ffn, step, step.d_model),
        *_experts.shared_operators(ffn, step),
    ]


def saved(ffn: Any, d_model: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: hidden layers, and a copy of the input for each expert."""
    return _experts.saved(ffn, d_model, d_model, at)
