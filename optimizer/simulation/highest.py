"""The highest rate at which something holds, by halving: every rate is tried on the same requests."""

from collections.abc import Callable
from math import sqrt

from optimizer.watch import Stopped

_ALONE = 1e-3
"""Of the rate that the search starts at: so few that requests hardly meet."""
_NEAR = 1.01
_DOUBLINGS = 20


class _Tried:
    """What is known of rates."""

    def __init__(self, keeps: Callable[[float], bool]) -> None:
        self.keeps = keeps
        self.low = 0.0
        self.high: float | None = None
        self.n = 0

    def asked(self, rate: float) -> bool:
        """Try one more."""
        held = self.keeps(rate)
        self.n += 1
        if held:
            self.low = max(self.low, rate)
        else:
            self.high = rate if self.high is None else min(self.high, rate)
        return held

    def search(self, start: float) -> None:
        """From a rate to the two that the border lies between."""
        if not self.asked(start):
            if not self.asked(_ALONE * start):
                return
            while (self.high or 0) > 2 * self.low and not self.asked((self.high or 0) / 2):
                pass
        for _ in range(_DOUBLINGS):
            if self.high is None:
                self.asked(2 * self.low)
        while self.high is not None and self.high > _NEAR * self.low:
            self.asked(sqrt(self.low * self.high))


def highest_rate(keeps: Callable[[float], bool], start: float) -> tuple[float, float | None, int] | None:
    """The highest rate tried that holds, the lowest that does not, 1 % apart, and how many were tried.

    0 where not even requests that come alone hold. None where the search was stopped before any held; the
    second is None where it was stopped before one failed.
    """
    tried = _Tried(keeps)
    try:
        tried.search(start)
    except Stopped:
        if not tried.low:
            return None
    return tried.low, tried.high, tried.n
