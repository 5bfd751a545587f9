"""A deployment found again among configurations: each of its pools at the row that it says it runs."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from optimizer.columns.replicas import Replicas
from optimizer.questions.replica_choices import CHOICES
from optimizer.spec.plan import Pool
from optimizer.spec.split import DEGREES, FORMATS

_SAME_ROW = (*DEGREES, "batch", "chip", *FORMATS, "engine")
_AS_IT_IS = {"source": "label", "domains": "domains"}


def rows_of(
    replicas: Replicas, pools: Iterable[Pool], changed: Mapping[str, Any] = {}
) -> dict[int, int] | None:
    """Replicas by row of some pools with choices changed in each; None where there is no such row."""
    columns = {CHOICES[name]: value for name, value in changed.items()}
    counts: dict[int, int] = {}
    for pool in pools:
        row = _row_of(replicas, pool, columns)
        if row is None:
            return None
        counts[row] = counts.get(row, 0) + pool.replicas
    return counts


def _row_of(replicas: Replicas, pool: Pool, changed: Mapping[str, Any]) -> int | None:
    """The row of a pool with some columns changed, in as few domains as it can lie in."""
    wanted = {"mode": pool.phase} | {name: getattr(pool, name) for name in _SAME_ROW} | dict(changed)
    wanted |= {} if changed else {column: getattr(pool, name) for name, column in _AS_IT_IS.items()}
    same = np.all([getattr(replicas, name) == value for name, value in wanted.items()], axis=0)
    rows = np.flatnonzero(same)
    if not len(rows):
        return None
    return int(rows[np.argmin(np.abs(replicas.in_flight[rows] - pool.in_flight))])
