"""The share of a long run in which it trains at the pace of its steps.

On n chips that fail f times an hour each, interruptions are M = 1 / (f n) hours apart. A checkpoint that
takes C is best made every sqrt(2 C M) (Young 1974): checkpoints then cost sqrt(C / 2 M) of the useful time,
and work done again since the last one as much; with restarts that take R

    share = (1 - stragglers) / (1 + sqrt(2 C / M) + R / M)
"""

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.spec.long_run import LongRun

_HOUR = 3600.0


def effective_share(run: LongRun, n_chips: Number) -> Number:
    """Share of the wall time that the steps take; it falls with the chips."""
    per_s = run.failures_per_chip_hour / _HOUR * n_chips
    lost = np.sqrt(2 * run.checkpoint_s * per_s) + 60 * run.restart_min * per_s
    return (1 - run.stragglers) / (1 + lost)
