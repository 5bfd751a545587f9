"""Time per output token while the replica serves steadily: its steps carry the prompts of new sequences too.

tpot_steady_ms = 1000 x seconds of a step of continuous batching / tokens gained in it
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice

TITLE = "Time per output token under load"
QUANTITY, UNIT, BETTER, RISES = "mixed_s", "ms", "lower", True
STEP = 1e-3


def value(at: Slice, quantity: Number) -> Number:
    """Milliseconds per token."""
    return 1e3 * quantity / at.frame.tokens_per_step
