"""Conflicts among named rules: sets that no plan keeps whole. The smallest one, or every minimal one.

A set conflicts if no plan keeps it; it is minimal if no part of it conflicts. What is asked is
`around(names)`: the names that some plan under these names keeps, at least themselves, or None if there is
no such plan.

The smallest is found by hitting sets (Ignatiev et al., CP 2015): every largest set with a plan leaves out a
name of each conflict, so a smallest set that meets all these complements, and has no plan, is a smallest
conflict. All are found as MARCO does (Liffiton et al., Constraints 21, 2016): take a largest set not yet
decided; if it has a plan, everything inside it is decided; if not, shrink it to a minimal conflict, and
everything around that is decided. When nothing is undecided, the list is complete.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, combinations

from optimizer.watch import UNWATCHED, Progress, Watch

_MOST_SETS = 300_000
"""Sets of names walked through at most; with 18 names and more the list may then be incomplete."""
Names = frozenset[str]
Around = Callable[[Names], Names | None]


def smallest_conflict(names: Sequence[str], around: Around) -> list[str]:
    """The smallest conflict among `names`, in their order; ValueError if all of them have a plan."""
    corrections: list[Names] = []
    while True:
        trial = _hitting(names, corrections)
        kept = around(trial)
        if kept is None:
            return [name for name in names if name in trial]
        kept |= trial
        for name in names:
            if name not in kept and (more := around(kept | {name})) is not None:
                kept = kept | {name} | more
        if kept >= frozenset(names):
            raise ValueError("the rules do hold together")
        corrections.append(frozenset(names) - kept)


def _hitting(names: Sequence[str], corrections: list[Names]) -> Names:
    """A smallest set that meets every correction."""
    for size in range(len(names) + 1):
        for chosen in combinations(names, size):
            if all(correction & set(chosen) for correction in corrections):
                return frozenset(chosen)
    return frozenset(names)


class Conflicts:
    """The minimal conflicts among names, smallest first, as far as found."""

    def __init__(self, names: list[str], around: Around, limit: int, watch: Watch = UNWATCHED) -> None:
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
        """The names that a plan under these names keeps; None if there is no such plan."""
        trial = frozenset(trial)
        for kept in self.feasible:
            if trial <= kept:
                return kept
        if any(conflict <= trial for conflict in self.conflicts):
            return None
        self.asked += 1
        return self.around(trial)

    def _shrunk(self, conflict: Names) -> Names:
        """Leave out names while no plan appears."""
        for name in self.names:
            if name not in conflict:
                continue
            around = self._plan(conflict - {name})
            if around is None:
                conflict = conflict - {name}
            else:
                self.feasible.append(around)
        return conflict
