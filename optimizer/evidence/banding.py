"""Bands of groups of rows, from errors of predictions whose constants the row did not set.

A group's ends are the 10th and the 90th percentile of measured / predicted, a row of a source of n
weighing 1 / sqrt(n), so that no single source decides. A group has ends of its own from `FEWEST` rows on.
They are drawn towards those of the next wider group, in logarithms: a group of s sources keeps s / (s + 1)
of its own, for a source that nobody has seen may differ from those that were. A prediction lies in its
own band. What a group stands for decides which errors it takes: one that names an engine, those where other
rows had set the engine's constants; one that names a chip too, those where other rows were on that chip.

Sources differ more than rows of a source do. So each source is left out of the bands in turn, too: bands of
a metric and a regime, those that name an engine apart, are made wider, all by one factor of at most 2, until
eight in ten rows of sources left out lie inside.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, log
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from optimizer.bands import Key

FEWEST = 8
"""Rows below which a group has no band of its own."""
ENDS = (0.1, 0.9)
_WIDEST = 2.0
Alike = tuple[str, str, bool]
"""Metric, regime and whether a group names an engine: bands of a kind, which are widened together."""
_NONE: Mapping[Alike, float] = MappingProxyType({})


@dataclass(frozen=True)
class Error:
    """One prediction of a row with constants that were not set on it."""

    row: str
    """Which row, for it may be predicted several times, each with something else left out."""
    source: str
    key: Key
    """Its narrowest group."""
    ratio: float
    """Measured over predicted."""
    engine_seen: bool = True
    """Whether rows were left that set its engine's constants."""
    chip_seen: bool = True
    """Whether any of them were on its chip."""
    scheme: str = ""
    """What was left out: its source, its model, its chip."""

    def tells(self, key: Key) -> bool:
        """Whether it is an error of the kind that a prediction of this group will have."""
        return (self.engine_seen or not key.engine) and (self.chip_seen or not key.chip)


@dataclass(frozen=True)
class Ends:
    """What a group is written down as."""

    low: float
    high: float
    rows: int
    sources: int


def ends_of(errors: Iterable[Error], stretch: Mapping[Alike, float] = _NONE) -> dict[Key, Ends]:
    """The band of every group of enough rows, and of all rows of each metric. ValueError if none.

    `stretch`: by kind of group, a factor by which ends lie further out.
    """
    members: dict[Key, list[Error]] = defaultdict(list)
    for error in errors:
        for key in filter(error.tells, error.key.wider()):
            members[key].append(error)
    if not members:
        raise ValueError("no errors: nothing to make bands of")
    found: dict[Key, Ends] = {}
    for key in sorted(members, key=lambda key: sum(map(bool, key))):
        own = members[key]
        rows, sources = len({e.row for e in own}), len({e.source for e in own})
        if rows < FEWEST and any(key[1:]):
            continue
        low, high = percentiles(own)
        if any(key[1:]):
            low, high = _drawn(own_ends=(low, high), wider=found, key=key, kept=sources / (sources + 1))
        found[key] = Ends(low, high, rows, sources)
    return {key: _around_one(ends, stretch.get(_alike(key), 1.0)) for key, ends in found.items()}


def _around_one(ends: Ends, stretch: float) -> Ends:
    """With the prediction inside, and wider."""
    return replace(ends, low=min(ends.low, 1.0) / stretch, high=max(ends.high, 1.0) * stretch)


def _drawn(
    own_ends: tuple[float, float], wider: Mapping[Key, Ends], key: Key, kept: float
) -> tuple[float, float]:
    """A group's ends, drawn towards those of the next wider group."""
    next_wider = next(k for k in list(key.wider())[1:] if k in wider)
    theirs = (wider[next_wider].low, wider[next_wider].high)
    low, high = (
        exp(kept * log(own) + (1 - kept) * log(of)) for own, of in zip(own_ends, theirs, strict=True)
    )
    return low, high


def percentiles(errors: Sequence[Error]) -> tuple[float, float]:
    """The ends of eight in ten, by weight."""
    order = sorted(errors, key=lambda e: e.ratio)
    weights = _weights(order)
    places = (np.cumsum(weights) - weights / 2) / weights.sum()
    low, high = np.exp(np.interp(ENDS, places, np.log([e.ratio for e in order])))
    return float(low), float(high)


def _weights(errors: Sequence[Error]) -> NDArray[np.float64]:
    """What each counts: 1 / sqrt of those of its source."""
    counts = Counter(error.source for error in errors)
    return np.array([counts[error.source] ** -0.5 for error in errors])


@dataclass(frozen=True)
class Reach:
    """A row of a source left out, and the band that the others' rows give it."""

    error: Error
    group: Key
    """Whose band it is."""
    wider: float
    """Factor by which the band's end would have to lie further out to meet the row: 1 and less is inside."""


def reaches(errors: Sequence[Error]) -> list[Reach]:
    """Every row, its source left out of the constants and of the bands."""
    found = []
    for source in sorted({e.source for e in errors}):
        bands = ends_of([e for e in errors if e.source != source])
        for error in errors:
            if error.source == source and error.scheme == "source":
                group = next((k for k in filter(error.tells, error.key.wider()) if k in bands), None)
                if group is not None:
                    found.append(Reach(error, group, _reach(bands[group], error.ratio)))
    return found


def _reach(ends: Ends, ratio: float) -> float:
    return max(ratio / ends.high, ends.low / ratio)


def _alike(group: Key) -> Alike:
    return group.metric, group.regime, bool(group.engine)


def stretches(reached: Sequence[Reach]) -> dict[Alike, float]:
    """How much wider bands are made so that eight in ten rows of sources left out lie inside."""
    groups: dict[Alike, list[Reach]] = defaultdict(list)
    for reach in reached:
        groups[_alike(reach.group)].append(reach)
    found = {}
    for name, own in groups.items():
        order = sorted(own, key=lambda reach: reach.wider)
        places = np.cumsum(_weights([reach.error for reach in order]))
        wanted = order[int(np.searchsorted(places, (ENDS[1] - ENDS[0]) * places[-1]))].wider
        found[name] = ceil(100 * min(max(wanted, 1.0), _WIDEST)) / 100
    return found


def covered(
    reached: Sequence[Reach], stretch: Mapping[Alike, float]
) -> list[dict[str, str | int | float | bool]]:
    """How many rows of sources left out lie inside: with the bands as they are, and as widened."""
    found: dict[Alike, list[float]] = defaultdict(list)
    for reach in reached:
        found[_alike(reach.group)].append(reach.wider)
    return [
        {
            "metric": name[0],
            "regime": name[1],
            "engine": name[2],
            "rows": len(own),
            "plain": round(sum(wider <= 1 for wider in own) / len(own), 3),
            "wider": stretch[name],
            "inside": round(sum(wider <= stretch[name] for wider in own) / len(own), 3),
        }
        for name, own in sorted(found.items())
    ]


def csv_of(found: Mapping[Key, Ends], head: str) -> str:
    """The file of the bands, groups in order; `head` says what made it."""
    lines = [f"# {line}" for line in head.splitlines()]
    lines.append(",".join((*Key._fields, "low", "high", "rows", "sources")))
    for key, e in sorted(found.items()):
        lines.append(",".join((*key, f"{e.low:.3f}", f"{e.high:.3f}", str(e.rows), str(e.sources))))
    return "\n".join(lines) + "\n"
