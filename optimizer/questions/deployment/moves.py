"""Values near a deployment's bound: what `perturb` tries, each with the change in the bound's unit."""

from typing import Any

Move = tuple[str, Any, float | None]

STEPS = (-0.05, -0.01, 0.01, 0.05)
"""Relative moves of a number."""
_WHOLE = ("chips_max", "nodes_max")
_CHANGES_FIGURES = ("requests_per_s", "utilisation_max")
"""Bounds that a plan's own figures depend on."""


def moves_of(constraint: str, value: float, node: int | None = None) -> list[Move]:
    """Looser and tighter values: one chip or node, or some per cent. `node`: chips wired together."""
    if constraint in _WHOLE or constraint.startswith("inventory:"):
        sizes = sorted({1, node or 1})
        changes = [*(-n for n in reversed(sizes)), *sizes]
        return [(f"{n:+d}", value + n, float(n)) for n in changes if value + n >= 0]
    moved = [(f"{100 * step:+g} %", value * (1 + step), value * step) for step in STEPS if value]
    return [move for move in moved if constraint != "utilisation_max" or move[1] <= 1]


def is_tighter(constraint: str, old: float, new: float) -> bool:
    """Whether the new value only takes plans away and changes no figure of those that are left."""
    return constraint not in _CHANGES_FIGURES and new <= old
