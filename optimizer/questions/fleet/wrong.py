"""What may go wrong in a fleet, and what each setup makes of each size of request then.

In a case a replica runs each bucket at the batch of its setup that gives the highest rate within the bounds,
times and rates being what they are then. Cases are scenarios of deployments (columns/scenarios.py), of all
services at once; one in which no setup is worth more than in another is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.columns.at_worst import Worst, needed
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.scenarios import Uncertain
from optimizer.spec.split import DEGREES, FORMATS

SETUP = ("mode", "chip", *DEGREES, *FORMATS, "chips", "domains", "engine")
"""What makes a setup, beside the batch."""
Setup = tuple[Any, ...]


def setups_of_rows(columns: DeploymentColumns) -> tuple[list[tuple[Any, ...]], Any]:
    """The setups of a table, and which of them each row is; kept, for services may share a table."""
    if "setups" not in columns.asked:
        r = columns.replicas
        numbered: dict[tuple[Any, ...], int] = {}
        rows = zip(*(np.asarray(getattr(r, name)).tolist() for name in SETUP), strict=True)
        of = np.array([numbered.setdefault(key, len(numbered)) for key in rows], dtype=np.int64)
        columns.asked["setups"] = list(numbered), of
    return columns.asked["setups"]  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Surprised:
    """The priced replicas of one bucket in each case of what may go wrong."""

    uncertain: Uncertain
    rows: Any
    """Those that keep the bounds as predicted."""
    worst: tuple[Worst, ...]
    """Of those, in each case."""
    rates: Mapping[Setup, tuple[float, ...]]
    """Of each setup in each case, times what slows them all."""

    def some(self, cases: Sequence[int]) -> "Surprised":
        """Some of the cases."""
        rates = {key: tuple(own[n] for n in cases) for key, own in self.rates.items()}
        return replace(self, worst=tuple(self.worst[n] for n in cases), rates=rates)


@dataclass(frozen=True, eq=False)
class Wrong:
    """What may go wrong in a fleet: what the check of a plan works it out from, case by case."""

    levels: Mapping[str, float]
    """How far each part goes, by rule."""
    limits: tuple[Mapping[str, float], ...]
    """Of the requests of each service."""
    buckets: tuple[tuple[tuple[Surprised, ...], ...], ...]
    """By service, model and bucket."""

    @property
    def first(self) -> Surprised:
        """Any bucket: cases are the same of all."""
        return self.buckets[0][0][0]

    @property
    def asked(self) -> tuple[float, ...]:
        """Of the traffic asked for, what must be reached in each case, at rates times what slows them."""
        return tuple(own.asked for own in self.first.worst)

    def needed(self, rates: Sequence[Any]) -> tuple[int, ...]:
        """The cases that no other implies: `rates` are all there are in each."""
        worst = self.first.worst
        each = [replace(own, rates=of) for own, of in zip(worst, rates, strict=False)]
        kept = [own.scenario for own in needed(tuple(each))]
        return tuple(n for n, own in enumerate(worst) if own.scenario in kept)

    def some(self, cases: Sequence[int]) -> "Wrong":
        """Some of the cases."""
        buckets = tuple(tuple(tuple(b.some(cases) for b in of) for of in row) for row in self.buckets)
        return replace(self, buckets=buckets)


def wrong_of(
    limits: Sequence[Mapping[str, float]],
    buckets: Sequence[Sequence[Sequence[DeploymentColumns]]],
    levels: Mapping[str, float],
) -> Wrong | None:
    """What may go wrong under limits on the requests of each service; None where nothing may."""
    if not levels:
        return None
    each = tuple(
        tuple(tuple(_surprised(columns, own, levels) for columns in of_model) for of_model in row)
        for own, row in zip(limits, buckets, strict=True)
    )
    return Wrong(levels, tuple(limits), each)


def _surprised(
    columns: DeploymentColumns, bounds: Mapping[str, float], levels: Mapping[str, float]
) -> Surprised:
    """A bucket under bounds on its requests and rules of what may go wrong."""
    rows = columns.within(bounds, prune=False).rows
    worst = columns.at_worst({**bounds, **levels}, rows)
    keys, of = setups_of_rows(columns)
    each = np.zeros((len(worst), len(keys)))
    for n, own in enumerate(worst):
        np.maximum.at(each[n], of[rows], own.rates)
    rates = {keys[k]: tuple(each[:, k].tolist()) for k in np.unique(of[rows]).tolist()}
    return Surprised(columns.robust or Uncertain(), rows, worst, rates)


def at_worst(buckets: Sequence[Surprised], keys: Sequence[Setup]) -> tuple[Any, ...]:
    """The rates of some setups in each case, bucket by setup; nothing where nothing may go wrong."""
    if not buckets:
        return ()
    none = (0.0,) * len(buckets[0].worst)
    each = np.array([[own.rates.get(key, none) for key in keys] for own in buckets])
    return tuple(np.moveaxis(each, 2, 0))
