"""Values near a deployment's bound: what `perturb` tries, each with the change in the bound's unit."""

from optimizer.questions.moves import Move, whole_moves
from optimizer.questions.moves import moves_of as moves_of_a_number

_WHOLE = ("chips_max", "nodes_max")
_CHANGES_FIGURES = ("requests_per_s", "utilisation_max")
"""Bounds that a plan's own figures depend on."""


def moves_of(constraint: str, value: float, node: int | None = None) -> list[Move]:
    """Looser and tighter values: one chip or node, or some per cent. `node`: chips wired together."""
    if constraint in _WHOLE or constraint.startswith("inventory:"):
        return whole_moves(value, tuple(sorted({1, node or 1})))
    return [move for move in moves_of_a_number(value) if constraint != "utilisation_max" or move[1] <= 1]


def is_tighter(constraint: str, old: float, new: float) -> bool:
    """Whether the new value only takes plans away and changes no figure of those that are left."""
    return constraint not in _CHANGES_FIGURES and new <= old
