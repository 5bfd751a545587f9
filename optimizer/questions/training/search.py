"""The best training setting: the lattice in cells, cells in splits, each in the order of what they can reach.

Every metric of a setting is a function of its step time, its chips and its memory that never improves when
the step or the memory grows. So the optimistic bounds of a cell or a split bound its objective, and rule it
out for every bound the user asked for. A cell (some degrees held) is opened when its turn comes: a wide
lattice has a first plan at once, and is never built whole.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optimizer.errors import InternalMismatch
from optimizer.questions.training.choices import Inner
from optimizer.questions.training.lattice import Cell, Lattice, Measure
from optimizer.search.cells import NOTHING, BestFirst, Cells, InOrder, Rank
from optimizer.search.cells import Cell as Waiting
from optimizer.watch import UNWATCHED, Progress, Stopped, Watch

_SAME = 1e-9
_DIVE = 64
"""Splits priced for a first setting, at most, before every cell has its bound."""
_WITNESSES = 32
"""Splits that bounds ruled out and that are priced all the same, at most."""


@dataclass(frozen=True)
class Limits:
    """What must hold: each measure at most its number; bytes on a chip at most `memory`."""

    measures: tuple[tuple[Measure, float], ...]
    memory: float

    def hold(self, step_s: Any, n_chips: Any, memory: Any) -> Any:
        """Where all of them hold."""
        keeps = memory <= self.memory
        for measure, most in self.measures:
            keeps = keeps & (measure(step_s, n_chips, memory) <= most)
        return keeps


@dataclass(frozen=True)
class Found:
    """One setting and what it costs."""

    split: dict[str, int]
    inner: Inner
    row: int
    score: float
    step_s: float
    memory: float

    @property
    def rank(self) -> tuple[float, float]:
        """The lower the better."""
        return self.score, self.step_s


@dataclass
class Counts:
    """What a search did with cells and splits."""

    cells: int = 0
    cells_opened: int = 0
    settings: int = 0
    """Settings of the cells opened."""
    splits: int = 0
    """Splits of the cells opened: without memory, out by their bound, or priced."""
    without_memory: int = 0
    by_bound: int = 0
    priced: int = 0
    settings_priced: int = 0
    witnesses: int = 0
    """Splits ruled out that were priced all the same, none of them better."""
    unfinished: float | None = None
    """Where time ran out: no setting left has a score below this."""
    opened: list[tuple["Cell", list[int]]] = field(default_factory=list)
    """Cells opened, each with the splits that were priced."""

    def look(self, cell: "Cell", priced: list[int], without_memory: int) -> None:
        """A cell was looked through, to its end or to that of the watch."""
        self.cells_opened += 1
        self.settings += cell.n_settings
        self.splits += len(cell)
        self.without_memory += without_memory
        self.priced += len(priced)
        self.by_bound += len(cell) - without_memory - len(priced)
        self.opened.append((cell, priced))


def search(
    lattice: Lattice, score: Measure, limits: Limits, counts: Counts, watch: Watch = UNWATCHED
) -> Found | None:
    """The setting of the least score that keeps all limits, ties by step time; None if there is none.

    At the end of the watch, the best so far, and `counts.unfinished`.
    """
    return _Search(lattice, score, limits, counts, watch).run()


@dataclass(frozen=True)
class _Split:
    """The next split of an open cell."""

    number: int
    """Of the cell."""
    row: int


@dataclass
class _Search:
    lattice: Lattice
    score: Measure
    limits: Limits
    counts: Counts
    watch: Watch
    fits: dict[int, Any] = field(default_factory=dict)
    """Cell number to which of its splits fit in memory, of those that are open."""
    priced: dict[int, list[int]] = field(default_factory=dict)
    least: float = field(init=False)
    """No setting has a score below this: what is known before any cell has its bound."""

    def run(self) -> Found | None:
        cells = self.lattice.cells
        self.counts.cells += len(cells)
        waiting: Cells[int | _Split] = Cells(self._opened, self.watch)
        self.hunt: BestFirst[int | _Split, Found] = BestFirst(waiting, _rank, tell=self._tell)
        self.least = self.hunt.apart = self.lattice.least(self.lattice.flops_s, self.score)
        if not (self._dive() and self._all()):
            self.counts.unfinished = self.hunt.bound
        for number, priced in self.priced.items():
            self.counts.look(cells[number], priced, int((~self.fits[number]).sum()))
        return self.hunt.best

    def _dive(self) -> bool:
        """A first setting early: some splits of a likely cell, before all cells are bounded."""
        likely = self.lattice.likely
        if likely is None:
            return True
        self.hunt.cells.add([self._cell(self.lattice.cells.index(likely), self.lattice.flops_s)])
        return self.hunt.run(self._look, lambda: self.hunt.best is not None or self.hunt.looked >= _DIVE)

    def _all(self) -> bool:
        try:
            self.lattice.bound_cells(self.watch)
        except Stopped:
            return False
        closed = [(n, c) for n, c in enumerate(self.lattice.cells) if n not in self.fits]
        self.hunt.cells.add([self._cell(n, cell.chip_seconds) for n, cell in closed])
        self.hunt.apart = NOTHING[0]
        return self.hunt.run(self._look)

    def _cell(self, number: int, chip_seconds: float) -> Waiting[int | _Split]:
        score = max(self.least, self.lattice.least(chip_seconds, self.score))
        return Waiting((score, chip_seconds / self.lattice.chips), (number,), number)

    def _opened(self, cell: Waiting[int | _Split], limit: Rank) -> InOrder[int | _Split] | None:
        """The splits of a cell in the order of their bounds, without those that break a limit."""
        if isinstance(cell.what, _Split):
            return None
        number = cell.what
        own = self.lattice.cells[number].open(self.watch)
        least, memory, n = own.bounds.step_s, own.bounds.memory, own.n_chips
        scores = np.broadcast_to(self.score(least, n, memory), least.shape)
        rows = np.flatnonzero(self.limits.hold(least, n, memory))
        rows = rows[np.lexsort((least[rows], scores[rows]))]
        self.fits[number] = memory <= self.limits.memory
        self.priced[number] = []
        ranked = zip(scores[rows].tolist(), least[rows].tolist(), rows.tolist(), strict=True)
        return InOrder(Waiting((key, step_s), (number,), _Split(number, row)) for key, step_s, row in ranked)

    def _look(self, waiting: Waiting[int | _Split]) -> None:
        if not isinstance(split := waiting.what, _Split):
            return
        self.priced[split.number].append(split.row)
        cell = self.lattice.cells[split.number]
        found = _best_inside(cell, split.row, self.score, self.limits, self.counts)
        if found and (self.hunt.best is None or found.rank < self.hunt.best.rank):
            self.hunt.take(found)

    def _tell(self, found: Found, bound: float) -> None:
        done = self.counts.settings_priced
        self.watch.say(Progress("training settings", incumbent=found.score, bound=bound, done=done))


def _rank(found: Found) -> Rank:
    return found.rank


def _best_inside(cell: Cell, i: int, score: Measure, limits: Limits, counts: Counts) -> Found | None:
    """The best setting of one split, all of them priced."""
    inner, step_s, memory = cell.priced(i)
    counts.settings_priced += len(inner)
    n = int(cell.n_chips[i])
    rows = np.flatnonzero(limits.hold(step_s, n, memory))
    if not len(rows):
        return None
    values = np.broadcast_to(score(step_s, n, memory), step_s.shape)
    row = int(rows[np.lexsort((step_s[rows], values[rows]))[0]])
    return Found(cell.split(i), inner, row, float(values[row]), float(step_s[row]), float(memory[row]))


def witness(
    lattice: Lattice, score: Measure, limits: Limits, counts: Counts, best: Found | None, watch: Watch
) -> None:
    """Price some splits that bounds ruled out, all where they are few; none may be better than the best.

    Raises InternalMismatch if one is, or is below its bounds: then bounds ruled out what they must not.
    """
    draw = np.random.default_rng(0)
    opened = {id(cell) for cell, _ in counts.opened}
    closed = [cell for cell in lattice.cells if id(cell) not in opened]
    unseen = [(cell, np.setdiff1d(np.arange(len(cell)), priced)) for cell, priced in counts.opened]
    for k in draw.permutation(len(closed))[:2]:
        cell = closed[int(k)].open(watch)
        unseen.append((cell, np.arange(len(cell))))
    pairs = [(cell, int(i)) for cell, rows in unseen for i in _some(draw, rows)]
    for k in draw.permutation(len(pairs))[:_WITNESSES]:
        watch.check()
        cell, i = pairs[int(k)]
        found = _best_inside(cell, i, score, limits, Counts())
        counts.witnesses += 1
        if found and (best is None or found.score < best.score - abs(best.score) * _SAME):
            raise InternalMismatch(
                f"split {found.split} was ruled out unseen and is better than the answer; no answer is given"
            )


def _some(draw: np.random.Generator, rows: Any) -> Any:
    return rows if len(rows) <= _WITNESSES else draw.choice(rows, _WITNESSES, replace=False)
