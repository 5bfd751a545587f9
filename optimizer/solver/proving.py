"""Optima of integer programmes, proved by engines that share no code.

CP-SAT is weak on covering with large integers; HiGHS and SCIP are floating-point solvers. None is believed
alone: a solution is accepted only after its rows were added up in Python integers, and an optimum only if
something other than the engine that found it says that nothing is better. OR-Tools carries all three and is
imported late.
"""

from collections.abc import Callable
from dataclasses import dataclass

from optimizer.search.programme import Programme, Proved
from optimizer.solver import engine
from optimizer.solver.cp_sat import CpModel, weighted_sum
from optimizer.solver.mathopt import Proposal, propose
from optimizer.watch import UNWATCHED, Watch

_CONFIRM_WORK = 0.5
"""CP-SAT's deterministic time to confirm an answer, a second or so, before SCIP is asked."""
_SCIP_S = 20.0

Witness = Callable[[int], bool]
"""Whether a computation that rests on neither engine finds nothing below this objective."""


def prove(
    m: Programme,
    settings: engine.SolveSettings = engine.SolveSettings(),
    watch: Watch = UNWATCHED,
    witness: Witness | None = None,
    confirm: bool = True,
) -> Proved:
    """Minimise, and confirm the optimum (or that there is none) by a second, different computation.

    HiGHS proposes, Python integers verify, and `witness`, else CP-SAT, is asked for anything better. What
    nobody confirms is 'feasible' or 'unknown', never 'optimal'. Without `confirm`, HiGHS alone is asked: a
    solution is still verified, its bound is not.
    """
    proof = _Confirmation(m, settings, watch, witness)
    return proof.run() if confirm else proof.quick()


@dataclass
class _Confirmation:
    m: Programme
    settings: engine.SolveSettings
    watch: Watch
    witness: Witness | None
    solves: int = 0
    values: tuple[int, ...] = ()
    bound: int | None = None
    """HiGHS's, which was caught 0.1 % above the optimum: never shown alone."""
    second: int | None = None
    """CP-SAT's, of anything better than the values; else SCIP's."""

    def run(self) -> Proved:
        proposal = self._propose()
        if self._witnessed():
            return self._proved("an exact computation in whole numbers, outside both engines")
        while True:
            answer = self._ask(self.settings)
            if answer.values and self.m.holds(answer.values):
                self.values = answer.values
                continue
            if answer.status == "infeasible":
                return self._settled(proposal)
            return self._by_scip()

    def _by_scip(self) -> Proved:
        """The third engine, where CP-SAT has no answer in time: whole-number covering is its ground."""
        found = propose(self.m, "GSCIP", self.watch.at_most(_SCIP_S))
        self.solves += 1
        self.second = found.bound if self.second is None else self.second
        values = self.m.complete(found.values) if found.values else ()
        best = self._best()
        if values and self.m.holds(values) and (best is None or self.m.value(values) < best):
            self.values = values  # better than HiGHS's: the two disagree
            return self._unanswered()
        if found.status == "optimal" and values and best == self.m.value(values):
            return self._proved("SCIP, which reaches the same optimum")
        return self._unanswered()

    def quick(self) -> Proved:
        """HiGHS's word, its solution verified."""
        proposal = self._propose()
        if proposal.values and not self.values:
            return self.run()  # rounding broke a row: not an answer
        return self._unanswered(self.bound)

    def _best(self) -> int | None:
        return self.m.value(self.values) if self.values else None

    def _witnessed(self) -> bool:
        best = self._best()
        return best is not None and self.witness is not None and self.witness(best)

    def _propose(self) -> Proposal:
        found = propose(self.m, "HIGHS", self.watch)
        self.solves += 1
        self.bound = found.bound
        if found.values and self.m.holds(values := self.m.complete(found.values)):
            self.values = values
        return found

    def _ask(self, settings: engine.SolveSettings) -> engine.Solve:
        self.solves += 1
        answer = _better(self.m, self._best(), settings, self.watch)
        self.second = answer.bound if self.second is None else self.second
        return answer

    def _settled(self, proposal: Proposal) -> Proved:
        """CP-SAT finds nothing better: believed if HiGHS says so too, else after a second, plain look."""
        said = "CP-SAT, which finds nothing better" if self.values else "CP-SAT, which finds no plan either"
        agreed = proposal.status == ("optimal" if self.values else "infeasible")
        if agreed and (not self.values or self.m.complete(proposal.values) == self.values):
            return self._proved(said)
        if self._ask(_plain(self.settings)).status == "infeasible":
            return self._proved("CP-SAT with and without presolve; HiGHS did not agree or had no answer")
        return self._unanswered()

    def _agreed_bound(self) -> int | None:
        """What both engines say nothing is below; if one is silent, what the limits of the variables say."""
        best = self._best()
        said = [bound for bound in (self.bound, self.second) if bound is not None]
        least = min(said) if len(said) == 2 else self.m.floor()
        return least if best is None else min(least, best)

    def _unanswered(self, bound: int | None = None) -> Proved:
        best = self._best()
        status = "unknown" if best is None else "feasible"
        shown = self._agreed_bound() if bound is None else bound
        return Proved(status, self.values, best, shown, self.solves, ())

    def _proved(self, said: str) -> Proved:
        best = self._best()
        status = "infeasible" if best is None else "optimal"
        return Proved(status, self.values, best, best, self.solves, (said,))


def _better(m: Programme, than: int | None, settings: engine.SolveSettings, watch: Watch) -> engine.Solve:
    """Ask CP-SAT for the best solution whose objective is below `than`."""
    model = CpModel()
    variables = [
        model.new_int_var(low, high, f"v{i}")
        for i, (low, high) in enumerate(zip(m.lows, m.highs, strict=True))
    ]
    bound = 2**62
    for row in m.rows:
        total = weighted_sum([variables[i] for i in row.terms], list(row.terms.values()))
        low = -bound if row.low is None else row.low
        model.add_linear_constraint(total, low, bound if row.high is None else row.high)
    goal = weighted_sum([variables[i] for i in m.objective], list(m.objective.values()))
    if than is not None and m.objective:
        model.add_linear_constraint(goal, -bound, than - 1)
    elif than is not None:
        return engine.Solve("infeasible", None, None, (), 0.0)  # nothing to improve
    model.minimize(goal)
    return engine.solve(model, settings, watch, _CONFIRM_WORK)


def _plain(settings: engine.SolveSettings) -> engine.SolveSettings:
    return engine.SolveSettings(settings.seed, settings.workers, presolve=False)
