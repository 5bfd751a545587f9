"""Per-layer embedding (Gemma-3n, Gemma-4 E2B and E4B): a look-up of the token that each layer has of its own.

A table of n_table_rows rows of d_ple numbers, a gate made of the layer's input, the layer's part of what the
token's embedding is projected to, and a projection back:

    parameters   n_table_rows d_ple + 3 d d_ple

of which a token meets d_ple of the table, whence `effective` counts (transformers 5.24, models/gemma4). It
stands in a model's file as half a layer of its own, with one norm, behind the layer. The table is split over
ranks in 16 bit, the projections are on every rank (vLLM). Engines that keep tables in host memory hold less.
"""

from typing import Any, Literal

from optimizer.blocks._fields import Half, Positive
from optimizer.blocks.operators import Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "ffn"
FAMILY = "dense"


class PerLayerEmbedding(Half):
    """A table of tokens that a layer adds to its output, gated (Gemma-3n, Gemma-4)."""

    kind: Literal["ple"] = "ple"
    d_ple: Positive
    """Width of a row."""
    n_table_rows: Positive
    """Rows: tokens that the table knows."""

    @property
    def ordinary(self) -> bool:
        """It stands beside attention and a network, never for them."""
        return False


FIELDS = PerLayerEmbedding


def n_params(ffn: Any, d_model: int) -> Number:
    """Parameters of the table and the three projections."""
    return ffn.n_table_rows * ffn.d_ple + 3 * d_model * ffn.d_ple


def n_active_params(ffn: Any, d_model: int) -> Number:
    """Parameters that a token meets: one row of the table."""
    return ffn.d_ple + 3 * d_model * ffn.d_ple


def weights(ffn: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    return Weights(3 * d_model * ffn.d_ple, ffn.n_table_rows / tensor_parallel * ffn.d_ple)


def operators(ffn: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    rows = step.rows
    return [
        Elementwise("per-layer norm, residual", rows * 6 * step.d_model),
        Gemm("per-layer gate and projection", rows, 2 * ffn.d_ple, step.d_model),
        Elementwise("per-layer look-up, gate", rows * 12 * ffn.d_ple),
        Gemm("per-layer projection back", rows, step.d_model, ffn.d_ple),
    ]
