"""A fleet as columns: for every service and phase, what each setup makes of each size of request.

A setup (chip, split, formats) runs each bucket at the batch, or the operating point, that gives the highest
rate within the service's bounds: the only one of its many rows that a plan has use for. Each is priced as if
the replica had that bucket alone. A replica that gets x_b requests/s of bucket b is busy for
sum_b x_b / rate_b of its time (Melange, Griggs et al., arXiv 2404.14527): one replica is full at 1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.columns.deployment import DeploymentColumns, PricedBy, planned
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.cost.placement import lies_within
from optimizer.questions.fleet.quality import Models, Quality
from optimizer.questions.fleet.wrong import Surprised, Wrong, at_worst, setups_of_rows
from optimizer.spec.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Item:
    """The setups of one phase of one service."""

    service: int
    phase: str
    setups: Replicas
    """One row per setup; batch, rate and latencies are those of its first bucket that it can serve."""
    rates: Any
    """Requests per second of one replica, bucket by setup; 0 where a bucket's bounds cannot be kept."""
    rows: Any
    """The row of the bucket's table behind each rate."""
    model: int = 0
    """Which of the service's models they run."""
    worst: tuple[Any, ...] = ()
    """The rates in each case of what may go wrong, where something may."""

    @cached_property
    def capacity(self) -> Any:
        """Rates planned with, in 1e-8 requests/s."""
        return planned(self.rates)

    def some(self, rows: Any) -> "Item":
        """Some of the setups."""
        at = None if self.rows is None else self.rows[:, rows]
        worst = tuple(own[:, rows] for own in self.worst)
        return replace(self, setups=self.setups.take(rows), rates=self.rates[:, rows], rows=at, worst=worst)

    @property
    def decides(self) -> Any:
        """The rates that plans depend on: those in each case, where something may go wrong, by bucket."""
        return np.concatenate(self.worst) if self.worst else self.rates

    def busy(self, k: int, demand: Sequence[int]) -> Fraction:
        """How many replicas of a setup all traffic that it can serve keeps busy; in 1e-8 requests/s."""
        pairs = zip(demand, self.capacity[:, k].tolist(), strict=True)
        return sum((Fraction(d, r) for d, r in pairs if r), Fraction(0))


