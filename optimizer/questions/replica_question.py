"""What kinds of problem share whose plans are replicas: setups are priced once, and a plan may mix them.

Where the watch ends while they are priced nothing is proven: every re-solve raises Stopped, and what is there
serves to show a plan at hand.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, Protocol, Self, TypeVar

from optimizer.columns.replica_costs import UNPRICED
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.metrics import each, totals
from optimizer.metrics import metric as metric_of
from optimizer.questions.aims import aim_of, not_one_of
from optimizer.questions.kinds import kind_of_problem
from optimizer.questions.moves import Move, moves_of_a_bound
from optimizer.questions.question import Question
from optimizer.questions.replica_choices import choices_of, domains_of, part_values, parts
from optimizer.questions.scaled_supplies import reprices, scaled_supplies
from optimizer.questions.vary import HARDWARE, number_at, own_and_figures, scaled_problem
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.plan import Plan, Pool
from optimizer.spec.studies import Aim
from optimizer.watch import UNWATCHED, Stopped, Watch


class Columns(Protocol):
    """What a planner of replicas needs."""

    @property
    def supplies(self) -> tuple[Supply, ...]:
        """The chips there are."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """Setups that no bound can bring back, by reason."""

    @property
    def complete(self) -> bool:
        """Whether every setup has a price; what is proven of some is not proven of all."""


C = TypeVar("C", bound=Columns)


class ReplicaQuestion(Question, Generic[C]):
    """A question about replicas on the chips that a problem offers."""

    def __init__(
        self, problem: Any, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        super().__init__(problem, watch, settings)
        self.solves = 0
        """Questions put to the engines, for the answer to the problem as it stands."""
        self.known_without: dict[tuple[str, ...], float | None] = {}
        """Optima of that problem without some rules, as far as they were asked for."""

    # Setups, priced once.

    @cached_property
    @abstractmethod
    def offered(self) -> tuple[Supply, ...]:
        """The chips there are."""

    @property
    @abstractmethod
    def tabled(self) -> bool:
        """Whether rates are stated by tables, not predicted."""

    @cached_property
    @abstractmethod
    def columns(self) -> C:
        """Every setup, priced or read once, as far as there was time; Stopped if there are none."""

    @abstractmethod
    def tables(self) -> Iterable[Replicas]:
        """The priced replicas. Raises Stopped."""

    @abstractmethod
    def setups(self) -> int:
        """Setups that there are to price."""

    def all_columns(self) -> C:
        """Every setup; Stopped unless there was time for all."""
        if not self.columns.complete:
            raise Stopped
        return self.columns

    def unprepared(self) -> str:
        """How many setups the watch left without a price."""
        try:
            left = self.columns.dropped.get(UNPRICED, 0)
        except Stopped:
            return self.nothing_prepared()
        return f"{self.setups() - left} of {self.setups()} setups were priced by then" if left else ""

    def nothing_prepared(self) -> str:
        """What the watch left no time for, where there are no columns at all."""
        return f"0 of {self.setups()} setups were priced by then"

    @property
    def lattice_points(self) -> int:
        """Configurations of one replica that have a price; a plan takes some number of each."""
        try:
            return sum(map(len, self.tables()))
        except Stopped:
            return 0

    def identity(self) -> str:
        """The problem, and every configuration and chip that answers follow from. Raises Stopped."""
        supplies = self.all_columns().supplies
        own = self.problem.model_dump_json(exclude_unset=True)
        return "\n".join([own, repr(supplies), *(table.fingerprint() for table in self.tables())])

    # Metrics and bounds.

    @abstractmethod
    def objectives(self) -> tuple[str, ...]:
        """Metrics that some problem of the kind can optimise."""

    def why_not(self, metric: str) -> str | None:
        """Why a metric cannot be an objective; None if it can."""
        if metric not in self.objectives():
            name = kind_of_problem(self.problem).name
            return not_one_of(self.objectives(), metric, f"is no objective of a {name}")
        if metric not in totals():
            return None
        without = [s.name for s in self.offered if each(metric, s) is None]
        field = metric_of(metric, "each").GIVEN_BY if without else ""
        return f"{without[0]} has none; give {field} beside the chip" if without else None

    def metrics(self) -> tuple[str, ...]:
        """Metrics that can be optimised here."""
        return tuple(name for name in self.objectives() if self.why_not(name) is None)

    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective, in its better direction; InputError if a plan does not have it."""
        if (why := self.why_not(metric)) is not None:
            raise InputError(f"objectives {metric[:64]}: {why}")
        return aim_of(metric, step)

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a bound's own; whole chips, or nodes of them, of those that are counted."""
        node = next((s.node for s in self.offered if rule == f"inventory:{s.name}"), None)
        return moves_of_a_bound(rule, self.rules()[rule], node)

    # Choices.

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Choices of a replica that differ among the setups."""
        return domains_of(self.tables())

    def parts_of(self, choice: str) -> Mapping[str, tuple[Any, ...]]:
        """Whether any replica has a value of the choice: plans may have several."""
        [values] = super().parts_of(choice).values()
        return parts(choice, values)

    def part_values(self, plan: Plan) -> Mapping[str, Any]:
        """Whether the plan has such a replica."""
        return part_values(plan.pools, self.domains())

    @abstractmethod
    def in_words(self, pool: Pool) -> str:
        """What a pool is."""

    def choices(self, plan: Plan) -> dict[str, Any]:
        """What a plan chose: one value, or all that its pools have; and the pools."""
        return choices_of(plan.pools) | {"pools": ", ".join(map(self.in_words, plan.pools))}

    # Constants.

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor any of its chips has this number."""
        if path.startswith(HARDWARE):
            scaled_supplies(self.offered, {path: 1.0}, self.tabled)
        else:
            number_at(self.problem, path)

    def with_constants(self, factors: Mapping[str, float]) -> tuple[Self, bool]:
        """The question with constants times a factor, and whether its setups have other prices by that."""
        own, figures = own_and_figures(factors)
        problem = scaled_problem(self.problem, own) if own else self.problem
        other = type(self)(problem, self.watch, self.settings)
        other.offered = scaled_supplies(self.offered, figures, self.tabled)
        return other, bool(own) or any(map(reprices, figures))
