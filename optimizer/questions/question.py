"""A problem that can be solved again with something changed: what every study of many solves stands on.

A study never sees a space, a lattice or a solver. It sees a `Question`: metrics, constraints with their
values, free choices with their domains, and `optimum`, which proves an answer. A kind of problem joins all
studies by one class with these methods and a line in `asking.question_of`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optimizer.spec.answer import Conflict
from optimizer.spec.base import Strict
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Watch


class Ask(Strict):
    """One re-solve: what is optimised, and what is changed in the problem."""

    aims: tuple[Aim, ...]
    """The first is optimised; the later ones decide between equals, in whole steps first."""
    bounds: dict[str, float] = {}
    """Metric to the worst value wanted, beside the problem's own constraints."""
    without: tuple[str, ...] = ()
    """Constraints switched off."""
    values: dict[str, Any] = {}
    """Constraints with another value."""
    fixed: dict[str, Any] = {}
    """Free choices held at one value."""
    scaled: dict[str, float] = {}
    """Constants of the problem or its hardware, by dotted path, times a factor."""
    start: dict[str, Any] = {}
    """Choices of a plan that may still be allowed, to begin with; the answer does not depend on it."""
    any_plan: bool = False
    """Any plan will do: the question is only whether there is one."""


class Question(Protocol):
    """What studies need of a problem. Plans handed to it are its own."""

    problem: Any

    def usual(self) -> tuple[str, ...]:
        """The objectives of a frontier when none are named."""
        ...

    def metrics(self) -> tuple[str, ...]:
        """Metrics that every plan has."""
        ...

    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric with its better direction and its step, unless said otherwise."""
        ...

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's own objectives, the most important first, in the metrics that `solve` shows."""
        ...

    def constraints(self) -> Mapping[str, Any]:
        """Constraints in force, with their values."""
        ...

    def neighbours(self, constraint: str, plan: Any) -> tuple[bool, list[tuple[str, Any, float | None]]]:
        """Whether it may be switched off, and values near its own: (in words, value, change in its unit)."""
        ...

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Free choices and their values, ascending where they have an order."""
        ...

    def choices(self, plan: Any) -> dict[str, Any]:
        """The value of every free choice in a plan."""
        ...

    def alone(self, plan: Any, name: str, value: Any) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        """The plan with one choice changed: its metrics, and the constraints it breaks."""
        ...

    def held(
        self, plan: Any, scaled: Mapping[str, float], values: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        """The same plan with constants scaled: its metrics (None if it cannot be), and what it breaks.

        `values` are other values of constraints, for where a metric depends on one.
        """
        ...

    def tighter(self, constraint: str, old: Any, new: Any) -> bool:
        """Whether the new value allows no plan that the old one does not."""
        ...

    def keeps(self, plan: Any, constraint: str, value: Any) -> bool:
        """Whether a plan keeps a constraint at another value."""
        ...

    def check_constant(self, path: str) -> None:
        """InputError if no constant has this dotted path."""
        ...

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """The proven optimum. Raises Stopped at the deadline, InputError for what cannot be asked."""
        ...

    def beside(self, names: Sequence[str]) -> tuple[str, ...]:
        """The models to place beside a frontier, by name; InputError for what cannot be placed."""
        ...

    def unlike(self, name: str) -> tuple[str, ...]:
        """What a published model has that no plan of the problem has, in words."""
        ...

    def place(self, name: str, like: Any) -> tuple[dict[str, float], tuple[str, ...]]:
        """A published model where `like` runs: its metrics, and the constraints it breaks."""
        ...

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """Why there is no plan."""
        ...

    def identity(self) -> str:
        """All that an answer follows from: the problem, its hardware and models, as text. Raises Stopped."""
        ...

    def unprepared(self) -> str:
        """What the watch left no time for before the first re-solve, in words; '' if nothing."""
        ...

    def at_hand(self, aim: Aim) -> Any:
        """The best plan met so far, not proven best: what a study without an optimum shows. None if none."""
        ...

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        ...

    @property
    def lattice_points(self) -> int:
        """Plans before any rule."""
        ...
