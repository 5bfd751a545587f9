"""A deployment problem as a `Question`: configurations are priced once, bounds edited for each re-solve."""

from collections.abc import Sequence
from typing import Any

from optimizer import catalog
from optimizer.anatomy.chips_assumed import chips_assumed, pools_of
from optimizer.anatomy.pools_assumed import pools_assumed
from optimizer.bands import Key, family_of, kind_of
from optimizer.columns.scenarios import part_of
from optimizer.errors import Unlimited
from optimizer.metrics import counted, traffic
from optimizer.questions.deployment.bounded import ANY_TRAFFIC
from optimizer.questions.deployment.columns import prepare
from optimizer.questions.deployment.explain import explain_deployment, relaxed, wider
from optimizer.questions.deployment.optimum import optimum
from optimizer.questions.deployment.plan import stocked
from optimizer.questions.deployment.proof import methods_of, next_better, proof_of
from optimizer.questions.deployment.robustness import robustness_of
from optimizer.questions.deployment.solved import objective_of, optimum_without, reached, solve
from optimizer.questions.deployment.vocabulary import OF_A_REPLICA, DeploymentVocabulary
from optimizer.questions.moves import Move
from optimizer.questions.question import Ask, Best
from optimizer.search.conflict import Names
from optimizer.solver.cp_sat_twice import engine_version
from optimizer.spec.answer import Assumption, Conflict, Objective, Proof, Relaxation
from optimizer.spec.engine import engine_name
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch


