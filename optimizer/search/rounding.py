"""Limits as a person writes them: few digits, rounded to the side that keeps the plan."""

from math import ceil, floor, log10

_DIGITS = 4
_NOISE = 1e-9
"""Of the last digit: what is that close to a whole number of it is one."""


def outward(value: float, direction: int) -> float:
    """Rounded to four digits, up for +1 and down for -1; a whole number stays as it is."""
    if float(value).is_integer():
        return float(value)
    unit = 10.0 ** (floor(log10(abs(value))) + 1 - _DIGITS)
    steps = value / unit
    whole = ceil(steps - _NOISE) if direction > 0 else floor(steps + _NOISE)
    return float(f"{whole * unit:.12g}")
