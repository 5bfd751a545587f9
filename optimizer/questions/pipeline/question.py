"""A pipeline problem as a `Question`: structures are bounded once, bounds edited for each re-solve."""

from collections.abc import Iterable, Mapping
from typing import Any

from optimizer.anatomy.chips_assumed import chips_assumed
from optimizer.columns.replica import Replica
from optimizer.columns.supply import GIB
from optimizer.errors import InternalMismatch
from optimizer.questions.pipeline.cut import Found, evenly
from optimizer.questions.pipeline.proof import proof_of
from optimizer.questions.pipeline.vocabulary import PipelineVocabulary
from optimizer.questions.question import Ask, Best
from optimizer.search.binding import Bears
from optimizer.search.rounding import outward
from optimizer.search.steps import at_most, whole_steps
from optimizer.spec.answer import Assumption, Binding, Conflict, Proof, Relaxation, Status
from optimizer.spec.plan import Deployment, Plan, Pool
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch

_HALVINGS = 6
"""Steps in which the change of a bound that would do is narrowed down."""
_SLACK = 1e-8
"""Relative: what times in whole picoseconds, rounded up for every layer, may lie above the time itself."""
_STATUS: tuple[Status, ...] = ("unknown", "infeasible", "feasible", "optimal")
Limits = Mapping[str, float | None]


