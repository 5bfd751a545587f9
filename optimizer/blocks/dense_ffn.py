"""Dense feed-forward network: up (and gate), activation, down; split over ranks along d_ff."""

from typing import Any

from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights


def n_params(ffn: Any, d_model: int) -> Number:
    """Parameters of the two or three matrices and their biases."""
    wide = 1 + ffn.gated_ffn
    return (wide + 1) * d_model * ffn.d_ff + ffn.ffn_bias * (wide * ffn.d_ff + d_model)


def weights(ffn: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    wide, shard = 1 + ffn.gated_ffn, ffn.d_ff / tensor_parallel
    return Weights((wide + 1) * d_model * shard, ffn.ffn_bias * (wide * shard + d_model))


def forward(ffn: Any, d_model: int, tensor_parallel: int, rows: float) -> list[Operator]:
    """Operators on `rows` tokens; the same in every phase."""
    wide, shard = 1 + ffn.gated_ffn, ffn.d_ff / tensor_parallel
    return [
        Elementwise("ffn norm, residual", rows * 6 * d_model),
        Gemm(
            "gate and up projection" if ffn.gated_ffn else "up projection",
            rows,
            wide * shard,
            d_model,
        ),
        Elementwise("activation", rows * 5 * shard),
        Gemm("down projection", rows, d_model, shard),
        AllReduce("ffn all-reduce", rows * 2 * d_model),
    ]
