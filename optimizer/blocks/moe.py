"""Mixture of experts: a router, n_experts feed-forward networks of which each token uses a few, shared ones.

Experts are split along their width over the tensor-parallel ranks, so every rank touches every expert that
a token chose, and the sum is one all-reduce, as in a dense layer. Expert parallelism is not modelled yet.
"""

from typing import Any

from optimizer.blocks.operators import (
    AllReduce,
    Elementwise,
    Experts,
    Gemm,
    Number,
    Operator,
    Step,
    Weights,
)

ROLE = "ffn"


def n_params(ffn: Any, d_model: int) -> Number:
    """Parameters of the router, all experts and the shared experts."""
    router = d_model * ffn.n_experts + ffn.router_bias * ffn.n_experts
    return router + ffn.n_experts * _expert(ffn, d_model) + _shared(ffn, d_model)


def n_active_params(ffn: Any, d_model: int) -> Number:
    """Parameters that one token meets; not the router's biases, which only tip the choice of experts."""
    return d_model * ffn.n_experts + ffn.n_active_experts * _expert(ffn, d_model) + _shared(ffn, d_model)


def weights(ffn: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank; the router is on every rank, in 16 bit."""
    experts = ffn.n_experts * _expert(ffn, d_model) + _shared(ffn, d_model)
    return Weights(experts / tensor_parallel, (d_model + ffn.router_bias) * ffn.n_experts)


def operators(ffn: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step. The router is part of the experts' fixed time."""
    t, rows = step.tensor_parallel, step.rows
    routed = Experts(
        "experts",
        rows,
        step.d_model,
        ffn.d_expert / t,
        ffn.n_experts,
        ffn.n_active_experts,
        ffn.n_experts,
        ffn.gated_ffn,
    )
    return [
        Elementwise("ffn norm, residual", rows * 6 * step.d_model),
        routed,
        *_shared_operators(ffn, step),
        AllReduce("ffn all-reduce", rows * 2 * step.d_model),
    ]


def _shared_operators(ffn: Any, step: Step) -> list[Operator]:
    shard = ffn.n_shared_experts * (ffn.d_shared or ffn.d_expert) / step.tensor_parallel
    if not shard:
        return []
    wide = 1 + ffn.gated_ffn
    return [
        Gemm("shared experts, up", step.rows, wide * shard, step.d_model),
        Elementwise("shared experts, activation", step.rows * 5 * shard),
        Gemm("shared experts, down", step.rows, step.d_model, shard),
    ]


def _expert(ffn: Any, d_model: int) -> Number:
    wide = 1 + ffn.gated_ffn
    biases = ffn.expert_bias * (wide * ffn.d_expert + d_model)
    return (wide + 1) * d_model * ffn.d_expert + biases


def _shared(ffn: Any, d_model: int) -> Number:
    width = ffn.n_shared_experts * (ffn.d_shared or ffn.d_expert)
    return (2 + ffn.gated_ffn) * d_model * width + ffn.shared_gate * d_model


def stands_for(ffn: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    return {"d_ff": ffn.d_expert}
