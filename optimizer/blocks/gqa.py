"""Grouped-query attention (multi-head and multi-query are its two ends).

Shapes per tensor-parallel rank: n_heads / t query heads and max(1, n_kv_heads / t) key-value heads, so
that with t > n_kv_heads each key-value head is replicated and neither its cache nor its projection
shrinks further (TensorRT-LLM, vLLM and Megatron all do this).

Extras of published models: `output_gate` doubles the query projection (Qwen3-Next), `head_gate` adds one
output a head to it (LFM3), `sinks` adds a logit per head (gpt-oss), `qk_norm_full` has a weight per channel
of all heads, not of one (OLMo-2), `qk_norm_bias` a bias too (Persimmon), `output_norm` a weight per channel
before the output projection (BitNet), `d_head_value` makes values narrower than keys (MiMo-V2). `kv_from`
says what keys and values are made of: a projection each, the keys' alone (Gemma-4), or nothing where a layer
reads those of an earlier one, which keeps them (Gemma-3n, Gemma-4: transformers 5.24, num_kv_shared_layers).

A window slides with the tokens, or is the chunk of `attention_window` tokens that a token lies in (Llama-4).
Of a chunk of c a token sees its place, (c + 1) / 2 in the mean; a sequence keeps c at most. Dual chunk
attention (Qwen2.5-1M) changes positions, not what is attended to: it is full attention.
"""

from dataclasses import is_dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import model_validator

from optimizer.blocks import _saved
from optimizer.blocks._fields import Dimension, Half, Positive, extra
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
from optimizer.blocks.padding import Padding, where, with_fields
from optimizer.blocks.step import Step
from optimizer.spec.split import Split

ROLE = "mixer"
USUAL = True
FAMILY = "dense"
LEGAL_BY = "gqa_divisibility"


class GroupedQueryAttention(Half):
    """Softmax attention with n_heads query heads that share n_kv_heads key-value heads."""

    kind: Literal["gqa"] = "gqa"
    n_heads: Annotated[Positive, Dimension("Query heads", "heads", tuple(range(1, 257)), usual=(1, 1024))]
    n_kv_heads: Annotated[Positive, Dimension("Key-value heads", "kv", tuple(range(1, 65)), rank=1)]
    d_head: Annotated[
        Positive, Dimension("Head width", "d_head", (64, 128, 256), rises=None, usual=(16, 1024))
    ]
    attention_window: Positive | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    qk_norm_full: bool = extra()
    """Query and key norms over all heads together (OLMo-2); qk_norm has one weight per channel of a head."""
    output_gate: bool = extra()
    """The attention's output is gated by a projection as wide as the queries (Qwen3-Next)."""
    sinks: bool = extra()
    """One learned logit per head in the softmax (gpt-oss)."""
    head_gate: bool = extra()
    """Each head's output is gated by one number of its own, a projection of the input (LFM3)."""
    output_norm: bool = extra()
    """A norm of what the heads give together, before the output projection (BitNet)."""
    qk_norm_bias: bool = extra()
    """Query and key norms have a bias, if there are any (Persimmon)."""
    d_head_value: Positive | None = extra(None)
    """Width of a head's values; d_head where not given (MiMo-V2)."""
    kv_from: Literal["projections", "keys", "earlier_layer"] = extra("projections")
    """What keys and values are made of: one projection each, the keys' for both, or an earlier layer's."""
    window_kind: Literal["sliding", "chunk"] = extra("sliding")
    """Whether a window is the last tokens, or the chunk that a token lies in (Llama-4)."""

    @property
    def ordinary(self) -> bool:
        """Whether it has no switch that lattices do not know."""
        extras = {n: f.default for n, f in type(self).model_fields.items() if f.exclude_if is not None}
        return all(getattr(self, name) == usual for name, usual in extras.items())

    @model_validator(mode="after")
    def _groups(self) -> "GroupedQueryAttention":
        if self.n_heads % self.n_kv_heads:
            divisors = [str(k) for k in range(1, self.n_heads + 1) if self.n_heads % k == 0]
            raise ValueError(
                f"n_kv_heads {self.n_kv_heads} does not divide n_heads {self.n_heads}; "
                f"use one of {', '.join(divisors)}"
            )
        if self.qk_norm and self.qk_norm_full:
            raise ValueError("qk_norm and qk_norm_full exclude each other; keep one")
        if self.window_kind == "chunk" and self.attention_window is None:
            raise ValueError("window_kind chunk without attention_window: give the tokens of a chunk")
        return self