class DeploymentQuestion(DeploymentVocabulary):
    """The `Question` of a deployment problem."""

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Each aim in turn, the earlier held: exact in the first, the later in steps until the last."""
        if not asked.any_plan:
            self.all_columns()
        other = self.varied(asked)
        bounds = other.bounds_under(asked)
        search = other.search_within(bounds, watch)
        try:
            found = search.any_plan() if asked.any_plan else search.lexicographic(asked.aims)
        except Unlimited:
            return Optimum(plan=None, unlimited=True, slices=0, solves=search.solves, enumerated=0)
        plan = None
        if found is not None and found.counts:
            own = other.plan_of(bounds, found.counts, stocked(other.columns, bounds))
            own.require(found)
            demand = asked.values.get("requests_per_s", other.problem.demand)
            plan = own.carrying(demand).plan(self.problem.architecture)
        return Optimum(plan=plan, slices=0, solves=search.solves, enumerated=0)

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a bound's own; of what may go wrong those that it can be."""
        found, part, own = super().moves(rule, plan), part_of(rule), self.columns.robust
        if part is None or own is None:
            return found
        return [move for move in found if own.may_be(part, move[1])]

    def bounds_under(self, asked: Ask) -> dict[str, float]:
        """Bounds of a re-solve: some left out, some with other values, some added."""
        bounds = {"requests_per_s": ANY_TRAFFIC} | self.bounds | dict(asked.values)
        for name in asked.without:
            bounds.pop(name)
        search = self.search_within(bounds)
        for metric, limit in asked.bounds.items():
            search.hold(metric, limit)
        return dict(search.bounds)

    def at_hand(self, aim: Aim) -> Plan | None:
        """The best plan found in what time is left among what is priced; not proven best."""
        goal = (aim.metric, 1)
        if aim.metric not in counted():
            goal = ("requests_per_s", -1) if aim.metric in traffic() else ("chips", 1)
        bounds = {"requests_per_s": ANY_TRAFFIC} | self.bounds
        try:
            found = optimum(self.columns, (goal,), bounds, watch=self.watch, confirm=False)
        except (Stopped, Unlimited):
            return None
        if not found.counts:
            return None
        own = self.plan_of(self.bounds, found.counts)
        own.require(found)
        return own.plan(self.problem.architecture)

    def kept_by_a_plan(self, names: Names, watch: Watch = UNWATCHED) -> Names | None:
        """The bounds that some plan within these bounds keeps; None if there is no such plan."""
        bounds = {"requests_per_s": ANY_TRAFFIC} | {n: v for n, v in self.bounds.items() if n in names}
        found = self.search_within(bounds, watch).any_plan()
        if found is None:
            return None
        check = self.plan_of(self.bounds, found.counts, stocked(self.columns, self.bounds)).check
        lost = {*check.broken(self.bounds), "utilisation_max", *filter(part_of, self.bounds)}
        lost |= set() if self.columns.percentile is None else {"ttft_ms_max"}  # these change rates
        if check.breaks_when:  # nobody knows by which of the rules that decide it
            lost |= {*OF_A_REPLICA, "requests_per_s", "spares"}
        return frozenset(name for name in self.bounds if name in names or name not in lost)

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, {work.solves} questions to HiGHS and CP-SAT through OR-Tools "
            f"{engine_version()}",
            "a confirmation of each optimum by CP-SAT or an exact computation in whole numbers",
            "a check of all totals and limits of every plan in fractions, replicas placed node by node",
        )

    def best(self) -> Best:
        """Every objective in turn; of the optima the plan that every study shows, checked."""
        return solve(self)

    def objective(self, best: Best) -> Objective:
        """What was optimised, reached and proven."""
        return objective_of(self, best)

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum without a bound, in the unit that `solve` shows."""
        return optimum_without(self, rule)

    def reached(self, rule: str, best: Best) -> tuple[float | None, float | None, str | None]:
        """The limit of a bound, what the plan makes of it, and the unit."""
        return reached(self, rule, best.found)

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """The smallest conflict of a problem without a plan; None if there was no time to find it."""
        return explain_deployment(self.problem, self.all_columns(), self.bounds, prepare, watch)

    def relaxation(self, rule: str, watch: Watch = UNWATCHED) -> Relaxation:
        """The nearest change of one bound, all others kept, that leaves a plan."""
        return relaxed(self.all_columns(), self.bounds, rule, watch)

    def wider(self, watch: Watch = UNWATCHED) -> Sequence[Relaxation]:
        """Choices left out that would do with every bound kept."""
        return tuple(wider(self.problem, self.bounds, prepare, watch))

    def why_nothing_runs(self) -> str:
        """No mode has a whole replica."""
        return "deployment.mode: no whole replica: a prefill and a decode row are needed"

    def adds(self, best: Best) -> dict[str, Any]:
        """The model's name, what the next better value would reach, and of which requests latencies are."""
        better = ""
        if best.status == "optimal" and self.problem.objectives[0][1] > 0:
            better = next_better(self, best.found.found)
        robust = {"robustness": robustness_of(self, best)} if self.problem.robust else {}
        return {
            "architecture": self.problem.architecture,
            "next_better": better,
            "percentile": self.problem.priced_at,
        } | robust

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        if best.found is None:
            return ()
        plans = (best.plan,) if best.plan else ()
        blocks = pools_assumed(self.columns, pools_of(plans))
        return (*methods_of(self.problem), *blocks, *self.of_chips(plans, self.price_decides()))

    def of_chips(self, plans: Sequence[Plan], money: bool) -> tuple[Assumption, ...]:
        """Efficiencies and prices of the chips on offer, and what of those in plans nobody measured."""
        problem = self.problem
        models = {} if self.tabled else {"": catalog.model(problem.architecture or "", problem.documents)}
        return chips_assumed(self.offered, pools_of(plans), models, money)

    def groups(self, plan: Plan) -> tuple[Key, ...]:
        """A group for each pool; none where a table states the rates."""
        if self.tabled:
            return ()
        kind = kind_of(catalog.model(self.problem.architecture or "", self.problem.documents))
        usual = engine_name(self.problem.deployment.engines[0])
        named = ((pool.chip, family_of(pool.engine or usual)) for pool in plan.pools)
        return tuple(Key("tpot_ms", "load", kind, engine, chip) for chip, engine in dict.fromkeys(named))

    def proof(self, best: Best) -> Proof:
        """What was priced, left out and asked."""
        return proof_of(self, best)
