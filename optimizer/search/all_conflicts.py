"""Every minimal conflict among named bounds.

A set of rules conflicts if no plan keeps them all; it is minimal if no part of it conflicts. The sets are
found as MARCO does (Liffiton et al., Constraints 21, 2016): take a largest set of rules not yet decided; if
it has a plan, everything inside it is decided; if not, shrink it to a minimal conflict, and everything
around that is decided. When nothing is undecided, the list is complete.
"""

from collections.abc import Callable, Iterable
from itertools import chain, combinations

from optimizer.watch import Progress, Watch

_MOST_SETS = 300_000
"""Sets of rules walked through at most; with 18 rules and more the list may then be incomplete."""
Names = frozenset[str]


class Conflicts:
    """The minimal conflicts among names, smallest first, as far as found."""

    def __init__(
        self,
        names: list[str],
        around: Callable[[Names], Names | None],
        limit: int,
        watch: Watch,
    ) -> None:
        """`around`: the names that a plan under some names keeps; None if there is no such plan."""
        self.names, self.around, self.limit, self.watch = names, around, limit, watch
        self.conflicts: list[Names] = []
        self.feasible: list[Names] = []
        self.complete = False
        self.walked_all = True
        self.asked = 0

    def run(self) -> None:
        """List them."""
        while len(self.conflicts) < self.limit:
            seed = self._undecided()
            if seed is None:
                self.complete = self.walked_all
                break
            if (kept := self._plan(seed)) is not None:
                self.feasible.append(kept)
            else:
                self.conflicts.append(self._shrunk(seed))
                self.say("conflicts")
        self.conflicts.sort(key=len)

    def say(self, phase: str, left: int | None = None) -> None:
        """Tell whoever watches what is being done, and how many such steps are left where that is known."""
        found = len(self.conflicts)
        self.watch.say(Progress(phase, points=found, done=self.asked, left=left, more=left is None))

    def _undecided(self) -> Names | None:
        """A largest set that neither lies in a feasible set nor holds a conflict.

        It is the rest of a smallest set that meets every conflict, and is in no feasible set.
        """
        everything = frozenset(self.names)
        sizes = (combinations(self.names, size) for size in range(len(self.names) + 1))
        for walked, left_out in enumerate(chain.from_iterable(sizes)):
            if walked > _MOST_SETS:
                self.walked_all = False
                return None
            trial = everything.difference(left_out)
            if not self._decided(trial):
                return trial
        return None

    def _decided(self, trial: Names) -> bool:
        return any(trial <= kept for kept in self.feasible) or any(c <= trial for c in self.conflicts)

    def _plan(self, trial: Iterable[str]) -> Names | None:
        """The rules that a plan under these rules keeps; None if there is no such plan."""
        trial = frozenset(trial)
        for kept in self.feasible:
            if trial <= kept:
                return kept
        if any(conflict <= trial for conflict in self.conflicts):
            return None
        self.asked += 1
        return self.around(trial)

    def _shrunk(self, conflict: Names) -> Names:
        """Leave out rules while no plan appears."""
        for name in self.names:
            if name not in conflict:
                continue
            around = self._plan(conflict - {name})
            if around is None:
                conflict = conflict - {name}
            else:
                self.feasible.append(around)
        return conflict
