"""Sustained output rate divided by the chips of the replica.

output_tokens_per_s_per_chip = output_tokens_per_s / n_chips
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice

TITLE = "Output rate per chip"
QUANTITY, UNIT, BETTER, RISES = "mixed_s", "tokens/s", "higher", False
STEP = 0.1


def value(at: Slice, quantity: Number) -> Number:
    """Tokens per second and chip."""
    return at.frame.batch * at.frame.tokens_per_step / quantity / at.frame.n_chips
