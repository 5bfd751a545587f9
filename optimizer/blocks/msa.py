"""MiniMax sparse attention (MiniMax-M3): grouped-query attention to the blocks of tokens that an index picks.

Each key-value group has one query of the index; all share its key of d_index numbers. The best n_blocks
blocks of d_block tokens are attended to, the token's own among them; the index has no values. It adds

    parameters   d n_kv_heads d_index (queries) + d d_index (key) + 2 d_index (norms)
    cache        d_index numbers a token on every rank

(arXiv 2606.13392; transformers 5.24, models/minimax_m3_vl). Its queries are split as the key-value heads are.
"""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import model_validator

from optimizer.blocks import _index, gqa
from optimizer.blocks._fields import Dimension, Positive
from optimizer.blocks.gqa import LEGAL_BY, legal, padded
from optimizer.blocks.operators import Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

__all__ = ["LEGAL_BY", "legal", "padded"]

ROLE = "mixer"
FAMILY = "sparse"
CAVEAT = "indexes and attention to selected blocks by formula, not measured"


class MiniMaxSparseAttention(gqa.GroupedQueryAttention):
    """Grouped-query attention to the blocks of tokens that a small index picks (MiniMax-M3)."""

    kind: Literal["msa"] = "msa"  # type: ignore[assignment]
    d_index: Annotated[Positive, Dimension("Index width", "d_index", (128,), rises=None)]
    n_blocks: Positive = 16
    """Blocks that a token attends to at most."""
    d_block: Positive = 128
    """Tokens of a block."""

    @model_validator(mode="after")
    def _no_window(self) -> "MiniMaxSparseAttention":
        if self.attention_window is not None:
            raise ValueError(
                f"attention_window {self.attention_window} with blocks that an index picks; leave it out"
            )
        return self


FIELDS = MiniMaxSparseAttention


def in_words(attention: Any) -> str:
    """For a sentence of a report."""
    return f"{gqa.in_words(attention)}, on blocks of tokens that an index picks"


def n_params(attention: Any, d_model: int) -> Number:
    """Parameters of attention and of the index."""
    stored = weights(attention, d_model, 1)
    return stored.matrix + stored.vector


def weights(attention: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    a, own = attention, gqa.weights(attention, d_model, tensor_parallel)
    index = d_model * (gqa.kv_heads_per_rank(a, tensor_parallel) + 1) * a.d_index
    return Weights(own.matrix + index, own.vector + 2 * a.d_index)


def kv_elements(attention: Any, tokens: int, tensor_parallel: int) -> Number:
    """Cache elements of one sequence on one rank: keys, values, and keys of the index."""
    return gqa.kv_elements(attention, tokens, tensor_parallel) + attention.d_index * tokens


def operators(attention: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    a, rows = attention, step.rows
    heads = gqa.kv_heads_per_rank(a, step.split.tensor_parallel)
    index = [
        Gemm("index projection", rows, (heads + 1) * a.d_index, step.d_model),
        Elementwise("index rotary, cache write", rows * 4 * (heads + 1) * a.d_index),
        *_index.scores(step, heads, a.d_index, pooled=a.d_block / heads),
    ]
    return [*gqa.inputs(a, step), *index, *gqa.cores(a, step, a.n_blocks * a.d_block), *gqa.outputs(a, step)]


def saved(attention: Any, d_model: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: also the queries and the key of the index."""
    heads = np.ceil(attention.n_kv_heads / at.tensor_parallel)
    return gqa.saved(attention, d_model, at) + 2.0 * (heads + 1) * attention.d_index
