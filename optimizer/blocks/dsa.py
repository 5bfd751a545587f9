"""DeepSeek sparse attention (DeepSeek-V3.2, GLM-5): latent attention to the n_selected tokens an index picks.

The index adds, with r = d_q_latent, H = n_index_heads and c = d_index,

    parameters   r H c (its queries) + d c + 2 c (its key, with a norm) + d H (weights of its heads)
    cache        c numbers a token, in the cache's format; engines keep them in 8 bit whatever that is

whole on every rank (arXiv 2512.02556; transformers 5.24, models/deepseek_v32 and glm_moe_dsa; vLLM). A layer
may use the selection of another (GLM-5.2): it then has no index of its own. The core works on latents, in
decode and in prompts, which need 3.4 times the arithmetic for each pair and attend to n_selected tokens; a
prompt that is no longer than that is computed as in `mla`, all it reads being picked anyway.
"""

from typing import Annotated, Any, Literal

import numpy as np

from optimizer.blocks import _index, mla
from optimizer.blocks._fields import Dimension, Positive
from optimizer.blocks.mla import OUTSIDE, padded, stands_for
from optimizer.blocks.operators import (
    Elementwise,
    Gemm,
    LatentAttention,
    Number,
    Operator,
    PrefillAttention,
    Weights,
)
from optimizer.blocks.step import Step

__all__ = ["OUTSIDE", "padded", "stands_for"]

ROLE = "mixer"
FAMILY = "sparse"
CAVEAT = "indexes and attention to selected tokens by formula, not measured"


class DeepSeekSparseAttention(mla.MultiHeadLatentAttention):
    """Latent attention to the tokens that a small index picks (DeepSeek-V3.2, GLM-5)."""

    kind: Literal["dsa"] = "dsa"  # type: ignore[assignment]
    d_kv_latent: Annotated[Positive, Dimension("Key-value latent", "latent", (512,), rises=None)]
    d_q_latent: Annotated[Positive, Dimension("Query latent", "q latent", (1536,))]
    n_index_heads: Annotated[Positive, Dimension("Index heads", "index", (32, 64))]
    d_index: Annotated[Positive, Dimension("Index width", "d_index", (128,), rises=None)]
    n_selected: Positive = 2048
    """Tokens that a token attends to at most."""
    own_index: bool = True
    """False where a layer takes over the selection of an earlier one (GLM-5.2)."""


FIELDS = DeepSeekSparseAttention


def in_words(attention: Any) -> str:
    """For a sentence of a report."""
    return f"{mla.in_words(attention)}, of tokens that {attention.n_index_heads} index heads pick"


def n_params(attention: Any, d_model: int) -> Number:
    """Parameters of latent attention and of the index."""
    stored = weights(attention, d_model, 1)
    return stored.matrix + stored.vector


def weights(attention: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank: the index is on every rank."""
    a, own = attention, mla.weights(attention, d_model, tensor_parallel)
    if not a.own_index:
        return own
    index = a.d_q_latent * a.n_index_heads * a.d_index + d_model * (a.d_index + a.n_index_heads)
    return Weights(own.matrix + index, own.vector + 2 * a.d_index)


def kv_elements(attention: Any, tokens: int, tensor_parallel: int) -> Number:
    """Cache elements of one sequence on one rank: its latents, and its keys of the index."""
    return (
        mla.kv_elements(attention, tokens, tensor_parallel) + attention.own_index * attention.d_index * tokens
    )


def operators(attention: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    a = attention
    index = _indexed(a, step) if a.own_index else []
    return [*mla.inputs(a, step), *index, *_decode(a, step), *_prompts(a, step), *mla.outputs(a, step)]


def saved(attention: Any, d_model: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: also the queries, the key and the weights of the index."""
    a = attention
    index = a.own_index * (a.n_index_heads * a.d_index + a.d_index + a.n_index_heads)
    return mla.saved(a, d_model, at) + 2.0 * index


def _indexed(a: Any, step: Step) -> list[Operator]:
    """The projections of the index and its scores."""
    rows, queries = step.rows, a.n_index_heads * a.d_index
    return [
        Gemm("index projection", rows, a.d_index + a.n_index_heads, step.d_model),
        Gemm("index queries", rows, queries, a.d_q_latent),
        Elementwise("index rotary, cache write", rows * 4 * (queries + a.d_index)),
        *_index.scores(step, a.n_index_heads, a.d_index),
    ]


def _decode(a: Any, step: Step) -> list[Operator]:
    if not step.decodes:
        return []
    heads, context = a.n_heads / step.split.tensor_parallel, np.minimum(step.context, a.n_selected)
    core = LatentAttention("attention", step.batch, context, heads, a.d_kv_latent, a.d_rope, step.queries)
    return mla.absorbed(a, step.decoded, step, core)


def _prompts(a: Any, step: Step) -> list[Operator]:
    everything = step.prefix + step.chunks * step.prompt_tokens
    if not step.prefills or everything <= a.n_selected:
        return mla.rebuilt_prompts(a, step)
    name = "prompt attention" if step.decodes else "attention"
    heads, width = a.n_heads / step.split.tensor_parallel, a.d_kv_latent + a.d_rope / 2
    every = (step.prompts, step.prefix, step.chunks)
    core = PrefillAttention(name, step.prompt_tokens, a.n_selected, heads, 1, width, *every)
    return mla.absorbed(a, step.prompted, step, core)
