"""The width of all query heads stays in the band of published models.

    low <= n_heads d_head / d_model <= high        (0.75 to 2 unless the problem says otherwise)

Source: 56 published dense models; a free head width is common (Qwen3, Mistral-Nemo, Gemma).
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import Band, widened

Value = Band
TITLE = "Width of attention over model width"
ACCEPTS = "use [low, high], or false"
DEFAULT = [0.75, 2.0]
LATTICE_ONLY = True  # a published model is not held to it
KEEPS = {"value": [0.75, 2.0], "d_model": 5120, "n_heads": 32, "d_head": 128}
BREAKS = {"value": [0.75, 2.0], "d_model": 5120, "n_heads": 16, "d_head": 128}


def rule(c: Scope, value: Any) -> Relation:
    """`value` is [low, high]."""
    return c.between(value[0] * c.d_model, c.n_heads * c.d_head, value[1] * c.d_model)


def weaker(value: Any) -> list[Any]:
    """The band widened on both sides, the nearest first."""
    return widened(value)
