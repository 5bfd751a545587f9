"""What a fleet problem says of itself: metrics, services and bounds, free choices; a plan priced again.

A rule is a service (`service:NAME`: all its traffic is served), a bound on its requests (`NAME.tpot_ms_max`),
a bound on the fleet (`chips_max`), or the chips there are (`inventory:CHIP`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from optimizer.columns.replica_costs import UNPRICED
from optimizer.columns.supply import Supply, supplies
from optimizer.errors import InputError, nearest
from optimizer.metrics import metric as metric_of
from optimizer.metrics import step_of, totals, unit
from optimizer.questions.deployment.columns import priced_of, pricing
from optimizer.questions.deployment.vary import reprices, scaled_supplies
from optimizer.questions.fleet.again import Again, totals_of
from optimizer.questions.fleet.answer import FleetAnswer
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.pricing import PricedFleet, fleet_columns, price, setups_of_fleet
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.moves import Move, moves_of, whole_moves
from optimizer.questions.question import Ask, Question
from optimizer.questions.replica_choices import (
    choices_of,
    domains_of,
    left,
    part_values,
    parts,
    required,
)
from optimizer.questions.vary import HARDWARE, number_at, scaled_problem
from optimizer.questions.vocabulary import Priced
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim
from optimizer.watch import UNWATCHED, Stopped, Watch

if TYPE_CHECKING:
    from optimizer.columns.deployment import DeploymentColumns

SERVICE = "service:"
_KEPT = 32


class FleetVocabulary(Question):
    """What a fleet problem says of itself."""

    ANSWER = FleetAnswer
    problem: FleetProblem

    def __init__(
        self, problem: FleetProblem, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        super().__init__(problem, watch, settings)
        self._others: dict[str, Self] = {}
        self.solves = 0
        """Questions put to the engines, for the answer to the problem as it stands."""

    @cached_property
    def offered(self) -> tuple[Supply, ...]:
        """The chips there are."""
        known_only = all(service.performance_table is None for service in self.problem.services)
        return supplies(self.problem.hardware, known_only, self.problem.documents)

    @cached_property
    def fleet(self) -> PricedFleet:
        """Every setup, priced once as far as there was time; Stopped if a bucket has none."""
        return price(self.problem, pricing(self.watch), self.offered)

    @property
    def columns(self) -> FleetColumns:
        """The columns of the problem as it stands."""
        return self.fleet.columns

    def all_columns(self) -> FleetColumns:
        """The same; Stopped unless there was time for all."""
        if not self.columns.complete:
            raise Stopped
        return self.columns

    def unprepared(self) -> str:
        """How many setups the watch left without a price."""
        setups = setups_of_fleet(self.problem)
        try:
            return priced_of(setups, self.columns.dropped.get(UNPRICED, 0))
        except Stopped:
            return f"{setups} setups were to be priced, and not every service had one by then"

    def metrics(self) -> tuple[str, ...]:
        """Metrics that can be optimised."""
        names = (*totals(), "requests_per_s")
        return tuple(name for name in names if self._why_not(name) is None)

    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective; InputError if a fleet does not have it."""
        if (why := self._why_not(metric)) is not None:
            raise InputError(f"objectives {metric[:64]}: {why}")
        way = "max" if metric == "requests_per_s" else "min"
        return Aim(metric=metric, sense=way, unit=unit(metric), step=step or step_of(metric))

    def _why_not(self, metric: str) -> str | None:
        names = (*totals(), "requests_per_s")
        if metric not in names:
            hint = nearest(metric, list(names)) or f" Accepted: {', '.join(names)}."
            return f"is no objective of a fleet.{hint}"
        if metric == "requests_per_s":
            most = "all traffic must be served; maximize it to ask how much can be"
            return None if self.problem.maximize else most
        own = metric_of(metric, "each")
        without = [s.name for s in self.offered if own.each(s) is None]
        return f"{without[0]} has none; give {own.GIVEN_BY} beside the chip" if without else None

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
        services = {
            f"{SERVICE}{s.name}": sum(b.requests_per_s for b in s.traffic) for s in self.problem.services
        }
        requests = {
            f"{s.name}.{name}": value
            for s in self.problem.services
            for name, value in s.constraints.given().items()
        }
        return services | requests | self.bounds

    def rules(self) -> Mapping[str, float]:
        """Services with their traffic, bounds on their requests, bounds on the fleet, inventories."""
        return self._rules

    def can_be_dropped(self, rule: str) -> bool:
        """Whether the problem without the rule asks the same: the services are the question itself."""
        return not rule.startswith(SERVICE)

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a rule's own; whole chips of those that are counted."""
        value = self.rules()[rule]
        if rule == "chips_max" or rule.startswith("inventory:"):
            node = next((s.node for s in self.offered if rule == f"inventory:{s.name}"), None)
            return whole_moves(value, tuple(sorted({1, node or 1})))
        most = 1.0 if rule.endswith(".memory_capacity") else float("inf")
        return [move for move in moves_of(value) if move[1] <= most]

    def tighter(self, rule: str, old: Any, new: Any) -> bool:
        """Whether the new value only takes plans away; more or less traffic changes what plans carry."""
        return not rule.startswith(SERVICE) and super().tighter(rule, old, new)

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Choices of a replica that differ among the setups of any service."""
        return domains_of(columns.replicas for row in self.fleet.buckets for columns in row)

    def parts_of(self, choice: str) -> Mapping[str, tuple[Any, ...]]:
        """Whether any replica has a value of the choice: fleets may have several."""
        [values] = super().parts_of(choice).values()
        return parts(choice, values)

    def part_values(self, plan: Plan) -> Mapping[str, Any]:
        """Whether the fleet has such a replica."""
        return part_values(plan.pools, self.domains())

    def choices(self, plan: Plan) -> dict[str, Any]:
        """What a fleet chose: one value, or all that its pools have; and the replicas of every service."""
        sizes = [f"{p.service}: {p.replicas} {p.phase} on {p.chip}" for p in plan.pools]
        return choices_of(plan.pools) | {"pools": ", ".join(sizes)}

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor any of its chips has this number."""
        if path.startswith(HARDWARE):
            scaled_supplies(self.offered, {path: 1.0}, self._tabled)
        else:
            number_at(self.problem, path)

    @property
    def _tabled(self) -> bool:
        return any(service.performance_table is not None for service in self.problem.services)

    def varied(self, scaled: Mapping[str, float]) -> Self:
        """The question with constants times a factor, priced again if any times change; kept."""
        if not scaled:
            return self
        key = repr(sorted(scaled.items()))
        if key not in self._others:
            if len(self._others) >= _KEPT:
                self._others.clear()
            own = {path: f for path, f in scaled.items() if not path.startswith(HARDWARE)}
            figures = {path: f for path, f in scaled.items() if path.startswith(HARDWARE)}
            problem = scaled_problem(self.problem, own) if own else self.problem
            other = type(self)(problem, self.watch, self.settings)
            other.offered = scaled_supplies(self.offered, figures, self._tabled)
            if not own and not any(map(reprices, figures)):
                columns = replace(self.all_columns(), supplies=other.offered)
                other.fleet = replace(self.fleet, columns=columns)
            other.all_columns()
            self._others[key] = other
        return self._others[key]

    def columns_under(self, asked: Ask) -> FleetColumns:
        """The columns of a re-solve: services with other bounds or traffic, setups that choices leave."""
        limits = [dict(s.constraints.given()) for s in self.problem.services]
        for service, own in zip(self.problem.services, limits, strict=True):
            for name in list(own):
                rule = f"{service.name}.{name}"
                own[name] = float(asked.values.get(rule, own[name]))
                if rule in asked.without:
                    del own[name]
        columns = self.columns
        if asked.within or limits != [s.constraints.given() for s in self.problem.services]:
            columns = self._held(asked.within, limits)
        named = zip(columns.names, columns.demands, strict=True)
        demands = tuple(self._demand(f"{SERVICE}{name}", rates, asked) for name, rates in named)
        return replace(columns, demands=demands)

    def _demand(self, rule: str, rates: tuple[float, ...], asked: Ask) -> tuple[float, ...]:
        """The traffic of a service, in the proportions of the problem."""
        if rule not in asked.values:
            return rates
        return tuple(rate * float(asked.values[rule]) / self.rules()[rule] for rate in rates)

    def _held(
        self, within: Mapping[str, tuple[Any, ...]], limits: Sequence[Mapping[str, float]]
    ) -> FleetColumns:
        """The columns of the setups that choices leave; those a plan must have stand for no others."""
        buckets: list[tuple[DeploymentColumns, ...]] = []
        for row in self.fleet.buckets:
            buckets.append(tuple(c.only(left(c.replicas, within)[0]) for c in row))
        wanted = required(within)
        apart = tuple(dict.fromkeys(wanted.values()))
        columns = fleet_columns(self.problem, buckets, self.columns.supplies, limits, apart)
        used = [
            frozenset(
                (j, k)
                for j, item in enumerate(columns.items)
                for k in left(item.setups, {name: (True,)})[1][name].nonzero()[0].tolist()
            )
            for name in wanted
        ]
        return replace(
            columns, used=tuple(used), dropped=self.columns.dropped, complete=self.columns.complete
        )

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
        return Priced(totals_of(again.check), (*broken, *again.late(rules)))

    @property
    def lattice_points(self) -> int:
        """Configurations of one replica that have a price, of all services and sizes of request."""
        try:
            return sum(len(columns.replicas) for row in self.fleet.buckets for columns in row)
        except Stopped:
            return 0

    def identity(self) -> str:
        """The problem, and every configuration and chip that answers follow from. Raises Stopped."""
        self.all_columns()
        tables = [table.fingerprint() for row in self.columns.tables for table in row]
        own = self.problem.model_dump_json(exclude_unset=True)
        return "\n".join([own, repr(self.columns.supplies), *tables])
