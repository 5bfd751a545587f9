"""What sequences see of a replica that decodes alone, their caches coming at random.

No prompt is in its steps, so that a token takes a decode step of as many sequences as are in flight. As many
leave a second as come: the number's variance is the rate over what one more in flight adds to it. With
e = dln(rate)/dln(number) it is 1/e of the mean, and lasts 1/e of an answer's life. Poisson's has e = 1.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Frame
from optimizer.cost.open_loop import OpenLoop
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.serving import NONE, Least
from optimizer.spec.architecture import Architecture

_LEAST = 0.01
"""Of e, below which nothing is told apart."""


def open_decoding(frame: Frame, architecture: Architecture, least: Least = NONE) -> OpenLoop:
    """A replica that decodes alone, from caches that come at random: no prompts in its steps."""

    def step_s(at: Frame) -> Number:
        return np.maximum(QUANTITIES["decode_s"].total(at, architecture), least.get("decode_s", 0.0))

    return decoding(frame, step_s)


def decoding(frame: Frame, step_s: Callable[[Frame], Number]) -> OpenLoop:
    """A replica that decodes alone, its steps priced by someone else.

    An answer sees the mean of the number over its life: 2/3 of its variance where e is 1, all of it where it
    is 0.
    """
    flying, gained = frame.batch, frame.tokens_per_step
    fuller = flying + np.sqrt(flying)
    d, d_fuller = step_s(frame), step_s(replace(frame, batch=fuller))
    e = np.clip((fuller / flying * d / d_fuller - 1) / (fuller / flying - 1), _LEAST, 1.0)
    tpot = d / gained
    seen = np.sqrt((1 - e / 3) / e)
    return OpenLoop(
        batch=flying,
        requests_per_s=flying / tpot / frame.output_tokens,
        ttft_s=0.0,
        shortest_s=0.0,
        ttft_deviation=0.0,
        ttft_skewness=0.0,
        tpot_s=tpot,
        decode_s=0.0,
        tpot_deviation=np.maximum(0.0, d_fuller - d) / gained * seen,
        flying_deviation=np.sqrt(flying / e),
    )
