"""A deployment problem as a `Question`: configurations are priced once, bounds edited for each re-solve.

Where the watch ends while they are priced nothing is proven: every re-solve raises Stopped, and what is there
serves to show a plan at hand.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica_costs import UNPRICED
from optimizer.columns.supply import Supply
from optimizer.errors import InputError, Unlimited, nearest
from optimizer.questions.deployment.columns import (
    all_bounds,
    offered_by,
    prepare,
    priced_of,
    pricing,
    setups_of,
)
from optimizer.questions.deployment.explain import explain_deployment
from optimizer.questions.deployment.moves import Move, is_tighter, moves_of
from optimizer.questions.deployment.outcome import DeploymentOutcome
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.programme import optimum
from optimizer.questions.deployment.search import LATENCIES, DeploymentSearch
from optimizer.questions.deployment.solve import ANY_TRAFFIC, UNITS
from optimizer.questions.deployment.vary import check_constant, varied
from optimizer.questions.question import Ask
from optimizer.solver.engine import engine_version
from optimizer.spec.answer import Conflict
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch

TRAFFIC = ("requests_per_s", "output_tokens_per_s")
AIMS = ("chips", "nodes", "usd_per_hour", "power_w", *LATENCIES, *TRAFFIC)
STEPS = {
    "chips": 1.0,
    "nodes": 1.0,
    "usd_per_hour": 0.01,
    "power_w": 1.0,
    "ttft_ms": 1e-3,
    "tpot_ms": 1e-3,
    "requests_per_s": 1e-3,
    "output_tokens_per_s": 0.1,
}
"""Resolution of a later objective: chips, cents, watts, microseconds."""
CHOICES = {
    "hardware": "chip",
    "mode": "mode",
    "tensor_parallel": "tensor_parallel",
    "pipeline_parallel": "pipeline_parallel",
    "expert_parallel": "expert_parallel",
    "data_parallel": "data_parallel",
    "weight_dtype": "weight_dtype",
    "kv_dtype": "kv_dtype",
}
"""Free choices, and the column each fixes for every replica of a plan."""
_MODE = {"aggregated": "aggregated", "prefill": "disaggregated", "decode": "disaggregated"}
_ROW = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel", "batch")
_SAME_ROW = (*_ROW, "chip", "weight_dtype", "kv_dtype")
_AS_IT_IS = {"source": "label", "domains": "domains"}
_KEPT = 32


@dataclass
class DeploymentQuestion:
    """The `Question` of a deployment problem."""

    problem: DeploymentProblem
    watch: Watch = UNWATCHED
    """Of the study: it ends pricing too."""

    def __post_init__(self) -> None:
        self._others: dict[str, DeploymentQuestion] = {}

    @cached_property
    def offered(self) -> tuple[Supply, ...]:
        """The chips there are."""
        return offered_by(self.problem)

    @cached_property
    def columns(self) -> DeploymentColumns:
        """Every configuration, priced or read once, as far as there was time; Stopped if there is none.

        InputError for what does not exist.
        """
        return prepare(self.problem, self.offered, pricing(self.watch))

    def _all_columns(self) -> DeploymentColumns:
        """Every configuration; Stopped unless there was time for all."""
        if not self.columns.complete:
            raise Stopped
        return self.columns

    @cached_property
    def bounds(self) -> dict[str, float]:
        """Bounds in force."""
        return all_bounds(self.problem, self.offered)

    @property
    def lattice_points(self) -> int:
        """Configurations of one replica that have a price; a plan takes some number of each."""
        try:
            return len(self.columns.replicas)
        except Stopped:
            return 0

    def unprepared(self) -> str:
        """How many setups the watch left without a price."""
        setups = setups_of(self.problem, self.offered)
        try:
            left = self.columns.dropped.get(UNPRICED, 0)
        except Stopped:
            left = setups
        return priced_of(setups, left)

    def at_hand(self, aim: Aim) -> Plan | None:
        """The best plan found in what time is left among what is priced; not proven best."""
        goal = (aim.metric, 1)
        if aim.metric in TRAFFIC or aim.metric in LATENCIES:
            goal = ("requests_per_s", -1) if aim.metric in TRAFFIC else ("chips", 1)
        bounds = {"requests_per_s": ANY_TRAFFIC} | self.bounds
        try:
            found = optimum(self.columns, (goal,), bounds, watch=self.watch, confirm=False)
        except (Stopped, Unlimited):
            return None
        if not found.counts:
            return None
        outcome = self.outcome_of(self.bounds, found.counts)
        outcome.require(found)
        return outcome.plan(self.problem.architecture)

    def identity(self) -> str:
        """The problem, and every configuration and chip that answers follow from. Raises Stopped."""
        table = [_fingerprint(column) for column in vars(self._all_columns().replicas).values()]
        return "\n".join(
            [self.problem.model_dump_json(exclude_unset=True), repr(self.columns.supplies), *table]
        )

    def usual(self) -> tuple[str, ...]:
        """The problem's first objective against the time per token."""
        return (self.problem.maximize or self.problem.objectives[0][0], "tpot_ms")

    def metrics(self) -> tuple[str, ...]:
        """Metrics that every plan has."""
        return tuple(name for name in AIMS if self._why_not(name) is None)

    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective; InputError if a deployment does not have it."""
        why = self._why_not(metric)
        if why is not None:
            raise InputError(f"objectives {metric[:64]}: {why}")
        way: Literal["min", "max"] = "max" if metric in TRAFFIC else "min"
        return Aim(metric=metric, sense=way, unit=UNITS[metric], step=step or STEPS[metric])

    def _why_not(self, metric: str) -> str | None:
        """Why a metric cannot be an objective; None if it can."""
        if metric not in AIMS:
            hint = nearest(metric, list(AIMS)) or f" Accepted: {', '.join(AIMS)}."
            return f"is no objective of a deployment.{hint}"
        if metric in ("usd_per_hour", "power_w"):
            without = [s.name for s in self.offered if getattr(s, metric) is None]
            field = {"usd_per_hour": "usd_per_chip_hour"}.get(metric, metric)
            return f"{without[0]} has none; give {field} beside the chip" if without else None
        if metric == "nodes":
            without = [s.name for s in self.offered if s.node is None]
            return f"{without[0]} has no known node size; give node beside the chip" if without else None
        if metric == "output_tokens_per_s" and self.problem.demand is not None:
            return "the traffic is fixed by workload.requests_per_s; requests_per_s is the capacity for it"
        if metric not in LATENCIES:
            return None
        if metric == "ttft_ms" and self.problem.workload.percentile is not None:
            return "with workload.percentile it depends on the load; perturb moves constraints.ttft_ms_max"
        if self.problem.performance_table is None:
            return None  # the cost model states them all
        rows = self.columns.replicas.mode != LATENCIES[metric]
        unknown = bool((getattr(self.columns.replicas, metric)[rows] <= 0).any())
        return "a configuration states none" if unknown else None

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objectives; traffic in tokens where it asks for tokens and is free."""
        most = self.problem.maximize
        if most is not None and self._why_not(most) is None:
            return (self.aim(most),)
        return tuple(self.aim(name, sense) for name, sense in self.problem.objectives)

    def constraints(self) -> Mapping[str, Any]:
        """Bounds in force, the demand and the inventories among them."""
        return self.bounds

    def neighbours(self, constraint: str, plan: Plan) -> tuple[bool, list[Move]]:
        """Whether a bound may be switched off, and values near its own."""
        node = next((s.node for s in self.offered if constraint == f"inventory:{s.name}"), None)
        return constraint != "requests_per_s", moves_of(constraint, self.bounds[constraint], node)

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Choices of a replica that differ among the configurations."""
        found = {name: self._column(name) for name in CHOICES}
        distinct = {name: tuple(np.unique(values).tolist()) for name, values in found.items()}
        return {name: values for name, values in distinct.items() if len(values) > 1}

    def _column(self, name: str) -> Any:
        values = getattr(self.columns.replicas, CHOICES[name])
        return np.array([_MODE[mode] for mode in values.tolist()]) if name == "mode" else values

    def choices(self, plan: Plan) -> dict[str, Any]:
        """What a plan chose: one value, or all that its pools have; and how many replicas of each."""
        found: dict[str, Any] = {}
        for name, column in CHOICES.items():
            own = [_MODE[p.phase] if name == "mode" else getattr(p, column) for p in plan.pools]
            values = sorted(set(own))
            found[name] = values[0] if len(values) == 1 else " and ".join(map(str, values))
        sizes = [f"{p.replicas} {p.phase} at batch {p.batch}" for p in plan.pools]
        return found | {"pools": ", ".join(sizes)}

    def alone(self, plan: Plan, name: str, value: Any) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        """The same pools with one choice changed in each; None where a pool has no such configuration."""
        if name == "mode":
            return None, ()
        counts: dict[int, int] = {}
        for pool in plan.pools:
            row = self.row_of(pool, {CHOICES[name]: value})
            if row is None:
                return None, ()
            counts[row] = counts.get(row, 0) + pool.replicas
        outcome = self.outcome_of(self.bounds, counts)
        return outcome.metrics(), tuple(outcome.check.broken(self.bounds))

    def held(
        self, plan: Plan, scaled: Mapping[str, float], values: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        """The same pools with constants scaled, for other traffic where `values` says so.

        None where a pool can no longer be. Raises Stopped where constants are to be priced again and there is
        no time.
        """
        other = self._changed(Ask(aims=(), scaled=dict(scaled)))
        rows = {other.row_of(pool, {}): pool.replicas for pool in plan.pools}
        counts = {row: n for row, n in rows.items() if row is not None}
        if len(counts) < len(plan.pools):
            return None, ()
        outcome = other.outcome_of(other.bounds, counts)
        demand = (values or {}).get("requests_per_s", outcome.columns.demand)
        outcome = replace(outcome, columns=replace(outcome.columns, demand=demand))
        return outcome.metrics(), tuple(outcome.check.broken(other.bounds))

    def row_of(self, pool: Any, changed: Mapping[str, Any]) -> int | None:
        """The configuration of a pool with some columns changed, in as few domains as it can lie in."""
        r = self.columns.replicas
        wanted = {"mode": pool.phase} | {name: getattr(pool, name) for name in _SAME_ROW} | dict(changed)
        wanted |= {} if changed else {column: getattr(pool, name) for name, column in _AS_IT_IS.items()}
        same = np.all([getattr(r, name) == value for name, value in wanted.items()], axis=0)
        rows = np.flatnonzero(same)
        return int(rows[0]) if len(rows) else None

    def beside(self, names: Sequence[str]) -> tuple[str, ...]:
        """None: a deployment is of one model; InputError if any is named."""
        if names:
            raise InputError(f"models {names[0][:64]}: no model can be placed beside a deployment's frontier")
        return ()

    def unlike(self, name: str) -> tuple[str, ...]:
        """Nothing: no model is placed beside a deployment."""
        return ()

    def place(self, name: str, like: Plan) -> tuple[dict[str, float], tuple[str, ...]]:
        """Not for deployments."""
        self.beside((name,))
        return {}, ()

    def tighter(self, constraint: str, old: Any, new: Any) -> bool:
        """Whether the new value of a bound only takes plans away, and changes no figure of those left."""
        queued = constraint == "ttft_ms_max" and self.columns.percentile is not None
        return is_tighter(constraint, old, new) and not queued

    def keeps(self, plan: Plan, constraint: str, value: Any) -> bool:
        """Whether a plan keeps a bound at another value."""
        rows = {self.row_of(pool, {}): pool.replicas for pool in plan.pools}
        counts = {row: n for row, n in rows.items() if row is not None}
        stocked = self.stocked({constraint: value})
        return not self.outcome_of(self.bounds, counts, stocked).check.broken({constraint: value})

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor any of its chips has this number."""
        check_constant(self.problem, self.offered, path)

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """The smallest conflict of a problem without a plan; None if there was no time to find it."""
        return explain_deployment(self.problem, self._all_columns(), self.bounds, prepare, watch)

    def kept_by_a_plan(self, bounds: Mapping[str, float], watch: Watch = UNWATCHED) -> frozenset[str] | None:
        """The problem's bounds that some plan within these bounds keeps; None if there is no plan."""
        found = self.search_within(bounds, watch).any_plan()
        if found is None:
            return None
        outcome = self.outcome_of(self.bounds, found.counts, self.stocked(self.bounds))
        lost = {*outcome.check.broken(self.bounds), "utilisation_max"}
        lost |= set() if self.columns.percentile is None else {"ttft_ms_max"}  # both change rates
        return frozenset(name for name in self.bounds if name in bounds or name not in lost)

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, {work.solves} questions to HiGHS and CP-SAT through OR-Tools "
            f"{engine_version()}",
            "a confirmation of each optimum by CP-SAT or an exact computation in whole numbers",
            "a check of all totals and limits of every plan in fractions, replicas placed node by node",
        )

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Each aim in turn, the earlier held: exact in the first, the later in steps until the last."""
        if not asked.any_plan:
            self._all_columns()
        other = self._changed(asked)
        bounds = other.bounds_under(asked)
        search = other.search_within(bounds, watch)
        try:
            found = search.any_plan() if asked.any_plan else search.lexicographic(asked.aims)
        except Unlimited:
            return Optimum(plan=None, unlimited=True, slices=0, solves=search.solves, enumerated=0)
        plan = None
        if found is not None and found.counts:
            outcome = other.outcome_of(bounds, found.counts, other.stocked(bounds))
            outcome.require(found)
            demand = asked.values.get("requests_per_s", other.problem.demand)
            carried = replace(outcome, columns=replace(outcome.columns, demand=demand))
            plan = carried.plan(self.problem.architecture)
        return Optimum(plan=plan, slices=0, solves=search.solves, enumerated=0)

    def search_within(self, bounds: Mapping[str, float], watch: Watch = UNWATCHED) -> DeploymentSearch:
        """A search among the configurations priced for plans within bounds."""
        return DeploymentSearch(self.columns, bounds, self.problem.workload.output_tokens, watch)

    def outcome_of(
        self, bounds: Mapping[str, float], counts: Mapping[int, int], columns: DeploymentColumns | None = None
    ) -> DeploymentOutcome:
        """The plan with so many replicas of each configuration, by row: its metrics and what it breaks."""
        tokens = self.problem.workload.output_tokens
        return DeploymentOutcome(columns or self.columns, bounds, counts, tokens)

    def stocked(self, bounds: Mapping[str, float]) -> DeploymentColumns:
        """The columns with the inventories and the demand that bounds say, for the check."""
        supplies = tuple(
            replace(s, count=None if (n := bounds.get(f"inventory:{s.name}")) is None else int(n))
            for s in self.columns.supplies
        )
        demand = bounds.get("requests_per_s", 0.0)
        return replace(self.columns, supplies=supplies, demand=demand if demand > ANY_TRAFFIC else None)

    def bounds_under(self, asked: Ask) -> dict[str, float]:
        """Bounds of a re-solve: some left out, some with other values, some added."""
        bounds = {"requests_per_s": ANY_TRAFFIC} | self.bounds | dict(asked.values)
        for name in asked.without:
            bounds.pop(name)
        search = self.search_within(bounds)
        for metric, limit in asked.bounds.items():
            search.hold(metric, limit)
        return dict(search.bounds)

    def _changed(self, asked: Ask) -> "DeploymentQuestion":
        """The question with other configurations; kept, for it may be asked again."""
        if not asked.fixed and not asked.scaled:
            return self
        key = repr((sorted(asked.fixed.items()), sorted(asked.scaled.items())))
        if key not in self._others:
            if len(self._others) >= _KEPT:
                self._others.clear()
            problem, columns = varied(self.problem, self._all_columns(), asked.scaled, self.watch)
            other = DeploymentQuestion(problem, self.watch)
            other.offered, other.columns = columns.supplies, columns
            keep = np.ones(len(columns.replicas), dtype=bool)
            for name, value in asked.fixed.items():
                keep &= other._column(name) == value
            other.columns = replace(columns, replicas=columns.replicas.take(keep))
            self._others[key] = other
        return self._others[key]


def _fingerprint(column: Any) -> str:
    """Of a column of any length: a million rows as text would take longer than to price some of them."""
    values = np.asarray(column)
    data = repr(values.tolist()).encode() if values.dtype == object else values.tobytes()
    return f"{values.dtype} {values.shape} {hashlib.sha256(data).hexdigest()}"
