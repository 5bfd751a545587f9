"""All minimal conflicts of an infeasible problem, and every single relaxation, each verified by a re-solve.

A set of rules conflicts if no plan keeps them all; it is minimal if no part of it conflicts. The sets are
found as MARCO does (Liffiton et al., Constraints 21, 2016): take a largest set of rules not yet decided; if
it has a plan, everything inside it is decided; if not, shrink it to a minimal conflict, and everything
around that is decided. When nothing is undecided, the list is complete.
"""

from collections.abc import Iterable
from itertools import chain, combinations

from optimizer.columns.space import Space, resolve
from optimizer.solver.queue import OutOfTime
from optimizer.solver.search import Progress
from optimizer.spec.plan import Relaxation
from optimizer.spec.problem import Problem
from optimizer.spec.studies import Explanation, Work
from optimizer.studies.explain import feasible_around, find_plan, relax, relax_deployment
from optimizer.studies.moves import can_be_dropped
from optimizer.studies.outcome import plan_of
from optimizer.studies.solve import Options, require_metrics
from optimizer.version import VERSION

LIMIT = 20
"""Minimal conflicts listed at most, unless said otherwise."""
_MOST_SETS = 300_000
"""Sets of rules walked through at most; with 18 rules and more the list may then be incomplete."""
Names = frozenset[str]


def explain(problem: Problem, limit: int = LIMIT, options: Options = Options()) -> Explanation:
    """Why a problem has no plan: every minimal conflict up to `limit`, and every single change that would do.

    A problem with a plan is 'feasible', and the plan is the witness. 'unknown': the time limit passed.
    """
    space = resolve(problem)
    require_metrics(space)
    found = Conflicts(space, limit, options.deadline(), options.progress)
    status = "infeasible"
    relaxations: list[Relaxation] = []
    try:
        plan = find_plan(space, space.rules, found.deadline)
        if plan is None:
            found.run()
            names = dict.fromkeys(n for n in space.rules.values if any(n in c for c in found.conflicts))
            for name in names:
                found.say(f"{len(found.conflicts)} conflicts; relaxing {name}")
                relaxations.append(relax(space, name, found.deadline))
            relaxations += relax_deployment(space, found.deadline)
        else:
            status = "feasible"
    except (OutOfTime, KeyboardInterrupt):
        status, plan = "unknown", None
    return Explanation(
        status=status,
        conflicts=tuple(
            tuple(n for n in space.rules.values if n in (c or found.always)) for c in found.conflicts
        ),
        complete=found.complete,
        relaxations=tuple(relaxations),
        witness=None if plan is None else plan_of(space, plan),
        work=Work(asked=found.asked),
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


class Conflicts:
    """The minimal conflicts of a space, smallest first, as far as found."""

    def __init__(self, space: Space, limit: int, deadline: float | None, progress: Progress | None) -> None:
        self.space, self.limit, self.deadline, self.progress = space, limit, deadline, progress
        self.always = frozenset(name for name in space.rules.values if not can_be_dropped(name))
        self.names = [name for name in space.rules.values if name not in self.always]
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
                self.say(f"{len(self.conflicts)} conflicts")
        self.conflicts.sort(key=len)

    def say(self, message: str) -> None:
        """Tell whoever watches."""
        if self.progress:
            self.progress(message)

    def _undecided(self) -> Names | None:
        """A largest set that neither lies in a feasible set nor holds a conflict: the rest of a smallest
        set that meets every conflict, and is in no feasible set."""
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
        found = feasible_around(self.space, trial | self.always, self.deadline)
        return None if found is None else found - self.always

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
