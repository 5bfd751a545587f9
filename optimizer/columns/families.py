"""Rows that are one setup, run with more or fewer sequences: what a replica can do when it must be quicker.

A replica of a row may at any time run as any row of its family with a smaller batch: as many sequences as its
traffic needs. Its rate where times are f times as long is therefore the best rate, divided by f, of those of
these rows whose latencies keep the bounds divided by f: all times of a replica that is f times as slow, under
traffic that is f times as thin, are f times as long, however its requests queue. It never counts for more
than the row's own rate.
"""

from typing import Any

import numpy as np

from optimizer.columns.replicas import Replicas
from optimizer.spec.split import DEGREES, FORMATS

SETUP = ("mode", "chip", *DEGREES, *FORMATS, "chips", "expert_chip", "expert_chips", "microbatches")
PLACED = ("domains", "engine")


def families(r: Replicas) -> Any:
    """A number for each row, the same for rows that differ in batch and figures alone."""
    code = np.zeros(len(r), dtype=np.int64)
    columns = [getattr(r, name) for name in (*SETUP, *PLACED)]
    for values in (*columns, r.second_tier_gib > 0):
        distinct = {value: i for i, value in enumerate(dict.fromkeys(values.tolist()))}
        if len(distinct) > 1:
            own = np.fromiter((distinct[value] for value in values.tolist()), np.int64, len(r))
            code = np.unique(code * len(distinct) + own, return_inverse=True)[1]
    return code


def best_within(family: Any, batch: Any, values: Any) -> Any:
    """The best value of each row and of the rows of its family with a smaller batch.

    `values`: of shape (..., rows), not negative. Rows of the same batch stand each by itself.
    """
    if not len(batch):
        return values
    order = np.lexsort((batch, family))
    own, kin, size = values[..., order], family[order], batch[order]
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
