"""How much may go wrong and a plan still holds: the most that does, by halving."""

from collections.abc import Callable

from optimizer.columns.scenarios import Uncertain
from optimizer.search.rounding import outward

_FINE = 1e-3
"""How closely a factor is found, relative."""


def fewer(asked: float, holds: Callable[[int], bool]) -> float | None:
    """The most replicas that a plan can do without, fewer than are asked for; None if it needs each."""
    low, high = -1, int(asked)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return None if low < 0 else float(low)


def nearest_part(own: Uncertain, part: str, asked: float, holds: Callable[[float], bool]) -> float | None:
    """How far a part may go wrong and a plan holds, no further than is asked for; None if not at all."""
    if holds(asked):
        return asked
    if part == "losses":
        return fewer(asked, holds)
    good, bad = own.nothing(part), asked
    if not holds(good):
        return None
    while abs(bad - good) > _FINE * bad:
        middle = (good + bad) / 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return outward(good, 1 if part == "rate" and part not in own.by_share else -1)
