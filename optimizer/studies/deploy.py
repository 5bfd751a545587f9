"""The best deployment of a problem, with its proof; or the conflict that leaves none."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from optimizer.check_deployment import DeploymentCheck
from optimizer.columns.deployment import DeploymentColumns
from optimizer.errors import InputError, InternalMismatch
from optimizer.solver.deployment import SCALE, Objectives, Packed, optimum
from optimizer.solver.engine import engine_version
from optimizer.spec.deployment import DeploymentProblem
from optimizer.spec.deployment_plan import DeploymentCertificate, DeploymentResult, Pools, ReplicaPool
from optimizer.spec.plan import Assumption, Binding, Objective
from optimizer.studies.deploy_columns import all_bounds, prepare
from optimizer.studies.deploy_explain import explain_deployment
from optimizer.studies.solve import Options
from optimizer.version import VERSION

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
_SAME = 1e-9
ANY_TRAFFIC = 1e-8
"""Requests per second that a plan for the most traffic must serve: some."""


def solve(problem: DeploymentProblem, options: Options = Options()) -> DeploymentResult:
    """Solve a deployment to proven optimality, or name the smallest conflict.

    Raises InputError for what cannot be asked, InternalMismatch if an answer fails its own check.
    """
    start = time.monotonic()
    study = _Study(problem, prepare(problem), options, options.deadline())
    found = study.optimum(problem.objectives, {"requests_per_s": ANY_TRAFFIC} | study.bounds, True)
    plan = study.settle(found) if found.counts else found
    study.require(plan)
    _, sense = problem.objectives[0]
    conflict = None
    if found.status == "infeasible":
        conflict = explain_deployment(problem, study.columns, study.bounds, prepare, study.deadline)
    return DeploymentResult(
        status=found.status,
        objective=study.objective(found),
        architecture=problem.architecture,
        deployment=Pools(pools=study.pools(plan)) if plan.counts else None,
        metrics=study.metrics(plan) if plan.counts else {},
        binding=study.binding(found, plan) if found.status == "optimal" else (),
        next_better=study.next_better(found) if found.status == "optimal" and sense > 0 else "",
        conflict=conflict,
        assumptions=study.assumptions(),
        certificate=study.certificate(found, plan),
        wall_s=time.monotonic() - start,
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


@dataclass
class _Study:
    problem: DeploymentProblem
    columns: DeploymentColumns
    options: Options
    deadline: float | None

    def __post_init__(self) -> None:
        self.bounds = all_bounds(self.problem, self.columns)
        self.solves = 0

    def optimum(self, objectives: Objectives, bounds: Mapping[str, float], confirm: bool = False) -> Packed:
        """One question to the solver."""
        found = optimum(self.columns, objectives, bounds, self.options.settings, self.deadline, confirm)
        self.solves += found.solves
        return found

    def settle(self, found: Packed) -> Packed:
        """Among the optima, the plan with fewest chips; among equal chips, the one that serves most."""
        if found.status != "optimal":
            return found
        if self.problem.maximize:
            again = self.optimum((("chips", 1),), self.bounds | {"requests_per_s": found.served})
        else:
            held = {f"{name}_max": value for name, value in found.values.items()}
            least = () if "chips_max" in held else (("chips", 1),)
            again = self.optimum((*least, ("requests_per_s", -1)), self.bounds | held)
        return again if again.counts else found

    def check(self, plan: Packed) -> DeploymentCheck:
        """The independent computation of a plan."""
        c = self.columns
        given = None
        if c.percentile is not None:
            rates = c.rates(self.bounds)
            given = {i: float(rates[i]) for i in plan.counts}
        return DeploymentCheck(
            replicas=c.replicas,
            supplies=c.supplies,
            counts=plan.counts,
            factors=c.factors,
            demand=c.demand,
            utilisation_max=self.bounds.get("utilisation_max", 1.0),
            percentile=c.percentile,
            given=given,
        )

    def require(self, plan: Packed) -> None:
        """InternalMismatch unless the plan holds and has the value it claims."""
        if not plan.counts:
            return
        checked = self.check(plan)
        broken = checked.broken(self.bounds)
        if broken:
            raise InternalMismatch(f"the plan found breaks {', '.join(broken)} when recomputed")
        totals = checked.totals()
        floored = sum(plan.counts.values()) / SCALE["requests_per_s"]
        for name, value in plan.values.items():
            if abs(totals[name] - value) > _SAME * max(1.0, abs(value)) + floored:
                raise InternalMismatch(f"{name}: the solver says {value:.9g}, the check {totals[name]:.9g}")

    def objective(self, found: Packed) -> Objective:
        """What was optimised, reached and proven."""
        name, sense = self.problem.objectives[0]
        value, bound = found.values.get(name), found.bounds.get(name)
        shown = self.problem.maximize or name
        if shown == "output_tokens_per_s":
            per = self.problem.workload.output_tokens
            value, bound = (None if v is None else v * per for v in (value, bound))
        direction: Literal["min", "max"] = "min" if sense > 0 else "max"
        gap = abs(value - bound) / abs(value) if value and bound is not None else None
        return Objective(name=shown, sense=direction, value=value, unit=UNITS[shown], bound=bound, gap=gap)

    def pools(self, plan: Packed) -> tuple[ReplicaPool, ...]:
        """The pools, prefill before decode, the largest first."""
        checked = self.check(plan)
        order = {"aggregated": 0, "prefill": 1, "decode": 2}
        rows = sorted(checked.rows, key=lambda i: (order[checked.rows[i]["mode"]], -plan.counts[i]))
        return tuple(self._pool(checked, i) for i in rows)

    def _pool(self, checked: DeploymentCheck, index: int) -> ReplicaPool:
        row, n = checked.rows[index], checked.counts[index]
        supply = next(s for s in self.columns.supplies if s.name == row["chip"])
        chips = [(supply, n * row["chips"])]
        chips += [(s, n * row["expert_chips"]) for s in self.columns.supplies if s.name == row["expert_chip"]]
        return ReplicaPool(
            phase=row["mode"],
            chip=row["chip"],
            replicas=n,
            **{f"{d}_parallel": row[f"{d}_parallel"] for d in ("tensor", "pipeline", "expert", "data")},
            batch=row["batch"],
            weight_dtype=row["weight_dtype"],
            kv_dtype=row["kv_dtype"],
            chips=chips[0][1],
            expert_chip=row["expert_chip"] or None,
            expert_chips=n * row["expert_chips"],
            microbatches=row["microbatches"],
            requests_per_s=n * row["requests_per_s"],
            utilisation=checked.utilisation(row["mode"]),
            ttft_ms=row["ttft_ms"] or None,
            tpot_ms=row["tpot_ms"] or None,
            memory_gib=row["memory_gib"] or None,
            hbm_usable_gib=supply.usable_gib,
            expert_memory_gib=row["expert_memory_gib"] or None,
            second_tier_gib=row["second_tier_gib"] or None,
            usd_per_hour=_added((count, s.usd_per_hour) for s, count in chips),
            power_w=_added((count, s.power_w) for s, count in chips),
            source=row["label"],
        )

    def metrics(self, plan: Packed) -> dict[str, float]:
        """Totals of the plan."""
        found = self.check(plan).totals()
        served = found["requests_per_s"]
        carried = min(served, self.columns.demand or served)
        tokens = carried * self.problem.workload.output_tokens
        found |= {"output_tokens_per_s": tokens, "utilisation": carried / served if served else 0.0}
        if "usd_per_hour" in found and tokens:
            found["usd_per_million_tokens"] = found["usd_per_hour"] / 3600 / tokens * 1e6
        return found

    def binding(self, found: Packed, plan: Packed) -> tuple[Binding, ...]:
        """Bounds without which a better plan exists."""
        name, sense = self.problem.objectives[0]
        totals = self.check(plan).totals()
        rows = []
        for bound, limit in self.bounds.items():
            if bound == "requests_per_s":
                continue
            without = {key: value for key, value in self.bounds.items() if key != bound}
            if not self._better_without(name, sense, found, without):
                continue
            metric = bound.removesuffix("_max")
            value = totals.get(metric, limit)
            if bound.startswith("inventory:"):
                metric, value = "chips", float(self.check(plan).chips(bound.partition(":")[2]))
            rows.append(Binding(constraint=bound, bound=limit, value=value, unit=UNITS.get(metric, "")))
        return tuple(rows)

    def _better_without(self, name: str, sense: int, found: Packed, bounds: Mapping[str, float]) -> bool:
        try:
            again = self.optimum(((name, sense),), bounds)
        except InputError:  # nothing else limits the plan
            return True
        step = 0.5 / SCALE[name]
        return name in again.values and sense * again.values[name] < sense * found.values[name] - step

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

    def assumptions(self) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
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

    def certificate(self, found: Packed, plan: Packed) -> DeploymentCertificate:
        """Why the answer can be believed."""
        return DeploymentCertificate(
            columns=len(self.columns.replicas),
            columns_solved=found.columns,
            dropped=dict(self.columns.dropped) | dict(found.dropped),
            engine="HiGHS and CP-SAT through OR-Tools",
            engine_version=engine_version(),
            solves=self.solves,
            confirmed_by=found.confirmed_by,
            checker="all totals and limits recomputed in fractions, replicas placed node by node"
            if plan.counts
            else "no plan to check",
            seed=self.options.settings.seed,
        )


def _added(each: Iterable[tuple[int, float | None]]) -> float | None:
    """A total over kinds of chips; None where one of them is unknown."""
    known = [(count, value) for count, value in each if value is not None or count]
    return None if any(v is None for _, v in known) else sum(n * (v or 0.0) for n, v in known)
