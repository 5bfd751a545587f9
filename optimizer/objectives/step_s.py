"""Time of one optimizer step over the global batch.

step_s = seconds of a step
"""

from optimizer.blocks.operators import Number
from optimizer.cost.training.run import Run

TITLE = "Step"
RANK = 10
UNIT, BETTER = "s", "lower"


def trained(run: Run) -> Number:
    """Seconds."""
    return run.step_s
