"""A fleet problem as a `Question`: setups are priced once; services, bounds and choices edited each time."""

from collections.abc import Sequence
from typing import Any

from optimizer import catalog
from optimizer.anatomy.chips_assumed import chips_assumed, pools_of
from optimizer.anatomy.pools_assumed import pools_assumed
from optimizer.columns.scenarios import part_of
from optimizer.errors import InternalMismatch
from optimizer.metrics import scale, unit
from optimizer.questions.deployment.bounded import ANY_TRAFFIC
from optimizer.questions.fleet.edits import SERVICE, bounds_under, hold
from optimizer.questions.fleet.explain import (
    kept_by_a_fleet,
    lower_quality,
    milder,
    relaxed,
    require_whole,
    without_service,
)
from optimizer.questions.fleet.plan import plan_of
from optimizer.questions.fleet.programme import LEAST
from optimizer.questions.fleet.proof import methods_of, percentiles_of, proof_of
from optimizer.questions.fleet.robustness import robustness_of
from optimizer.questions.fleet.routes import checked
from optimizer.questions.fleet.solved import optimum_without, reached, solve
from optimizer.questions.fleet.vocabulary import FleetVocabulary
from optimizer.questions.fleet.whole import plan_fleet
from optimizer.questions.moves import Move
from optimizer.questions.question import Ask, Best
from optimizer.search.conflict import Names
from optimizer.search.steps import held_at
from optimizer.spec.answer import Assumption, Conflict, Objective, Proof, Relaxation
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch


class FleetQuestion(FleetVocabulary):
    """The `Question` of a fleet problem."""

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Each aim in turn, the earlier held: exact in the first, the later in steps until the last."""
        other = self.varied(asked.scaled)
        columns = other.columns_under(asked)
        if not asked.any_plan:
            other.all_columns()
        bounds, found, solves = bounds_under(other.bounds, asked), None, 0
        if self.problem.maximize:
            bounds.setdefault(LEAST, ANY_TRAFFIC)
        dropped = {name.removeprefix(SERVICE) for name in asked.without if name.startswith(SERVICE)}
        services = frozenset(j for j, name in enumerate(columns.names) if name not in dropped)
        for number, aim in enumerate(asked.aims):
            found = plan_fleet(columns, (aim.metric, aim.sign), bounds, services, other.settings, watch)
            solves += found.proved.solves
            if asked.any_plan and found.replicas:
                break
            if found.proved.status not in ("optimal", "infeasible"):
                raise Stopped
            if found.proved.status == "infeasible" or found.proved.objective is None:
                return Optimum(plan=None, slices=0, solves=solves, enumerated=0)
            value = aim.sign * found.proved.objective / scale(aim.metric)
            hold(bounds, aim, held_at(asked.aims, number, value))
        if found is None:
            return Optimum(plan=None, slices=0, solves=solves, enumerated=0)
        everything = self.problem.maximize is None
        check = checked(columns, found.replicas, found.shares, everything, watch)
        broken = set(check.broken(bounds, everything))
        if broken - {f"{SERVICE}{name}" for name in dropped}:
            raise InternalMismatch(f"the plan found breaks {', '.join(sorted(broken))} when recomputed")
        plan = plan_of(self.problem, check)
        return Optimum(plan=plan, slices=0, solves=solves, enumerated=0)

    def at_hand(self, aim: Aim) -> Plan | None:
        """The best fleet found in what time is left among what is priced; not proven best."""
        try:
            found, columns = self.planned(Ask(aims=()))
        except Stopped:
            return None
        if not found.replicas:
            return None
        everything = self.problem.maximize is None
        return plan_of(self.problem, checked(columns, found.replicas, found.shares, everything))

    def best(self) -> Best:
        """The optimum, checked, and looked at a second time."""
        return solve(self)

    def objective(self, best: Best) -> Objective:
        """What was optimised, reached and proven."""
        name, sense = self.problem.goal
        return Objective.of(name, unit(name), sense, best.value, best.bound)

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum without a bound."""
        return optimum_without(self, rule)

    def reached(self, rule: str, best: Best) -> tuple[float | None, float | None, str | None]:
        """The limit of a rule, what the fleet makes of it, and the unit."""
        return reached(self, rule, best)

    def kept_by_a_plan(self, names: Names, watch: Watch = UNWATCHED) -> Names | None:
        """The rules that some fleet under these rules keeps; None if there is no such fleet."""
        return kept_by_a_fleet(self, names, watch)

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """The smallest conflict of bounds and services; InputError for a service that nothing can run."""
        found = super().conflict(watch)
        if found is not None and len(found.constraints) == 1 and found.constraints[0].startswith(SERVICE):
            require_whole(self, found.constraints[0].removeprefix(SERVICE))
        return found

    def relaxation(self, rule: str, watch: Watch = UNWATCHED) -> Relaxation:
        """The nearest change of one bound, all others kept; of a service, the fleet without it."""
        if rule.startswith(SERVICE):
            return without_service(self, rule, watch)
        if rule.endswith(".quality_min"):
            return lower_quality(self, rule, watch)
        if part_of(rule) is not None:
            return milder(self, rule, watch)
        return super().relaxation(rule, watch) if "." in rule else relaxed(self, rule, watch)

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a bound's own; of what may go wrong those that it can be."""
        found, part = super().moves(rule, plan), part_of(rule)
        return [move for move in found if part is None or self.uncertain.may_be(part, move[1])]

    def adds(self, best: Best) -> dict[str, Any]:
        """Chips in use by kind, the mean quality of answers, and of which requests latencies are."""
        if best.found is None:
            return {"chips": {}}
        check = best.found.check
        means = {name: check.quality(service) for service, name in enumerate(check.columns.names)}
        quality = {name: float(mean) for name, mean in means.items() if mean is not None}
        robust = {"robustness": robustness_of(self, best)} if self.problem.robust else {}
        found = {"chips": check.chips(), "quality": quality, "percentile": percentiles_of(self.problem)}
        return found | robust

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        if best.found is None:
            return ()
        plans = (best.plan,) if best.plan else ()
        pools, chips = pools_of(plans), self.of_chips(plans, self.price_decides())
        for service, priced in zip(self.problem.services, self.fleet.buckets, strict=True):
            for model, buckets in zip(service.answered_by, priced, strict=True):
                own = [pool for pool in pools if pool.runs == service.runs(model)]
                chips = (*pools_assumed(buckets[0], own), *chips)
        return (*methods_of(self.problem, pools), *chips)

    def of_chips(self, plans: Sequence[Plan], money: bool) -> tuple[Assumption, ...]:
        """Efficiencies and prices of the chips on offer, and what of those in plans nobody measured."""
        models = {
            service.runs(model): catalog.model(model.architecture, self.problem.documents)
            for service in self.problem.services
            for model in service.answered_by
            if model.architecture is not None
        }
        return chips_assumed(self.offered, pools_of(plans), models, money)

    def proof(self, best: Best) -> Proof:
        """What was priced, left out and asked."""
        return proof_of(self, best)

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, {work.solves} questions to HiGHS and CP-SAT through OR-Tools",
            "loads, stock and totals of every fleet recomputed in fractions",
        )
