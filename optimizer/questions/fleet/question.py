"""A fleet problem as a `Question`: setups are priced once; services, bounds and choices edited each time."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from optimizer.anatomy.chips_assumed import chips_assumed
from optimizer.errors import InputError, InternalMismatch
from optimizer.metrics import scale, totals, unit, unit_of_bound
from optimizer.questions.deployment.explain import sentence
from optimizer.questions.deployment.least import highest
from optimizer.questions.deployment.programme import UNPROVEN
from optimizer.questions.deployment.search import ANY_TRAFFIC
from optimizer.questions.fleet.answer import FleetWitnesses
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns, items_of
from optimizer.questions.fleet.outcome import plan_of
from optimizer.questions.fleet.pricing import least_of_fleet
from optimizer.questions.fleet.programme import LEAST
from optimizer.questions.fleet.proof import proof_of
from optimizer.questions.fleet.rounds import FleetPlan, plan_fleet
from optimizer.questions.fleet.vocabulary import SERVICE, FleetVocabulary
from optimizer.questions.fleet.witness import look_again
from optimizer.questions.question import Ask, Best
from optimizer.search.binding import Bears
from optimizer.search.conflict import Names
from optimizer.search.rounding import outward
from optimizer.search.steps import at_most, whole_steps
from optimizer.spec.answer import Assumption, Binding, Conflict, Objective, Proof, Relaxation, Status
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch

Goal = tuple[str, int]


@dataclass(frozen=True)
class _Solved:
    """What `best` keeps: the plan as found, and the second look at it."""

    plan: FleetPlan
    seen: FleetWitnesses | None


class FleetQuestion(FleetVocabulary):
    """The `Question` of a fleet problem."""

    def planned(
        self, asked: Ask, goal: Goal | None = None, watch: Watch | None = None
    ) -> tuple[FleetPlan, FleetColumns]:
        """One question to the engines, under what a re-solve changes; and the columns it was put to."""
        columns = self.columns_under(asked)
        without = {name.removeprefix(SERVICE) for name in asked.without if name.startswith(SERVICE)}
        services = frozenset(j for j, name in enumerate(columns.names) if name not in without)
        found = plan_fleet(
            columns,
            goal or self.problem.goal,
            self.bounds_under(asked),
            services if without else None,
            self.settings,
            watch or self.watch,
        )
        return (found if columns.complete else _of_some(found)), columns

    def bounds_under(self, asked: Ask) -> dict[str, float]:
        """Bounds on the fleet in a re-solve: some left out, some with other values, some added."""
        bounds = {rule: float(asked.values.get(rule, v)) for rule, v in self.bounds.items()}
        bounds = {rule: v for rule, v in bounds.items() if rule not in asked.without}
        for metric, limit in asked.bounds.items():
            self.hold(bounds, self.aim(metric), limit)
        return bounds

    def hold(self, bounds: dict[str, float], aim: Aim, limit: float) -> None:
        """Allow only fleets at least as good as this in a metric."""
        if aim.sign < 0:
            bounds[LEAST] = max(limit, bounds.get(LEAST, limit))
        else:
            bounds[f"{aim.metric}_max"] = min(limit, bounds.get(f"{aim.metric}_max", limit))

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Each aim in turn, the earlier held: exact in the first, the later in steps until the last."""
        other = self.varied(asked.scaled)
        columns = other.columns_under(asked)
        if not asked.any_plan:
            other.all_columns()
        bounds, found, solves = other.bounds_under(asked), None, 0
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
            exactly = number in (0, len(asked.aims) - 1)
            other.hold(bounds, aim, value if exactly else at_most(aim, whole_steps(aim, value)))
        if found is None:
            return Optimum(plan=None, slices=0, solves=solves, enumerated=0)
        check = FleetCheck(columns, found.replicas, found.shares)
        broken = set(check.broken(bounds, everything=self.problem.maximize is None))
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
        return plan_of(self.problem, FleetCheck(columns, found.replicas, found.shares))

    def best(self) -> Best:
        """The optimum, checked, and looked at a second time."""
        try:
            found, columns = self.planned(Ask(aims=()))
        except Stopped:
            return Best("unknown", None, None, least_of_fleet(self.problem))
        self.solves += found.proved.solves
        self._require(found)
        plan = None
        if found.replicas:
            plan = plan_of(self.problem, FleetCheck(columns, found.replicas, found.shares))
        (name, sense), proved, seen = self.problem.goal, found.proved, None
        value, bound = (
            None if v is None else sense * v / scale(name) for v in (proved.objective, proved.bound)
        )
        if proved.status == "infeasible" or proved.bound is not None:
            seen = look_again(self.problem, self.fleet, self.bounds, found, self.settings.seed, self.watch)
        if proved.status in ("feasible", "unknown"):
            bound = _closest(sense, bound, least_of_fleet(self.problem))
        status: Status = proved.status  # type: ignore[assignment]
        return Best(status, plan, value, bound, found=_Solved(found, seen))

    def objective(self, best: Best) -> Objective:
        """What was optimised, reached and proven."""
        name, sense = self.problem.goal
        return Objective.of(name, unit(name), sense, best.value, best.bound)

    def _require(self, plan: FleetPlan) -> None:
        """InternalMismatch unless the plan holds and has the value it claims."""
        if plan.proved.status not in ("optimal", "feasible"):
            return
        checked = FleetCheck(self.columns, plan.replicas, plan.shares)
        broken = checked.broken(self.bounds, everything=self.problem.maximize is None)
        if broken:
            raise InternalMismatch(f"the plan found breaks {', '.join(broken)} when recomputed")
        name, sense = self.problem.goal
        value = checked.requests_per_s() if name == "requests_per_s" else checked.total(name)
        claimed = sense * (plan.proved.objective or 0) / scale(name)
        if value is None or abs(value - claimed) > 1e-9 * abs(claimed) + 1e-5:
            raise InternalMismatch(f"{name}: the solver says {claimed:.9g}, the check {value}")

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum without a bound."""
        found, _ = self.planned(Ask(aims=(), without=(rule,)))
        self.solves += found.proved.solves
        if found.proved.status not in ("optimal", "infeasible"):
            raise Stopped  # not proven: no gain is better than a guess
        (name, sense), value = self.problem.goal, found.proved.objective
        return None if value is None else sense * value / scale(name)

    def binding(self, best: Best, rows: Iterable[Bears]) -> tuple[Binding, ...]:
        """The bounds that bind, with what the fleet makes of them."""
        if best.plan is None:
            return ()
        check, found = self._check(best), list[Binding]()
        for row in rows:
            limit, chip = self.rules()[row.rule], row.rule.partition(":")[2]
            metric = row.rule.removesuffix("_max")
            value: float | None = check.total(metric) if metric in totals() else None
            if chip:
                metric, value = "chips", float(check.chips().get(chip, 0))
            elif "." in row.rule:
                metric, value = metric.rpartition(".")[2], _worst(best.plan, row.rule)
            own = unit_of_bound(metric)
            found.append(Binding(constraint=row.rule, bound=limit, value=value, unit=own, gain=row.gain))
        return tuple(found)

    def _check(self, best: Best) -> FleetCheck:
        """The independent computation of the plan that was found."""
        plan: FleetPlan = best.found.plan
        return FleetCheck(self.columns, plan.replicas, plan.shares)

    def kept_by_a_plan(self, names: Names, watch: Watch = UNWATCHED) -> Names | None:
        """The rules that some fleet under these rules keeps; None if there is no such fleet."""
        asked = Ask(aims=(), without=tuple(rule for rule in self.rules() if rule not in names))
        if not any(name.startswith(SERVICE) for name in names):
            return names | frozenset(rule for rule in self.rules() if not rule.startswith(SERVICE))
        found, columns = self.planned(asked, (self.problem.minimize or "chips", 1), watch)
        if found.proved.status == "unknown":
            raise Stopped
        if found.proved.status == "infeasible":
            return None
        broken = FleetCheck(columns, found.replicas, found.shares).broken(self.bounds, everything=False)
        return names | {rule for rule in self.bounds if rule not in broken}

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """The smallest conflict of bounds and services; InputError for a service that nothing can run."""
        found = super().conflict(watch)
        if found is not None and len(found.constraints) == 1 and found.constraints[0].startswith(SERVICE):
            self._require_whole(self.columns.names.index(found.constraints[0].removeprefix(SERVICE)))
        return found

    def _require_whole(self, service: int) -> None:
        """InputError if a service cannot run on any number of chips, whatever its requests must keep."""
        items, _ = items_of(service, self.fleet.buckets[service], {})
        columns = replace(self.columns, items=tuple(items))
        found = plan_fleet(columns, ("chips", 1), {}, frozenset({service}), self.settings, self.watch)
        if found.proved.status == "infeasible":
            raise InputError(
                f"services: {self.columns.names[service]}: no whole replica for all its traffic: each bucket "
                "needs an aggregated configuration, or a prefill and a decode one, all of one kv_dtype"
            )

    def relaxation(self, rule: str, watch: Watch = UNWATCHED) -> Relaxation:
        """The nearest change of one bound, all others kept; of a service, the fleet without it."""
        if rule.startswith(SERVICE):
            rest = len(self.problem.services) > 1
            asked = Ask(aims=(), without=(rule,))
            does = rest and self._possible(asked, watch)
            words = "without it the others fit" if does else "no fleet without it either"
            return Relaxation(constraint=rule, sentence=words, from_=None, to=None, unit="")
        if "." in rule:
            return super().relaxation(rule, watch)
        asked = Ask(aims=(), without=(rule,))
        quantity = rule if rule.startswith("inventory:") else rule.removesuffix("_max")
        found = self.planned(asked, (quantity, 1), watch)[0].proved
        to = None if found.objective is None else found.objective / scale(quantity)
        if to is not None and scale(quantity) > 1:
            to = outward(to, 1)
        if to is not None and not self._possible(Ask(aims=(), values={rule: to}), watch, (quantity, 1)):
            to = None
        words = "no change of it alone is enough" if to is None else sentence(rule, to)
        return Relaxation(constraint=rule, sentence=words, from_=self.bounds[rule], to=to, unit="")

    def _possible(self, asked: Ask, watch: Watch, goal: Goal = ("chips", 1)) -> bool:
        return self.planned(asked, goal, watch)[0].proved.status != "infeasible"

    def adds(self, best: Best) -> dict[str, Any]:
        """Chips in use by kind."""
        return {"chips": {} if best.found is None else self._check(best).chips()}

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        if best.found is None:
            return ()
        predicted = any(service.performance_table is None for service in self.problem.services)
        chips = chips_assumed(self.columns.supplies, self._check(best).chips(), predicted)
        if self.problem.slices is None:
            return chips
        how = "traffic is split freely, not in equal parts; leave it out"
        return (Assumption(name="slices", value=how, source="docs/deployments.md"), *chips)

    def proof(self, best: Best) -> Proof:
        """What was priced, left out and asked."""
        return proof_of(self, best)

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, {work.solves} questions to HiGHS and CP-SAT through OR-Tools",
            "loads, stock and totals of every fleet recomputed in fractions",
        )


def _of_some(found: FleetPlan) -> FleetPlan:
    """What an answer over some of the setups is over all."""
    status = UNPROVEN[found.proved.status]
    return replace(found, proved=replace(found.proved, status=status, bound=None, confirmed_by=()))


def _closest(sense: int, *bounds: float | None) -> float | None:
    """The bound that says most: the highest on a total, the lowest on what is maximised."""
    best = highest(*(None if bound is None else sense * bound for bound in bounds))
    return None if best is None else sense * best


def _worst(plan: Plan, rule: str) -> float | None:
    """The longest latency that requests of a service see, of those a bound on it is about."""
    service, _, bound = rule.rpartition(".")
    metric = bound.removesuffix("_max")
    parts = [part for pool in plan.pools if pool.service == service for part in pool.parts]
    known = [value for part in parts if (value := getattr(part, metric, None)) is not None]
    return max(known, default=None)
