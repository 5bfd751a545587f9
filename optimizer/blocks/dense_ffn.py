"""Dense feed-forward network: up (and gate), activation, down; split over ranks along d_ff."""

from typing import Annotated, Any, Literal

from pydantic import Field

from optimizer.blocks import _saved
from optimizer.blocks._fields import Dimension, Half, Positive, extra
from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.padding import Padding, with_fields
from optimizer.blocks.step import Step
from optimizer.spec.split import Split

ROLE = "ffn"
USUAL = True
FAMILY = "dense"


class DenseFeedForward(Half):
    """Feed-forward network of width d_ff; gated (SwiGLU, GeGLU) has three matrices, else two."""

    kind: Literal["dense_ffn"] = "dense_ffn"
    d_ff: Annotated[
        Positive,
        Dimension("Feed-forward width", "d_ff", tuple(range(1024, 65537, 64)), usual_per_width=(1 / 8, 40)),
    ]
    gated_ffn: bool = True
    ffn_bias: bool = False
    ffn_norm: bool = extra()
    """A norm of the hidden layer, before the last matrix (BitNet)."""
    ffn_scalars: Annotated[int, Field(ge=0, le=64, exclude_if=lambda value: not value)] = 0
    """Learned numbers of the activation (Apertus has two)."""

    @property
    def ordinary(self) -> bool:
        """Whether it has nothing that lattices do not know."""
        return not (self.ffn_norm or self.ffn_scalars)


FIELDS = DenseFeedForward


def in_words(ffn: Any) -> str:
    """For a sentence of a report."""
    return f"d_ff {ffn.d_ff}"


def n_params(ffn: Any, d_model: int) -> Number:
    """Parameters of the two or three matrices and their biases."""
    stored = weights(ffn, d_model, 1)
    return stored.matrix + stored.vector


def weights(ffn: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    wide, shard = 1 + ffn.gated_ffn, ffn.d_ff / tensor_parallel
    extras = getattr(ffn, "ffn_norm", False) * shard + getattr(ffn, "ffn_scalars", 0)
    return Weights((wide + 1) * d_model * shard, ffn.ffn_bias * (wide * shard + d_model) + extras)


def padded(ffn: Any, split: Split, padding: Padding) -> Any:
    """The network where engines round up its width."""
    return with_fields(ffn, d_ff=padding.up("ffn", ffn.d_ff, split.tensor_parallel))


def saved(ffn: Any, d_model: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: the hidden layer."""
    return _saved.around(d_model, at) + _saved.hidden(ffn.gated_ffn, at) * ffn.d_ff / at.tensor_parallel


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
