"""A problem that can be asked many things: what every study stands on, whatever the kind.

A study never sees a space, a lattice or a solver. It sees a `Question`: metrics, rules with their values,
free choices with their domains, and `optimum`, which proves an answer. A kind of problem joins every study
by one class with the abstract methods below; what follows from them stands here, once.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel

from optimizer.bands import Key
from optimizer.errors import InputError
from optimizer.questions.kinds import kind_of_problem
from optimizer.questions.vocabulary import Vocabulary
from optimizer.search.binding import UNLIMITED, Bears
from optimizer.search.conflict import Names, smallest_conflict
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.answer import (
    Answer,
    Assumption,
    Binding,
    Conflict,
    Objective,
    Proof,
    Relaxation,
    Status,
)
from optimizer.spec.base import Strict
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch

MOST_LISTED = 20_000
"""Plans listed at most; a wider band should be narrowed, not printed."""


class Ask(Strict):
    """One re-solve: what is optimised, and what is changed in the problem."""

    aims: tuple[Aim, ...]
    """The first is optimised; the later ones decide between equals, in whole steps first."""
    bounds: dict[str, float] = {}
    """Metric to the worst value wanted, beside the problem's own rules."""
    without: tuple[str, ...] = ()
    """Rules switched off."""
    values: dict[str, Any] = {}
    """Rules with another value."""
    within: dict[str, tuple[Any, ...]] = {}
    """Free choices held within some of their values."""
    scaled: dict[str, float] = {}
    """Constants of the problem or its hardware, by dotted path, times a factor."""
    start: dict[str, Any] = {}
    """Choices of a plan that may still be allowed, to begin with; the answer does not depend on it."""
    any_plan: bool = False
    """Any plan will do: the question is only whether there is one."""


@dataclass(frozen=True)
class Best:
    """What `solve` found for the problem as it stands, with what is proven of it."""

    status: Status
    plan: Plan | None
    value: float | None
    """Of the first objective, as shown."""
    bound: float | None
    """No plan is better than this; None where nothing is known."""
    optimum: float | None = None
    """Of the first objective, where the plan shown is not the optimum but as good."""
    found: Any = None
    """As the kind's own search left it."""


