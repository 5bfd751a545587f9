"""Quantities of a plan in whole numbers, each in the unit of its metric; one rounding of limits."""

import math

from optimizer.columns.deployment import UNIT
from optimizer.columns.supply import Supply
from optimizer.metrics import scale

MOST = 2**60
"""Largest sum of a row that the engines' 64-bit arithmetic is trusted with."""
_ROUNDING = 1e-6


def limit_of(quantity: str, value: float) -> int:
    """An upper limit on a quantity, in its unit."""
    return math.floor(value * scale(quantity) + _ROUNDING)


def each_of(supply: Supply, quantity: str) -> int:
    """What one chip adds to a quantity, in its unit; InputError if nobody said."""
    return round(supply.each(quantity) * scale(quantity))


def asked(requests_per_s: float) -> int:
    """Traffic that must be served, in 1e-8 requests/s."""
    return math.ceil(requests_per_s * UNIT - 1e-3)
