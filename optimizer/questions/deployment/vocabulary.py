"""What a deployment problem says of itself: metrics, bounds, free choices; a plan priced again.

Configurations are priced once. Where the watch ends while they are priced nothing is proven: every re-solve
raises Stopped, and what is there serves to show a plan at hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica_costs import UNPRICED
from optimizer.columns.supply import Supply
from optimizer.errors import InputError, nearest
from optimizer.metrics import counted, latencies, step_of, totals, traffic, unit
from optimizer.metrics import metric as metric_of
from optimizer.metrics import sense as sense_of
from optimizer.questions.deployment.answer import DeploymentAnswer
from optimizer.questions.deployment.columns import (
    all_bounds,
    offered_by,
    prepare,
    priced_of,
    pricing,
    setups_of,
)
from optimizer.questions.deployment.moves import is_tighter, moves_of
from optimizer.questions.deployment.outcome import DeploymentOutcome
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.programme import Objectives, Packed, optimum
from optimizer.questions.deployment.search import ANY_TRAFFIC
from optimizer.questions.deployment.vary import check_constant, varied
from optimizer.questions.moves import Move
from optimizer.questions.question import Ask, Question
from optimizer.questions.replica_choices import CHOICES, choices_of, domains_of, left, part_values, parts
from optimizer.questions.vocabulary import Priced
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.plan import Plan
from optimizer.spec.split import DEGREES, FORMATS
from optimizer.spec.studies import Aim
from optimizer.watch import UNWATCHED, Stopped, Watch

_SAME_ROW = (*DEGREES, "batch", "chip", *FORMATS)
_AS_IT_IS = {"source": "label", "domains": "domains"}
_KEPT = 32


class DeploymentVocabulary(Question):
    """What a deployment problem says of itself."""

    ANSWER = DeploymentAnswer
    problem: DeploymentProblem

    def __init__(
        self, problem: DeploymentProblem, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        super().__init__(problem, watch, settings)
        self._others: dict[str, Self] = {}
        self.solves = 0
        """Questions put to the engines, for the answer to the problem as it stands."""

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

    def all_columns(self) -> DeploymentColumns:
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

    def identity(self) -> str:
        """The problem, and every configuration and chip that answers follow from. Raises Stopped."""
        table = self.all_columns().replicas.fingerprint()
        own = self.problem.model_dump_json(exclude_unset=True)
        return "\n".join([own, repr(self.columns.supplies), table])

    def usual(self) -> tuple[str, ...]:
        """The problem's first objective against the time per token."""
        return (self.problem.maximize or self.problem.objectives[0][0], "tpot_ms")

    def metrics(self) -> tuple[str, ...]:
        """Metrics that every plan has."""
        return tuple(name for name in self._aims() if self._why_not(name) is None)

    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective; InputError if a deployment does not have it."""
        why = self._why_not(metric)
        if why is not None:
            raise InputError(f"objectives {metric[:64]}: {why}")
        way: Literal["min", "max"] = "min" if sense_of(metric) > 0 else "max"
        return Aim(metric=metric, sense=way, unit=unit(metric), step=step or step_of(metric))

    @staticmethod
    def _aims() -> tuple[str, ...]:
        return (*counted(), *latencies(), *traffic())

    def _why_not(self, metric: str) -> str | None:
        """Why a metric cannot be an objective; None if it can."""
        if metric not in self._aims():
            hint = nearest(metric, list(self._aims())) or f" Accepted: {', '.join(self._aims())}."
            return f"is no objective of a deployment.{hint}"
        if metric in totals():
            own = metric_of(metric, "each")
            without = [s.name for s in self.offered if own.each(s) is None]
            return f"{without[0]} has none; give {own.GIVEN_BY} beside the chip" if without else None
        if metric == "nodes":
            without = [s.name for s in self.offered if s.node is None]
            return f"{without[0]} has no known node size; give node beside the chip" if without else None
        if metric == "output_tokens_per_s" and self.problem.demand is not None:
            return "the traffic is fixed by workload.requests_per_s; requests_per_s is the capacity for it"
        if metric not in latencies():
            return None
        if metric == "ttft_ms" and self.problem.workload.percentile is not None:
            return "with workload.percentile it depends on the load; perturb moves constraints.ttft_ms_max"
        if self.problem.performance_table is None:
            return None  # the cost model states them all
        rows = self.columns.replicas.mode != latencies()[metric]
        unknown = bool((getattr(self.columns.replicas, metric)[rows] <= 0).any())
        return "a configuration states none" if unknown else None

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objectives; traffic in tokens where it asks for tokens and is free."""
        most = self.problem.maximize
        if most is not None and self._why_not(most) is None:
            return (self.aim(most),)
        return tuple(self.aim(name, sense) for name, sense in self.problem.objectives)

    def rules(self) -> Mapping[str, Any]:
        """Bounds in force, the demand and the inventories among them."""
        return self.bounds

    def can_be_dropped(self, rule: str) -> bool:
        """Whether the problem without the bound asks the same: the traffic is the question itself."""
        return rule != "requests_per_s"

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a bound's own; of an inventory, whole nodes too."""
        node = next((s.node for s in self.offered if rule == f"inventory:{s.name}"), None)
        return moves_of(rule, self.bounds[rule], node)

    def tighter(self, rule: str, old: Any, new: Any) -> bool:
        """Whether the new value of a bound only takes plans away, and changes no figure of those left."""
        queued = rule == "ttft_ms_max" and self.columns.percentile is not None
        return is_tighter(rule, old, new) and not queued

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Choices of a replica that differ among the configurations."""
        return domains_of([self.columns.replicas])

    def parts_of(self, choice: str) -> Mapping[str, tuple[Any, ...]]:
        """Whether any replica has a value of the choice: plans may have several."""
        [values] = super().parts_of(choice).values()
        return parts(choice, values)

    def part_values(self, plan: Plan) -> Mapping[str, Any]:
        """Whether the plan has such a replica."""
        return part_values(plan.pools, self.domains())

    def choices(self, plan: Plan) -> dict[str, Any]:
        """What a plan chose: one value, or all that its pools have; and how many replicas of each."""
        sizes = [f"{p.replicas} {p.phase} at batch {p.batch}" for p in plan.pools]
        return choices_of(plan.pools) | {"pools": ", ".join(sizes)}

    def priced(
        self,
        plan: Plan,
        changed: Mapping[str, Any] = {},
        scaled: Mapping[str, float] = {},
        values: Mapping[str, Any] = {},
    ) -> Priced:
        """The same pools with choices changed in each, constants scaled, other traffic or other bounds.

        No metrics where a pool can no longer be. Raises Stopped where constants are to be priced again and
        there is no time.
        """
        if "mode" in changed:
            return Priced(None)
        other = self.varied(Ask(aims=(), scaled=dict(scaled)))
        columns = {CHOICES[name]: value for name, value in changed.items()}
        counts: dict[int, int] = {}
        for pool in plan.pools:
            row = other.row_of(pool, columns)
            if row is None:
                return Priced(None)
            counts[row] = counts.get(row, 0) + pool.replicas
        bounds = other.bounds | dict(values)
        stocked = other.stocked(bounds) if values else other.columns
        outcome = other.outcome_of(bounds, counts, stocked)
        demand = values.get("requests_per_s", other.columns.demand)
        outcome = replace(outcome, columns=replace(outcome.columns, demand=demand))
        return Priced(outcome.metrics(), tuple(outcome.check.broken(bounds)))

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor any of its chips has this number."""
        check_constant(self.problem, self.offered, path)

    def varied(self, asked: Ask) -> Self:
        """The question with other configurations; kept, for it may be asked again."""
        if not asked.within and not asked.scaled:
            return self
        key = repr((sorted(asked.within.items()), sorted(asked.scaled.items())))
        if key not in self._others:
            if len(self._others) >= _KEPT:
                self._others.clear()
            problem, columns = varied(self.problem, self.all_columns(), asked.scaled, self.watch)
            other = type(self)(problem, self.watch, self.settings)
            other.offered, other.columns = columns.supplies, columns
            other.columns = other.held_within(asked.within)
            self._others[key] = other
        return self._others[key]

    def held_within(self, within: Mapping[str, tuple[Any, ...]]) -> DeploymentColumns:
        """The configurations that choices, or parts of them, leave; a part that a plan must have is used."""
        keep, used = left(self.columns.replicas, within)
        return replace(self.columns, used=tuple(used.values())).only(keep)

    def row_of(self, pool: Any, changed: Mapping[str, Any]) -> int | None:
        """The configuration of a pool with some columns changed, in as few domains as it can lie in."""
        r = self.columns.replicas
        wanted = {"mode": pool.phase} | {name: getattr(pool, name) for name in _SAME_ROW} | dict(changed)
        wanted |= {} if changed else {column: getattr(pool, name) for name, column in _AS_IT_IS.items()}
        same = np.all([getattr(r, name) == value for name, value in wanted.items()], axis=0)
        rows = np.flatnonzero(same)
        return int(rows[0]) if len(rows) else None

    def asked(self, objectives: Objectives, bounds: Mapping[str, float], confirm: bool = True) -> Packed:
        """One question to the engines about the problem as it stands, counted."""
        found = optimum(self.columns, objectives, bounds, self.settings, self.watch, confirm)
        self.solves += found.solves
        return found

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
