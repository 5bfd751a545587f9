"""The best training setting: the lattice in cells, cells in splits, each in the order of what they can reach.

Every metric of a setting is a function of its step time, its chips and its memory that never improves when
the step or the memory grows. So the optimistic bounds of a cell or a split bound its objective, and rule it
out for every bound the user asked for. A cell (some degrees held) is opened when its turn comes: a wide
lattice has a first plan at once, and is never built whole.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optimizer.cost.training.flops import forward_flops
from optimizer.cost.training.memory import rank_parameters, training_memory
from optimizer.cost.training.rules import facts_of
from optimizer.cost.training.step import step_times
from optimizer.errors import InternalMismatch
from optimizer.questions.training.bounds import ChipSeconds, Works, bounds_of
from optimizer.questions.training.lattice import (
    Choices,
    Domains,
    Inner,
    Splits,
    broken_rules,
    splits_of,
    with_inner,
)
from optimizer.questions.training.problem import TrainingProblem
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.watch import UNWATCHED, Progress, Stopped, Watch

Measure = Callable[[Any, Any, Any], Any]
"""(step seconds, chips, bytes on a chip) to a number that grows with the first and the last."""
_SAME = 1e-9
_CELL = 200_000
"""Splits of a cell at most, where degrees can be held: a few tenths of a second of bounds."""
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


class Cell:
    """Some of a lattice's splits; opened, with their bounds."""

    def __init__(self, lattice: "Lattice", domains: Domains) -> None:
        self.lattice, self.domains = lattice, domains
        self.chip_seconds = 0.0
        """Of a step, at least; 0 until the lattice has worked it out."""
        self.splits: Splits | None = None

    def open(self, watch: Watch = UNWATCHED) -> "Cell":
        """Work out splits and bounds, once; splits without a setting that keeps the rules are left out."""
        if self.splits is None:
            own = self.lattice
            splits = splits_of(own.problem, own.facts, self.domains, own.chips)
            watch.check()
            choices = Choices.of(own.problem, own.facts, splits)
            counts = choices.count()
            rows = np.flatnonzero(counts)
            splits, self.choices = splits.take(rows), choices.take(rows)
            self.bounds = bounds_of(own.works, splits, self.choices, watch)
            self.n_settings, self.n_chips, self.splits = int(counts.sum()), splits.n_chips, splits
        return self

    def __len__(self) -> int:
        return 0 if self.splits is None else len(self.splits)

    def split(self, i: int) -> dict[str, int]:
        """The degrees and the microbatch of one split."""
        if self.splits is None:
            raise ValueError("the cell is not open")
        return self.splits.row(i)

    def priced(self, i: int) -> tuple[Inner, Any, Any]:
        """(settings, step seconds, bytes on a chip) of one split.

        Raises InternalMismatch if any is below the bounds that would have ruled the split out.
        """
        own, split = self.lattice, self.split(i)
        inner = self.choices.inner(i)
        at = with_inner(own.problem, split, inner)
        rows = Splits(*(np.array([value]) for value in split.values()))
        held, size = rank_parameters(own.architecture, at), (len(inner),)
        times = step_times(own.architecture.n_layers, own.chip, at, own.works.of(rows), held)
        step_s = np.broadcast_to(times.total, size)
        memory = np.broadcast_to(training_memory(own.architecture, at).total, size)
        for what, bound, values in (
            ("step", self.bounds.step_s[i], step_s),
            ("memory", self.bounds.memory[i], memory),
            ("step", self.chip_seconds / self.n_chips[i], step_s),
            ("step", own.flops_s / self.n_chips[i], step_s),
        ):
            if values.min() < bound * (1 - _SAME):
                raise InternalMismatch(
                    f"split {split}: a setting's {what} of {values.min():.9g} is below the bound "
                    f"{bound:.9g} that could have ruled it out; no answer is given"
                )
        return inner, step_s, memory


class Lattice:
    """The cells of a problem; many searches may use one."""

    def __init__(self, problem: TrainingProblem, architecture: Architecture, chip: Chip, chips: int) -> None:
        self.problem, self.architecture, self.chip, self.chips = problem, architecture, chip, chips
        self.facts = facts_of(architecture, chip)
        self.works = Works(problem, architecture, chip)
        self.domains = Domains.of(problem, self.facts, chips)
        self.cells = [Cell(self, part) for part in _cut(self.domains)]
        self.bounded = False
        tokens = problem.global_batch * problem.sequence_length
        flops = forward_flops(architecture, problem.sequence_length).model(causal=True)
        self.flops_s = flops * tokens / max(chip.dense_flops.values())
        """Chip-seconds of a step at the peak: what is known before any layer is priced."""

    def bound_cells(self, watch: Watch) -> None:
        """Work out the chip-seconds of every cell, once. Raises Stopped."""
        if not self.bounded:
            reach = min(self.chips, self.facts.reach)
            least = ChipSeconds(self.works, self.domains, reach, watch)
            for cell in self.cells:
                cell.chip_seconds = least.of(cell.domains)
            self.bounded = True

    def least(self, chip_seconds: float, score: Measure) -> float:
        """No setting with so many chip-seconds or more has a score below this."""
        n = np.arange(1, self.chips + 1)
        return float(np.min(score(chip_seconds / n, n, 0.0)))

    @property
    def likely(self) -> Cell | None:
        """A cell that probably has a setting: as many ranks as fill a domain, one part of each sequence."""

        def fills(cell: Cell) -> tuple[int, ...]:
            inside = [t for t in cell.domains.tensor_parallel if t <= self.chip.scaleup.domain]
            return -max(inside, default=0), min(cell.domains.context_parallel), min(cell.domains.microbatch)

        cells = [cell for cell in self.cells if cell.domains.size]
        return min(cells, key=fills, default=None)


