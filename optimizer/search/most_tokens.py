"""The most tokens at which a question still has an answer: whole numbers, found by halving."""

from collections.abc import Callable
from math import ceil


def most_reached(below: float, holds: Callable[[int], bool], least: int = 0) -> float | None:
    """The most tokens under `below` at which `holds`, which no more tokens make true; None if none do.

    `least`: known to hold, if it is above 0.
    """
    low, high = least, ceil(below)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return float(low) if low else None
