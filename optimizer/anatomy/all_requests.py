"""Latencies of all requests of a plan at the traffic asked for, from those of its pools.

Each request meets one pool that answers its first token, and one that makes the others. The mean is the
pools', by their traffic; a percentile is where that share of the requests of all pools is below, each pool's
latencies being normal between the percentiles that are known of it.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from optimizer.spec.plan import Pool

_NOT_OF = {"ttft": "decode", "tpot": "prefill"}
_KNOWN = (50, 95, 99)
_HALVINGS = 60


def of_all_requests(pools: Sequence[Pool]) -> dict[str, float]:
    """Means and percentiles by the names of the pools' fields; none where a pool does not say."""
    found: dict[str, float] = {}
    for name, without in _NOT_OF.items():
        own = [pool for pool in pools if pool.phase != without]
        fields = [f"{name}_at_demand_ms", *(f"{name}_p{p}_at_demand_ms" for p in _KNOWN)]
        values = [[getattr(pool, field) for field in fields] for pool in own]
        if not own or any(value is None for row in values for value in row):
            continue
        weights = np.array([pool.utilisation * pool.requests_per_s for pool in own])
        if not weights.sum():
            continue
        shares = weights / weights.sum()
        found[fields[0]] = float(shares @ np.array([row[0] for row in values]))
        for p, field in zip(_KNOWN, fields[1:], strict=True):
            found[field] = _quantile(p / 100, shares.tolist(), [row[1:] for row in values])
    return found


def _quantile(share: float, shares: Sequence[float], known: Sequence[Sequence[float]]) -> float:
    """Where so many of all requests are below, by halving."""
    low, high = min(map(min, known)), max(map(max, known))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = sum(w * _below(middle, values) for w, values in zip(shares, known, strict=True))
        low, high = (middle, high) if below < share else (low, middle)
    return high


def _below(value: float, known: Sequence[float]) -> float:
    """The share of a pool's requests that take less than a value."""
    scores = [NormalDist().inv_cdf(p / 100) for p in _KNOWN]
    i = 0 if value < known[1] else 1
    width = known[i + 1] - known[i]
    if width <= 0:
        return 1.0 if value >= known[i] else 0.0
    return NormalDist().cdf(scores[i] + (value - known[i]) / width * (scores[i + 1] - scores[i]))
