"""Slices in the order of their bounds, cheapest bounds first: nothing is bounded finely before its turn.

A cell is a run of settings and widths. It enters with a coarse bound, or none, and is split when its turn
comes: into settings, into runs of widths, into frames with their floors (`columns.floors`). A frame is
priced and replaced by its slices, each with the bound its columns give (`columns.bounds`). What leaves the
queue is a slice whose bound is below every other, so whatever is inside cannot hold a better plan than that.
The order follows from the bounds of frames and slices alone, not from how cells were split.
"""

import heapq
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optimizer.columns.rules import Rules
from optimizer.cost.frame import Frame
from optimizer.errors import InternalMismatch
from optimizer.questions.architecture.bounds import DepthBounds, depth_bounds
from optimizer.questions.architecture.coarse import CoarseBounds
from optimizer.questions.architecture.compiled import Compiler, FrameRules
from optimizer.questions.architecture.floors import Floors
from optimizer.questions.architecture.oracle import quantities_in_use
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.table import FrameTable, frame_table
from optimizer.scope import Symbol
from optimizer.watch import UNWATCHED, Watch

CLOSE = 1e-9
"""Bounds and plans are computed along different paths: relative differences up to this are none."""
_SPLIT = 64
"""Cells that a run of families of settings is split into."""
_BATCHES = 512
"""Settings of a family bounded at once."""


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


@dataclass(frozen=True)
class _Cell:
    """Settings by number, and widths by their place among those of the space."""

    settings: range
    widths: range


@dataclass(frozen=True, order=True)
class _Entry:
    bound: float
    number: int
    """Of the first frame inside."""
    n_layers: int
    what: "_Cell | QueuedSlice | None" = field(compare=False, default=None)
    """None: the frame of that number."""


