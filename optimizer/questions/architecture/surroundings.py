"""What lies around the optimum of an architecture: the rules that bind, and the plans as good."""

from collections.abc import Callable
from dataclasses import dataclass

from optimizer.columns.rules import split_bound
from optimizer.plugins import plugins
from optimizer.questions.architecture.answer import NearTies as Ties
from optimizer.questions.architecture.compiled import symbol
from optimizer.questions.architecture.moves import can_be_dropped
from optimizer.questions.architecture.near_ties import NearTies, near_ties
from optimizer.questions.architecture.outcome import plan_of, unit
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.search import Candidate, Outcome, Search
from optimizer.questions.architecture.space import Space
from optimizer.search.binding import Bears, what_binds
from optimizer.spec.answer import Binding
from optimizer.watch import Stopped, Watch


@dataclass(frozen=True)
class Surroundings:
    """What binds, and the near-ties of the first objective."""

    binding: tuple[Binding, ...] = ()
    untried: tuple[str, ...] = ()
    near: NearTies | None = None

    def preferred(self, problem: Problem) -> Candidate | None:
        """The near-tie that the problem prefers to the optimum, if it prefers one."""
        return self.near.conventional if self.near and problem.prefer == "conventional" else None

    def ties(self, space: Space) -> Ties | None:
        """The near-ties as the answer shows them."""
        if self.near is None:
            return None
        return Ties(
            within=space.problem.near_ties,
            plans=self.near.count,
            complete=self.near.complete,
            conventional=plan_of(space, self.near.conventional),
        )


def surroundings(space: Space, outcome: Outcome, watch: Watch) -> Surroundings:
    """Drop every rule in turn, and look through the plans near the optimum of the first objective."""
    best = outcome.best
    if best is None:
        return Surroundings()
    name, sense = space.problem.objectives[0]
    metrics = plan_of(space, best).metrics
    first = Candidate(name, sense, sense * metrics[name], best.frame, best.n_layers, best.attention, best.ffn)
    rules = [rule for rule in space.rules.values if can_be_dropped(rule)]
    found = what_binds(rules, metrics[name], sense, _optimum_without(space, first, watch), watch)
    binding = tuple(_binding(space, first, metrics, row) for row in found.rules)
    near = near_ties(space, space.rules, symbol(name), sense, first, space.problem.near_ties, watch)
    return Surroundings(binding, found.untried, near)


def _optimum_without(space: Space, first: Candidate, watch: Watch) -> Callable[[str], float | None]:
    """The optimum without a rule; None if it is no better than the one with it. Raises Stopped."""

    def without(rule: str) -> float | None:
        found = Search(
            space,
            space.rules.without(rule),
            symbol(first.metric),
            first.sense,
            watch=watch,
            beat=first.key,
        ).run()
        if not found.finished:
            raise Stopped
        return None if found.best is None else first.sense * found.best.key

    return without


def _binding(space: Space, first: Candidate, metrics: dict[str, float], row: Bears) -> Binding:
    limit, what = _limit(space, first, metrics, row.rule)
    return Binding(
        constraint=row.rule,
        bound=limit,
        value=None if what is None else metrics[what],
        unit=None if what is None else unit(what),
        gain=row.gain,
    )


def _limit(
    space: Space, plan: Candidate, metrics: dict[str, float], rule: str
) -> tuple[float | None, str | None]:
    """The limit nearest to the plan and the metric it limits; none for a rule on shapes."""
    if rule == "parameter_window":
        return min(space.rules.values[rule], key=lambda edge: abs(edge - metrics["n_params"])), "n_params"
    if rule == "memory_capacity":
        return space.rules.values[rule] * plan.frame.chip.hbm_usable / 2**30, "memory_gib"
    if rule in plugins("constraints"):
        return None, None
    return space.rules.limit(rule, plan.frame), split_bound(rule)[0]
