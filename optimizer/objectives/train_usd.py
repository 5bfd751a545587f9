"""Rent of the training chips until all training tokens are seen, with the setup of the `training` section.

train_usd = usd_per_chip_hour x chips / 3600 x train_s x training_tokens / (batch x sequence_length) / share

batch: sequences of a step; share: of the wall time, what stragglers, failures, restarts and checkpoints leave
(`optimizer/cost/training/long_run.py`).
"""

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Slice
from optimizer.cost.training.long_run import effective_share
from optimizer.cost.training.run import Run
from optimizer.errors import InputError

TITLE = "Cost of the training run"
RANK = 51
QUANTITY, UNIT, BETTER, RISES = "train_s", "USD", "lower", True
STEP = 1e-4


def value(at: Slice, quantity: Number) -> Number:
    """US dollars."""
    run = at.frame.training
    if run is None:
        raise InputError("training: give a `training` section to ask for train_usd")
    price, setup = run.chip.usd_per_chip_hour, run.setup
    if price is None:
        raise InputError(
            f"{run.chip.name}: usd_per_chip_hour is not known; give it in the chip's file "
            "to ask for train_usd"
        )
    steps = at.frame.training_tokens / (setup.global_batch * setup.sequence_length)
    share = effective_share(run.long_run, setup.n_chips)
    return price * setup.n_chips / 3600.0 * quantity * steps / share


def trained(run: Run) -> Number | None:
    """The same of a run whose split is searched; None where the chip has no price."""
    price = run.chip.usd_per_chip_hour
    return None if price is None else run.step_s * run.chips * (run.steps / 3600 * price) / run.share
