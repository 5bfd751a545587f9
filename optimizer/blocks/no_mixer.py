"""No mixer: a layer that is only a feed-forward network (Nemotron-H), with one norm."""

from typing import Any, Literal

from optimizer.blocks._fields import Half
from optimizer.blocks.operators import Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "mixer"
FAMILY = ""


class NoMixer(Half):
    """A layer that is only a feed-forward network."""

    kind: Literal["no_mixer"] = "no_mixer"

    @property
    def ordinary(self) -> bool:
        """No lattice has it: tokens would never meet."""
        return False


FIELDS = NoMixer


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


def saved(part: Any, d_model: Number, at: Any) -> Number:
    """None."""
    return 0.0
