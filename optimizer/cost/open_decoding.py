"""What sequences see of a replica that decodes alone, their caches coming at random.

No prompt is in its steps, so that a token takes a decode step of as many sequences as are in flight.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.crowding import rises
from optimizer.cost.frame import Frame
from optimizer.cost.open_loop import OpenLoop
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.serving import NONE, Least
from optimizer.spec.architecture import Architecture


def open_decoding(frame: Frame, architecture: Architecture, least: Least = NONE) -> OpenLoop:
    """A replica that decodes alone, from caches that come at random: no prompts in its steps."""

    def step_s(at: Frame) -> Number:
        return np.maximum(QUANTITIES["decode_s"].total(at, architecture), least.get("decode_s", 0.0))

    return decoding(frame, step_s)


def decoding(frame: Frame, step_s: Callable[[Frame], Number]) -> OpenLoop:
    """A replica that decodes alone, its steps priced by someone else.

    A fuller replica is slower, and so stays full: with e the share by which its rate rises with the number in
    flight, that number's variance is 1/e of Poisson's, and it lasts 1/e as long. An answer sees its mean over
    a life: 2/3 of the variance where e is 1, all of it where it is 0.
    """
    flying, gained = frame.batch, frame.tokens_per_step
    fuller = flying + np.sqrt(flying)
    d, d_fuller = step_s(frame), step_s(replace(frame, batch=fuller))
    share = rises(fuller / flying, d, d_fuller)
    tpot = d / gained
    seen = np.sqrt((1 - share / 3) / share)
    return OpenLoop(
        requests_per_s=flying / tpot / frame.output_tokens,
        ttft_s=0.0,
        shortest_s=0.0,
        ttft_variance=0.0,
        tpot_s=tpot,
        tpot_deviation=np.maximum(0.0, d_fuller - d) / gained * seen,
        crowding=1 / share,
    )
