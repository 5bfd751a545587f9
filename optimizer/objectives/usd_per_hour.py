"""Rent of the fewest equal replicas that serve the traffic.

usd_per_hour = chips x usd_per_chip_hour
"""

from optimizer.blocks.operators import Number
from optimizer.cost.fleet import chips_needed
from optimizer.cost.frame import Slice
from optimizer.cost.offered import Offered
from optimizer.errors import InputError

TITLE = "Price of the chips"
RANK = 22
QUANTITY, UNIT, BETTER, RISES = "mixed_s", "USD/h", "lower", True
STEP = 0.01
SCALE, GIVEN_BY = 10**6, "usd_per_chip_hour"


def value(at: Slice, quantity: Number) -> Number:
    """US dollars per hour."""
    price = at.frame.chip.usd_per_chip_hour
    if price is None:
        raise InputError(
            f"{at.frame.chip.name}: usd_per_chip_hour is not known; give it in the chip's file "
            "to ask for usd_per_hour"
        )
    return chips_needed(at.frame, quantity) * price


def each(chip: Offered) -> float | None:
    """The price of one chip; None where nobody states it."""
    return chip.usd_per_hour
