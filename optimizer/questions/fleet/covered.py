"""Whether a setup of a fleet does all that another does, on no more: rates read anew from the priced rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from optimizer.columns.deployment import DeploymentColumns, planned
from optimizer.cost.placement import lies_within
from optimizer.questions.fleet.columns import Item
from optimizer.questions.fleet.wrong import SETUP, Setup, Surprised, setups_of_rows


def best_rates(
    buckets: Sequence[DeploymentColumns], bounds: Mapping[str, float], worst: Sequence[Surprised]
) -> dict[Setup, list[int]]:
    """The highest rate of every setup on every bucket, in 1e-8 requests/s, of rows that keep the bounds.

    Where something may go wrong, `worst` says what: in each case, one after the other.
    """
    found: dict[Setup, list[int]] = {}
    cases = [[own.worst[n] for own in worst] for n in range(len(worst[0].worst))] if worst else [None]
    for n, case in enumerate(cases):
        for b, columns in enumerate(buckets):
            rows = columns.within(bounds, prune=False).rows
            rates = columns.rates({})[rows] if case is None else case[b].rates
            setups, of = setups_of_rows(columns)
            best = np.full(len(setups), -1, dtype=np.int64)
            np.maximum.at(best, of[rows], planned(rates))
            for key, rate in zip(setups, best.tolist(), strict=True):
                if rate >= (case is not None):
                    found.setdefault(key, [0] * len(buckets) * len(cases))[n * len(buckets) + b] = rate
    return found


def key_of(item: Item, k: int) -> Setup:
    """What makes a setup of an item, beside the batch."""
    return tuple(np.asarray(getattr(item.setups, name))[k].item() for name in SETUP)


def covers(item: Item, rates: list[int], key: Setup) -> bool:
    """Whether some setup of an item does all that another one does, on no more."""
    own = dict(zip(SETUP, key, strict=True))
    r = item.setups
    if item.phase != own["mode"]:
        return False
    may = (r.chip == own["chip"]) & (r.chips <= own["chips"])
    may &= (planned(item.decides) >= np.array(rates)[:, None]).all(axis=0)
    may &= True if item.phase == "aggregated" else (r.kv_dtype == own["kv_dtype"])
    return any(lies_within(str(r.domains[k]), str(own["domains"])) for k in np.flatnonzero(may).tolist())
