"""Sustained output rate of one replica, its own prefills included.

output_tokens_per_s = batch x output_tokens / (batch x t_prefill + output_tokens x t_decode)
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice

QUANTITY, UNIT, BETTER, RISES = "batch_s", "tokens/s", "higher", False


def value(at: Slice, quantity: Number) -> Number:
    """Tokens per second of the replica."""
    return at.frame.batch * at.frame.output_tokens / quantity
