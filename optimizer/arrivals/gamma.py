"""Requests whose gaps are drawn from a gamma distribution: burstier or steadier than at random.

With c the gaps' coefficient of variation their shape is 1 / c^2: 1 is Poisson, 0.1 nearly steady, 3 bursts.
"""

from optimizer.errors import InputError
from optimizer.simulation.asked import Arriving, Asked, number

WORDS = "requests a second, and the coefficient of variation of the gaps"
EXAMPLE = "gamma:2.5:3"


def drawn(text: str, at: Asked) -> Arriving:
    """So many a second in the mean, with gaps of a coefficient of variation."""
    rate_text, colon, spread = text.partition(":")
    if not colon:
        raise InputError(f"arrivals: gamma needs {WORDS}, as in {EXAMPLE}")
    rate = number(rate_text, "the rate of gamma")
    variation = number(spread, "the coefficient of variation of gamma", 100)
    shape = variation**-2
    gaps = at.random.gamma(shape, 1 / (rate * shape), at.requests)
    return Arriving(at.of(gaps.cumsum()), rate=rate)