@dataclass(frozen=True, eq=False)
class FleetColumns:
    """Everything a planner of a fleet needs."""

    supplies: tuple[Supply, ...]
    names: tuple[str, ...]
    demands: tuple[tuple[float, ...], ...]
    """Requests per second of every bucket of every service."""
    items: tuple[Item, ...]
    same: tuple[bool, ...]
    """Whether one setup a phase must serve all of a service."""
    dropped: dict[str, int]
    complete: bool = True
    """Whether every setup has a price; what is proven of some is not proven of all."""
    tables: tuple[tuple[tuple[Replicas, ...], ...], ...] = ()
    """The priced replicas of every service, model and bucket, which the rows of items are of."""
    rates: tuple[tuple[tuple[Any, ...], ...], ...] = ()
    """Requests per second planned with for each row of those tables."""
    checkpoints: tuple[tuple[Checkpoint | None, ...], ...] = ()
    """Of the models of the services."""
    shares: tuple[tuple[tuple[Any, ...], ...], ...] = ()
    """What each row of those tables takes of the memory there for it on its fullest chip."""
    used: tuple[frozenset[tuple[int, int]], ...] = ()
    """Items and setups of each of which a plan has some replica."""
    qualities: tuple[Quality | None, ...] = ()
    """Of the models of each service; None where it has but one, given by itself."""
    priced_by: tuple[tuple[tuple[PricedBy | None, ...], ...], ...] = ()
    """What the cost model priced the rows of those tables for; None where a table states their figures."""
    asked: dict[Any, bool] = field(default_factory=dict, repr=False)
    """What the checker asked of rows, kept: plans are many."""
    cases: tuple[float, ...] = ()
    """Of the traffic asked for, what must be reached in each case of what may go wrong, at its rates."""
    wrong: Wrong | None = None
    """What these cases follow from, for the check of a plan."""

    def figures(self, partial: bool = False) -> "tuple[FleetColumns, ...]":
        """The columns in each case, as if that were what is predicted; where nothing may go wrong, these.

        `partial`: whether some traffic may be left, so that what is carried counts as it is asked for.
        """
        return tuple(self._in(n, partial) for n in range(len(self.cases))) or (self,)

    def _in(self, n: int, partial: bool) -> "FleetColumns":
        asked = self.cases[n]
        rates, demands = (asked, 1.0) if partial else (1.0, asked)
        return replace(
            self,
            demands=tuple(tuple(x * demands for x in own) for own in self.demands),
            items=tuple(replace(item, rates=item.worst[n] / rates, worst=()) for item in self.items),
            cases=(),
            wrong=None,
        )

    def standing(self, wrong: Wrong) -> "FleetColumns":
        """With the cases of what may go wrong that no other implies, setups having their rates in all."""
        each = [
            np.concatenate([own.ravel() for own in rates])
            for rates in zip(*(item.worst for item in self.items), strict=True)
        ]
        kept = wrong.needed(each)
        items = [replace(item, worst=tuple(item.worst[n] for n in kept)) for item in self.items]
        able = [item.some(np.flatnonzero(item.decides.any(axis=0))) for item in items]
        lost = sum(len(item.setups) for item in items) - sum(len(item.setups) for item in able)
        return replace(
            self,
            items=tuple(item for item in able if len(item.setups)),
            dropped=self.dropped | ({"no rate left at the worst": lost} if lost else {}),
            cases=tuple(wrong.asked[n] for n in kept),
            wrong=wrong.some(kept),
        )

    def quality(self, service: int) -> Quality | None:
        """Of a service's models; None where it has but one, given by itself."""
        return self.qualities[service] if self.qualities else None

    def as_good(self, item: Item, model: int) -> bool:
        """Whether an item's replicas may stand for those of a model: its own, or none worse that pair not."""
        quality = self.quality(item.service)
        better = quality is not None and quality.each[item.model] >= quality.each[model]
        return item.model == model or (better and item.phase == "aggregated")

    def good_enough(self, item: Item) -> bool:
        """Whether an item's model may answer all of its service's traffic alone."""
        quality = self.quality(item.service)
        return quality is None or quality.least is None or quality.each[item.model] >= quality.least

    def models(self, service: int, keys: Iterable[tuple[int, int]]) -> Models | None:
        """Which models some setups of a service run; None where it has but one."""
        if (quality := self.quality(service)) is None:
            return None
        of = {key: self.items[key[0]].model for key in keys}
        return Models(of, len(quality.each), quality.gains(self.demands[service]))


def items_of(
    service: int,
    buckets: Sequence[DeploymentColumns],
    bounds: Mapping[str, float],
    apart: Sequence[str] = (),
    model: int = 0,
    worst: Sequence[Surprised] = (),
) -> tuple[list[Item], Counter[str]]:
    """The phases of one model of a service from the priced replicas of each of its buckets.

    Setups that others cover are left out, unless they differ in a column of `apart`. `worst`: the buckets in
    each case of what may go wrong, where something may.
    """
    best: list[dict[tuple[Any, ...], tuple[float, int]]] = []
    dropped: Counter[str] = Counter()
    for columns in buckets:
        usable = columns.within(bounds, prune=False)
        dropped.update(usable.dropped)
        best.append(_best_rows(columns, usable.rows))
    items = []
    for phase in ("aggregated", "prefill", "decode"):
        keys = sorted({key for found in best for key in found if key[0] == phase})
        if keys:
            item = replace(_item(service, phase, keys, best, buckets), model=model)
            items.append(replace(item, worst=at_worst(worst, keys)))
    return [_undominated(item, apart) for item in items], dropped


