"""Training throughput of one chip, with the setup of the problem's `training` section.

train_tokens_per_s_per_chip = global_batch x sequence_length / train_s / chips of the training setup
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice
from optimizer.cost.training.run import Run
from optimizer.errors import InputError

TITLE = "Training rate per chip"
RANK = 12
QUANTITY, UNIT, BETTER, RISES = "train_s", "tokens/s", "higher", False
STEP = 0.1


def value(at: Slice, quantity: Number) -> Number:
    """Tokens a second on a chip."""
    run = at.frame.training
    if run is None:
        raise InputError("training: give a `training` section to ask for train_tokens_per_s_per_chip")
    setup = run.setup
    return setup.global_batch * setup.sequence_length / quantity / setup.n_chips


def trained(run: Run) -> Number:
    """The same of a run whose split is searched."""
    return run.tokens / run.step_s / run.chips
