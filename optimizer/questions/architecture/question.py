"""An architecture problem as a `Question`: re-solves share what they learn of its space.

One space is resolved once. A re-solve edits its rules; masks, shapes, floors and the columns of priced
frames stay with the space (`Space.memo`), so that only the search itself is done again: some 10 ms.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from optimizer.anatomy.assumptions import efficiency_of, memory_of, price_of
from optimizer.anatomy.chips_assumed import pools_of
from optimizer.columns.rules import Rules
from optimizer.questions.architecture import equals
from optimizer.questions.architecture.explain import feasible_around, relax, relax_deployment
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.listing import Unfinished, best_plans
from optimizer.questions.architecture.most_room import any_symbol, in_turn, is_room, most_tokens
from optimizer.questions.architecture.plan import (
    plan_of,
)
from optimizer.questions.architecture.proof import lexicographic, proof_of
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.slice_search import Candidate, Counts
from optimizer.questions.architecture.solved import Solved, assumed, beside, first_of, settled
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.vocabulary import ArchitectureVocabulary
from optimizer.questions.architecture.witness import look_again
from optimizer.questions.question import Ask, Best, require_few
from optimizer.search.conflict import Names
from optimizer.solver.cp_sat_twice import engine_version
from optimizer.spec.answer import Assumption, Proof, Relaxation, Status
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch

_AGAIN = 16
"""Frames priced again after the first re-solve of a study, whose bounds the others share."""


class ArchitectureQuestion(ArchitectureVocabulary):
    """The `Question` of an architecture problem."""

    def best(self) -> Best:
        """Every objective in turn; the plan is recomputed and checked."""
        found = lexicographic(self.space, self.settings, self.watch)
        (name, sense), outcome = self.problem.objectives[0], found.outcome
        bound = sense * found.first_bound
        if outcome.best is None:
            status: Status = "infeasible" if outcome.finished else "unknown"
            return Best(status, None, None, None if outcome.finished else bound, found=Solved(found))
        plan = plan_of(self.space, outcome.best)
        status = "optimal" if outcome.finished else "feasible"
        return Best(status, plan, plan.metrics[name], bound, found=Solved(found))

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Search the space under the rules asked for; the plan is recomputed and checked."""
        other = self.varied(asked)
        space, rules = other.space, other.rules_under(asked)
        if any(is_room(aim.metric) for aim in asked.aims) and not asked.any_plan:
            return _optimum(_with_rules(space, rules), *in_turn(space, rules, asked.aims, watch))
        first, *later = [equals.Aim(any_symbol(a.metric), a.sign, a.step) for a in asked.aims]
        search = Search(
            space,
            rules,
            first.symbol,
            first.sense,
            watch=watch,
            any_plan=asked.any_plan,
            also=tuple(aim.symbol.quantity for aim in later),
            start=other.beginning(asked, rules),
        )
        outcome = search.run()
        if not outcome.finished:
            if outcome.best is not None and other is self and not (asked.without or asked.values):
                self._meet(
                    asked.aims[0].metric, outcome.best.key, plan_of(_with_rules(space, rules), outcome.best)
                )
            raise Stopped
        if not self._looked_again and not asked.any_plan:
            look_again(search, few=_AGAIN, sample=_AGAIN)
            self._looked_again = True
        best = outcome.best
        if best is not None and not asked.any_plan:
            best = equals.chosen_among_equals(search, tuple(later))
        return _optimum(_with_rules(space, rules), best, outcome.counts)

    def beginning(self, asked: Ask, rules: Rules) -> Candidate | None:
        """The plan to begin with, if it is one of this space and keeps the rules; for a question changed."""
        if not asked.start or any(asked.start[name] not in kept for name, kept in asked.within.items()):
            return None
        chosen = self.own_choices(asked.start)
        checked = self.checked(chosen, rules)
        if checked.broken:
            return None
        aim, kinds = asked.aims[0], [half.rows(chosen) for half in self.space.halves]
        key = aim.sign * checked.metrics[aim.metric]
        frame, depth = self._frame(chosen), chosen["n_layers"]
        return Candidate(aim.metric, aim.sign, key, frame, depth, int(kinds[0][0]), int(kinds[1][0]))

    def _meet(self, metric: str, key: float, plan: Plan) -> None:
        if metric not in self._met or key < self._met[metric][0]:
            self._met[metric] = key, plan

    def at_hand(self, aim: Aim) -> Plan | None:
        """The best plan of the searches that were stopped, where they asked for no other problem's."""
        return self._met[aim.metric][1] if aim.metric in self._met else None

    def kept_by_a_plan(self, names: Names, watch: Watch = UNWATCHED) -> Names | None:
        """The rules that some plan under these rules keeps; None if there is no such plan."""
        return feasible_around(self.space, names, watch)

    def relaxation(self, rule: str, watch: Watch = UNWATCHED) -> Relaxation:
        """The nearest change of one rule, all others kept, that leaves a plan."""
        return relax(self.space, rule, watch)

    def wider(self, watch: Watch = UNWATCHED) -> Sequence[Relaxation]:
        """More ranks or smaller weights that leave a plan."""
        return relax_deployment(self.space, watch)

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum without a rule, looked for among plans that are better than the optimum with it."""
        first = first_of(self.problem, best)
        if is_room(first.metric):
            rules = self.space.rules.without(rule)
            return most_tokens(self.space, rules, first.metric, self.watch, -first.key)
        found = Search(
            self.space,
            self.space.rules.without(rule),
            symbol(first.metric),
            first.sense,
            watch=self.watch,
            beat=first.key,
        ).run()
        if not found.finished:
            raise Stopped
        return None if found.best is None else first.sense * found.best.key

    def settled(self, best: Best) -> Best:
        """With its near-ties; the most conventional of them, where the problem prefers that."""
        return best if best.status != "optimal" else settled(self.space, best, self.watch)

    def proof(self, best: Best) -> Proof:
        """What the searches did."""
        tolerance = self.problem.near_ties if best.found.chosen else 0.0
        return proof_of(self.space, best.found.search, self.settings.seed, tolerance)

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        if best.plan is None:
            return ()
        return assumed(self.space, best.found.shown, best.plan, self.price_decides())

    def of_chips(self, plans: Sequence[Plan], money: bool) -> tuple[Assumption, ...]:
        """Efficiency and price of the chips of plans, and memory that nobody read."""
        used = {pool.chip for pool in pools_of(plans)}
        chips = [chip for chip in self.space.chips if chip.name in used]
        return tuple(row for c in chips for row in (efficiency_of(c), *memory_of(c), *price_of(c, money)))

    def adds(self, best: Best) -> dict[str, Any]:
        """Its tiles, its operators, and what stands beside it."""
        return {} if best.plan is None else beside(self.space, best.found, best.plan)

    def listed(
        self, most: int, within: float, distinct: Sequence[str], best: Best
    ) -> tuple[Sequence[Plan], bool] | None:
        """Listed slice by slice, with no re-solves; by re-solves where tokens are asked for."""
        (name, sense), key = self.problem.objectives[0], best.bound or 0.0
        if is_room(name):
            return None
        limit = np.inf if np.isinf(within) else sense * key + abs(key) * (within + 1e-12)
        rules, complete = self.space.rules, True
        try:
            asked = symbol(name), sense, most, limit, self.watch, tuple(distinct)
            found = best_plans(self.space, rules, *asked)
        except Unfinished as stopped:
            found, complete = stopped.plans, False
        require_few(len(found))
        return [plan_of(self.space, plan) for plan in found], complete

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, each an optimum proven by bounds and enumeration in numpy",
            f"{work.solves} questions to OR-Tools CP-SAT {engine_version()}, each answered with and without "
            "presolve: wherever a slice may hold something better than the plan a re-solve began with",
            f"enumeration of {work.enumerated} plans of the slices solved, in numpy",
            "all metrics and rules of every plan recomputed from the cost model",
        )


def _optimum(space: Space, best: Candidate | None, counts: Counts) -> Optimum:
    plan = None if best is None else plan_of(space, best)
    return Optimum(plan=plan, slices=counts.slices, solves=counts.solves, enumerated=counts.enumerated)


def _with_rules(space: Space, rules: Rules) -> Space:
    """The space under other rules, for a check; it learns nothing."""
    return replace(space, rules=rules)
