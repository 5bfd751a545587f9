"""Memory in use on each chip: weights, full-length cache, activations, what the engine reserves.

memory_gib = bytes per chip / 2^30
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice
from optimizer.cost.memory import GIB
from optimizer.cost.training.run import Run

TITLE = "Memory in use per chip"
RANK = 50
QUANTITY, UNIT, BETTER, RISES = "memory_bytes", "GiB", "lower", True
STEP = 2.0**-10


def value(at: Slice, quantity: Number) -> Number:
    """GiB per chip."""
    return quantity / GIB


def trained(run: Run) -> Number:
    """Of a training run: what its fullest chip holds."""
    return run.memory / GIB
