"""Compressed attention (DeepSeek-V4): all heads read one key that is its own value, of few compressed tokens.

A token attends to the last `local_window` tokens and, where `compression` is given, to entries that stand for
so many tokens each: to all of them (128 in DeepSeek-V4), or, with an index, to the best n_selected (4). With
r = d_q_latent, m = compression, D = d_head, h = n_heads, g = n_output_groups, o = d_output_latent, H =
n_index_heads and c = d_index, and s = 2 where an index picks (entries overlap: each token is in two), else 1:

    attention    d r + r + r h D + d D + D + h D o + g o d + h (sinks)
    compression  2 d s D (values, gates) + m s D (positions) + D
    index        2 d 2 c + 2 m c + c + r H c + d H
    cache        min(tokens, window) D + tokens / m (D + c)

(technical report of DeepSeek-V4, sections 2.3.1 and 2.3.2; transformers 5.24, models/deepseek_v4.) Heads and
output groups are split over ranks, all else is on every rank. What waits to be compressed, fewer than m
tokens, is not counted in the cache. Hyper-connections belong to no half of a layer and are not priced.
"""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from optimizer.blocks import _index, _saved
from optimizer.blocks._fields import Dimension, Half, Positive
from optimizer.blocks.operators import (
    AllReduce,
    Elementwise,
    Gemm,
    LatentAttention,
    Number,
    Operator,
    PrefillAttention,
    Weights,
)
from optimizer.blocks.step import Step

ROLE = "mixer"
FAMILY = "sparse"
CAVEAT = "compression, indexes and attention to entries by formula, not measured"
OUTSIDE = {
    "attention_ratio": "its band is of grouped-query attention, these heads are wider",
    "kv_sharing": "all heads share one key on purpose",
}


class CompressedAttention(Half):
    """Attention to a window and to compressed tokens, of which an index may pick some (DeepSeek-V4)."""

    kind: Literal["csa"] = "csa"
    n_heads: Annotated[Positive, Dimension("Query heads", "heads", tuple(range(1, 257)), usual=(1, 1024))]
    d_head: Annotated[Positive, Dimension("Head width", "d_head", (512,), rises=None, usual=(16, 1024))]
    d_q_latent: Annotated[Positive, Dimension("Query latent", "q latent", (1024, 1536))]
    d_output_latent: Annotated[Positive, Dimension("Output latent of a group", "out latent", (1024,))]
    n_output_groups: Positive = 8
    local_window: Positive = 128
    compression: Positive | None = None
    """Tokens of an entry; none: the window is all there is."""
    n_index_heads: Annotated[int, Field(ge=0, le=10**4)] = 0
    """Heads of the index that picks entries; 0: all are attended to."""
    d_index: Positive = 128
    n_selected: Positive = 512
    """Entries that a token attends to at most, where an index picks them."""


FIELDS = CompressedAttention


def in_words(attention: Any) -> str:
    """For a sentence of a report."""
    return f"{attention.n_heads} heads of {attention.d_head} on one key, of a window and of compressed tokens"


def n_params(attention: Any, d_model: int) -> Number:
    """Parameters of projections, compression and index."""
    stored = weights(attention, d_model, 1)
    return stored.matrix + stored.vector


