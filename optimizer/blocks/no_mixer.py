"""No mixer: a layer that is only a feed-forward network (Nemotron-H), with one norm."""

from typing import Any

from optimizer.blocks.operators import Number, Operator, Step, Weights

ROLE = "mixer"


def n_params(mixer: Any, d_model: int) -> Number:
    """None."""
    return 0


def weights(mixer: Any, d_model: int, tensor_parallel: int) -> Weights:
    """None."""
    return Weights(0, 0)


def kv_elements(mixer: Any, tokens: int, tensor_parallel: int) -> Number:
    """None."""
    return 0


def operators(mixer: Any, step: Step) -> list[Operator]:
    """None."""
    return []
