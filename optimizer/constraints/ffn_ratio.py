"""The feed-forward width stays in the band of published models, where the loss proxy was fitted.

    low <= d_ff / d_model <= high        (2.5 to 5.5 unless the problem says otherwise)

Source: 56 published dense models; gated networks use 2.33-5.5 outside three exceptions.
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import Band, widened

Value = Band
TITLE = "Feed-forward width over model width"
ACCEPTS = "use [low, high], or false"
DEFAULT = [2.5, 5.5]
LATTICE_ONLY = True  # a published model is not held to it
KEEPS = {"value": [2.5, 5.5], "d_model": 4096, "d_ff": 14336}
BREAKS = {"value": [2.5, 5.5], "d_model": 4096, "d_ff": 32768}


def rule(c: Scope, value: Any) -> Relation:
    """`value` is [low, high]."""
    return c.between(value[0] * c.d_model, c.d_ff, value[1] * c.d_model)


def weaker(value: Any) -> list[Any]:
    """The band widened on both sides, the nearest first."""
    return widened(value)