FIELDS = GroupedQueryAttention


def legal(n_heads: Number, n_kv_heads: Number) -> Number:
    """Whether query heads fall into equal groups: no cost is defined for others."""
    return n_heads % n_kv_heads == 0


def named(attention: Any) -> str:
    """The kind, with its window."""
    window = attention.attention_window
    what = "chunks" if _chunked(attention) else "a window"
    return f"gqa with {what} of {window}" if window else "gqa"


def in_words(attention: Any) -> str:
    """For a sentence of a report."""
    a = attention
    return f"{a.n_heads} query heads of {a.d_head} in {a.n_kv_heads} groups of {a.n_heads // a.n_kv_heads}"


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
    q, out = a.n_heads * a.d_head / t, a.n_heads * _value_width(a) / t
    vector = a.qkv_bias * (q + _made(a, t)) + a.output_bias * d_model
    keys = _has_keys(a) * a.d_head
    norms = a.qk_norm * (a.d_head + keys) + _extra(a, "qk_norm_full") * (q + kv_heads_per_rank(a, t) * keys)
    norms *= 1 + _extra(a, "qk_norm_bias")
    extras = _extra(a, "sinks") * a.n_heads / t + _extra(a, "output_norm") * out
    return Weights(matrix=d_model * (_projected(a, t) + out), vector=vector + norms + extras)


def kv_elements(attention: Any, tokens: int, tensor_parallel: int) -> Number:
    """Cache elements of one sequence of `tokens` tokens on one rank."""
    width = _has_keys(attention) * (attention.d_head + _value_width(attention))
    kept = _kept(attention.attention_window, tokens)
    return kv_heads_per_rank(attention, tensor_parallel) * width * kept


