"""A deployment question as columns: which replica configurations may be used, and what each is good for.

Bounds can be changed without pricing a column again: `within(bounds)` filters, prunes and counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optimizer.columns.at_worst import Worst, above, at_worst, needed
from optimizer.columns.dominance import undominated
from optimizer.columns.families import families
from optimizer.columns.queueing import rate_at_percentile
from optimizer.columns.replica import engine_of
from optimizer.columns.replicas import Replicas
from optimizer.columns.room import Room
from optimizer.columns.scenarios import Uncertain, held_as, part_of
from optimizer.columns.supply import Supply
from optimizer.cost.memory_room import filled_share
from optimizer.errors import InputError
from optimizer.metrics import held_least, latencies, scale
from optimizer.spec.architecture import Architecture
from optimizer.spec.checkpoint import Checkpoint
from optimizer.spec.deployment import ReplicaSpace, Traffic

UNIT = scale("requests_per_s")
"""Rates are whole numbers of 1e-8 requests/s."""
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Usable:
    """The rows that count under some bounds."""

    rows: Any
    """Indices into the table."""
    capacity: Any
    """Planned rate of each, in 1e-8 requests/s."""
    dropped: Mapping[str, int]
    """Reason to number of rows; 'dominated' rows cannot be part of a better plan."""
    worst: tuple[Worst, ...] = ()
    """The scenarios that a plan must stand, of these rows; none where all is as predicted."""

    def at(self, which: Any) -> "Usable":
        """Some of the rows, as numbers among them."""
        worst = tuple(own.at(which) for own in self.worst)
        return replace(self, rows=self.rows[which], capacity=self.capacity[which], worst=worst)


@dataclass(frozen=True)
class PricedBy:
    """What the cost model was asked about: the rows' figures follow from this and what each row says."""

    architecture: Architecture
    space: ReplicaSpace
    traffic: Traffic
    memory_share: float
    """Share of what the engine fills that is used before anything goes to a second tier."""

    def engine_share(self, engine: str = "") -> float:
        """Share of the usable memory that an engine fills; '' is the only one there is."""
        return filled_share(engine_of(self.space, engine))


