"""Parameters of the model, embeddings included.

n_params = tables + final norm + sum over layers of projections, feed-forward and norms
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice

TITLE = "Parameters"
QUANTITY, UNIT, BETTER, RISES = "n_params", "parameters", "lower", True
STEP = 1e6


def value(at: Slice, quantity: Number) -> Number:
    """The count itself."""
    return quantity