def operators(attention: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    a = attention
    return [*inputs(a, step), *cores(a, step, a.attention_window), *outputs(a, step)]


def inputs(attention: Any, step: Step) -> list[Operator]:
    """What comes before the core: queries, keys and values."""
    a, t, rows = attention, step.split.tensor_parallel, step.rows
    return [
        Elementwise("attention norm, residual", rows * 6 * step.d_model),
        Gemm("qkv projection", rows, _projected(a, t), step.d_model),
        Elementwise("rotary, cache write", rows * 4 * (a.n_heads * a.d_head / t + kv_elements(a, 1, t))),
    ]


def outputs(attention: Any, step: Step) -> list[Operator]:
    """What follows the core."""
    out = attention.n_heads * _value_width(attention) / step.split.tensor_parallel
    return [
        Gemm("output projection", step.rows, step.d_model, out),
        AllReduce("attention all-reduce", step.rows * 2 * step.d_model),
    ]


def saved(attention: Any, d_model: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: queries, keys, values, the core's output, its scores."""
    a, t = attention, at.tensor_parallel
    q, out = a.n_heads * a.d_head / t, a.n_heads * _value_width(a) / t
    own = 2.0 * (q + out + kv_elements(a, 1, t)) + _saved.scores(a.n_heads / t, a.attention_window, at)
    return _saved.around(d_model, at) + own


def unwindowed(attention: Any) -> Any:
    """The layer for an engine that keeps what its window has passed."""
    if attention.attention_window is None:
        return attention
    if is_dataclass(attention):
        return replace(attention, attention_window=None)  # type: ignore[type-var]
    return attention.changed(attention_window=None, window_kind="sliding")


def padded(attention: Any, split: Split, padding: Padding) -> Any:
    """The layer where engines round up: key-value heads with all their queries, then query heads.

    Where there are more ranks than key-value heads these are copied, not rounded up.
    """
    a, t = attention, split.tensor_parallel
    kv = where(a.n_kv_heads >= t, padding.up("kv_heads", a.n_kv_heads, t), a.n_kv_heads)
    grouped = where(kv == a.n_kv_heads, a.n_heads, -(-a.n_heads // a.n_kv_heads) * kv)
    return with_fields(a, n_heads=padding.up("heads", grouped, t), n_kv_heads=kv)


def widened(attention: Any, tokens: int) -> Any:
    """The layer for an engine that has room for so many tokens beside a window."""
    if attention.attention_window is None:
        return attention
    wide = attention.attention_window + tokens
    if is_dataclass(attention):
        return replace(attention, attention_window=wide)  # type: ignore[type-var]
    return attention.changed(attention_window=wide)


def _extra(attention: Any, name: str) -> int:
    """A switch that the lattices of dense models do not have."""
    return int(getattr(attention, name, False))


def _projected(a: Any, tensor_parallel: int) -> Number:
    """Width of the first projection on one rank: queries, keys, values, and the gates beside them."""
    heads = a.n_heads / tensor_parallel
    gates = _extra(a, "output_gate") * heads * _value_width(a) + _extra(a, "head_gate") * heads
    return heads * a.d_head + gates + _made(a, tensor_parallel)


def _made(a: Any, tensor_parallel: int) -> Number:
    """Width of what keys and values are made of, on one rank."""
    values = 0 if getattr(a, "kv_from", "") == "keys" else _value_width(a)
    return _has_keys(a) * kv_heads_per_rank(a, tensor_parallel) * (a.d_head + values)


def _value_width(a: Any) -> Number:
    """Width of the values of a head."""
    own = getattr(a, "d_head_value", None)
    return a.d_head if own is None else own


def _has_keys(a: Any) -> int:
    """1 where a layer has keys and values of its own, 0 where it reads an earlier layer's."""
    return int(getattr(a, "kv_from", "") != "earlier_layer")


def _chunked(a: Any) -> bool:
    """Whether a window is the chunk that a token lies in."""
    return getattr(a, "window_kind", "") == "chunk"


def cores(a: Any, step: Step, most: int | None) -> list[Operator]:
    """Attention to `most` tokens at most, or to all; as wide as keys and values are in the mean."""
    width = a.d_head if _value_width(a) is a.d_head else (a.d_head + _value_width(a)) / 2
    shape = (a.n_heads / step.split.tensor_parallel, kv_heads_per_rank(a, step.split.tensor_parallel), width)
    found: list[Operator] = []
    if step.decodes:
        kept = _kept(most, step.context)
        seen = (kept + 1) / 2 if _chunked(a) and step.context > kept else kept
        found.append(DecodeAttention("attention", step.batch, seen, *shape, step.queries))
    return [*found, _prompts(a, step, most, shape)] if step.prefills else found


def _prompts(a: Any, step: Step, most: int | None, shape: tuple[Number, Number, Number]) -> Operator:
    """The core of prompts; one longer than a chunk is as many prompts as it has chunks."""
    tokens, everything = step.prompt_tokens, step.prefix + step.chunks * step.prompt_tokens
    name, window = "prompt attention" if step.decodes else "attention", _kept(most, everything)
    if _chunked(a) and everything > window:
        return PrefillAttention(name, window, window, *shape, step.prompts * tokens / window)
    return PrefillAttention(name, tokens, window, *shape, step.prompts, step.prefix, step.chunks)


def _kept(most: int | None, tokens: float) -> float:
    return tokens if most is None else min(tokens, most)
