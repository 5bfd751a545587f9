"""Slices in the order of their bounds, cheapest bounds first: frames wait until their turn to be priced.

A frame enters with the floor of its setting (thousands at a time, `columns.floors`). When its turn comes
its layer kinds are priced and it is replaced by its slices, each with the bound its columns give
(`columns.bounds`). What leaves the queue is a slice whose bound is below every other bound, so whatever is
still inside cannot hold a better plan than that bound.
"""

import heapq
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optimizer.columns.bounds import DepthBounds, depth_bounds
from optimizer.columns.compiled import Compiler, FrameRules
from optimizer.columns.floors import Floors
from optimizer.columns.rules import Rules
from optimizer.columns.space import Space
from optimizer.columns.table import FrameTable, frame_table
from optimizer.cost.frame import Frame
from optimizer.scope import Symbol
from optimizer.solver.oracle import quantities_in_use
from optimizer.watch import UNWATCHED, Watch

_CLOSE = 1e-9
_TABLES_KEPT = 1024
"""Priced frames kept between searches; a frame takes a hundred kilobytes or so."""


@dataclass(frozen=True)
class QueuedSlice:
    """A slice to be solved: row `row` of a priced frame."""

    bound: float
    frame_number: int
    table: FrameTable
    bounds: DepthBounds
    row: int

    @property
    def n_layers(self) -> int:
        """Its depth."""
        return int(self.table.depths[self.row])


@dataclass(frozen=True, order=True)
class _Entry:
    bound: float
    number: int
    setting: Frame = field(compare=False)
    d_model: int = field(compare=False)
    slice: QueuedSlice | None = field(default=None, compare=False)


@dataclass
class SliceQueue:
    """All slices of a space that the rules leave, for one objective."""

    space: Space
    rules: Rules
    objective: Symbol
    sense: int
    floors: bool = True
    """Bound frames before pricing them. Without, every frame is priced: slow, but another witness."""
    watch: Watch = UNWATCHED
    also: tuple[str, ...] = ()
    """Further quantities that the tables are to hold."""
    slices_priced: int = 0

    def __post_init__(self) -> None:
        self._compiler = Compiler(self.space, self.rules)
        self._heap: list[_Entry] = []
        widths = self.space.architecture.d_model
        floors = Floors(self.space, self._compiler, self.objective, self.sense)
        for setting in self.space.settings():
            self.watch.check()
            keys = floors.key(setting) if self.floors else np.full(len(widths), -np.inf)
            for d_model, bound in zip(widths, keys, strict=True):
                if bound < np.inf:
                    self._heap.append(_Entry(float(bound), len(self._heap), setting, d_model))
        heapq.heapify(self._heap)

    @property
    def bound(self) -> float:
        """No plan still in the queue has a key below this; inf when it is empty."""
        return self._heap[0].bound if self._heap else np.inf

    def pop(self, limit: float) -> QueuedSlice | None:
        """The next slice whose bound is below `limit`; None if there is none. Raises Stopped."""
        while self._heap and self._heap[0].bound < limit:
            self.watch.check()
            entry = heapq.heappop(self._heap)
            if entry.slice is not None:
                return entry.slice
            self._price(entry, limit)
        return None

    def _price(self, entry: _Entry, limit: float) -> None:
        frame = replace(entry.setting, d_model=entry.d_model)
        rules = self._compiler.compile(frame)
        if not rules.alive:
            return
        table = self._table(frame, rules)
        bounds = depth_bounds(table, self.objective, self.sense)
        edge = limit + abs(limit) * _CLOSE if np.isfinite(limit) else np.inf  # equal plans are wanted too
        for row in np.flatnonzero(np.isfinite(bounds.key) & (bounds.key <= edge)):
            bound = max(entry.bound, float(bounds.key[row]))
            queued = QueuedSlice(bound, entry.number, table, bounds, int(row))
            heapq.heappush(self._heap, _Entry(bound, entry.number, entry.setting, entry.d_model, queued))
            self.slices_priced += 1

    def _table(self, frame: Frame, rules: FrameRules) -> FrameTable:
        """The frame's columns, kept for later searches over the same space."""
        known: dict[Any, FrameTable] = self.space.memo.setdefault("tables", {})
        key = (*frame.identity, rules.kinds)
        old = known.get(key)
        wanted = [*quantities_in_use(self.objective, rules), *self.also]
        lacking = [name for name in wanted if old is None or name not in old.columns]
        table = frame_table(self.space, frame, rules, lacking)
        if old is not None:
            table = replace(table, columns=old.columns | table.columns, grids=old.grids)
        if lacking:
            if len(known) >= _TABLES_KEPT:
                known.clear()
            known[key] = table
        return table
