"""The best plan over clusters: cells in the order of what they can reach, structures in that of their bounds.

Every metric is a function of a step, its chips and its fullest chip's memory that no longer step and no more
memory makes better, so that bounds on both bound it. Whole structures are looked through in `inside.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np

from optimizer.errors import InternalMismatch
from optimizer.questions.training_across.inside import Found, Limits, Structure
from optimizer.questions.training_across.metrics import AcrossMetric
from optimizer.questions.training_across.opened import Opened, opened
from optimizer.questions.training_across.structures import Part, Space
from optimizer.questions.training_across.ways import Within
from optimizer.search.cells import NOTHING, BestFirst, Cell, Cells, InOrder, Rank
from optimizer.watch import UNWATCHED, Progress, Watch

_SAME = 1e-9
_DIVE = 4
"""Structures of each cell whose layers are placed at once, until there is a first plan."""
_WITNESSES = 16
"""Cells that bounds ruled out and in which a plan is looked for all the same, at most."""


@dataclass
class Counts:
    """What a search did."""

    cells: int = 0
    opened: int = 0
    structures: int = 0
    without_memory: int = 0
    placed: int = 0
    """Structures whose layers were placed."""
    witnesses: int = 0
    unfinished: float | None = None
    """Where time ran out: no plan left has a score below this."""


What = Part | tuple[Opened, int]


@dataclass
class Search:
    """The search for the plan of the least score that keeps all limits, ties by step time."""

    space: Space
    metric: AcrossMetric
    limits: Limits
    within: Within
    counts: Counts
    watch: Watch = UNWATCHED
    hunt: BestFirst[What, Found] = field(init=False)

    def run(self, any_plan: bool = False) -> Found | None:
        """The best plan, or any; None if there is none. At the end of the watch the best so far."""
        waiting: Cells[What] = Cells(self._opened, self.watch)
        self.hunt = BestFirst(waiting, lambda found: found.rank, tell=self._tell)
        cells = [self._cell(part, (n,)) for n, part in enumerate(self.space.parts(self.within))]
        self.counts.cells += len(cells)
        waiting.add(cells)
        if not self.hunt.run(self._look, lambda: any_plan and self.hunt.best is not None):
            self.counts.unfinished = self.hunt.bound
        return self.hunt.best

    def _cell(self, part: Part, order: tuple[int, ...]) -> Cell[What]:
        """A cell with its bound; one that keeps no limit ranks last."""
        reach = self.space.reach(part)
        holds = self.limits.hold(reach.step_s, reach.chips, 0.0, reach.chip)
        scores = np.where(holds, self.metric.measure(reach.step_s, reach.chips, 0.0, reach.chip), np.inf)
        return Cell((float(scores.min()), float(reach.step_s.min())), order, part)

    def _opened(self, cell: Cell[What], limit: Rank) -> list[Cell[What]] | InOrder[What] | None:
        if not isinstance(cell.what, Part):
            return None
        self.counts.opened += 1
        if not cell.what.ranks:
            finer = enumerate(self.space.held(cell.what))
            return [self._cell(part, (*cell.order, n)) for n, part in finer]
        structures = self._structures(cell)
        if self.hunt.best is None:
            first = list(islice(structures, _DIVE))
            for structure in first:
                self._look(structure)  # a first plan early, whatever cells are before it
            structures = chain(first, structures)
        return InOrder(structures)

    def _structures(self, cell: Cell[What]) -> Iterator[Cell[What]]:
        """The structures of a cell that may keep all limits, in the order of their bounds."""
        if not isinstance(cell.what, Part):
            return
        if not self.space.has_room(cell.what, self.limits.share, self.limits.most):
            return
        own = opened(self.space, cell.what, self.within)
        self.counts.structures += len(own)
        if not len(own):
            return
        fits = own.fits(self.limits.share, self.limits.most)
        self.counts.without_memory += int((~fits).sum())
        figures = own.step_s, own.chips, own.memory, own.chip
        scores = np.broadcast_to(self.metric.measure(*figures), own.step_s.shape)
        rows = np.flatnonzero(fits & own.allowed(self.within) & self.limits.hold(*figures))
        rows = rows[np.lexsort((own.step_s[rows], scores[rows]))]
        for row in rows.tolist():
            yield Cell((float(scores[row]), float(own.step_s[row])), (*cell.order, row), (own, row))

    def _look(self, cell: Cell[What]) -> None:
        if isinstance(cell.what, Part):
            return
        found = self.inside(*cell.what, cell.rank, self.hunt.limit)
        if found and (self.hunt.best is None or found.rank < self.hunt.best.rank):
            self.hunt.take(found)

    def inside(self, own: Opened, row: int, bound: Rank, limit: Rank) -> Found | None:
        """The best plan of one structure; None if none ranks below a limit.

        Raises InternalMismatch if it is below its bound.
        """
        self.counts.placed += 1
        one = Structure(own, row, self.limits)
        found = one.best(self.metric, limit)
        if found is None:
            return None
        low, least = bound[0], float(own.step_s[row])
        if found.score < low - abs(low) * _SAME or found.step_s < least * (1 - _SAME):
            raise InternalMismatch(
                f"a plan takes {found.step_s:.9g} s a step, its bound says {least:.9g}; no answer is given"
            )
        return found

    def _tell(self, found: Found, bound: float) -> None:
        sign = -1.0 if self.metric.more else 1.0
        self.watch.say(
            Progress(
                "plans over clusters",
                self.metric.name,
                self.metric.unit,
                sign * found.score,
                sign * bound,
                done=self.counts.placed,
            )
        )

    def witness(self, best: Found | None) -> None:
        """Look for plans in some cells that bounds ruled out; none may be better than the best.

        Raises InternalMismatch if one is, and Stopped.
        """
        draw, left = np.random.default_rng(0), list(self.hunt.cells)
        for k in draw.permutation(len(left))[:_WITNESSES]:
            self.watch.check()
            cell: Cell[What] | None = left[int(k)]
            while cell is not None and isinstance(cell.what, Part):
                finer = (
                    list(self._structures(cell))
                    if cell.what.ranks
                    else [self._cell(part, cell.order) for part in self.space.held(cell.what)]
                )
                cell = finer[int(draw.integers(len(finer)))] if finer else None
            if cell is None or isinstance(cell.what, Part):
                continue
            found = self.inside(*cell.what, cell.rank, NOTHING)
            self.counts.witnesses += 1
            if found and (best is None or found.score < best.score - abs(best.score) * _SAME):
                raise InternalMismatch(
                    "a cell was ruled out unseen and holds a better plan; no answer is given"
                )
