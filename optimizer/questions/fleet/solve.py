"""The cheapest fleet for several services, or the most traffic it can serve, with its proof."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from optimizer.anatomy.chips_assumed import chips_assumed
from optimizer.columns.replica_costs import UNPRICED
from optimizer.errors import InputError, InternalMismatch
from optimizer.questions.deployment.columns import priced_of, pricing
from optimizer.questions.deployment.explain import sentence
from optimizer.questions.deployment.least import highest
from optimizer.questions.deployment.programme import UNPROVEN
from optimizer.questions.deployment.solve import UNITS
from optimizer.questions.fleet.answer import FleetAnswer, FleetWitnesses
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import items_of
from optimizer.questions.fleet.pricing import PricedFleet, least_of_fleet, price, setups_of_fleet
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.fleet.programme import FleetPlan, plan_fleet
from optimizer.questions.fleet.witness import look_again
from optimizer.questions.options import Options
from optimizer.search.binding import WhatBinds, what_binds
from optimizer.search.conflict import smallest_conflict
from optimizer.search.rounding import outward
from optimizer.solver.engine import engine_version
from optimizer.solver.totals import SCALE
from optimizer.spec.answer import Assumption, Binding, Conflict, Objective, Proof, Relaxation
from optimizer.spec.plan import Deployment, Part, Pool
from optimizer.version import VERSION
from optimizer.watch import Stopped, Watch


def solve(problem: FleetProblem, options: Options = Options()) -> FleetAnswer:
    """Solve a fleet to proven optimality, or name the smallest conflict.

    Raises InputError for what cannot be asked, InternalMismatch if an answer fails its own check.
    """
    start = time.monotonic()
    watch = options.watch()
    try:
        priced = price(problem, pricing(watch))
    except Stopped:
        return _nothing_priced(problem, options, time.monotonic() - start)
    study = _FleetStudy(problem, priced, options, watch)
    plan = study.plan(study.bounds)
    study.require(plan)
    solved = plan.proved.status
    seen = study.look_again(plan)
    binds = study.binds(plan) if solved == "optimal" else WhatBinds(())
    return FleetAnswer(
        status=solved,
        stopped=priced_of(setups_of_fleet(problem), study.columns.dropped.get(UNPRICED, 0)),
        objective=study.objective(plan),
        deployment=Deployment(pools=study.pools(plan)) if plan.replicas else None,
        chips=study.check(plan).chips(),
        metrics=study.metrics(plan) if plan.replicas else {},
        binding=study.binding(plan, binds),
        binding_untried=binds.untried,
        conflict=study.explain() if solved == "infeasible" else None,
        assumptions=study.assumptions(plan),
        certificate=study.certificate(plan, seen),
        wall_s=time.monotonic() - start,
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


def _nothing_priced(problem: FleetProblem, options: Options, seconds: float) -> FleetAnswer:
    """Stopped before every bucket had a setup with a price."""
    name, sense = problem.goal
    setups = setups_of_fleet(problem)
    return FleetAnswer(
        status="unknown",
        stopped=f"{setups} setups were to be priced, and not every service had one by then",
        objective=Objective.of(name, UNITS[name], sense, None, least_of_fleet(problem)),
        certificate=Proof(
            counts={"setups": setups, "columns": 0, "columns_solved": 0, "dropped": {}},
            engine="none",
            engine_version=engine_version(),
            solves=0,
            confirmed_by=(),
            checker="no plan to check",
            seed=options.settings.seed,
            witnesses=None,
        ),
        wall_s=seconds,
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


def _of_some(found: FleetPlan) -> FleetPlan:
    """What an answer over some of the setups is over all."""
    status = UNPROVEN[found.proved.status]
    return replace(found, proved=replace(found.proved, status=status, bound=None, confirmed_by=()))


def _closest(sense: int, *bounds: float | None) -> float | None:
    """The bound that says most: the highest on a total, the lowest on what is maximised."""
    best = highest(*(None if bound is None else sense * bound for bound in bounds))
    return None if best is None else sense * best


@dataclass
class _FleetStudy:
    problem: FleetProblem
    priced: PricedFleet
    options: Options
    watch: Watch

    def __post_init__(self) -> None:
        self.columns = self.priced.columns
        stock = {f"inventory:{s.name}": float(s.count) for s in self.columns.supplies if s.count is not None}
        self.bounds = self.problem.constraints.given() | stock
        self.solves = 0

    def plan(
        self,
        bounds: Mapping[str, float],
        goal: tuple[str, int] | None = None,
        services: frozenset[int] | None = None,
    ) -> FleetPlan:
        """One question to the solver."""
        found = plan_fleet(
            self.columns,
            goal or self.problem.goal,
            bounds,
            services,
            self.options.settings,
            self.watch,
        )
        self.solves += found.proved.solves
        return found if self.columns.complete else _of_some(found)

    def check(self, plan: FleetPlan) -> FleetCheck:
        """The independent computation of a plan."""
        return FleetCheck(self.columns, plan.replicas, plan.shares)

    def require(self, plan: FleetPlan) -> None:
        """InternalMismatch unless the plan holds and has the value it claims."""
        if plan.proved.status not in ("optimal", "feasible"):
            return
        checked = self.check(plan)
        broken = checked.broken(self.bounds, everything=self.problem.maximize is None)
        if broken:
            raise InternalMismatch(f"the plan found breaks {', '.join(broken)} when recomputed")
        name, sense = self.problem.goal
        value = checked.requests_per_s() if name == "requests_per_s" else checked.total(name)
        claimed = sense * (plan.proved.objective or 0) / SCALE[name]
        if value is None or abs(value - claimed) > 1e-9 * abs(claimed) + 1e-5:
            raise InternalMismatch(f"{name}: the solver says {claimed:.9g}, the check {value}")

    def look_again(self, plan: FleetPlan) -> FleetWitnesses | None:
        """InternalMismatch if what was left out, or a plan made otherwise, is better than what was proven."""
        if plan.proved.status != "infeasible" and plan.proved.bound is None:
            return None
        seed = self.options.settings.seed
        return look_again(self.problem, self.priced, self.bounds, plan, seed, self.watch)

    def objective(self, plan: FleetPlan) -> Objective:
        """What was optimised, reached and proven."""
        name, sense = self.problem.goal
        value, bound = (
            None if v is None else sense * v / SCALE[name] for v in (plan.proved.objective, plan.proved.bound)
        )
        if plan.proved.status in ("feasible", "unknown"):
            bound = _closest(sense, bound, least_of_fleet(self.problem))
        return Objective.of(name, UNITS[name], sense, value, bound)

    def pools(self, plan: FleetPlan) -> tuple[Pool, ...]:
        """The pools, service by service."""
        checked = self.check(plan)
        return tuple(self._pool(checked, plan, j, k) for j, k in sorted(plan.replicas))

    def _pool(self, checked: FleetCheck, plan: FleetPlan, j: int, k: int) -> Pool:
        item, n = self.columns.items[j], plan.replicas[j, k]
        row = item.setups.row(k)
        supply = next(s for s in self.columns.supplies if s.name == row["chip"])
        chips = n * row["chips"]
        return Pool(
            service=self.columns.names[item.service],
            phase=row["mode"],
            chip=row["chip"],
            replicas=n,
            **{f"{d}_parallel": row[f"{d}_parallel"] for d in ("tensor", "pipeline", "expert", "data")},
            weight_dtype=row["weight_dtype"],
            kv_dtype=row["kv_dtype"],
            chips=chips,
            utilisation=float(checked.utilisation(j, k) or 0),
            usd_per_hour=None if supply.usd_per_hour is None else chips * supply.usd_per_hour,
            parts=tuple(self._part(checked, key) for key in sorted(plan.shares) if key[:2] == (j, k)),
        )

    def _part(self, checked: FleetCheck, key: tuple[int, int, int]) -> Part:
        j, k, b = key
        item = self.columns.items[j]
        bucket = self.problem.services[item.service].traffic[b]
        row = self.priced.buckets[item.service][b].replicas.row(int(item.rows[b, k]))
        return Part(
            input_tokens=bucket.input_tokens,
            output_tokens=bucket.output_tokens,
            requests_per_s=float(checked.traffic(key)),
            batch=row["batch"],
            ttft_ms=row["ttft_ms"] or None,
            tpot_ms=row["tpot_ms"] or None,
        )

    def metrics(self, plan: FleetPlan) -> dict[str, float]:
        """Totals of the fleet."""
        checked = self.check(plan)
        totals = {name: checked.total(name) for name in ("chips", "usd_per_hour", "power_w")}
        asked = sum(map(sum, self.columns.demands))
        served = {"requests_per_s": checked.requests_per_s(), "requests_per_s_asked": asked}
        return {name: value for name, value in totals.items() if value is not None} | served

    def binds(self, plan: FleetPlan) -> WhatBinds:
        """The bounds without which alone the optimum is better."""
        _, sense = self.problem.goal
        value = self.objective(plan).value
        return what_binds(self.bounds, value or 0.0, sense, self._optimum_without, self.watch)

    def _optimum_without(self, bound: str) -> float | None:
        again = self.plan({key: value for key, value in self.bounds.items() if key != bound})
        if again.proved.status not in ("optimal", "infeasible"):
            raise Stopped  # not proven: no gain is better than a guess
        return self.objective(again).value

    def binding(self, plan: FleetPlan, binds: WhatBinds) -> tuple[Binding, ...]:
        """The same with the limits and what the fleet makes of them."""
        checked, rows = self.check(plan), []
        for row in binds.rules:
            bound, chip = row.rule, row.rule.partition(":")[2]
            value = checked.chips().get(chip, 0) if chip else checked.total(bound.removesuffix("_max"))
            unit = "chips" if chip else UNITS[bound.removesuffix("_max")]
            found = float(value or 0)
            rows.append(
                Binding(constraint=bound, bound=self.bounds[bound], value=found, unit=unit, gain=row.gain)
            )
        return tuple(rows)

    def explain(self) -> Conflict | None:
        """The smallest conflict of bounds and services, with the nearest change of each; None if stopped."""
        try:
            return self._explained()
        except Stopped:
            return None

    def _explained(self) -> Conflict:
        services = {f"service:{name}": j for j, name in enumerate(self.columns.names)}

        def feasible(names: frozenset[str]) -> bool:
            chosen = frozenset(services[name] for name in names if name in services)
            kept = {name: value for name, value in self.bounds.items() if name in names}
            goal = (self.problem.minimize or "chips", 1)
            return not chosen or self._status(kept, goal, chosen) != "infeasible"

        names = smallest_conflict([*services, *self.bounds], feasible)
        if len(names) == 1 and names[0] in services:
            self._require_whole(services[names[0]])
        return Conflict(
            constraints=tuple(names),
            relaxations=tuple(self._relax(name, services) for name in names),
        )

    def _status(self, bounds: Mapping[str, float], goal: tuple[str, int], services: frozenset[int]) -> str:
        """Of one question that must be decided; raises Stopped where it is not."""
        proved = self.plan(bounds, goal, services).proved
        if proved.status == "unknown":
            raise Stopped
        return proved.status

    def _require_whole(self, service: int) -> None:
        """InputError if a service cannot run on any number of chips, whatever its requests must keep."""
        items, _ = items_of(service, self.priced.buckets[service], {})
        columns = replace(self.columns, items=tuple(items))
        found = plan_fleet(columns, ("chips", 1), {}, frozenset({service}), self.options.settings, self.watch)
        self.solves += found.proved.solves
        if found.proved.status == "infeasible":
            raise InputError(
                f"services: {self.columns.names[service]}: no whole replica for all its traffic: each bucket "
                "needs an aggregated configuration, or a prefill and a decode one, all of one kv_dtype"
            )

    def _relax(self, name: str, services: Mapping[str, int]) -> Relaxation:
        """The nearest change of one bound, all others kept; of a service, the fleet without it."""
        if name in services:
            rest = frozenset(services.values()) - {services[name]}
            does = bool(rest) and self.plan(self.bounds, ("chips", 1), rest).proved.status != "infeasible"
            words = "without it the others fit" if does else "no fleet without it either"
            return Relaxation(constraint=name, sentence=words, from_=None, to=None, unit="")
        others = {key: value for key, value in self.bounds.items() if key != name}
        quantity = name if name.startswith("inventory:") else name.removesuffix("_max")
        found = self.plan(others, (quantity, 1)).proved
        to = None if found.objective is None else found.objective / SCALE.get(quantity, 1)
        if to is not None and quantity in ("usd_per_hour", "power_w"):
            to = outward(to, 1)
        if to is not None and self.plan({**others, name: to}, (quantity, 1)).proved.status == "infeasible":
            to = None
        words = "no change of it alone is enough" if to is None else sentence(name, to)
        return Relaxation(constraint=name, sentence=words, from_=self.bounds[name], to=to, unit="")

    def assumptions(self, plan: FleetPlan) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        predicted = any(service.performance_table is None for service in self.problem.services)
        chips = chips_assumed(self.columns.supplies, self.check(plan).chips(), predicted)
        if self.problem.slices is None:
            return chips
        how = "traffic is split freely, not in equal parts; leave it out"
        return (Assumption(name="slices", value=how, source="docs/deployments.md"), *chips)

    def certificate(self, plan: FleetPlan, seen: FleetWitnesses | None) -> Proof:
        """Why the answer can be believed."""
        return Proof(
            counts={
                "setups": setups_of_fleet(self.problem),
                "columns": sum(len(c.replicas) for row in self.priced.buckets for c in row),
                "columns_solved": sum(len(item.setups) for item in self.columns.items),
                "dropped": self.columns.dropped,
            },
            engine="HiGHS and CP-SAT through OR-Tools",
            engine_version=engine_version(),
            solves=self.solves,
            confirmed_by=plan.proved.confirmed_by,
            checker="loads, stock and totals recomputed in fractions"
            if plan.replicas
            else "no plan to check",
            seed=self.options.settings.seed,
            witnesses=seen,
        )
