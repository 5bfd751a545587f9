"""How long requests that come at random wait for their first token: mean, variance and skewness.

Who comes meets a round with a probability that goes with its length, waits for what is left of it and for the
rounds of those before it, and shares its own last one with those that came meanwhile. Who comes where nobody
decodes and nobody waits begins at once.
"""

from typing import Any

import numpy as np

from optimizer.cost.round_times import RoundTimes
from optimizer.cost.rounds import Rounds, arrivals

_MOMENTS = np.array([0.25, 0.75])
"""Of a round, at which others come."""


class Waits:
    """Moments of the time to the first token."""

    def __init__(self, times: RoundTimes, own: Rounds) -> None:
        idle = own.idle if own.idle is not None else np.zeros(len(own.rate))
        length = own.share * own.seconds
        length[:, 0] *= 1 - idle
        nobody = own.share[:, 0] * idle / own.rate
        seconds, chance, width = self._those_who_meet(times, own)
        chance = chance * length[..., None, None]
        whole = chance.sum(axis=(1, 2, 3)) + nobody
        chance, nobody = chance / whole[:, None, None, None], nobody / whole
        alone = times.alone_s - times.lag_s
        self.mean = (chance * seconds).sum(axis=(1, 2, 3)) + nobody * alone
        off, apart = seconds - self.mean[:, None, None, None], alone - self.mean
        self.variance = (chance * (off**2 + width)).sum(axis=(1, 2, 3)) + nobody * apart**2
        third = (chance * (off**3 + 3 * off * width)).sum(axis=(1, 2, 3)) + nobody * apart**3
        self.skewness = third / np.maximum(1e-300, self.variance**1.5)
        self.mean = self.mean + times.lag_s

    @staticmethod
    def _those_who_meet(times: RoundTimes, own: Rounds) -> tuple[Any, Any, Any]:
        """Seconds, their probability by the numbers before it, and the variance of what is left of a round.

        Of shape (loads, states, moments, numbers).
        """
        rate, length = own.rate[:, None, None], own.seconds[..., None]
        before, chance = arrivals(rate * length * _MOMENTS)
        room = times.room[:, None, None, None]
        with_it = (own.states - own.served)[..., None, None] + before + 1
        n = np.maximum(np.ceil(with_it / room - 1e-9), np.ceil(1 / times.of_one - 1e-9))
        full = times.of(times.room)[:, None, None, None]
        behind = (rate * length * (1 - _MOMENTS))[..., None] + rate[..., None] * (n - 1) * full
        if times.ranks == 1:
            last = with_it - (n - 1) * room + behind
        else:  # the last piece of its own, and pieces of the others
            last = 1 - (np.ceil(1 / times.of_one - 1e-9) - 1 - with_it - behind + 1) * times.of_one
        last = times.of(np.minimum(room, last))
        left = (length * (1 - _MOMENTS))[..., None]
        width = (length / len(_MOMENTS)) ** 2 / 12
        return left + (n - 1) * full + last, chance / len(_MOMENTS), width[..., None]
