"""Sustained output rate of one replica under continuous batching, its own prefills included.

    output_tokens_per_s = batch / t_mixed

t_mixed is a step with one token of each sequence and batch / output_tokens prompts: the prompts that keep
the batch full.
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice

TITLE = "Output rate"
RANK = 41
QUANTITY, UNIT, BETTER, RISES = "mixed_s", "tokens/s", "higher", False
STEP = 0.1


def value(at: Slice, quantity: Number) -> Number:
    """Tokens per second of the replica."""
    return at.frame.batch * at.frame.tokens_per_step / quantity


def per_request(output_tokens: int) -> float:
    """Tokens of the answer to one request."""
    return float(output_tokens)
