"""Rent of the replica per million output tokens, its own prefills included.

usd_per_million_tokens = usd_per_chip_hour x n_chips / 3600 x 1e6 / output_tokens_per_s
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice
from optimizer.errors import InputError

TITLE = "Cost of a million output tokens"
QUANTITY, UNIT, BETTER, RISES = "mixed_s", "USD", "lower", True
STEP = 1e-4


def value(at: Slice, quantity: Number) -> Number:
    """US dollars per million output tokens."""
    frame = at.frame
    if frame.chip.usd_per_chip_hour is None:
        raise InputError(
            f"{frame.chip.name}: usd_per_chip_hour is not known; give it in the chip's file "
            "to ask for usd_per_million_tokens"
        )
    per_second = frame.chip.usd_per_chip_hour * frame.n_chips / 3600.0
    return per_second * quantity / (frame.batch * frame.tokens_per_step) * 1e6
