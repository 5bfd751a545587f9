"""What replicas carry of a service's traffic, in floats: the most even share of all of its buckets."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from optimizer.questions.fleet.carrying import SIDES, Carrying, Key

_MARGIN = 1e-9
"""By how much floating point keeps the mean quality above the least, so that fractions find it kept."""

At = Mapping[tuple[Key, int], int]
"""The variable of each setup and bucket."""
Pairs = Mapping[tuple[int, int], int]
"""The variable of what pairs of each model carry of each bucket."""


def even(c: Carrying, replicas: Mapping[Key, int]) -> tuple[list[dict[int, float]], list[float]]:
    """Rows and limits in floats with one more variable, the share of all buckets that is carried."""
    at = {place: i for i, place in enumerate(c.busy)}
    pairs = {pair: len(at) + i for i, pair in enumerate(c.pairs)}
    share = len(at) + len(pairs)
    rows: list[dict[int, float]] = [{i: 1.0 for (own, _), i in at.items() if own == key} for key in c.used]
    each = [
        _carried(c, "aggregated", b, at, None) | {i: -1.0 for (_, own), i in pairs.items() if own == b}
        for b in range(len(c.demand))
    ]
    each = [row | {share: 1.0} for row in each]
    rows += each
    for phase in SIDES:
        rows += [_carried(c, phase, b, at, m) | {i: 1.0} for (m, b), i in pairs.items()]
    if c.models is not None and c.models.gains is not None:
        rows += [{i: -x for i, x in row.items()} for row in each]
        rows.append(_mean(c, c.models.gains, at, pairs) | {share: _MARGIN})
    limits = [float(replicas[key]) for key in c.used]
    return rows, limits + [0.0] * (len(rows) - len(limits))


def _carried(c: Carrying, phase: str, bucket: int, at: At, model: int | None) -> dict[int, float]:
    """What replicas of a phase carry of a bucket, as a share of it, below 0."""
    mine = (key for key in c.used if c.phases[key] == phase and model in (None, c.model(key)))
    return {at[key, bucket]: -c.rates[key][bucket] / c.demand[bucket] for key in mine if (key, bucket) in at}


def _mean(c: Carrying, gains: Sequence[Sequence[Fraction]], at: At, pairs: Pairs) -> dict[int, float]:
    """How far the mean quality of what is carried is below the least."""
    whole = sum(c.demand)
    row = {
        i: -float(gains[c.model(key)][b]) * c.rates[key][b] / whole
        for (key, b), i in at.items()
        if c.phases[key] == "aggregated"
    }
    return row | {i: -float(gains[m][b]) * c.demand[b] / whole for (m, b), i in pairs.items()}