class PipelineQuestion(PipelineVocabulary):
    """The `Question` of a pipeline problem."""

    def best(self) -> Best:
        """The best split, priced a second time."""
        outcome = self.search.best(self.problem.constraints.model_dump())
        found = outcome.best
        plan = None if found is None else self.checked(self.plan_of(found))
        status = _STATUS[2 * (found is not None) + outcome.proven]
        value = None if found is None else self._objective(found)
        return Best(status, plan, value, outcome.bound, found=outcome)

    def plan_of(self, found: Found) -> Plan:
        """A split as a plan."""
        pools = Deployment(pools=self.stages(found))
        return Plan(
            architecture=self.problem.architecture,
            deployment=pools,
            batch=found.costs.batch,
            metrics=self.totals(found),
        )

    def checked(self, plan: Plan, values: Mapping[str, Any] = {}, without: tuple[str, ...] = ()) -> Plan:
        """The plan; InternalMismatch unless it holds and has the figures it claims, priced a second time."""
        check = self.checker(plan, plan.batch or 1, values)
        if broken := [rule for rule in check.broken(plan.metrics) if rule not in without]:
            raise InternalMismatch(f"the split found breaks {', '.join(broken)} when recomputed")
        return plan

    def stages(self, found: Found) -> tuple[Pool, ...]:
        """The stages in order."""
        return tuple(
            Pool(
                group=found.groups[s],
                chip=setup.chip.name,
                **_width(setup),
                layers=tuple(row[s] for row in found.counts),
                ms=1e3 * found.stage_s(s),
                utilisation=found.stage_s(s) / found.slowest_s,
                memory_gib=found.memory(s) / GIB,
                hbm_usable_gib=setup.chip.hbm_usable / GIB,
            )
            for s, setup in enumerate(found.costs.setups)
        )

    def totals(self, found: Found) -> dict[str, float]:
        """Totals of the replica."""
        used = sum(setup.split.tensor_parallel for setup in found.costs.setups)
        own = {
            "stage_ms": 1e3 * found.tpot_s / found.costs.stages,
            "tpot_ms": 1e3 * found.tpot_s,
            "ttft_ms": 1e3 * found.ttft_s,
            "output_tokens_per_s": found.rate,
            "requests_per_s": found.rate / self.problem.workload.output_tokens,
        }
        return own | self.chips_and_cost(used, found.rate)

    def equal_split(self, found: Found) -> dict[str, float]:
        """The same structure and batch with as equal numbers of layers as can be."""
        counts = [group.count for group in self.model.layers]
        equal = Found(found.costs, evenly(counts, found.costs.stages))
        if not equal.fits(self.problem.constraints.memory_capacity):
            return {}
        return {"stage_ms": 1e3 * equal.tpot_s / equal.costs.stages, "output_tokens_per_s": equal.rate}

    def _objective(self, found: Found) -> float:
        return found.rate if self.problem.maximize else 1e3 * found.tpot_s

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Each aim in turn, the earlier held: exact in the first, the later in steps until the last."""
        other = self.varied(asked.scaled)
        search, solves = other.search, other.search.solves
        limits: dict[str, float | None] = {**other.rules(), **asked.values}
        limits |= dict.fromkeys(asked.without, None)
        for name, limit in asked.bounds.items():
            other.hold(limits, other.aim(name), limit)
        search.watch, outcome = watch, None
        for number, aim in enumerate(asked.aims):
            outcome = search.best(limits, aim.metric == "tpot_ms", asked.within)
            if not outcome.proven and not (asked.any_plan and outcome.best):
                raise Stopped
            if outcome.best is None or asked.any_plan:
                break
            value = other.totals(outcome.best)[aim.metric]
            exactly = number in (0, len(asked.aims) - 1)
            other.hold(limits, aim, value if exactly else at_most(aim, whole_steps(aim, value)))
        plan = None
        if outcome is not None and outcome.best is not None:
            plan = other.checked(other.plan_of(outcome.best), asked.values, asked.without)
        return Optimum(plan=plan, slices=0, solves=search.solves - solves, enumerated=0)

    def hold(self, limits: dict[str, float | None], aim: Aim, limit: float) -> None:
        """Allow only splits at least as good as this in a metric."""
        if aim.metric == "tpot_ms":
            old = limits.get("tpot_ms_max")
            limit *= 1 + _SLACK
            limits["tpot_ms_max"] = limit if old is None else min(old, limit)
            return
        per = self.problem.workload.output_tokens if aim.metric == "requests_per_s" else 1
        name, old = "output_tokens_per_s_min", limits.get("output_tokens_per_s_min")
        limits[name] = max(limit * per * (1 - _SLACK), old or 0.0)

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum without a bound."""
        other = self.search.best(self.problem.constraints.model_dump() | {rule: None})
        if not other.proven:
            raise Stopped  # not proven: no gain is better than a guess
        return None if other.best is None else self._objective(other.best)

    def binding(self, best: Best, rows: Iterable[Bears]) -> tuple[Binding, ...]:
        """The bounds that bind, with what the split makes of them."""
        outcome = best.found
        found: list[Binding] = []
        for row in rows if outcome.best is not None else ():
            limit = self.problem.constraints.model_dump()[row.rule]
            value = None if outcome.best is None else self._needs(row.rule, outcome.best)
            unit = "of the usable memory" if row.rule == "memory_capacity" else "ms"
            found.append(Binding(constraint=row.rule, bound=limit, value=value, unit=unit, gain=row.gain))
        return tuple(found)

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
        bounds = self.problem.constraints.model_dump()
        to, words = None, "no change of it alone is enough"
        outcome = self.search.best(bounds | {rule: None}, tpot=True)
        if outcome.best is None and not outcome.proven:
            raise Stopped
        if outcome.best is not None:
            need = self._needs(rule, self._nearest(rule, bounds, outcome.best))
            to = outward(need * (1 + _SLACK), 1)
            if self.search.best(bounds | {rule: to}, tpot=True).best is None:
                raise InternalMismatch(f"{rule} {to:g} was found to be enough and is not; no answer is given")
            words = self._would_do(rule, to)
        unit = "ms" * ("ms" in rule)
        return Relaxation(constraint=rule, sentence=words, from_=bounds[rule], to=to, unit=unit)

    def _nearest(self, name: str, bounds: dict[str, float | None], found: Found) -> Found:
        """A split that needs less of a bound that is too tight, by halving; the least TPOT was asked for."""
        least = bounds[name] or 0.0
        for _ in range(_HALVINGS if name != "tpot_ms_max" else 0):
            need = self._needs(name, found)
            middle = (least + need) / 2
            outcome = self.search.best(bounds | {name: middle}, tpot=True)
            if outcome.best is not None:
                found = outcome.best
            elif outcome.proven:
                least = middle
            else:
                break
        return found

    def _needs(self, rule: str, best: Found) -> float:
        """What a split makes of a bound: a latency in ms, or the share of the usable memory."""
        if rule == "memory_capacity":
            shares = [best.memory(s) / x.chip.hbm_usable for s, x in enumerate(best.costs.setups)]
            return float(max(shares))
        return 1e3 * (best.tpot_s if rule == "tpot_ms_max" else best.ttft_s)

    def _would_do(self, rule: str, to: float) -> str:
        if rule == "memory_capacity":
            return f"{to:g} times the usable memory would do"
        return f"{rule.removesuffix('_max')} at most {to:g} ms would do"

    def adds(self, best: Best) -> dict[str, Any]:
        """The stages, and what equal numbers of layers on them would give."""
        found = best.found.best
        return {
            "architecture": self.problem.architecture,
            "deployment": None,
            "stages": best.plan.pools if best.plan else (),
            "batch": best.plan.batch if best.plan else None,
            "equal_split": self.equal_split(found) if found else {},
        }

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        used = [stage.chip for stage in best.plan.pools] if best.plan else []
        chips = chips_assumed(self.kinds, used)
        if not self.search.structures.whole_groups:
            return chips
        said = "each group is used whole or not at all; with fewer tensor_parallel, parts of it too"
        return (Assumption(name="idle stages", value=said, source="docs/deployments.md"), *chips)

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


def _width(setup: Replica) -> dict[str, Any]:
    """The degree of parallelism that a stage has."""
    return {"tensor_parallel": setup.split.tensor_parallel}
