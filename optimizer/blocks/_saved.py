"""Bytes a token that a layer half keeps for its backward pass, from parts that kinds share.

Per token, in 16 bit (Korthikanti et al. 2022, arXiv 2205.05198, equations 1-6), with d = d_model and t the
tensor-parallel ranks; of narrow products the inputs are kept in 8 bit:

    whole, or split over the sequence    layer inputs and norm outputs: 8 d; dropout masks: 2 d
    split over the ranks                 queries, keys, values, attention output; the hidden layer
    without a flash kernel               scores, their mask and what dropout leaves: 5 s for each head

which gives s b d (10 + 24/t + 5 a s / (d t)) for a layer of GPT-3, and 34 s b d / t with sequence
parallelism and the core computed again. `at` is a `cost.training.layout.Layout`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from optimizer.blocks.operators import Gemm, Number, Operator
from optimizer.blocks.step import Step
from optimizer.spec.split import Split

SCAN = "prompt scan"
"""A product that stands for the arithmetic of a scan: it has any depth, and reads no input of its own."""


def around(d_model: Number, at: Any) -> Number:
    """The layer half's input, its norm's output in the format of the products, and the mask of its dropout.

    Flash attention leaves no scores to drop: its selective recomputation drops the norms' outputs.
    """
    normed = at.kept_bytes * (1 - at.light)
    return (2.0 + normed + at.dropout) * d_model / at.sequence_shards


def scores(heads: Number, window: int | None, at: Any) -> Number:
    """Scores, mask and dropped-out scores where they go through memory; row sums of a flash kernel."""
    context = at.sequence_length if window is None else min(window, at.sequence_length)
    through = 0.0 if at.flash_attention else (2.0 + 3.0 * at.dropout) * context * (1 - at.recompute_attention)
    return heads * (through + (4.0 if at.flash_attention else 0.0))


def hidden(gated: bool, at: Any) -> Number:
    """Bytes for each unit of a network's hidden width: gate and up where it has both, and what follows.

    Light recomputation keeps gate and up in the format of the products (arXiv 2412.19437, 3.3.3).
    """
    wide = np.where(at.recompute_light, at.kept_bytes, 2.0)
    return wide * (1 + gated) + at.kept_bytes * (1 - at.light)


def products(operators: Callable[[Any, Step], list[Operator]], part: Any, d_model: Number, at: Any) -> Number:
    """Outputs of a half's products, and inputs that are not the layer's: what a kind keeps that says nothing.

    A product reads the layer's input if its depth follows d_model; one that stands for a scan has any depth.
    """

    def made(width: Number) -> list[Gemm]:
        step = Step(width, Split(at.tensor_parallel), 0, 0, 1.0, 1)
        return [op for op in operators(part, step) if isinstance(op, Gemm)]

    kept: Number = 0.0
    for op, wider in zip(made(d_model), made(d_model + 1), strict=True):
        own = 0.0 if op.name == SCAN else np.equal(op.k, wider.k) * op.k
        kept = kept + 2.0 * (op.n + own)
    return kept
