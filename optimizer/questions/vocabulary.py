"""What there is to ask of a problem: its metrics, its rules, its free choices; and a plan priced again."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from optimizer.errors import InputError, nearest
from optimizer.questions.moves import Move, moves_of
from optimizer.questions.vary import HARDWARE, number_at, scaled_problem
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.answer import Assumption
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim
from optimizer.watch import UNWATCHED, Watch

_KEPT = 32
"""Variants of a question at the same time."""


@dataclass(frozen=True)
class Priced:
    """A plan priced again: its metrics, None if it cannot be, and the rules that it breaks."""

    metrics: dict[str, float] | None
    broken: tuple[str, ...] = ()


class Vocabulary(ABC):
    """What a kind of problem says of itself. Plans handed to it are its own."""

    def __init__(
        self, problem: Any, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        self.problem, self.watch, self.settings = problem, watch, settings
        self._variants: dict[str, Self] = {}

    # What there is to ask for.

    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Metrics that every plan has."""

    @abstractmethod
    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric with its better direction and its step, unless said otherwise."""

    @abstractmethod
    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's own objectives, the most important first, in the metrics that `solve` shows."""

    def usual(self) -> tuple[str, ...]:
        """The objectives of a frontier when none are named: the problem's own, and another metric."""
        own = self.own_aims()[0].metric
        return own, next((name for name in self.metrics() if name != own), own)

    # Rules.

    @abstractmethod
    def rules(self) -> Mapping[str, Any]:
        """Rules in force, with their values."""

    def price_decides(self, aims: Sequence[Aim] = ()) -> bool:
        """Whether an objective or a rule is in money, so that the answer rests on prices of chips."""
        wanted = (aim.metric for aim in (*self.own_aims(), *aims))
        return any("usd" in name for name in (*wanted, *self.rules()))

    def of_chips(self, plans: Sequence[Plan], money: bool) -> tuple[Assumption, ...]:
        """What plans rest on of their chips; `money`: whether prices decide. A kind may say nothing."""
        return ()

    def cautions(self, plans: Sequence[Plan], aims: Sequence[Aim] = ()) -> tuple[Assumption, ...]:
        """What nobody measured of the chips of some plans, for the first screen of a study."""
        said = self.of_chips(plans, self.price_decides(aims)) if plans else ()
        return tuple(row for row in said if row.caveat)

    def defining(self) -> frozenset[str]:
        """Rules without which a plan has no meaning and no cost."""
        return frozenset()

    def can_be_dropped(self, rule: str) -> bool:
        """Whether the problem without the rule still asks the same question."""
        return rule not in self.defining()

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a rule's own."""
        return moves_of(self.rules()[rule])

    def tighter(self, rule: str, old: Any, new: Any) -> bool:
        """Whether the new value only takes plans away and changes no figure of the rest; False if unknown."""
        if not all(isinstance(value, int | float) for value in (old, new)):
            return False
        return bool(new >= old) if rule.endswith("_min") else bool(new <= old)

    def keeps(self, plan: Plan, rule: str, value: Any) -> bool:
        """Whether a plan keeps a rule at another value."""
        return rule not in self.priced(plan, values={rule: value}).broken

    def limit(self, rule: str, plan: Plan) -> tuple[float | None, str | None]:
        """The limit that a rule sets a plan, and the metric it limits; None for a rule on no metric."""
        value = self.rules()[rule]
        metric = rule.removesuffix("_max").removesuffix("_min")
        return (float(value), metric) if metric != rule and metric in plan.metrics else (None, None)

    # Free choices.

    @abstractmethod
    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Free choices and their values, ascending where they have an order."""

    @abstractmethod
    def choices(self, plan: Plan) -> dict[str, Any]:
        """The value of every free choice in a plan, and of what else differs between plans."""

    def parts_of(self, choice: str) -> Mapping[str, tuple[Any, ...]]:
        """A free choice as choices of which every plan has exactly one value each, with their values.

        InputError for what is no choice of a plan.
        """
        domains = self.domains()
        if choice not in domains:
            hint = nearest(choice, list(domains)) or f" Accepted: {', '.join(domains) or 'none'}."
            raise InputError(f"distinct {choice[:60]}: is no free choice of this problem.{hint}")
        return {choice: domains[choice]}

    def part_values(self, plan: Plan) -> Mapping[str, Any]:
        """The value of each such part in a plan."""
        return self.choices(plan)

    @abstractmethod
    def priced(
        self,
        plan: Plan,
        changed: Mapping[str, Any] = {},
        scaled: Mapping[str, float] = {},
        values: Mapping[str, Any] = {},
    ) -> Priced:
        """A plan priced again outside any search, with choices, constants or rules at other values."""

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor its hardware has this number."""
        if path.startswith(HARDWARE):
            raise InputError(f"{path}: figures of chips cannot be scaled for this kind of problem")
        number_at(self.problem, path)

    def with_scaled(self, scaled: Mapping[str, float]) -> Self:
        """The question of the problem with some of its numbers times a factor."""
        return type(self)(scaled_problem(self.problem, scaled), self.watch, self.settings)

    def variant(self, make: Callable[[], Self], *changes: Mapping[str, Any]) -> Self:
        """The question with some changes, itself if there are none; kept, for it may be asked again."""
        if not any(changes):
            return self
        key = repr([sorted(change.items()) for change in changes])
        if key not in self._variants:
            if len(self._variants) >= _KEPT:
                self._variants.clear()
            self._variants[key] = make()
        return self._variants[key]

    # Models beside a frontier: of kinds whose architecture is free.

    def beside(self, names: Sequence[str]) -> tuple[str, ...]:
        """The models to place beside a frontier, by name; InputError for what cannot be placed."""
        if names:
            raise InputError(f"models {names[0][:64]}: no model can be placed beside this kind of frontier")
        return ()

    def unlike(self, name: str) -> tuple[str, ...]:
        """What a published model has that no plan of the problem has, in words."""
        return ()

    def place(self, name: str, like: Plan) -> Priced:
        """A published model where `like` runs."""
        self.beside((name,))
        return Priced(None)
