"""The cells of an architecture problem, cheapest bounds first: nothing is bounded finely before its turn.

A block of cells is a run of settings and widths. It enters with a coarse bound, or none, and is opened when
its turn comes: into settings, into runs of widths, into frames with their floors (`floors.py`). A frame is
priced and opens into its slices, each with the bound its columns give (`bounds.py`); a slice is whole. The
order of slices follows from the bounds of frames and slices alone, not from how blocks were split.
"""

from dataclasses import dataclass, replace

import numpy as np

from optimizer.columns.rules import Rules
from optimizer.errors import InternalMismatch
from optimizer.questions.architecture.bounds import DepthBounds, depth_bounds
from optimizer.questions.architecture.coarse import CoarseBounds
from optimizer.questions.architecture.enumeration import quantities_in_use
from optimizer.questions.architecture.floors import Floors
from optimizer.questions.architecture.frame_rules import Compiler
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.table import FrameTable, kept_table
from optimizer.scope import Symbol
from optimizer.search.cells import Cell, Cells, Rank
from optimizer.watch import UNWATCHED, Watch

CLOSE = 1e-9
"""Bounds and plans are computed along different paths: relative differences up to this are none."""
_SPLIT = 64
"""Cells that a run of families of settings is split into."""
_BATCHES = 512
"""Settings of a family bounded at once."""


@dataclass(frozen=True)
class SliceCell:
    """A slice to be looked through: row `row` of a priced frame."""

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
class Frames:
    """Settings by number, and widths by their place among those of the space."""

    settings: range
    widths: range


@dataclass(frozen=True)
class OneFrame:
    """A frame by its number, not priced yet."""

    number: int


Part = Frames | OneFrame | SliceCell


@dataclass
class SliceCells:
    """All slices of a space that the rules leave, for one objective, and the cells that they come from."""

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
        whole = Frames(range(self.space.n_settings), range(self._n_widths))
        empty = not len(self.space.attention) or not len(self.space.ffn)  # a choice held where no kind has it
        self.waiting: Cells[Part] = Cells(self.opened, self.watch)
        self.waiting.add([] if empty else [self._cell(whole)])
        self.empty: list[Cell[Part]] = []
        """Frames left out by their coarse bounds."""
        self.priced_at: dict[int, float] = {}
        """Floors of the frames that were priced."""
        self.floors: dict[tuple[int, int], np.ndarray] = {}
        """Floors by setting and first width of a run, where they were worked out."""

    def pop(self, limit: float) -> SliceCell | None:
        """The next slice whose bound is below `limit`; None if there is none. Raises Stopped."""
        cell = self.waiting.pop((limit,))
        return cell.what if cell is not None and isinstance(cell.what, SliceCell) else None

    def opened(self, cell: Cell[Part], limit: Rank) -> list[Cell[Part]] | None:
        """What is inside a cell and may be below a limit; None of a slice, which is whole."""
        part, [bound], [most] = cell.what, cell.rank, limit
        if isinstance(part, SliceCell):
            return None
        return (
            self._price(part, bound, most) if isinstance(part, OneFrame) else self._split(part, bound, most)
        )

    def _split(self, cell: Frames, bound: float, limit: float) -> list[Cell[Part]]:
        if len(cell.settings) > 1:
            runs = self._settings_within(cell.settings)
            if len(runs) > 1:
                return [self._cell(Frames(run, cell.widths)) for run in runs]
            return self._bounded([Frames(range(i, i + 1), cell.widths) for i in cell.settings], limit)
        if len(self._floors) > 1 and len(cell.widths) == self._n_widths:
            return self._bounded([Frames(cell.settings, widths) for widths, _ in self._floors], limit)
        return self._frames(cell, bound, limit)

    def _settings_within(self, settings: range) -> list[range]:
        """A run of settings in runs of whole families; one family in runs of batches, small enough."""
        n = len(self.space.batches)
        step = n if len(settings) > n else _BATCHES
        parts = -(-len(settings) // step)
        step *= -(-parts // _SPLIT) if step == n else 1
        return [settings[i : i + step] for i in range(0, len(settings), step)]

    def _bounded(self, cells: list[Frames], limit: float) -> list[Cell[Part]]:
        """Cells of one family, of several settings or several runs of widths, with their coarse bounds."""
        settings = range(cells[0].settings.start, cells[-1].settings.stop)
        keys = self._coarse.keys(settings, list(dict.fromkeys(cell.widths for cell in cells)))
        found = []
        for cell, key in zip(cells, keys.ravel().tolist(), strict=True):
            if key <= _edge(limit) and key < np.inf:
                found.append(self._cell(cell, key))
            else:
                self.empty.append(self._cell(cell, key))
        return found

    def _cell(self, part: Frames, bound: float | None = None) -> Cell[Part]:
        number = part.settings.start * self._n_widths + part.widths.start
        return Cell((self._coarse.least if bound is None else bound,), (number, 0), part)

    def _frames(self, cell: Frames, bound: float, limit: float) -> list[Cell[Part]]:
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
        return [Cell((float(keys[i]),), (first + int(i), 0), OneFrame(first + int(i))) for i in wanted]

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
        frames = [*self.waiting, *self.empty]
        for cell in frames:
            part = cell.what
            if isinstance(part, Frames) and setting in part.settings and width in part.widths:
                return float(cell.rank[0])
        return np.inf  # in no cell: nothing was there to be bounded

    def _price(self, frame: OneFrame, floor: float, limit: float) -> list[Cell[Part]]:
        self.priced_at[frame.number] = floor
        found: list[Cell[Part]] = []
        for table, bounds in self.priced(frame.number):
            for row in np.flatnonzero(np.isfinite(bounds.key) & (bounds.key <= _edge(limit))):
                bound = max(floor, float(bounds.key[row]))
                part = SliceCell(bound, frame.number, table, bounds, int(row))
                found.append(Cell((bound,), (frame.number, part.n_layers), part))
        self.slices_priced += len(found)
        return found

    def priced(self, number: int) -> list[tuple[FrameTable, DepthBounds]]:
        """The columns of a frame, in runs of depths, with their bounds; none if the rules leave nothing."""
        frame = self.space.frame(number)
        rules = self._compiler.compile(frame)
        if not rules.alive:
            return []
        found = []
        wanted = [*quantities_in_use(self.objective, rules), *self.also]
        for table in kept_table(self.space, frame, rules, wanted).parts():
            self.watch.check()
            found.append((table, depth_bounds(table, self.objective, self.sense)))
        return found


def is_below(value: float, bound: float) -> bool:
    """Whether a value is below what should bound it, by more than float noise; of inf every number is."""
    return bool(value < bound - (CLOSE * abs(bound) if np.isfinite(bound) else 0.0))


def _edge(limit: float) -> float:
    """What may be equal to a plan at the limit is wanted too."""
    return limit + abs(limit) * CLOSE if np.isfinite(limit) else np.inf
