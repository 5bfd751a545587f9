"""What a deployment problem says of itself: metrics, bounds, free choices; a plan priced again."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.columns.scenarios import part_of
from optimizer.columns.supply import Supply
from optimizer.metrics import counted, held_least, latencies, listed, traffic
from optimizer.questions.deployment.again import rows_of
from optimizer.questions.deployment.answer import DeploymentAnswer
from optimizer.questions.deployment.columns import all_bounds, offered_by, prepare, pricing, setups_of
from optimizer.questions.deployment.longest import longest_or_any
from optimizer.questions.deployment.optimum import Objectives, Packed, optimum
from optimizer.questions.deployment.plan import ReplicaPlan, stocked
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.search import DeploymentSearch
from optimizer.questions.question import Ask
from optimizer.questions.replica_choices import left
from optimizer.questions.replica_question import ReplicaQuestion
from optimizer.questions.vocabulary import Priced
from optimizer.spec.plan import Plan, Pool
from optimizer.spec.studies import Aim
from optimizer.watch import UNWATCHED, Watch

_CHANGES_FIGURES = ("requests_per_s", "utilisation_max", "spares")
"""Bounds that a plan's own figures depend on."""
OF_A_REPLICA = ("ttft_ms_max", "tpot_ms_max", "memory_capacity")
"""Bounds that say how replicas may run when something goes wrong."""


class DeploymentVocabulary(ReplicaQuestion[DeploymentColumns]):
    """What a deployment problem says of itself."""

    ANSWER = DeploymentAnswer
    problem: DeploymentProblem

    @cached_property
    def offered(self) -> tuple[Supply, ...]:
        """The chips there are."""
        return offered_by(self.problem)

    @property
    def tabled(self) -> bool:
        """Whether the rates of replicas are stated by a table."""
        return self.problem.performance_table is not None

    @cached_property
    def columns(self) -> DeploymentColumns:
        """Every configuration, priced or read once, as far as there was time; Stopped if there is none.

        InputError for what does not exist.
        """
        return prepare(self.problem, self.offered, pricing(self.watch))

    def tables(self) -> tuple[Replicas, ...]:
        """The configurations of one replica."""
        return (self.columns.replicas,)

    def setups(self) -> int:
        """Setups that there are to price."""
        return setups_of(self.problem, self.offered)

    @cached_property
    def bounds(self) -> dict[str, float]:
        """Bounds in force."""
        return all_bounds(self.problem, self.offered)

    def usual(self) -> tuple[str, ...]:
        """The problem's first objective against the time per token."""
        return (self.problem.maximize or self.problem.objectives[0][0], "tpot_ms")

    def objectives(self) -> tuple[str, ...]:
        """Totals, latencies, traffic, and what there is room for."""
        return (*counted(), *latencies(), *traffic(), *listed("held"))

    def why_not(self, metric: str) -> str | None:
        """Why a metric cannot be an objective; None if it can."""
        if why := super().why_not(metric):
            return why
        if metric == "nodes":
            without = [s.name for s in self.offered if s.node is None]
            return f"{without[0]} has no known node size; give node beside the chip" if without else None
        if metric == "output_tokens_per_s" and self.problem.demand is not None:
            return "the traffic is fixed by workload.requests_per_s; requests_per_s is the capacity for it"
        if metric not in latencies():
            return self.problem.room_unknown() if metric in listed("held") else None
        if metric == "ttft_ms" and self.problem.queued_at is not None:
            return "with workload.percentile it depends on the load; perturb moves constraints.ttft_ms_max"
        if not self.tabled:
            return None  # the cost model states them all
        rows = self.columns.replicas.mode != latencies()[metric]
        unknown = bool((getattr(self.columns.replicas, metric)[rows] <= 0).any())
        return "a configuration states none" if unknown else None

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objectives; traffic in tokens where it asks for tokens and is free."""
        most = self.problem.maximize
        if most is not None and self.why_not(most) is None:
            return (self.aim(most),)
        return tuple(self.aim(name, sense) for name, sense in self.problem.objectives)

    def rules(self) -> Mapping[str, Any]:
        """Bounds in force, the demand and the inventories among them."""
        return self.bounds

    def can_be_dropped(self, rule: str) -> bool:
        """Whether the problem without the bound asks the same: the traffic is the question itself."""
        return rule != "requests_per_s"

    def tighter(self, rule: str, old: Any, new: Any) -> bool:
        """Whether the new value of a bound only takes plans away, and changes no figure of those left."""
        return not _changes_figures(self.columns, rule) and super().tighter(rule, old, new)

    def in_words(self, pool: Pool) -> str:
        """How many replicas there are of what."""
        return f"{pool.replicas} {pool.phase} at batch {pool.batch}{pool.engine and f' on {pool.engine}'}"

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
        counts = rows_of(other.columns.replicas, plan.pools, changed)
        if counts is None:
            return Priced(None)
        bounds = other.bounds | dict(values)
        columns = stocked(other.columns, bounds) if values else other.columns
        again = other.plan_of(bounds, counts, columns)
        again = again.carrying(values.get("requests_per_s", other.columns.demand))
        return Priced(again.metrics(), tuple(again.check.broken(bounds)))

    def varied(self, asked: Ask) -> Self:
        """The question with other configurations; kept, for it may be asked again."""
        return self.variant(lambda: self._varied(asked), asked.within, asked.scaled)

    def _varied(self, asked: Ask) -> Self:
        priced = self.all_columns()
        other, anew = self.with_constants(asked.scaled)
        if anew:
            other.columns = prepare(other.problem, other.offered, self.watch)
        else:
            other.columns = replace(priced, supplies=other.offered)
        other.all_columns()
        other.columns = other.held_within(asked.within)
        return other

    def held_within(self, within: Mapping[str, tuple[Any, ...]]) -> DeploymentColumns:
        """The configurations that choices, or parts of them, leave; a part that a plan must have is used."""
        keep, used = left(self.columns.replicas, within)
        return replace(self.columns, used=tuple(used.values())).only(keep)

    def asked(self, objectives: Objectives, bounds: Mapping[str, float], confirm: bool = True) -> Packed:
        """One question to the engines about the problem as it stands, counted."""
        if (name := objectives[0][0]) in held_least():
            found = longest_or_any(name, self.search_within(bounds, self.watch))
        else:
            found = optimum(self.columns, objectives, bounds, self.settings, self.watch, confirm)
        self.solves += found.solves
        return found

    def plan_of(
        self, bounds: Mapping[str, float], counts: Mapping[int, int], columns: DeploymentColumns | None = None
    ) -> ReplicaPlan:
        """The plan with so many replicas of each configuration, by row: its metrics and what it breaks."""
        return ReplicaPlan(columns or self.columns, bounds, counts, self.problem.workload.output_tokens)

    def search_within(self, bounds: Mapping[str, float], watch: Watch = UNWATCHED) -> DeploymentSearch:
        """A search among the configurations priced for plans within bounds."""
        return DeploymentSearch(self.columns, bounds, self.problem.workload.output_tokens, watch)


def _changes_figures(columns: DeploymentColumns, rule: str) -> bool:
    """Whether a plan's own figures depend on a bound."""
    queued = rule == "ttft_ms_max" and columns.percentile is not None
    worst = columns.robust is not None and (rule in OF_A_REPLICA or part_of(rule) is not None)
    return rule in _CHANGES_FIGURES or queued or worst
