"""Tokens that a training run sees in a second.

train_tokens_per_s = global_batch x sequence_length / step_s
"""

from optimizer.blocks.operators import Number
from optimizer.cost.training.run import Run

TITLE = "Training rate"
RANK = 11
UNIT, BETTER = "tokens/s", "higher"
STEP = 0.1


def trained(run: Run) -> Number:
    """Tokens per second of the whole job."""
    return run.tokens / run.step_s
