"""A smallest set of named bounds that cannot hold together, by hitting sets (Ignatiev et al., CP 2015).

Any feasible set of bounds, grown until nothing can be added, leaves out a bound of every conflict. A smallest
set that meets all those complements is tried next: if it is infeasible, no smaller conflict exists.
"""

from collections.abc import Callable, Sequence
from itertools import combinations


def smallest_conflict(names: Sequence[str], feasible: Callable[[frozenset[str]], bool]) -> list[str]:
    """The smallest conflict among `names`, in their order; all of them together must be infeasible."""
    corrections: list[frozenset[str]] = []
    while True:
        trial = _hitting(names, corrections)
        if not feasible(trial):
            return [name for name in names if name in trial]
        kept = trial
        for name in names:
            if name not in kept and feasible(kept | {name}):
                kept = kept | {name}
        if kept == frozenset(names):
            raise ValueError("the bounds do hold together")
        corrections.append(frozenset(names) - kept)


def _hitting(names: Sequence[str], corrections: list[frozenset[str]]) -> frozenset[str]:
    """A smallest set that meets every correction."""
    for size in range(len(names) + 1):
        for chosen in combinations(names, size):
            if all(correction & set(chosen) for correction in corrections):
                return frozenset(chosen)
    return frozenset(names)
