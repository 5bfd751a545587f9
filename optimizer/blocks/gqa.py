"""Grouped-query attention (multi-head and multi-query are its two ends).

Shapes per tensor-parallel rank: n_heads / t query heads and max(1, n_kv_heads / t) key-value heads, so
that with t > n_kv_heads each key-value head is replicated and neither its cache nor its projection
shrinks further (TensorRT-LLM, vLLM and Megatron all do this).
"""

from typing import Any

import numpy as np

from optimizer.blocks.operators import (
    AllReduce,
    DecodeAttention,
    Elementwise,
    Gemm,
    Number,
    Operator,
    PrefillAttention,
    Weights,
)


def kv_heads_per_rank(attention: Any, tensor_parallel: int) -> Number:
    """Key-value heads held by one rank, replication included."""
    return np.ceil(attention.n_kv_heads / tensor_parallel)


def n_params(attention: Any, d_model: int) -> Number:
    """Parameters of the projections, their biases and the query-key norms (not the layer norms)."""
    a, q = attention, attention.n_heads * attention.d_head
    kv = a.n_kv_heads * a.d_head
    biases = a.qkv_bias * (q + 2 * kv) + a.output_bias * d_model
    return d_model * (2 * q + 2 * kv) + biases + a.qk_norm * 2 * a.d_head


def weights(attention: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    a, t = attention, tensor_parallel
    q = a.n_heads * a.d_head / t
    kv = kv_heads_per_rank(a, t) * a.d_head
    vector = a.qkv_bias * (q + 2 * kv) + a.output_bias * d_model + a.qk_norm * 2 * a.d_head
    return Weights(matrix=d_model * (2 * q + 2 * kv), vector=vector)


def kv_elements(attention: Any, tokens: int, tensor_parallel: int) -> Number:
    """Cache elements of one sequence of `tokens` tokens on one rank."""
    kept = _kept(attention, tokens)
    return 2 * kv_heads_per_rank(attention, tensor_parallel) * attention.d_head * kept


def decode(attention: Any, d_model: int, tensor_parallel: int, batch: int, context: float) -> list[Operator]:
    """Operators of one decode step: `batch` tokens, one per sequence, over `context` cached tokens."""
    core = _decode_core(attention, tensor_parallel, batch, context)
    return _around([core], attention, d_model, tensor_parallel, batch)


def prefill(attention: Any, d_model: int, tensor_parallel: int, tokens: int) -> list[Operator]:
    """Operators of prefilling one prompt of `tokens` tokens."""
    core = _prefill_core(attention, tensor_parallel, tokens, 1)
    return _around([core], attention, d_model, tensor_parallel, tokens)


def mixed(
    attention: Any,
    d_model: int,
    tensor_parallel: int,
    batch: int,
    context: float,
    tokens: int,
    prompts: float,
) -> list[Operator]:
    """Operators of a step that decodes `batch` tokens and prefills `prompts` prompts of `tokens` tokens.

    `prompts` is a rate per step and need not be whole.
    """
    cores = [
        _decode_core(attention, tensor_parallel, batch, context),
        _prefill_core(attention, tensor_parallel, tokens, prompts),
    ]
    return _around(cores, attention, d_model, tensor_parallel, batch + prompts * tokens)


def _decode_core(a: Any, t: int, batch: int, context: float) -> Operator:
    kv = kv_heads_per_rank(a, t)
    return DecodeAttention("attention", batch, _kept(a, context), a.n_heads / t, kv, a.d_head)


def _prefill_core(a: Any, t: int, tokens: int, prompts: float) -> Operator:
    kv = kv_heads_per_rank(a, t)
    kept = _kept(a, tokens)
    return PrefillAttention("prompt attention", tokens, kept, a.n_heads / t, kv, a.d_head, prompts)


def _kept(attention: Any, tokens: float) -> float:
    window: int | None = attention.attention_window
    return tokens if window is None else min(tokens, window)


def _around(cores: list[Operator], a: Any, d_model: int, t: int, rows: float) -> list[Operator]:
    q = a.n_heads * a.d_head / t
    kv = kv_heads_per_rank(a, t) * a.d_head
    return [
        Elementwise("attention norm, residual", rows * 6 * d_model),
        Gemm("qkv projection", rows, q + 2 * kv, d_model),
        Elementwise("rotary, cache write", rows * 4 * (q + 2 * kv)),
        *cores,
        Gemm("output projection", rows, d_model, q),
        AllReduce("attention all-reduce", rows * 2 * d_model),
    ]
