"""Days until all training tokens are seen.

train_days = step_s x training_tokens / (global_batch x sequence_length) / 86400 / share

share: of the wall time, what stragglers, failures, restarts and checkpoints leave
(`optimizer/cost/training/long_run.py`).
"""

from optimizer.blocks.operators import Number
from optimizer.cost.training.run import Run

TITLE = "Training time"
RANK = 14
UNIT, BETTER = "days", "lower"
STEP = 1e-3

_DAY = 86400.0


def trained(run: Run) -> Number:
    """Days."""
    return run.step_s * run.steps / _DAY / run.share
