"""Values near a rule's own: what `perturb` tries, each with the change in the rule's unit."""

from typing import Any

from optimizer.metrics import is_whole

Move = tuple[str, Any, float | None]
"""(in words, value, change of the number it bounds by; None where that is no number)."""

STEPS = (-0.05, -0.01, 0.01, 0.05)
"""Relative moves of a number."""


def percent(step: float) -> str:
    """A relative move in words."""
    return f"{100 * step:+g} %"


def moves_of(value: Any) -> list[Move]:
    """Looser and tighter values of a rule that is a number; none of another."""
    if not is_number(value):
        return []
    return [(percent(step), value * (1 + step), value * step) for step in STEPS if value]


def whole_moves(value: float, sizes: tuple[int, ...] = (1,)) -> list[Move]:
    """The same of a number of whole things: more and fewer of them."""
    changes = [*(-n for n in reversed(sizes)), *sizes]
    return [(f"{n:+d}", value + n, float(n)) for n in changes if value + n >= 0]


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no switch."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_SHARES = (".memory_capacity", "utilisation_max")
"""Not more than all: of the services of a fleet, where a deployment may ask what more memory would do."""


_REPLICAS = ("spares", "robust.losses")
"""Rules that count replicas."""


def moves_of_a_bound(rule: str, value: float, node: int | None = None) -> list[Move]:
    """Looser and tighter values of a bound on replicas: a chip or node more, or some per cent.

    `node`: chips wired together.
    """
    if rule in _REPLICAS or is_whole(rule.removesuffix("_max")) or rule.startswith("inventory:"):
        return whole_moves(value, tuple(sorted({1, node or 1})))
    return [move for move in moves_of(value) if not rule.endswith(_SHARES) or move[1] <= 1]
