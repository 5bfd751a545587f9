"""Requests that come at random, each whatever the others do: gaps are exponential."""

from optimizer.simulation.asked import Arriving, Asked, number

WORDS = "requests a second"
EXAMPLE = "poisson:2.5"


def drawn(text: str, at: Asked) -> Arriving:
    """So many a second in the mean."""
    rate = number(text, "the rate of poisson")
    gaps = at.random.exponential(1 / rate, at.requests)
    return Arriving(at.of(gaps.cumsum()), rate=rate)
