"""The best plan of a space under some rules: its slices, best first.

1. Of a wide space, find a plan among a few round values first (`early.py`).
2. Take the slice with the lowest bound (`cells.py`). If it is not below the incumbent, that is optimal.
3. Solve it twice (`slice_search.py`).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from optimizer.columns.rules import Rules
from optimizer.questions.architecture.cells import Part, SliceCell, SliceCells
from optimizer.questions.architecture.early import Coarse, coarse
from optimizer.questions.architecture.enumeration import SlicePlans
from optimizer.questions.architecture.slice_search import Candidate, Counts, SliceSearch
from optimizer.questions.architecture.space import Space
from optimizer.scope import Symbol
from optimizer.search.cells import BestFirst, Cell, Rank
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.watch import UNWATCHED, Progress, Stopped, Watch

_CLOSE = 1e-12


@dataclass(frozen=True)
class Outcome:
    """The incumbent, the proven bound on sense x objective, and what it took."""

    best: Candidate | None
    bound: float
    finished: bool
    counts: Counts


@dataclass
class Search:
    """One search over a space under some rules for one objective."""

    space: Space
    rules: Rules
    objective: Symbol
    sense: int
    watch: Watch = UNWATCHED
    any_plan: bool = False
    """Stop at the first plan: the question is only whether there is one."""
    beat: float = np.inf
    """Only plans whose sense x objective is below this are wanted."""
    settings: SolveSettings = SolveSettings()
    also: tuple[str, ...] = ()
    """Further quantities that the tables of solved slices are to hold."""
    start: Candidate | None = None
    """A plan that keeps the rules: only what is better is looked for."""

    solved: list[tuple[SliceCell, SlicePlans]] = field(default_factory=list, init=False)
    """Slices looked through, with their plans."""

    def run(self) -> Outcome:
        """Search to the end, or until the watch ends it (then with what was found)."""
        self.counts = Counts(frames=self.space.n_frames)
        self.solved = []
        self.cells = SliceCells(self.space, self.rules, self.objective, self.sense, self.watch, self.also)
        self.hunt: BestFirst[Part, Candidate] = BestFirst(
            self.cells.waiting, _rank, _improves, self._tell, (self.beat,), self.start
        )
        self.slices = SliceSearch(
            self.space,
            self.objective,
            self.sense,
            self.hunt,
            self.counts,
            self.watch,
            self.any_plan,
            self.settings,
        )
        finished = self._run()
        self.counts.slices += self.cells.slices_priced
        return Outcome(self.hunt.best, self.hunt.key if finished else self.hunt.bound, finished, self.counts)

    def _run(self) -> bool:
        try:
            if self.space.wide and np.isinf(self.hunt.limit[0]):
                self._early()
        except Stopped:
            return False
        return self.hunt.run(self._look, self._enough)

    def _enough(self) -> bool:
        return self.any_plan and self.hunt.best is not None

    def _look(self, cell: Cell[Part]) -> None:
        if isinstance(cell.what, SliceCell):
            self.solved.append((cell.what, self.slices.look(cell.what)))

    def _early(self) -> None:
        """A good plan of parts of the space, as a limit: any at first, then the best of every part."""
        for part in coarse(self.space):
            if self.hunt.best is None:
                self._take_part(part, any_plan=True)
            if not self._enough():
                self._take_part(part, any_plan=self.any_plan)

    def _take_part(self, part: Coarse, any_plan: bool) -> None:
        quiet = replace(self.watch, tell=None)  # its bounds are of the part alone
        [beat] = self.hunt.limit
        search = replace(self, space=part.space, any_plan=any_plan, beat=beat, also=(), watch=quiet)
        outcome = search.run()
        outcome.counts.frames_solved.clear()  # numbered otherwise
        self.counts.add(outcome.counts)
        if (best := outcome.best) is not None:
            kinds = int(part.attention[best.attention]), int(part.ffn[best.ffn])
            self.hunt.take(replace(best, attention=kinds[0], ffn=kinds[1]))
        if not outcome.finished:
            raise Stopped

    def _tell(self, plan: Candidate, bound: float) -> None:
        value, bound = self.sense * plan.key, self.sense * bound
        self.watch.say(Progress("search", self.objective.name, incumbent=value, bound=bound))


def _rank(plan: Candidate) -> Rank:
    return (plan.key,)


def _improves(rank: Rank) -> Rank:
    """Keys at or above this cannot improve on one."""
    [key] = rank
    return (key - abs(key) * _CLOSE if np.isfinite(key) else np.inf,)
