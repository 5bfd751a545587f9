"""Width over depth stays where the shape law has seen models.

    low <= d_model / n_layers <= high        (32 to 200 unless the problem says otherwise)

Source: published dense models span 19-205; the law's own runs span 17-384 below 2B parameters.
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import Band, widened

Value = Band
TITLE = "Width over depth"
ACCEPTS = "use [low, high], or false"
DEFAULT = [32, 200]
LATTICE_ONLY = True  # a published model is not held to it
KEEPS = {"value": [32, 200], "d_model": 4096, "n_layers": 32}
BREAKS = {"value": [32, 200], "d_model": 8064, "n_layers": 7}


def rule(c: Scope, value: Any) -> Relation:
    """`value` is [low, high]."""
    return c.between(value[0] * c.n_layers, c.d_model, value[1] * c.n_layers)


def weaker(value: Any) -> list[Any]:
    """The band widened on both sides, the nearest first."""
    return widened(value)
