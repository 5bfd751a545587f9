"""A pipeline problem as a `Question`: structures are bounded once, bounds edited for each re-solve."""

from collections.abc import Mapping, Sequence
from typing import Any

from optimizer.anatomy.chips_assumed import chips_assumed, pools_of
from optimizer.anatomy.shares_assumed import shares_assumed
from optimizer.errors import InternalMismatch
from optimizer.questions.pipeline.cut import Found
from optimizer.questions.pipeline.explain import needed, relaxed
from optimizer.questions.pipeline.limits import hold
from optimizer.questions.pipeline.plan import equal_split, plan_of, totals_of
from optimizer.questions.pipeline.proof import proof_of
from optimizer.questions.pipeline.vocabulary import PipelineVocabulary
from optimizer.questions.question import Ask, Best
from optimizer.search.steps import held_at
from optimizer.spec.answer import Assumption, Conflict, Proof, Relaxation, Status
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch

_STATUS: tuple[Status, ...] = ("unknown", "infeasible", "feasible", "optimal")


class PipelineQuestion(PipelineVocabulary):
    """The `Question` of a pipeline problem."""

    def best(self) -> Best:
        """The best split, priced a second time."""
        outcome = self.search.best(self.problem.constraints.model_dump())
        found = outcome.best
        plan = None if found is None else self.checked(plan_of(self.problem, self.supplies, found))
        status = _STATUS[2 * (found is not None) + outcome.proven]
        value = None if found is None else self._objective(found)
        return Best(status, plan, value, outcome.bound, found=outcome)

    def checked(self, plan: Plan, values: Mapping[str, Any] = {}, without: tuple[str, ...] = ()) -> Plan:
        """The plan; InternalMismatch unless it holds and has the figures it claims, priced a second time."""
        check = self.checker(plan, plan.batch or 1, values)
        if broken := [rule for rule in check.broken(plan.metrics) if rule not in without]:
            raise InternalMismatch(f"the split found breaks {', '.join(broken)} when recomputed")
        return plan

    def _objective(self, found: Found) -> float:
        return found.rate if self.problem.maximize else 1e3 * found.tpot_s

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Each aim in turn, the earlier held: exact in the first, the later in steps until the last."""
        other = self.varied(asked.scaled)
        search, solves = other.search, other.search.solves
        limits: dict[str, float | None] = {**other.rules(), **asked.values}
        limits |= dict.fromkeys(asked.without, None)
        tokens = other.problem.workload.output_tokens
        for name, limit in asked.bounds.items():
            hold(limits, other.aim(name), limit, tokens)
        search.watch, outcome = watch, None
        for number, aim in enumerate(asked.aims):
            outcome = search.best(limits, aim.metric == "tpot_ms", asked.within)
            if not outcome.proven and not (asked.any_plan and outcome.best):
                raise Stopped
            if outcome.best is None or asked.any_plan:
                break
            value = totals_of(other.problem, other.supplies, outcome.best)[aim.metric]
            hold(limits, aim, held_at(asked.aims, number, value), tokens)
        plan = None
        if outcome is not None and outcome.best is not None:
            plan = plan_of(other.problem, other.supplies, outcome.best)
            other.checked(plan, asked.values, asked.without)
        return Optimum(plan=plan, slices=0, solves=search.solves - solves, enumerated=0)

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum without a bound."""
        other = self.search.best(self.problem.constraints.model_dump() | {rule: None})
        if not other.proven:
            raise Stopped  # not proven: no gain is better than a guess
        return None if other.best is None else self._objective(other.best)

    def reached(self, rule: str, best: Best) -> tuple[float | None, float | None, str | None]:
        """The limit of a bound, what the split makes of it, and the unit."""
        found: Found = best.found.best
        own = "of the usable memory" if rule == "memory_capacity" else "ms"
        return self.rules()[rule], needed(rule, found), own

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """Which single bounds, lifted, leave a split; all if none alone does. None if the time is over."""
        try:
            changes = [self.relaxation(rule, watch) for rule in self.rules()]
        except Stopped:
            return None
        alone = [change for change in changes if change.to is not None] or changes
        return Conflict(constraints=tuple(c.constraint for c in alone), relaxations=tuple(alone))

    def relaxation(self, rule: str, watch: Watch = UNWATCHED) -> Relaxation:
        """A value of one bound at which the others leave a split."""
        return relaxed(self.search, self.problem.constraints.model_dump(), rule)

    def adds(self, best: Best) -> dict[str, Any]:
        """The stages, and what equal numbers of layers on them would give."""
        found = best.found.best
        return {
            "architecture": self.problem.architecture,
            "deployment": None,
            "stages": best.plan.pools if best.plan else (),
            "batch": best.plan.batch if best.plan else None,
            "equal_split": equal_split(self.problem, self.model, found) if found else {},
        }

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        chips = self.of_chips((best.plan,) if best.plan else (), self.price_decides())
        stages = best.found.best.costs.setups if best.found.best else ()
        frames = (setup.frame(self.model, self.search.structures.prices.common) for setup in stages)
        shares = {said.value: said for f in frames for said in shares_assumed(f, self.model)}
        chips = (*shares.values(), *chips)
        if not self.search.structures.whole_groups:
            return chips
        said = "each group is used whole or not at all; with fewer tensor_parallel, parts of it too"
        return (Assumption(name="idle stages", value=said, source="docs/deployments.md"), *chips)

    def of_chips(self, plans: Sequence[Plan], money: bool) -> tuple[Assumption, ...]:
        """Efficiencies and prices of the chips, and what of those in plans nobody measured."""
        dtype = self.problem.deployment.formats.published(self.model.checkpoint).weight_dtype
        return chips_assumed(self.kinds, pools_of(plans), {"": self.model}, money, dtype)

    def proof(self, best: Best) -> Proof:
        """What was bounded, opened and asked."""
        return proof_of(self.search, best.found, self.settings.seed)

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, {work.solves} questions to HiGHS and CP-SAT through OR-Tools",
            "bounds of the structures that were not opened, in numpy",
            "stages of every split priced again from the cost model: times, memory, totals, limits",
        )
