"""What a fleet problem says of itself: metrics, services and bounds, free choices; a plan priced again.

A rule is a service (`service:NAME`: all its traffic is served), a bound on its requests (`NAME.tpot_ms_max`),
a bound on the fleet (`chips_max`), or the chips there are (`inventory:CHIP`).
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

from optimizer.columns.replicas import Replicas
from optimizer.columns.scenarios import Uncertain
from optimizer.columns.supply import Supply, supplies
from optimizer.columns.uncertain import levels
from optimizer.metrics import totals
from optimizer.questions.deployment.columns import pricing
from optimizer.questions.fleet.again import Again, totals_of
from optimizer.questions.fleet.answer import FleetAnswer
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.edits import SERVICE, bounds_under, columns_under
from optimizer.questions.fleet.pricing import PricedFleet, price, setups_of_fleet
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.fleet.rounds import FleetPlan, of_some
from optimizer.questions.fleet.whole import plan_fleet
from optimizer.questions.question import Ask
from optimizer.questions.replica_question import ReplicaQuestion
from optimizer.questions.vocabulary import Priced
from optimizer.spec.plan import Plan, Pool
from optimizer.spec.studies import Aim
from optimizer.watch import Watch

Goal = tuple[str, int]


class FleetVocabulary(ReplicaQuestion[FleetColumns]):
    """What a fleet problem says of itself."""

    ANSWER = FleetAnswer
    problem: FleetProblem

    @cached_property
    def offered(self) -> tuple[Supply, ...]:
        """The chips there are."""
        return supplies(self.problem.hardware, not self.tabled, self.problem.documents)

    @property
    def tabled(self) -> bool:
        """Whether the rates of some service's replicas are stated by a table."""
        return any(service.tabled for service in self.problem.services)

    @cached_property
    def fleet(self) -> PricedFleet:
        """Every setup, priced once as far as there was time; Stopped if a bucket has none."""
        return price(self.problem, pricing(self.watch), self.offered)

    @cached_property
    def columns(self) -> FleetColumns:
        """The columns of the problem as it stands."""
        return self.fleet.columns

    def tables(self) -> tuple[Replicas, ...]:
        """The configurations of one replica, of all services and sizes of request."""
        rows = (of_model for row in self.fleet.buckets for of_model in row)
        return tuple(columns.replicas for of_model in rows for columns in of_model)

    def setups(self) -> int:
        """Setups that there are to price, for each bucket of each service."""
        return setups_of_fleet(self.problem)

    def nothing_prepared(self) -> str:
        """What the watch left no time for, where a bucket has no price at all."""
        return f"{self.setups()} setups were to be priced, and not every service had one by then"

    def objectives(self) -> tuple[str, ...]:
        """Totals, and the traffic served."""
        return (*totals(), "requests_per_s")

    def why_not(self, metric: str) -> str | None:
        """Why a metric cannot be an objective; None if it can."""
        if metric == "requests_per_s" and not self.problem.maximize:
            return "all traffic must be served; maximize it to ask how much can be"
        return super().why_not(metric)

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objective."""
        return (self.aim(self.problem.goal[0]),)

    @cached_property
    def bounds(self) -> dict[str, float]:
        """Bounds on the fleet, and the inventories."""
        stock = {f"inventory:{s.name}": float(s.count) for s in self.offered if s.count is not None}
        return self.problem.constraints.given() | stock

    @cached_property
    def _rules(self) -> dict[str, float]:
        services = {f"{SERVICE}{s.name}": s.requests_per_s for s in self.problem.services}
        requests = {
            f"{s.name}.{name}": value
            for s in self.problem.services
            for name, value in s.constraints.given().items()
        }
        return services | requests | self.bounds | self.levels

    @cached_property
    def levels(self) -> dict[str, float]:
        """The rules of what may go wrong."""
        return levels(self.problem.robust)

    @property
    def uncertain(self) -> Uncertain:
        """What these rules are of. Raises Stopped."""
        return self.fleet.buckets[0][0][0].robust or Uncertain()

    def rules(self) -> Mapping[str, float]:
        """Services with their traffic, bounds on their requests, bounds on the fleet, inventories."""
        return self._rules

    def can_be_dropped(self, rule: str) -> bool:
        """Whether the problem without the rule asks the same: the services are the question itself."""
        return not rule.startswith(SERVICE)

    def tighter(self, rule: str, old: Any, new: Any) -> bool:
        """Whether the new value only takes plans away, and changes no traffic, and no rate at the worst."""
        figures = rule.startswith(SERVICE) or (bool(self.levels) and "." in rule)
        return not figures and super().tighter(rule, old, new)

    def in_words(self, pool: Pool) -> str:
        """How many replicas of a service there are, and where."""
        model = f" {pool.model}" if pool.model else ""
        return f"{pool.service}:{model} {pool.replicas} {pool.phase} on {pool.chip}"

    def varied(self, scaled: Mapping[str, float]) -> Self:
        """The question with constants times a factor, priced again if any times change; kept."""
        return self.variant(lambda: self._varied(scaled), scaled)

    def _varied(self, scaled: Mapping[str, float]) -> Self:
        other, anew = self.with_constants(scaled)
        if not anew:
            columns = replace(self.all_columns(), supplies=other.offered, asked={})
            other.fleet = replace(self.fleet, columns=columns)
        other.all_columns()
        return other

    def columns_under(self, asked: Ask) -> FleetColumns:
        """The columns of a re-solve: services with other bounds or traffic, setups that choices leave."""
        return columns_under(self.problem, self.fleet, asked)

    def priced(
        self,
        plan: Plan,
        changed: Mapping[str, Any] = {},
        scaled: Mapping[str, float] = {},
        values: Mapping[str, Any] = {},
    ) -> Priced:
        """The same replicas with the same shares of traffic; no metrics where a setup can no longer be."""
        if "mode" in changed:
            return Priced(None)
        other = self.varied(scaled)
        again = Again.of(other.problem, other.columns_under(Ask(aims=(), values=dict(values))), plan, changed)
        if again is None:
            return Priced(None)
        rules = {**other.rules(), **values}
        bounds = {rule: float(rules[rule]) for rule in other.bounds}
        broken = again.check.broken(bounds, everything=self.problem.maximize is None)
        return Priced(totals_of(again.check), (*broken, *again.late(rules, other.fleet.buckets)))

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
            bounds_under(self.bounds, asked),
            services if without else None,
            self.settings,
            watch or self.watch,
        )
        return (found if columns.complete else of_some(found)), columns
