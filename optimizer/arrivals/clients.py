"""A closed loop, as public benchmarks run it: each client sends its next request when its last is answered.

All begin together, or one after another over a ramp, and stop when the requests are all sent.
"""

import numpy as np

from optimizer.errors import InputError
from optimizer.simulation.asked import Arriving, Asked
from optimizer.simulation.replay import Clients

WORDS = "how many clients there are"
EXAMPLE = "clients:64"


def drawn(text: str, at: Asked) -> Arriving:
    """So many clients that send the requests between them."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= at.requests):
        raise InputError(
            f"arrivals: clients are '{text[:40]}'; give a whole number from 1 to the {at.requests:,} requests"
        )
    n = int(text)
    starts = np.arange(n) / n * at.ramp_s
    return Arriving(at.of(np.full(at.requests, np.nan)), Clients(starts, at.think_s))
