"""What rows there are of one setup: batches that are always full, or loads of requests that come at random.

A row of a load says how many slots the replica has (`batch`), for which memory is held, and how many
sequences are in flight in the mean (`in_flight`). The least loads are near none: some row keeps a bound near
the latency of a replica without traffic.
"""

from typing import Any

import numpy as np

BATCHES = tuple(sorted({*range(1, 65), *(round(64 * 2 ** (i / 16)) for i in range(1, 81))}))
"""Sequences of a lane that are tried where a problem names none: all to 64, then steps of 4 % to 2048."""
_LOADS = (0.01, 0.03, 0.1, 0.2, *(0.4 * 1.05**i for i in range(176)))
"""Sequences in flight in the mean on a lane: almost none, then steps of 5 % to 2048."""
BUSY = (0.02, *(round(0.05 * i, 2) for i in range(1, 20)), 0.98)
"""Shares of its time that a prefill replica is busy."""
_SAME = 1e-9


def loads(lanes: int, most: float) -> Any:
    """Sequences in flight in the mean that rows are priced at, ascending: of a replica of so many lanes."""
    found = lanes * np.array(_LOADS)
    return found[found <= most * (1 + _SAME)]


def up_to(load: float, lanes: int) -> Any:
    """The loads below one, and itself: what the latencies of its row are the most of."""
    below = loads(lanes, load)
    return np.r_[below[below < load * (1 - _SAME)], load]


def slots_of(needed: Any, slots: Any) -> Any:
    """The least number of slots that is enough for each load; 0 where none of these, which ascend, is."""
    return np.append(slots, 0)[np.searchsorted(slots, needed * (1 - _SAME))]
