"""Dense feed-forward network: up (and gate), activation, down; split over ranks along d_ff."""

from typing import Any

import numpy as np

from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Step, Weights

ROLE = "ffn"


def n_params(ffn: Any, d_model: int) -> Number:
    """Parameters of the two or three matrices and their biases."""
    wide = 1 + ffn.gated_ffn
    return (wide + 1) * d_model * ffn.d_ff + ffn.ffn_bias * (wide * ffn.d_ff + d_model)


def weights(ffn: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    wide, shard = 1 + ffn.gated_ffn, ffn.d_ff / tensor_parallel
    return Weights((wide + 1) * d_model * shard, ffn.ffn_bias * (wide * shard + d_model))


def least(ffn: Any, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Fields of the narrowest kind among those kept: cost rises with d_ff.

    Shape (1, rows) for a mask of shape (rows, kinds).
    """
    return {"d_ff": np.min(np.where(kept, ffn.d_ff, np.iinfo(np.int64).max), axis=1)[None, :]}


def operators(ffn: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    wide, shard, rows = 1 + ffn.gated_ffn, ffn.d_ff / step.split.tensor_parallel, step.rows
    up = "gate and up projection" if ffn.gated_ffn else "up projection"
    return [
        Elementwise("ffn norm, residual", rows * 6 * step.d_model),
        Gemm(up, rows, wide * shard, step.d_model),
        Elementwise("activation", rows * 5 * shard),
        Gemm("down projection", rows, step.d_model, shard),
        AllReduce("ffn all-reduce", rows * 2 * step.d_model),
    ]