def weights(attention: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    a, heads = attention, attention.n_heads / tensor_parallel
    whole = d_model * _down(a)
    query = a.d_q_latent * (heads * a.d_head + _index_width(a))
    output = (heads * a.d_head + a.n_output_groups / tensor_parallel * d_model) * a.d_output_latent
    vector = a.d_q_latent + a.d_head + heads
    if a.compression is not None:
        vector = vector + a.compression * _overlap(a) * a.d_head + a.d_head
    if _picks(a):
        vector = vector + (2 * a.compression + 1) * a.d_index
    return Weights(whole + query + output, vector)


def kv_elements(attention: Any, tokens: int, tensor_parallel: int) -> Number:
    """Cache elements of one sequence on one rank; the same on every rank."""
    a = attention
    entries = 0 if a.compression is None else tokens / a.compression
    return min(tokens, a.local_window) * a.d_head + entries * (a.d_head + (a.d_index if _picks(a) else 0))


def operators(attention: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    a, rows, t = attention, step.rows, step.split.tensor_parallel
    heads, groups = a.n_heads / t, a.n_output_groups / t
    index = [Gemm("index queries", rows, _index_width(a), a.d_q_latent)] if _picks(a) else []
    scores = _index.scores(step, a.n_index_heads, a.d_index, a.compression) if _picks(a) else []
    moved = 4 * (2 * heads * a.d_head + _index_width(a)) + 6 * _down(a)
    return [
        Elementwise("attention norm, residual", rows * 6 * step.d_model),
        Gemm("latent down-projection", rows, _down(a), step.d_model),
        Gemm("query up-projection", rows, heads * a.d_head, a.d_q_latent),
        *index,
        Elementwise("rotary, compression, cache write", rows * moved),
        *scores,
        *_decode(a, heads, step),
        *_prompts(a, heads, step),
        Gemm("output down-projection", rows, groups * a.d_output_latent, heads / groups * a.d_head),
        Gemm("output projection", rows, step.d_model, groups * a.d_output_latent),
        AllReduce("attention all-reduce", rows * 2 * step.d_model),
    ]


def saved(attention: Any, d_model: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: queries, output, what is made of the input, row sums."""
    a, heads = attention, attention.n_heads / at.tensor_parallel
    groups = a.n_output_groups / at.tensor_parallel
    own = 2 * heads * a.d_head + _down(a) + _index_width(a) + groups * a.d_output_latent
    return _saved.around(d_model, at) + 2.0 * own + _saved.scores(heads, _attended(a, at.sequence_length), at)


def _decode(a: Any, heads: Number, step: Step) -> list[Operator]:
    """All heads on the window and the entries, each of which is read once for all of them."""
    if not step.decodes:
        return []
    context = _attended(a, step.context)
    return [LatentAttention("attention", step.batch, context, heads, a.d_head, 0, step.queries)]


def _prompts(a: Any, heads: Number, step: Step) -> list[Operator]:
    """The window token by token; entries as so many fewer pairs."""
    if not step.prefills:
        return []
    tokens, prefix = step.prompt_tokens, "prompt " if step.decodes else ""
    everything = step.prefix + step.chunks * tokens
    shape, before = (heads, 1, a.d_head), (step.prefix, step.chunks)
    local = min(everything, a.local_window)
    found: list[Operator] = [
        PrefillAttention(f"{prefix}attention", tokens, local, *shape, step.prompts, *before)
    ]
    if a.compression is not None:
        reach = min(everything, a.n_selected * a.compression) if _picks(a) else everything
        prompts = step.prompts / a.compression
        name = f"{prefix}attention to entries"
        found.append(PrefillAttention(name, tokens, reach, *shape, prompts, *before))
    return found


def _attended(a: Any, tokens: Number) -> Number:
    """Tokens and entries that a token attends to, `tokens` in."""
    local = np.minimum(tokens, a.local_window)
    if a.compression is None:
        return local
    entries = tokens / a.compression
    return local + (np.minimum(entries, a.n_selected) if _picks(a) else entries)


def _picks(a: Any) -> bool:
    """Whether an index picks entries."""
    return a.compression is not None and a.n_index_heads > 0


def _overlap(a: Any) -> int:
    """Series of entries that each token is part of."""
    return 2 if _picks(a) else 1


def _down(a: Any) -> Number:
    """What is made of a token's input on every rank: latent, key, values and gates to compress, index."""
    width = a.d_q_latent + a.d_head
    if a.compression is not None:
        width = width + 2 * _overlap(a) * a.d_head
    return width + 4 * a.d_index + a.n_index_heads if _picks(a) else width


def _index_width(a: Any) -> Number:
    """Width of the queries of the index."""
    return a.n_index_heads * a.d_index if _picks(a) else 0


def stands_for(attention: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    return {"n_kv_heads": attention.n_heads}