@dataclass(frozen=True, eq=False)
class DeploymentColumns:
    """Everything a planner needs, priced once."""

    replicas: Replicas
    supplies: tuple[Supply, ...]
    demand: float | None
    same: bool
    factors: Mapping[str, float]
    """Share of the rate planned with, by mode."""
    percentile: float | None
    """At which requests queue for what a table states; None else: rows of the cost model are of theirs."""
    dropped: Mapping[str, int]
    """Rows that no bound can bring back, by reason."""
    complete: bool = True
    """Whether every configuration is there; what is proven of some is not proven of all."""
    priced_by: PricedBy | None = None
    """None where a table states the figures."""
    checkpoint: Checkpoint | None = None
    """The model's own, under which rows in its format keep its weights as they are."""
    used: tuple[Any, ...] = ()
    """Rows, as masks, of each of which a plan has some replica."""
    robust: Uncertain | None = None
    """What may go wrong, and the plan must still hold."""
    asked: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What was asked of the rows' memory, kept: bounds on it are few."""

    def only(self, keep: Any) -> "DeploymentColumns":
        """The columns of some rows, as a mask or as numbers."""
        used = tuple(mask[keep] for mask in self.used)
        return replace(self, replicas=self.replicas.take(keep), used=used, asked={})

    def chip_index(self, rows: Any, column: str = "chip") -> Any:
        """Which supply each row uses; of `expert_chip`, the first where a row has none."""
        names = np.array([s.name for s in self.supplies])
        order = np.argsort(names)
        return order[np.searchsorted(names[order], getattr(self.replicas, column)[rows])]

    def rates(self, bounds: Mapping[str, float]) -> Any:
        """Requests per second planned with for every row."""
        r = self.replicas
        rate = r.requests_per_s
        if self.percentile is not None and "ttft_ms_max" in bounds:
            queued = rate_at_percentile(rate, r.ttft_ms, bounds["ttft_ms_max"], self.percentile)
            rate = np.where(r.mode == "decode", rate, queued)
        for mode, share in self.factors.items():
            rate = np.where(r.mode == mode, rate * share, rate)
        return rate * bounds.get("utilisation_max", 1.0)

    def memory_share(self) -> Any:
        """What each row takes on its fullest chip, of the memory there for it; 0 where that is unknown."""
        if "share" not in self.asked:
            self.asked["share"] = self._memory_share()
        return self.asked["share"]

    def _memory_share(self) -> Any:
        r = self.replicas
        engines, which = np.unique(r.engine, return_inverse=True)
        rooms = [self.room_gib(s, str(engine)) for engine in engines for s in self.supplies]
        room = np.array(rooms).reshape(len(engines), len(self.supplies))
        own = r.memory_gib / room[which, self.chip_index(slice(None))]
        return np.maximum(own, r.expert_memory_gib / room[which, self.chip_index(slice(None), "expert_chip")])

    def tokens(self, name: str) -> Any:
        """What each row has room for, in whole tokens; InputError where a table states the figures."""
        if name not in self.asked:
            self.asked[name] = self._room.tokens(name).astype(np.int64)
        return self.asked[name]

    def reaches(self, name: str, tokens: float) -> Any:
        """Whether each row has room for so many tokens; InputError where a table states the figures."""
        if (name, tokens) not in self.asked:
            self.asked[name, tokens] = self._room.reaches(name, tokens)
        return self.asked[name, tokens]

    def at_worst(self, bounds: Mapping[str, float], rows: Any) -> tuple[Worst, ...]:
        """The scenarios under some bounds, with what some rows are worth in each."""
        if self.robust is None or not any(map(part_of, bounds)):
            return ()
        if "families" not in self.asked:
            self.asked["families"] = families(self.replicas)
        asked = (self.replicas, self.robust, bounds, rows, self.asked["families"])
        return at_worst(*asked, self.rates)

    @property
    def _room(self) -> Room:
        if (by := self.priced_by) is None:
            raise InputError("a performance_table does not state what replicas have room for")
        if "room" not in self.asked:
            own = (self.replicas, self.supplies, by.architecture, by.space, by.traffic)
            self.asked["room"] = Room(*own)
        return self.asked["room"]  # type: ignore[no-any-return]

    def room_gib(self, supply: Supply, engine: str = "") -> float:
        """GiB of a chip that an engine fills: all that is usable where a table states what is held."""
        share = self.priced_by.engine_share(engine) if self.priced_by else 1.0
        return share * (supply.usable_gib or np.inf)

    def within(
        self,
        bounds: Mapping[str, float],
        prune: bool = True,
        nodes: bool = True,
        counted: Sequence[str] = (),
    ) -> Usable:
        """The rows that keep the bounds on one replica, without those that others dominate.

        `nodes`: whether nodes are counted; how replicas fill them then matters without an inventory too.
        `counted`: tokens of which a plan's sum matters.
        """
        r = self.replicas
        share = self.memory_share()
        broken = {
            f"{name}_max": (r.mode != without) & above(getattr(r, name), _limit(name, bounds))
            for name, without in latencies().items()
        }
        broken |= {
            f"{name}_min": ~self.reaches(name, bounds[f"{name}_min"])
            for name in held_least()
            if f"{name}_min" in bounds
        }
        broken["memory_capacity"] = above(share, bounds.get("memory_capacity"))
        capacity = planned(self.rates(bounds))
        broken["no rate left at the percentile"] = capacity <= 0
        keep = np.ones(len(r), dtype=bool)
        dropped: Counter[str] = Counter()
        for name, mask in broken.items():
            dropped[name] += int((keep & mask).sum())
            keep &= ~mask
        rows = np.flatnonzero(keep)
        found = Usable(rows, capacity[rows], {}, needed(self.at_worst(bounds, rows)))
        if found.worst:
            holds = np.max([planned(own.of_asked) for own in found.worst], axis=0) > 0
            dropped["no rate left at the worst"] = int((~holds).sum())
            found = found.at(np.flatnonzero(holds))
        if prune:
            n, found = len(found.rows), _undominated(self, found, bounds, nodes, counted)
            dropped["dominated"] = n - len(found.rows)
        return replace(found, dropped=+dropped, worst=needed(found.worst))


def planned(rates: Any) -> Any:
    """Requests per second as whole numbers of 1e-8, rounded down."""
    return np.floor(rates * UNIT + _ROUNDING).astype(np.int64)


def _limit(name: str, bounds: Mapping[str, float]) -> float | None:
    """The bound on a latency as predicted; None if there is none."""
    rules = (f"{name}_max", held_as(name, bounds))
    return min((bounds[rule] for rule in rules if rule in bounds), default=None)


def _undominated(
    columns: DeploymentColumns, own: Usable, bounds: Mapping[str, float], nodes: bool, counted: Sequence[str]
) -> Usable:
    """The rows that no other is as good as in all that counts, in every scenario."""
    r, rows = columns.replicas, own.rows
    packed = [s.node and (nodes or f"inventory:{s.name}" in bounds) for s in columns.supplies]
    lying = np.where(np.array(packed, dtype=bool)[columns.chip_index(rows)], r.domains[rows], "1")
    held = [columns.tokens(name)[rows] for name in counted]
    worst, first = [planned(scenario.rates) for scenario in own.worst], own.capacity
    if worst:  # of rows that are equals in all scenarios the one that serves the most as predicted
        first = np.sum(worst, axis=0, dtype=float) + first / (1.0 + first.max(initial=0))
    best = undominated(r, columns.used, rows, first, lying, [*held, *worst])
    return own.at(np.searchsorted(rows, best))
