"""Gated short convolution (LFM2): d_inner channels, each with a filter over its last d_conv tokens.

Parameters: 3 d d_inner into two gates and the values, d_inner d_conv filters, d_inner d out (transformers
5.24, models/lfm2; arXiv 2511.23404). Reproduces LFM2-1.2B's 1,170,340,608. A sequence keeps d_conv columns in
16 bit. Channels are split over ranks.
"""

from typing import Annotated, Any, Literal

from optimizer.blocks._fields import Dimension, Half, Positive
from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "mixer"
FAMILY = "ssm"
CAVEAT = "short convolutions by formula, not measured"
OUTSIDE = {"kv_sharing": "it has no keys and values"}


class ShortConvolution(Half):
    """Two gates around a convolution of d_conv tokens in each of d_inner channels."""

    kind: Literal["short_conv"] = "short_conv"
    d_inner: Annotated[Positive, Dimension("Channels", "channels", tuple(range(512, 16385, 256)))]
    d_conv: Annotated[Positive, Dimension("Filter", "filter", (3,))]


FIELDS = ShortConvolution


def n_params(mixer: Any, d_model: int) -> Number:
    """Parameters of the projections and the filters."""
    return 4 * d_model * mixer.d_inner + mixer.d_inner * mixer.d_conv


def weights(mixer: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    inner = mixer.d_inner / tensor_parallel
    return Weights(4 * d_model * inner, inner * mixer.d_conv)


def kv_elements(mixer: Any, tokens: int, tensor_parallel: int) -> Number:
    """None: nothing grows with the sequence."""
    return 0


def state_bytes(mixer: Any, tensor_parallel: int) -> Number:
    """Bytes one sequence keeps on one rank."""
    return 2.0 * mixer.d_inner / tensor_parallel * mixer.d_conv


def operators(mixer: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    rows, inner = step.rows, mixer.d_inner / step.split.tensor_parallel
    return [
        Elementwise("mixer norm, residual", rows * 6 * step.d_model),
        Gemm("convolution input projection", rows, 3 * inner, step.d_model),
        Elementwise("gates, convolution", rows * inner * (8 + 2 * mixer.d_conv)),
        Gemm("convolution output projection", rows, step.d_model, inner),
        AllReduce("mixer all-reduce", rows * 2 * step.d_model),
    ]


def stands_for(mixer: Any) -> dict[str, Any]:
    """The layer in the words of the rules: a channel is a head."""
    return {"n_heads": mixer.d_inner, "n_kv_heads": mixer.d_inner, "d_head": 1}


def in_words(mixer: Any) -> str:
    """For a sentence of a report."""
    return f"{mixer.d_inner} channels with filters of {mixer.d_conv}"
