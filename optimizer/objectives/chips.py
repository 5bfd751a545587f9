"""Chips of the fewest equal replicas that serve the traffic.

chips = n_chips x ceil(requests_per_s x output_tokens / output_tokens_per_s)
"""

from optimizer.blocks.operators import Number
from optimizer.cost.fleet import chips_needed
from optimizer.cost.frame import Slice
from optimizer.cost.offered import Offered
from optimizer.cost.training.run import Run

TITLE = "Chips"
RANK = 20
QUANTITY, UNIT, BETTER, RISES = "mixed_s", "chips", "lower", True
STEP = 1.0
SCALE = 1


def value(at: Slice, quantity: Number) -> Number:
    """Whole chips."""
    return chips_needed(at.frame, quantity)


def each(chip: Offered) -> float:
    """A chip is one."""
    return 1.0


def trained(run: Run) -> Number:
    """Chips of the whole job."""
    return run.chips
