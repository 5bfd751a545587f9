"""Values near a constraint's own: what `perturb` tries, each with the change in the constraint's unit."""

from typing import Any

from optimizer.columns.rules import split_bound
from optimizer.plugins import plugins
from optimizer.questions.moves import STEPS, Move, is_number, percent
from optimizer.questions.moves import moves_of as moves_of_a_number

_POINTS = (-0.005, -0.001, 0.001, 0.005)
"""Absolute moves of a share that may be zero."""


def can_be_dropped(constraint: str) -> bool:
    """Whether a problem without the constraint still has plans that can be priced: it defines no kind."""
    return constraint not in {getattr(kind, "LEGAL_BY", "") for kind in plugins("blocks").values()}


def moves_of(constraint: str, value: Any) -> list[Move]:
    """Looser and tighter values of one constraint."""
    module = plugins("constraints").get(constraint)
    if module is None and split_bound(constraint)[1] == "_increase_max":
        return [(f"{100 * step:+.1f} points", value + step, step) for step in _POINTS]
    if is_number(value) and not isinstance(value, int):
        return moves_of_a_number(value)
    if constraint == "parameter_window":
        return _window(value)
    weaker = module.weaker(value)[:2] if module is not None and hasattr(module, "weaker") else []
    return [(f"= {_text(v)}", v, None) for v in (*_stronger(value), *weaker)]


def is_tighter(constraint: str, old: Any, new: Any) -> bool:
    """Whether every plan that keeps the new value keeps the old one; False where that is not known."""
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return bool(new[0] >= old[0] and new[1] <= old[1])
    if not is_number(old) or not is_number(new) or constraint == "tile_alignment":
        return False
    return bool(new >= old) if constraint.endswith("_min") else bool(new <= old)


def _window(value: Any) -> list[Move]:
    """Each edge of the window on its own."""
    low, high = value
    lower = [(f"low {percent(s)}", [low * (1 + s), high], low * s) for s in STEPS if low * (1 + s) <= high]
    upper = [(f"high {percent(s)}", [low, high * (1 + s)], high * s) for s in STEPS if high * (1 + s) >= low]
    return [*lower, *upper]


def _stronger(value: Any) -> list[Any]:
    if is_number(value):
        return [value // 2] if value >= 2 else []
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
        narrower = [[low * by, high / by] for by in (1.05, 1.1)]
        return [[round(a, 4), round(b, 4)] for a, b in narrower if a <= b]
    return []


def _text(value: Any) -> str:
    return " to ".join(f"{v:g}" for v in value) if isinstance(value, list | tuple) else str(value)
