"""Bands of groups of rows, from errors of predictions whose constants the row did not set.

A group's ends are the 10th and the 90th percentile of measured / predicted, a row of a source of n
weighing 1 / sqrt(n), so that no single source decides. A group has ends of its own from `FEWEST` rows on.
They are drawn towards those of the next wider group, in logarithms: a group of s sources keeps s / (s + 1)
of its own, for a source that nobody has seen may differ from those that were. A prediction lies in its
own band. What a group stands for decides which errors it takes: one that names an engine, those where other
rows had set the engine's constants; one that names a chip too, those where other rows were on that chip.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np

from optimizer.bands import Key

FEWEST = 8
"""Rows below which a group has no band of its own."""
ENDS = (0.1, 0.9)


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


def ends_of(errors: Iterable[Error]) -> dict[Key, Ends]:
    """The band of every group of enough rows, and of all rows of each metric. ValueError if none."""
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
    return {key: Ends(min(e.low, 1.0), max(e.high, 1.0), e.rows, e.sources) for key, e in found.items()}


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
    counts: dict[str, int] = defaultdict(int)
    for error in errors:
        counts[error.source] += 1
    order = sorted(errors, key=lambda e: e.ratio)
    weights = np.array([counts[e.source] ** -0.5 for e in order])
    places = (np.cumsum(weights) - weights / 2) / weights.sum()
    low, high = np.exp(np.interp(ENDS, places, np.log([e.ratio for e in order])))
    return float(low), float(high)


def covered(errors: Sequence[Error]) -> list[dict[str, Any]]:
    """How many rows of each source lie in bands that the other sources made, by metric and regime."""
    inside: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for source in sorted({e.source for e in errors}):
        bands = ends_of([e for e in errors if e.source != source])
        for error in errors:
            if error.source == source and error.scheme == "source":
                key = next((k for k in filter(error.tells, error.key.wider()) if k in bands), None)
                if key is not None:
                    own = bands[key].low <= error.ratio <= bands[key].high
                    inside[error.key.metric, error.key.regime].append(own)
    return [
        {"metric": metric, "regime": regime, "rows": len(own), "inside": round(sum(own) / len(own), 3)}
        for (metric, regime), own in sorted(inside.items())
    ]


def csv_of(found: Mapping[Key, Ends], head: str) -> str:
    """The file of the bands, groups in order; `head` says what made it."""
    lines = [f"# {line}" for line in head.splitlines()]
    lines.append(",".join((*Key._fields, "low", "high", "rows", "sources")))
    for key, e in sorted(found.items()):
        lines.append(",".join((*key, f"{e.low:.3f}", f"{e.high:.3f}", str(e.rows), str(e.sources))))
    return "\n".join(lines) + "\n"
