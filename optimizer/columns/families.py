"""Rows that are one setup, run with more or fewer sequences: what a replica can do when it must be quicker.

A replica of a row may at any time run as any row of its family with fewer sequences in flight: as many as its
traffic needs; of prefill replicas those with as many prompts together. Its rate where times are f times as
long is therefore the best rate, divided by f, of those of these rows whose latencies keep the bounds divided
by f: all times of a replica that is f times as slow, under traffic that is f times as thin, are f times as
long, however its requests queue. It never counts for more than the row's own rate.
"""

from typing import Any

import numpy as np

from optimizer.columns.replicas import Replicas
from optimizer.spec.split import DEGREES, FORMATS

SETUP = ("mode", "chip", *DEGREES, *FORMATS, "chips", "expert_chip", "expert_chips", "microbatches")
PLACED = ("domains", "engine")


def families(r: Replicas) -> Any:
    """A number for each row, the same for rows that differ in sequences and figures alone."""
    code = np.zeros(len(r), dtype=np.int64)
    columns = [getattr(r, name) for name in (*SETUP, *PLACED)]
    together = np.where((r.mode == "prefill") & (r.in_flight > 0), r.batch, 0)
    for values in (*columns, r.second_tier_gib > 0, together):
        distinct = {value: i for i, value in enumerate(dict.fromkeys(values.tolist()))}
        if len(distinct) > 1:
            own = np.fromiter((distinct[value] for value in values.tolist()), np.int64, len(r))
            code = np.unique(code * len(distinct) + own, return_inverse=True)[1]
    return code


def sequences(r: Replicas) -> Any:
    """How many run on a replica of each row: in the mean, or always where it is full."""
    return np.where(r.in_flight > 0, r.in_flight, r.batch)


def best_within(family: Any, running: Any, values: Any) -> Any:
    """The best value of each row and of the rows of its family with fewer sequences running.

    `values`: of shape (..., rows), not negative. Rows of as many stand each by itself.
    """
    if not len(running):
        return values
    order = np.lexsort((running, family))
    own, kin, size = values[..., order], family[order], running[order]
    best, step = own.copy(), 1
    while step < len(kin) and (same := kin[step:] == kin[:-step]).any():
        before = np.where(same, best[..., :-step], 0)
        best[..., step:] = np.maximum(best[..., step:], before)
        step *= 2
    place = np.arange(len(kin))
    begins = np.r_[True, (kin[1:] != kin[:-1]) | (size[1:] != size[:-1])]
    first = np.maximum.accumulate(np.where(begins, place, 0))
    smaller = (first > 0) & (kin[first - 1] == kin)
    lower = np.where(smaller, best[..., first - 1], 0)
    found = np.empty_like(values)
    found[..., order] = np.maximum(own, lower)
    return found