@dataclass
class SliceQueue:
    """All slices of a space that the rules leave, for one objective."""

    space: Space
    rules: Rules
    objective: Symbol
    sense: int
    watch: Watch = UNWATCHED
    also: tuple[str, ...] = ()
    """Further quantities that the tables are to hold."""
    slices_priced: int = 0

    def __post_init__(self) -> None:
        self._compiler = Compiler(self.space, self.rules)
        self._floors = [
            (widths, Floors(part, self._compiler, self.objective, self.sense))
            for widths, part in self.space.parts()
        ]
        self._n_widths = len(self.space.architecture.d_model)
        self._coarse = CoarseBounds(self.space, self._compiler, self.objective, self.sense)
        whole = _Cell(range(self.space.n_settings), range(self._n_widths))
        empty = not len(self.space.attention) or not len(self.space.ffn)  # a choice held where no kind has it
        self._heap: list[_Entry] = [] if empty else [self._entry(whole)]
        self.empty: list[tuple[float, _Cell]] = []
        """Cells left out by their coarse bounds."""
        self.opened: dict[int, float] = {}
        """Floors of the frames that were priced."""
        self.floors: dict[tuple[int, int], np.ndarray] = {}
        """Floors by setting and first width of a run, where they were worked out."""

    @property
    def bound(self) -> float:
        """No plan still in the queue has a key below this; inf when it is empty."""
        return self._heap[0].bound if self._heap else np.inf

    def pop(self, limit: float) -> QueuedSlice | None:
        """The next slice whose bound is below `limit`; None if there is none. Raises Stopped."""
        while self._heap and self._heap[0].bound < limit:
            self.watch.check()
            entry = self._heap[0]
            if isinstance(entry.what, QueuedSlice):
                heapq.heappop(self._heap)
                return entry.what
            found = self._split(entry.what, entry.bound, limit) if entry.what else self._price(entry, limit)
            heapq.heappop(self._heap)  # only now: until it is replaced, its bound is that of what is inside
            for new in found:
                heapq.heappush(self._heap, new)
        return None

    def _split(self, cell: _Cell, bound: float, limit: float) -> list[_Entry]:
        if len(cell.settings) > 1:
            runs = self._settings_within(cell.settings)
            if len(runs) > 1:
                return [self._entry(_Cell(run, cell.widths)) for run in runs]
            return self._bounded([_Cell(range(i, i + 1), cell.widths) for i in cell.settings], limit)
        if len(self._floors) > 1 and len(cell.widths) == self._n_widths:
            return self._bounded([_Cell(cell.settings, widths) for widths, _ in self._floors], limit)
        return self._frames(cell, bound, limit)

    def _settings_within(self, settings: range) -> list[range]:
        """A run of settings in runs of whole families; one family in runs of batches, small enough."""
        n = len(self.space.batches)
        step = n if len(settings) > n else _BATCHES
        parts = -(-len(settings) // step)
        step *= -(-parts // _SPLIT) if step == n else 1
        return [settings[i : i + step] for i in range(0, len(settings), step)]

    def _bounded(self, cells: list[_Cell], limit: float) -> list[_Entry]:
        """Cells of one family, of several settings or several runs of widths, with their coarse bounds."""
        settings = range(cells[0].settings.start, cells[-1].settings.stop)
        keys = self._coarse.keys(settings, list(dict.fromkeys(cell.widths for cell in cells)))
        found = []
        for cell, key in zip(cells, keys.ravel().tolist(), strict=True):
            if key <= _edge(limit) and key < np.inf:
                found.append(replace(self._entry(cell), bound=key))
            else:
                self.empty.append((key, cell))
        return found

    def _entry(self, cell: _Cell) -> _Entry:
        number = cell.settings.start * self._n_widths + cell.widths.start
        return _Entry(self._coarse.least, number, 0, cell)

    def _frames(self, cell: _Cell, bound: float, limit: float) -> list[_Entry]:
        """The frames of a cell of one setting and one run of widths, without those above the limit."""
        setting, start = cell.settings.start, cell.widths.start
        keys = self.floors_of(setting, start)
        if is_below(float(keys.min()), bound):
            raise InternalMismatch(
                f"setting {setting}: the bound of all its widths, {bound:.9g}, is above that of one of them, "
                f"{keys.min():.9g}; no answer is given"
            )
        first = setting * self._n_widths + start
        wanted = np.flatnonzero((keys < np.inf) & (keys <= _edge(limit)))
        return [_Entry(float(keys[i]), first + int(i), 0) for i in wanted]

    def floors_of(self, setting: int, start: int) -> np.ndarray:
        """Floors of the frames of a setting in the run of widths that begins at `start`."""
        key = (setting, start)
        if key not in self.floors:
            widths, floors = next(item for item in self._floors if item[0].start == start)
            whole = self.space.setting(setting)
            own = whole.d_model[widths.start : widths.stop]
            found = floors.key(replace(whole, d_model=own))
            self.floors[key] = np.maximum(found, self._coarse.least)
        return self.floors[key]

    def left_out_by(self, number: int) -> float:
        """The bound that a frame which was not opened was left out by: its floor, or that of its cell."""
        setting, width = divmod(number, self._n_widths)
        start = next(widths.start for widths, _ in self._floors if width in widths)
        if (setting, start) in self.floors:
            return float(self.floors[setting, start][width - start])
        cells = [(entry.bound, entry.what) for entry in self._heap if isinstance(entry.what, _Cell)]
        cells += self.empty
        return next(
            (bound for bound, c in cells if setting in c.settings and width in c.widths), np.inf
        )  # in no cell: nothing was there to be bounded

    def _price(self, entry: _Entry, limit: float) -> list[_Entry]:
        self.opened[entry.number] = entry.bound
        found = []
        for table, bounds in self.priced(entry.number):
            for row in np.flatnonzero(np.isfinite(bounds.key) & (bounds.key <= _edge(limit))):
                bound = max(entry.bound, float(bounds.key[row]))
                queued = QueuedSlice(bound, entry.number, table, bounds, int(row))
                found.append(_Entry(bound, entry.number, queued.n_layers, queued))
        self.slices_priced += len(found)
        return found

    def priced(self, number: int) -> list[tuple[FrameTable, DepthBounds]]:
        """The columns of a frame, in runs of depths, with their bounds; none if the rules leave nothing."""
        frame = self.space.frame(number)
        rules = self._compiler.compile(frame)
        if not rules.alive:
            return []
        found = []
        for table in self._table(frame, rules).parts():
            self.watch.check()
            found.append((table, depth_bounds(table, self.objective, self.sense)))
        return found

    def _table(self, frame: Frame, rules: FrameRules) -> FrameTable:
        """The frame's columns, kept for later searches over the same space."""
        known: dict[Any, FrameTable] = self.space.memo["tables"]
        key = (*frame.identity, rules.kinds)
        old = known.get(key)
        wanted = [*quantities_in_use(self.objective, rules), *self.also]
        lacking = [name for name in wanted if old is None or name not in old.columns]
        table = frame_table(self.space, frame, rules, lacking)
        if old is not None:
            table = replace(table, columns=old.columns | table.columns, grids=old.grids)
        if lacking:
            known[key] = table
        return table


def is_below(value: float, bound: float) -> bool:
    """Whether a value is below what should bound it, by more than float noise; of inf every number is."""
    return bool(value < bound - (CLOSE * abs(bound) if np.isfinite(bound) else 0.0))


def _edge(limit: float) -> float:
    """What may be equal to a plan at the limit is wanted too."""
    return limit + abs(limit) * CLOSE if np.isfinite(limit) else np.inf
