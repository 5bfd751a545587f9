"""The best deployment of a problem, with its proof; or the conflict that leaves none."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from optimizer.anatomy.chips_assumed import chips_assumed
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica_costs import UNPRICED
from optimizer.errors import Unlimited
from optimizer.questions.deployment.answer import DeploymentAnswer
from optimizer.questions.deployment.columns import (
    all_bounds,
    offered_by,
    prepare,
    priced_of,
    pricing,
    setups_of,
)
from optimizer.questions.deployment.explain import explain_deployment
from optimizer.questions.deployment.least import highest, least_total
from optimizer.questions.deployment.outcome import DeploymentOutcome
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.programme import Objectives, Packed, optimum
from optimizer.questions.deployment.search import DeploymentSearch
from optimizer.questions.options import Options
from optimizer.search.binding import UNLIMITED, WhatBinds, what_binds
from optimizer.solver.engine import engine_version
from optimizer.solver.totals import SCALE
from optimizer.spec.answer import Assumption, Binding, Objective, Proof
from optimizer.spec.plan import Deployment
from optimizer.version import VERSION
from optimizer.watch import Stopped, Watch

UNITS = {
    "chips": "chips",
    "nodes": "nodes",
    "usd_per_hour": "USD/h",
    "power_w": "W",
    "requests_per_s": "requests/s",
    "output_tokens_per_s": "tokens/s",
    "ttft_ms": "ms",
    "tpot_ms": "ms",
    "utilisation": "",
    "memory_capacity": "of the usable memory",
}
ANY_TRAFFIC = 1e-8
"""Requests per second that a plan for the most traffic must serve: some."""


def solve(problem: DeploymentProblem, options: Options = Options()) -> DeploymentAnswer:
    """Solve a deployment to proven optimality, or name the smallest conflict.

    Raises InputError for what cannot be asked, InternalMismatch if an answer fails its own check.
    """
    start = time.monotonic()
    watch, offered = options.watch(), offered_by(problem)
    try:
        columns = prepare(problem, offered, pricing(watch))
    except Stopped:
        return _nothing_priced(problem, options, time.monotonic() - start)
    study = _Study(problem, columns, options, watch)
    found = study.optimum(problem.objectives, {"requests_per_s": ANY_TRAFFIC} | study.bounds, True)
    plan = study.settle(found) if found.counts else found
    outcome = study.outcome(plan)
    if plan.counts:
        outcome.require(plan)
    _, sense = problem.objectives[0]
    conflict = None
    if found.status == "infeasible":
        conflict = explain_deployment(problem, study.columns, study.bounds, prepare, study.watch)
    binds = study.binds(found) if found.status == "optimal" and plan.counts else WhatBinds(())
    return DeploymentAnswer(
        status=found.status,
        stopped=priced_of(setups_of(problem, offered), columns.dropped.get(UNPRICED, 0)),
        objective=study.objective(found),
        architecture=problem.architecture,
        deployment=Deployment(pools=outcome.pools()) if plan.counts else None,
        metrics=outcome.metrics() if plan.counts else {},
        binding=study.binding(plan, binds),
        binding_untried=binds.untried,
        next_better=study.next_better(found) if found.status == "optimal" and sense > 0 else "",
        conflict=conflict,
        assumptions=study.assumptions(plan),
        certificate=study.certificate(found, plan),
        wall_s=time.monotonic() - start,
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


def _nothing_priced(problem: DeploymentProblem, options: Options, seconds: float) -> DeploymentAnswer:
    """Stopped before the first configuration had a price."""
    name, sense = problem.objectives[0]
    shown, offered = problem.maximize or name, offered_by(problem)
    setups = setups_of(problem, offered)
    return DeploymentAnswer(
        status="unknown",
        stopped=priced_of(setups, setups),
        objective=Objective.of(shown, UNITS[shown], sense, None, least_total(problem, offered, name)),
        architecture=problem.architecture,
        deployment=None,
        metrics={},
        binding=(),
        binding_untried=(),
        next_better="",
        conflict=None,
        assumptions=(),
        certificate=Proof(
            counts={"setups": setups, "columns": 0, "columns_solved": 0, "dropped": {UNPRICED: setups}},
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


@dataclass
class _Study:
    problem: DeploymentProblem
    columns: DeploymentColumns
    options: Options
    watch: Watch

    def __post_init__(self) -> None:
        self.bounds = all_bounds(self.problem, self.columns.supplies)
        self.solves = 0

    def optimum(self, objectives: Objectives, bounds: Mapping[str, float], confirm: bool = False) -> Packed:
        """One question to the solver."""
        found = optimum(self.columns, objectives, bounds, self.options.settings, self.watch, confirm)
        self.solves += found.solves
        return found

    def settle(self, found: Packed) -> Packed:
        """Of the optima the plan that every study shows (`DeploymentSearch.settled`)."""
        if found.status != "optimal":
            return found
        bounds = {"requests_per_s": ANY_TRAFFIC} | self.bounds
        search = DeploymentSearch(self.columns, bounds, self.problem.workload.output_tokens, self.watch)
        for name, value in found.values.items():
            search.hold(name, value)
        try:
            return search.settled(found)
        except Stopped:
            return found
        finally:
            self.solves += search.solves

    def outcome(self, plan: Packed) -> DeploymentOutcome:
        """A plan with its check, pools and totals."""
        tokens = self.problem.workload.output_tokens
        return DeploymentOutcome(self.columns, self.bounds, plan.counts, tokens)

    def objective(self, found: Packed) -> Objective:
        """What was optimised, reached and proven."""
        name, sense = self.problem.objectives[0]
        value, bound = found.values.get(name), found.bounds.get(name)
        if found.status in ("feasible", "unknown"):
            bound = highest(bound, least_total(self.problem, self.columns.supplies, name))
        shown = self.problem.maximize or name
        if shown == "output_tokens_per_s":
            per = self.problem.workload.output_tokens
            value, bound = (None if v is None else v * per for v in (value, bound))
        return Objective.of(shown, UNITS[shown], sense, value, bound)

    def binds(self, found: Packed) -> WhatBinds:
        """The bounds without which alone the optimum is better; the traffic is the question, no bound."""
        _, sense = self.problem.objectives[0]
        value = self.objective(found).value
        rules = [bound for bound in self.bounds if bound != "requests_per_s"]
        return what_binds(rules, value or 0.0, sense, self._optimum_without, self.watch)

    def _optimum_without(self, bound: str) -> float | None:
        name, sense = self.problem.objectives[0]
        bounds = {"requests_per_s": ANY_TRAFFIC} | self.bounds
        bounds.pop(bound)
        try:
            again = self.optimum(((name, sense),), bounds, confirm=True)
        except Unlimited:
            return -sense * UNLIMITED
        if again.status not in ("optimal", "infeasible"):
            raise Stopped  # not proven: no gain is better than a guess
        return self.objective(again).value

    def binding(self, plan: Packed, binds: WhatBinds) -> tuple[Binding, ...]:
        """The same with the limits and what the plan makes of them."""
        check = self.outcome(plan).check
        totals = check.totals()
        rows = []
        for row in binds.rules:
            metric, limit = row.rule.removesuffix("_max"), self.bounds[row.rule]
            value = totals.get(metric, limit)
            if row.rule.startswith("inventory:"):
                metric, value = "chips", float(check.chips(row.rule.partition(":")[2]))
            unit = UNITS.get(metric, "")
            rows.append(Binding(constraint=row.rule, bound=limit, value=value, unit=unit, gain=row.gain))
        return tuple(rows)

    def next_better(self, found: Packed) -> str:
        """What the next smaller value of the objective would reach, by HiGHS alone."""
        name, _ = self.problem.objectives[0]
        value, demand = found.values[name], self.columns.demand or 0.0
        less = value - 1 / SCALE[name]
        if less <= 0:
            return ""
        bounds = self.bounds | {f"{name}_max": less}
        bounds.pop("requests_per_s")
        most = self.optimum((("requests_per_s", -1),), bounds)
        whole = name in ("chips", "nodes")
        what = f"{less:g} {UNITS[name]}" if whole else f"less than {value:g} {UNITS[name]}"
        if not most.counts:
            return f"{what} serve no traffic within the bounds"
        gap = demand - most.served
        return f"{what} serve at most {most.served:.6g} requests/s, {gap:.4g} short of {demand:g}"

    def assumptions(self, plan: Packed) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        check = self.outcome(plan).check
        used = [s.name for s in self.columns.supplies if plan.counts and check.chips(s.name)]
        predicted = self.problem.performance_table is None
        return (*self._methods(), *chips_assumed(self.columns.supplies, used, predicted))

    def _methods(self) -> tuple[Assumption, ...]:
        page = "docs/deployments.md"
        found = []
        if self.problem.performance_table is not None:
            files = ", ".join(self.problem.performance_table)
            found.append(("replica rates", "as the table states them", files))
        else:
            found.append(("replica rates", "predicted by the cost model", "docs/cost-model.md"))
            space = self.problem.deployment
            if {"disaggregated", "separated"} & set(space.mode):
                how = "every chip sends its share over the slowest network on offer"
                found.append(("cache hand-over", how, page))
            if "separated" in space.mode:
                how = "over the network, hidden behind the other microbatches as far as these last"
                found.append(("tokens between attention and experts", how, page))
            if True in space.second_tier:
                how = "streams overlap with computing, at the share of the chip file; all experts streamed"
                found.append(("second tier", how, page))
        if self.problem.workload.percentile is None:
            found.append(("latency bounds", "for a request that does not wait", page))
        else:
            found.append(("percentile", "an M/M/1 queue in front of each replica", page))
        return tuple(Assumption(name=n, value=v, source=s) for n, v, s in found)

    def certificate(self, found: Packed, plan: Packed) -> Proof:
        """Why the answer can be believed."""
        return Proof(
            counts={
                "setups": setups_of(self.problem, self.columns.supplies),
                "columns": len(self.columns.replicas),
                "columns_solved": found.columns,
                "dropped": dict(self.columns.dropped) | dict(found.dropped),
            },
            engine="HiGHS and CP-SAT through OR-Tools",
            engine_version=engine_version(),
            solves=self.solves,
            confirmed_by=found.confirmed_by,
            checker="all totals and limits recomputed in fractions, replicas placed node by node"
            if plan.counts
            else "no plan to check",
            seed=self.options.settings.seed,
            witnesses=None,
        )
