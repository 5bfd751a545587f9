"""No feed-forward network: a layer that is only a mixer (Mamba-2, Nemotron-H), with one norm."""

from typing import Any, Literal

from optimizer.blocks._fields import Half
from optimizer.blocks.operators import Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "ffn"
FAMILY = ""
OUTSIDE = {"ffn_ratio": "there is no network to be wide"}


class NoFeedForward(Half):
    """A layer that is only a mixer."""

    kind: Literal["no_ffn"] = "no_ffn"


FIELDS = NoFeedForward


def n_params(ffn: Any, d_model: int) -> Number:
    """None."""
    return 0


def weights(ffn: Any, d_model: int, tensor_parallel: int) -> Weights:
    """None."""
    return Weights(0, 0)


def operators(ffn: Any, step: Step) -> list[Operator]:
    """None."""
    return []


def saved(part: Any, d_model: Number, at: Any) -> Number:
    """None."""
    return 0.0


def in_words(ffn: Any) -> str:
    """For a sentence of a report."""
    return "no feed-forward network"
