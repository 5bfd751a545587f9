"""Time to first token of one prompt that meets an idle prefill; queueing is not included.

ttft_ms = 1000 x seconds to prefill one prompt of input_tokens
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice

TITLE = "Time to first token"
RANK = 30
QUANTITY, UNIT, BETTER, RISES = "prefill_s", "ms", "lower", True
STEP = 1e-3
ABSENT_IN = "decode"


def value(at: Slice, quantity: Number) -> Number:
    """Milliseconds of one prefill."""
    return 1e3 * quantity
