"""Grouped-query attention (multi-head and multi-query are its two ends).

Shapes per tensor-parallel rank: n_heads / t query heads and max(1, n_kv_heads / t) key-value heads, so
that with t > n_kv_heads each key-value head is replicated and neither its cache nor its projection
shrinks further (TensorRT-LLM, vLLM and Megatron all do this).

Three extras of published models: `output_gate` doubles the query projection (Qwen3-Next), `sinks` adds a
logit per head (gpt-oss), `qk_norm_full` has a weight per channel of all heads, not of one (OLMo-2).
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
    Step,
    Weights,
)

ROLE = "mixer"


def kv_heads_per_rank(attention: Any, tensor_parallel: int) -> Number:
    """Key-value heads held by one rank, replication included."""
    return np.ceil(attention.n_kv_heads / tensor_parallel)


def n_params(attention: Any, d_model: int) -> Number:
    """Parameters of the projections, their biases and the query-key norms (not the layer norms)."""
    stored = weights(attention, d_model, 1)
    return stored.matrix + stored.vector


def weights(attention: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    a, t = attention, tensor_parallel
    q = a.n_heads * a.d_head / t
    kv = kv_heads_per_rank(a, t) * a.d_head
    vector = a.qkv_bias * (q + 2 * kv) + a.output_bias * d_model + a.qk_norm * 2 * a.d_head
    extras = _extra(a, "sinks") * a.n_heads / t + _extra(a, "qk_norm_full") * (q + kv)
    return Weights(matrix=d_model * (_queries(a) * q + q + 2 * kv), vector=vector + extras)


def kv_elements(attention: Any, tokens: int, tensor_parallel: int) -> Number:
    """Cache elements of one sequence of `tokens` tokens on one rank."""
    kept = _kept(attention, tokens)
    return 2 * kv_heads_per_rank(attention, tensor_parallel) * attention.d_head * kept


def operators(attention: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    a, t, rows = attention, step.split.tensor_parallel, step.rows
    q = a.n_heads * a.d_head / t
    kv = kv_heads_per_rank(a, t) * a.d_head
    return [
        Elementwise("attention norm, residual", rows * 6 * step.d_model),
        Gemm("qkv projection", rows, _queries(a) * q + 2 * kv, step.d_model),
        Elementwise("rotary, cache write", rows * 4 * (q + 2 * kv)),
        *_cores(a, step),
        Gemm("output projection", rows, step.d_model, q),
        AllReduce("attention all-reduce", rows * 2 * step.d_model),
    ]


def least(attention: Any, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Fields of the narrowest kinds among those kept, for each row of the mask of shape (rows, kinds).

    For each head width the fewest heads of either sort, shape (widths, rows); a head width that a row does
    not keep repeats another. No kind costs less than that of its head width: cost rises with both numbers of
    heads, but need not rise with d_head, since wide heads run at a better share of the peak.
    """
    order = np.argsort(attention.d_head, kind="stable")
    widths, starts = np.unique(attention.d_head[order], return_index=True)
    kept = kept[:, order]
    there = np.logical_or.reduceat(kept, starts, axis=1)
    other = np.where(there, np.arange(len(widths)), there.argmax(axis=1)[:, None])  # itself, or one there is
    found = {"d_head": widths[other].T}
    for name in ("n_heads", "n_kv_heads"):
        values = np.where(kept, getattr(attention, name)[order], np.iinfo(np.int64).max)
        fewest = np.minimum.reduceat(values, starts, axis=1)
        found[name] = np.take_along_axis(fewest, other, axis=1).T
    return found


def _extra(attention: Any, name: str) -> int:
    """A switch that the lattices of dense models do not have."""
    return int(getattr(attention, name, False))


def _queries(attention: Any) -> int:
    """Widths of the query projection in units of the queries: an output gate is made beside them."""
    return 1 + _extra(attention, "output_gate")


def _cores(a: Any, step: Step) -> list[Operator]:
    heads, kv = a.n_heads / step.split.tensor_parallel, kv_heads_per_rank(a, step.split.tensor_parallel)
    cores: list[Operator] = []
    if step.decodes:
        kept = _kept(a, step.context)
        cores.append(DecodeAttention("attention", step.batch, kept, heads, kv, a.d_head, step.queries))
    if step.prefills:
        tokens = step.prompt_tokens
        name = "prompt attention" if step.decodes else "attention"
        window = _kept(a, step.prefix + step.chunks * tokens)
        every = (step.prompts, step.prefix, step.chunks)
        cores.append(PrefillAttention(name, tokens, window, heads, kv, a.d_head, *every))
    return cores


def _kept(attention: Any, tokens: float) -> float:
    window: int | None = attention.attention_window
    return tokens if window is None else min(tokens, window)
