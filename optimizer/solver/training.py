"""The best training setting: splits in the order of what they can reach at best, until none can win.

Every metric of a setting is a function of its step time, its chips and its memory that never improves when
the step or the memory grows. So the optimistic bounds of a split bound its objective, and rule it out for
every bound the user asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.columns.training_bounds import WorkTable, bounds_of, work_table
from optimizer.columns.training_lattice import (
    Inner,
    Splits,
    inner_of,
    n_inner,
    sequence_keeps,
    splits_of,
    with_inner,
)
from optimizer.cost.training.memory import rank_parameters, training_memory
from optimizer.cost.training.step import step_times
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.training_problem import TrainingProblem
from optimizer.watch import UNWATCHED, Watch

Measure = Callable[[Any, Any, Any], Any]
"""(step seconds, chips, bytes on a chip) to a number that grows with the first and the last."""


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


@dataclass
class Counts:
    """How the splits of a search were ruled out."""

    splits: int = 0
    without_memory: int = 0
    by_bound: int = 0
    priced: int = 0
    settings_priced: int = 0
    unfinished: float | None = None
    """Where time ran out: no setting left has a score below this."""


class Lattice:
    """The splits of a problem with their bounds; many searches may use one."""

    def __init__(self, problem: TrainingProblem, architecture: Architecture, chip: Chip, chips: int) -> None:
        self.problem, self.architecture, self.chip = problem, architecture, chip
        self.splits: Splits = splits_of(problem, architecture, chips)
        self.table: WorkTable = work_table(problem, architecture, chip, self.splits)
        self.bounds = bounds_of(problem, architecture, chip, self.splits, self.table)
        self.n_chips = self.splits.n_chips

    def n_settings(self) -> int:
        """Settings of all splits that keep the rules."""
        return int(n_inner(self.problem, self.architecture.n_layers, self.splits).sum())


def search(
    lattice: Lattice, score: Measure, limits: Limits, counts: Counts, watch: Watch = UNWATCHED
) -> Found | None:
    """The setting of the least score that keeps all limits, ties by step time; None if there is none."""
    least, bounds, n = lattice.bounds.step_s, lattice.bounds, lattice.n_chips
    fits = bounds.memory <= limits.memory
    may = fits & limits.hold(least, n, bounds.memory)
    scores = score(least, n, bounds.memory)
    rows = np.flatnonzero(may)
    order = rows[np.lexsort((least[rows], scores[rows]))]
    best: Found | None = None
    priced = 0
    for i in order:
        if best is not None and (scores[i], least[i]) >= (best.score, best.step_s):
            break
        if watch.over:
            counts.unfinished = float(scores[i])
            break
        priced += 1
        found = _best_inside(lattice, int(i), score, limits, counts)
        if found and (best is None or (found.score, found.step_s) < (best.score, best.step_s)):
            best = found
    counts.splits = len(lattice.splits)
    counts.without_memory += int((~fits).sum())
    counts.priced += priced
    counts.by_bound += len(lattice.splits) - int((~fits).sum()) - priced
    return best


def _best_inside(lattice: Lattice, i: int, score: Measure, limits: Limits, counts: Counts) -> Found | None:
    """The best setting of one split, all of them priced."""
    split = lattice.splits.row(i)
    inner, step_s, memory = priced_inside(lattice, i)
    counts.settings_priced += len(inner)
    n = int(lattice.n_chips[i])
    keeps = limits.hold(step_s, n, memory) & sequence_keeps(lattice.problem, split, inner)
    rows = np.flatnonzero(keeps)
    if not len(rows):
        return None
    values = np.broadcast_to(score(step_s, n, memory), step_s.shape)
    row = int(rows[np.lexsort((step_s[rows], values[rows]))[0]])
    return Found(split, inner, row, float(values[row]), float(step_s[row]), float(memory[row]))


def priced_inside(lattice: Lattice, i: int) -> tuple[Inner, Any, Any]:
    """(settings, step seconds, bytes on a chip) of one split."""
    split = lattice.splits.row(i)
    architecture, chip = lattice.architecture, lattice.chip
    inner = inner_of(lattice.problem, architecture.n_layers, split)
    at = with_inner(lattice.problem, split, inner)
    own = lattice.table.of(lattice.splits.take([i]))
    held = rank_parameters(architecture, at)
    size = (len(inner),)
    step_s = np.broadcast_to(step_times(architecture.n_layers, chip, at, own, held).total, size)
    memory = np.broadcast_to(training_memory(architecture, at).total, size)
    return inner, step_s, memory
