"""Quantities of a plan in whole numbers: one unit each, one rounding of limits, for every planner."""

import math

from optimizer.columns.deployment import UNIT
from optimizer.columns.supply import Supply

SCALE = {"chips": 1, "nodes": 1, "usd_per_hour": 10**6, "power_w": 10**3, "requests_per_s": UNIT}
"""Money is counted in 1e-6 USD, power in milliwatts, traffic in 1e-8 requests/s."""
LINEAR = ("chips", "usd_per_hour", "power_w")
MOST = 2**60
"""Largest sum of a row that the engines' 64-bit arithmetic is trusted with."""
_ROUNDING = 1e-6


def limit_of(quantity: str, value: float) -> int:
    """An upper limit on a quantity, in its unit."""
    return math.floor(value * SCALE[quantity] + _ROUNDING)


def each_of(supply: Supply, quantity: str) -> int:
    """What one chip adds to a quantity, in its unit; InputError if nobody said."""
    return round(supply.each(quantity) * SCALE[quantity])


def asked(requests_per_s: float) -> int:
    """Traffic that must be served, in 1e-8 requests/s."""
    return math.ceil(requests_per_s * UNIT - 1e-3)
