"""Optima of integer programmes, proved by engines that share no code.

CP-SAT is weak on covering with large integers; HiGHS and SCIP are floating-point solvers. None is believed
alone: a solution is accepted only after its rows were added up in Python integers, and an optimum only if
something other than the engine that found it says that nothing is better. OR-Tools carries all three and is
imported late.
"""

from collections.abc import Callable
from dataclasses import dataclass

from optimizer.search.duals import dual_bound
from optimizer.search.programme import Programme, Proved
from optimizer.solver.cp_sat import CpModel, weighted_sum
from optimizer.solver.cp_sat_twice import Solve, SolveSettings, solve
from optimizer.solver.mathopt import Proposal, propose, row_duals
from optimizer.watch import UNWATCHED, Watch

_CONFIRM_WORK = 0.5
"""CP-SAT's deterministic time to confirm an answer, a second or so, before SCIP is asked."""
_SCIP_S = 20.0

Witness = Callable[[int], bool]
"""Whether a computation that rests on neither engine finds nothing below this objective."""


def prove(
    m: Programme,
    settings: SolveSettings = SolveSettings(),
    watch: Watch = UNWATCHED,
    witness: Witness | None = None,
    confirm: bool = True,
) -> Proved:
    """Minimise, and confirm the optimum (or that there is none) by a second, different computation.

    HiGHS proposes, Python integers verify, and `witness`, else CP-SAT, is asked for anything better. With a
    tolerance in the settings, the duals of the linear relaxation are asked first, and CP-SAT for what is
    better by more than that: 'optimal' is within the tolerance of the bound. What nobody confirms is
    'feasible' or 'unknown', never 'optimal'. Without `confirm`, HiGHS alone is asked: a solution is still
    verified, its bound is not.
    """
    proof = _Confirmation(m, settings, watch, witness)
    return proof.run() if confirm else proof.quick()


@dataclass
class _Confirmation:
    m: Programme
    settings: SolveSettings
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
        if (gap := self._gap_of_duals()) is not None:
            return self._proved("the duals of the linear relaxation, added up in whole numbers", gap)
        while True:
            answer = self._ask(self.settings)
            if answer.values and self.m.holds(answer.values):
                self.values = answer.values
                continue
            if answer.status == "infeasible":
                return self._settled(proposal)
            return self._by_scip()

    @property
    def _slack(self) -> int:
        """By how much a solution may be worse than the optimum."""
        return int(self.settings.tolerance * abs(self._best() or 0))

    def _gap_of_duals(self) -> int | None:
        """How far the duals' bound is below the best solution; None where that is too far, or unknown."""
        best = self._best()
        if best is None or not self._slack or (duals := row_duals(self.m, self.watch)) is None:
            return None
        self.solves += 1
        gap = max(0, best - dual_bound(self.m, duals))
        return gap if gap <= self._slack else None

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
        found = propose(self.m, "HIGHS", self.watch, self.settings.tolerance / 2)
        self.solves += 1
        self.bound = found.bound
        if found.values and self.m.holds(values := self.m.complete(found.values)):
            self.values = values
        return found

    def _ask(self, settings: SolveSettings) -> Solve:
        self.solves += 1
        best = self._best()
        answer = _better(self.m, best if best is None else best - self._slack, settings, self.watch)
        self.second = answer.bound if self.second is None else self.second
        return answer

    def _settled(self, proposal: Proposal) -> Proved:
        """CP-SAT finds nothing better: believed if HiGHS says so too, else after a second, plain look."""
        said = "CP-SAT, which finds nothing better" if self.values else "CP-SAT, which finds no plan either"
        agreed = proposal.status == ("optimal" if self.values else "infeasible")
        if agreed and (not self.values or self.m.complete(proposal.values) == self.values):
            return self._proved(said, self._slack)
        if self._ask(_plain(self.settings)).status == "infeasible":
            said = "CP-SAT with and without presolve; HiGHS did not agree or had no answer"
            return self._proved(said, self._slack)
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

    def _proved(self, said: str, gap: int = 0) -> Proved:
        best = self._best()
        if best is None:
            return Proved("infeasible", self.values, None, None, self.solves, (said,))
        return Proved("optimal", self.values, best, best - gap, self.solves, (said,))


def _better(m: Programme, than: int | None, settings: SolveSettings, watch: Watch) -> Solve:
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
        return Solve("infeasible", None, None, (), 0.0)  # nothing to improve
    model.minimize(goal)
    return solve(model, settings, watch, _CONFIRM_WORK)


def _plain(settings: SolveSettings) -> SolveSettings:
    return SolveSettings(settings.seed, settings.workers, presolve=False)
