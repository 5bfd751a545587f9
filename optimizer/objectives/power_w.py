"""Power of the fewest equal replicas that serve the traffic: all-in where known, else the design power.

power_w = chips x power
"""

from optimizer.blocks.operators import Number
from optimizer.cost.fleet import chips_needed
from optimizer.cost.frame import Slice
from optimizer.cost.offered import Offered
from optimizer.errors import InputError

TITLE = "Power"
RANK = 23
QUANTITY, UNIT, BETTER, RISES = "mixed_s", "W", "lower", True
STEP = 1.0
SCALE, GIVEN_BY = 10**3, "power_w"


def value(at: Slice, quantity: Number) -> Number:
    """Watts."""
    watts = at.frame.chip.power or at.frame.chip.tdp
    if watts is None:
        raise InputError(
            f"{at.frame.chip.name}: neither power nor tdp is known; give one in the chip's file "
            "to ask for power_w"
        )
    return chips_needed(at.frame, quantity) * watts


def each(chip: Offered) -> float | None:
    """Watts of one chip; None where nobody states them."""
    return chip.power_w