class Question(Vocabulary):
    """One problem of one kind. Plans handed to it are its own.

    Methods may raise Stopped when the watch is over, and InputError for what cannot be asked.
    """

    ANSWER: ClassVar[type[Answer]] = Answer
    """What `solve` returns for this kind."""

    # Proofs.

    @abstractmethod
    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """The proven optimum. Raises Stopped at the deadline."""

    @abstractmethod
    def best(self) -> Best:
        """The optimum of the problem as it stands, or as far as the watch lets it be known; checked."""

    def settled(self, best: Best) -> Best:
        """Of the plans as good as the optimum, the one that is shown."""
        return best

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum of the first objective without a rule; None if it is no better. Raises Stopped."""
        aim = self.own_aims()[0]
        found = self.optimum(Ask(aims=(aim,), without=(rule,)), self.watch)
        if found.unlimited:
            return -aim.sign * UNLIMITED
        return None if found.plan is None else found.plan.metrics[aim.metric]

    def kept_by_a_plan(self, names: Names, watch: Watch = UNWATCHED) -> Names | None:
        """The rules that some plan under these rules keeps; None if there is no such plan."""
        others = tuple(rule for rule in self.rules() if rule not in names)
        found = self.optimum(Ask(aims=self.own_aims(), without=others, any_plan=True), watch)
        if found.plan is None:
            return None
        broken = self.priced(found.plan).broken
        return names | {rule for rule in self.rules() if rule not in broken}

    def relaxation(self, rule: str, watch: Watch = UNWATCHED) -> Relaxation:
        """The nearest change of one rule, all others kept, that leaves a plan: here, leaving it out."""
        asked = Ask(aims=self.own_aims(), without=(rule,), any_plan=True)
        does = self.optimum(asked, watch).plan is not None
        words = f"leaving {rule} out would do" if does else f"no change of {rule} alone would do"
        return Relaxation(constraint=rule, sentence=words, from_=self.rules()[rule], to=None, unit="")

    def wider(self, watch: Watch = UNWATCHED) -> Sequence[Relaxation]:
        """Choices that the problem leaves out and that would do, every rule kept; each tried."""
        return ()

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """Why there is no plan: a smallest conflict, and what would do; None if stopped before."""
        rules = list(self.rules())
        try:
            names = smallest_conflict(rules, lambda some: self.kept_by_a_plan(some, watch))
            changes = [*(self.relaxation(name, watch) for name in names), *self.wider(watch)]
        except Stopped:
            return None
        return Conflict(constraints=tuple(names), relaxations=tuple(changes))

    def why_nothing_runs(self) -> str:
        """Why there is no plan even without any rule, for an error."""
        return "architecture: no plan can be priced, whatever the rules"

    # What an answer shows.

    def reached(self, rule: str, best: Best) -> tuple[float | None, float | None, str | None]:
        """The limit of a rule, what the optimum makes of it, and the unit; None for a rule on no metric."""
        if best.plan is None:
            return None, None, None
        limit, metric = self.limit(rule, best.plan)
        if metric is None:
            return limit, None, None
        return limit, best.plan.metrics[metric], self.aim(metric).unit

    def binding(self, best: Best, rows: Iterable[Bears]) -> tuple[Binding, ...]:
        """The rules that bind, with their limits and what the optimum makes of them."""
        found = []
        for row in rows if best.plan is not None else ():
            limit, value, own = self.reached(row.rule, best)
            found.append(Binding(constraint=row.rule, bound=limit, value=value, unit=own, gain=row.gain))
        return tuple(found)

    def objective(self, best: Best) -> Objective:
        """What was optimised, reached and proven."""
        aim = self.own_aims()[0]
        return Objective.of(aim.metric, aim.unit, aim.sign, best.value, best.bound)

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        return ()

    def groups(self, plan: Plan) -> Sequence[Key]:
        """The groups of measured rows that tell how far a plan's predictions may be off; none of tables."""
        return ()

    @abstractmethod
    def proof(self, best: Best) -> Proof:
        """Why the answer can be believed."""

    def adds(self, best: Best) -> dict[str, Any]:
        """What the kind's answer shows beside what every answer does."""
        return {}

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, each an optimum proven",
            "every plan priced again outside the search",
        )

    # Lists.

    def listed_by(self) -> tuple[str, ...]:
        """Choices of which a list shows the best plan of each combination, where none are named."""
        return tuple(self.domains())

    def listed(
        self, most: int, within: float, distinct: Sequence[str], best: Best
    ) -> tuple[Sequence[Plan], bool] | None:
        """The `most` best plans of those within a share of the optimum, and whether these are all asked for.

        Of each combination of the `distinct` choices the best one. None: the kind has no list of its own, and
        re-solves make it.
        """
        return None

    # How a study is kept and ended.

    @property
    @abstractmethod
    def lattice_points(self) -> int:
        """Plans before any rule, or what they are made of."""

    @abstractmethod
    def identity(self) -> str:
        """All that an answer follows from: the problem, its hardware and models, as text. Raises Stopped."""

    def unprepared(self) -> str:
        """What the watch left no time for before the first re-solve, in words; '' if nothing."""
        return ""

    def at_hand(self, aim: Aim) -> Plan | None:
        """The best plan met so far, not proven best: what a study without an optimum shows. None if none."""
        return None


def require_few(listed: int) -> None:
    """InputError for a list of more plans than anybody reads."""
    if listed > MOST_LISTED:
        raise InputError(f"more than {MOST_LISTED} plans; ask for fewer, or a narrower band")


def question_of(
    problem: BaseModel, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
) -> Question:
    """The question that a problem poses; the watch ends what it prepares."""
    found: Question = kind_of_problem(problem).question()(problem, watch, settings)
    return found