def _best_rows(columns: DeploymentColumns, rows: Any) -> dict[tuple[Any, ...], tuple[float, int]]:
    """For each setup its highest rate, and the row that has it: the last of those as good."""
    keys, of = setups_of_rows(columns)
    rates = columns.rates({})[rows]
    order = np.lexsort((rates, of[rows]))
    last = np.flatnonzero(np.diff(of[rows][order], append=-1))
    best = order[last]
    which = of[rows][best].tolist()
    found = zip(which, rates[best].tolist(), rows[best].tolist(), strict=True)
    return {keys[setup]: (rate, row) for setup, rate, row in found}


def _item(
    service: int,
    phase: str,
    keys: list[tuple[Any, ...]],
    best: Sequence[dict[tuple[Any, ...], tuple[float, int]]],
    buckets: Sequence[DeploymentColumns],
) -> Item:
    rates = np.array([[found.get(key, (0.0, -1))[0] for key in keys] for found in best])
    rows = np.array([[found.get(key, (0.0, -1))[1] for key in keys] for found in best])
    shown = []
    for j in range(len(keys)):
        b = int(np.flatnonzero(rates[:, j])[0])
        shown.append(buckets[b].replicas.row(int(rows[b, j])))
    return Item(service, phase, Replicas.of(shown), rates, rows)


def _undominated(item: Item, apart: Sequence[str]) -> Item:
    """Setups for which no other of its chip and cache has as few chips, as small blocks, and all rates."""
    r, kept = item.setups, list[int]()
    largest = [r.blocks(j)[0][0] for j in range(len(r))]
    order = np.lexsort((-item.decides.sum(axis=0), r.chips, largest))
    for j in order.tolist():
        if not any(_covers(item, i, j, apart) for i in kept):
            kept.append(j)
    rows = np.sort(np.array(kept, dtype=np.int64))
    return item.some(rows)


def _covers(item: Item, i: int, j: int, apart: Sequence[str]) -> bool:
    r = item.setups
    return bool(
        r.chip[i] == r.chip[j]
        and (item.phase == "aggregated" or r.kv_dtype[i] == r.kv_dtype[j])
        and r.chips[i] <= r.chips[j]
        and lies_within(r.domains[i], r.domains[j])
        and (item.decides[:, i] >= item.decides[:, j]).all()
        and all(getattr(r, name)[i] == getattr(r, name)[j] for name in apart)
    )


def best_of_models(items: list[Item], quality: Quality | None, apart: Sequence[str]) -> list[Item]:
    """Without the aggregated setups that one of another model, whose answers are as good, covers."""
    mine = [item for item in items if item.phase == "aggregated"]
    if quality is None or len(mine) < 2:
        return items
    r = Replicas.together([item.setups for item in mine])
    rates = np.concatenate([item.decides for item in mine], axis=1)
    ranks = {own: rank for rank, own in enumerate(sorted(quality.each))}
    good = np.array([ranks[quality.each[item.model]] for item in mine for _ in range(len(item.setups))])
    covers = (r.chip[:, None] == r.chip) & (r.chips[:, None] <= r.chips) & (good[:, None] >= good)
    covers &= (rates[:, :, None] >= rates[:, None, :]).all(axis=0) & _within(r.domains)
    for name in apart:
        covers &= getattr(r, name)[:, None] == getattr(r, name)
    first = np.arange(len(r))[:, None] < np.arange(len(r))
    keep = ~(covers & (~covers.T | first)).any(axis=0)
    found, at = [], 0
    for item in items:
        if item.phase == "aggregated":
            rows = np.flatnonzero(keep[at : at + len(item.setups)])
            at += len(item.setups)
            found += [item.some(rows)] if len(rows) else []
        else:
            found.append(item)
    return found


def _within(domains: Any) -> Any:
    """Whether the blocks of each setup find room in those of each other."""
    texts, own = np.unique(domains, return_inverse=True)
    known = np.array([[lies_within(a, b) for b in texts.tolist()] for a in texts.tolist()])
    return known[own[:, None], own]
