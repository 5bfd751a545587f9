"""Time per output token after the first, of every sequence in the batch.

tpot_ms = 1000 x seconds of one decode step at the mean context (prompt + half of the answer)
          / tokens gained in it (1, more with drafted tokens)
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice

TITLE = "Time per output token"
RANK = 31
QUANTITY, UNIT, BETTER, RISES = "decode_s", "ms", "lower", True
STEP = 1e-3
ABSENT_IN = "prefill"


def value(at: Slice, quantity: Number) -> Number:
    """Milliseconds of a decode step."""
    return 1e3 * quantity / at.frame.tokens_per_step
