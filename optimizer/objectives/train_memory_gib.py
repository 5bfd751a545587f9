"""Memory of the fullest training chip, with the setup of the problem's `training` section.

train_memory_gib = train_bytes / 2^30

States, activations and logits, without FSDP's gathered layers and the layer that is being computed again.
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice
from optimizer.cost.memory import GIB
from optimizer.errors import InputError

TITLE = "Training memory per chip"
QUANTITY, UNIT, BETTER, RISES = "train_bytes", "GiB", "lower", True
STEP = 2.0**-10


def value(at: Slice, quantity: Number) -> Number:
    """GiB on one chip."""
    if at.frame.training is None:
        raise InputError("training: give a `training` section to ask for train_memory_gib")
    return quantity / GIB
