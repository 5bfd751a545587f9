"""How much the number of sequences in flight varies where requests come at random.

As many leave a second as come. The number's variance is the rate over what one more in flight adds to it:
with e = dln(rate)/dln(number) it is 1/e of the mean, and lasts 1/e of an answer's life. Poisson's has e = 1.
"""

import numpy as np

from optimizer.blocks.operators import Number

_LEAST = 0.01
"""Below it nothing is told apart."""


def rises(share: Number, step: Number, fuller: Number) -> Number:
    """e, where steps of `step` seconds are `fuller` with `share` as many sequences; from 0.01 to 1."""
    return np.clip((share * step / fuller - 1) / (share - 1), _LEAST, 1.0)