def _cut(domains: Domains) -> list[Domains]:
    """Domains cut until each part is small enough, or cannot be cut."""
    if domains.size <= _CELL:
        return [domains]
    parts = domains.parts()
    return parts if len(parts) == 1 else [small for part in parts for small in _cut(part)]


def search(
    lattice: Lattice, score: Measure, limits: Limits, counts: Counts, watch: Watch = UNWATCHED
) -> Found | None:
    """The setting of the least score that keeps all limits, ties by step time; None if there is none.

    At the end of the watch, the best so far, and `counts.unfinished`.
    """
    return _Search(lattice, score, limits, counts, watch).run()


@dataclass(order=True)
class _Entry:
    """Something that waits: a cell, or the next split of a cell that is open."""

    score: float
    step_s: float
    number: int
    place: int = field(compare=False, default=-1)
    """Place in the order of the cell's splits; -1 is the cell itself."""


@dataclass
class _Search:
    lattice: Lattice
    score: Measure
    limits: Limits
    counts: Counts
    watch: Watch
    best: Found | None = None
    heap: list[_Entry] = field(default_factory=list)
    orders: dict[int, Any] = field(default_factory=dict)
    """Cell number to (rows in the order of their bounds, scores, which splits fit in memory)."""
    priced: dict[int, list[int]] = field(default_factory=dict)
    bound: float = field(init=False)
    """No setting that is still to be found has a score below this."""

    def run(self) -> Found | None:
        cells = self.lattice.cells
        self.counts.cells += len(cells)
        self.bound = self.lattice.least(self.lattice.flops_s, self.score)
        try:
            self._dive()
            self.lattice.bound_cells(self.watch)
            for number, cell in enumerate(cells):
                if number not in self.orders:
                    least = self.lattice.least(cell.chip_seconds, self.score)
                    self.heap.append(_Entry(least, cell.chip_seconds / self.lattice.chips, number))
            heapq.heapify(self.heap)
            while self.heap:
                self.bound = max(self.bound, self.heap[0].score)
                if self.best and (self.heap[0].score, self.heap[0].step_s) >= self.best.rank:
                    break
                self.watch.check()
                self._take(heapq.heappop(self.heap))
        except Stopped:
            self.counts.unfinished = self.bound if self.best is None else min(self.bound, self.best.score)
        for number, priced in self.priced.items():
            self.counts.look(cells[number], priced, int((~self.orders[number][2]).sum()))
        return self.best

    def _dive(self) -> None:
        """A first setting early: some splits of a likely cell, before all cells are bounded."""
        likely = self.lattice.likely
        if likely is None:
            return
        number = self.lattice.cells.index(likely)
        self._open(number)
        while self.heap and self.best is None and len(self.priced[number]) < _DIVE:
            self.watch.check()
            self._take(heapq.heappop(self.heap))

    def _take(self, entry: _Entry) -> None:
        if entry.place < 0:
            self._open(entry.number)
            return
        self._wait(entry.number, entry.place + 1)
        row = int(self.orders[entry.number][0][entry.place])
        cell = self.lattice.cells[entry.number]
        self.priced[entry.number].append(row)
        found = _best_inside(cell, row, self.score, self.limits, self.counts)
        if found and (self.best is None or found.rank < self.best.rank):
            self.best = found
            done = self.counts.settings_priced
            self.watch.say(Progress("training settings", incumbent=found.score, bound=self.bound, done=done))

    def _open(self, number: int) -> None:
        cell = self.lattice.cells[number].open(self.watch)
        least, memory, n = cell.bounds.step_s, cell.bounds.memory, cell.n_chips
        fits = memory <= self.limits.memory
        scores = np.broadcast_to(self.score(least, n, memory), least.shape)
        rows = np.flatnonzero(self.limits.hold(least, n, memory))
        self.orders[number] = rows[np.lexsort((least[rows], scores[rows]))], scores, fits
        self.priced[number] = []
        self._wait(number, 0)

    def _wait(self, number: int, place: int) -> None:
        rows, scores, _ = self.orders[number]
        if place < len(rows):
            row = rows[place]
            least = float(self.lattice.cells[number].bounds.step_s[row])
            heapq.heappush(self.heap, _Entry(float(scores[row]), least, number, place))


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


def broken_everywhere(problem: TrainingProblem, lattice: Lattice) -> tuple[str, ...]:
    """Of a problem without a setting: the rules that every choice breaks, else all that some breaks."""
    rules = [broken_rules(problem, lattice.facts, cell.domains, lattice.chips) for cell in lattice.cells]
    every = set.intersection(*(always for always, _ in rules)) if rules else set()
    return tuple(sorted(every or set().union(*(some for _, some in rules))))
