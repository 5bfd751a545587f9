"""A plan of an architecture problem priced again: choices changed, constants scaled, other limits."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

from optimizer.anatomy.check import Check, check
from optimizer.columns.rules import Reference, Rules
from optimizer.cost.frame import Frame
from optimizer.metrics import sign
from optimizer.questions.architecture.answer import ArchitectureAnswer
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.proof import require_metrics
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.question import Ask, Question
from optimizer.questions.vary import has_figure, own_and_figures, scaled_chip, scaled_problem
from optimizer.questions.vocabulary import Priced
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.architecture import Architecture
from optimizer.spec.plan import Plan
from optimizer.spec.split import FORMATS, formats_of
from optimizer.watch import UNWATCHED, Watch

DEPLOYMENT = ("tensor_parallel", *FORMATS, "batch")
_SHARED = ("parts", "touched", "masks", "shapes", "windows")
"""What spaces over one lattice that differ only in figures of their chips know in common."""


class PricedPlans(Question):
    """A question that knows its space, and prices any plan of it as a model of its own."""

    ANSWER = ArchitectureAnswer
    problem: Problem

    def __init__(
        self, problem: Problem, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        super().__init__(problem, watch, settings)
        self._looked_again = False
        self._met: dict[str, tuple[float, Plan]] = {}

    @cached_property
    def space(self) -> Space:
        """The problem resolved; InputError for what it asks and does not exist."""
        space = resolve(self.problem)
        require_metrics(space)
        return space

    def choices(self, plan: Plan) -> dict[str, Any]:
        """Every dimension and deployment choice of a plan."""
        pool = plan.pools[0]
        found = {name: getattr(plan.dimensions, name) for name in self.space.dimensions}
        return found | {"hardware": pool.chip} | {name: getattr(pool, name) for name in DEPLOYMENT}

    def priced(
        self,
        plan: Plan,
        changed: Mapping[str, Any] = {},
        scaled: Mapping[str, float] = {},
        values: Mapping[str, Any] = {},
    ) -> Priced:
        """The plan as a model of its own; rules at other values change no metric here."""
        other = self.varied(Ask(aims=(), scaled=dict(scaled))) if scaled else self
        chosen = other.own_choices(self.choices(plan) | dict(changed))
        if why := other.space.illegal(*other.space.chosen(chosen)):
            return Priced(None, (why,))
        rules = other.space.rules
        for rule, value in values.items():
            rules = rules.with_value(rule, value)
        checked = other.checked(chosen, rules)
        return Priced(checked.metrics, checked.broken)

    def checked(self, chosen: Mapping[str, Any], rules: Rules) -> Check:
        """The metrics of the plan with these choices, and the rules that it breaks."""
        frame = self._frame(chosen)
        found = check(frame, self._architecture(frame, chosen), rules, room=True)
        metrics = {n: value for n, value in found.metrics.items() if n not in self.space.uncovered}
        return Check(metrics, found.broken)

    def own_choices(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Choices of a plan in this question, whose workload may have another batch."""
        batch = {} if self.problem.deployment.batch else {"batch": self.problem.workload.batch}
        return {**chosen, **batch}

    def varied(self, asked: Ask) -> Self:
        """The question with other domains or constants; kept, for it may be asked again."""
        return self.variant(lambda: self._varied(asked), asked.within, asked.scaled)

    def _varied(self, asked: Ask) -> Self:
        own, figures = own_and_figures(asked.scaled)
        other = type(self)(scaled_problem(self.problem, own) if own else self.problem)
        if not own:
            other.space = self.space
        if asked.within:
            other.space = other.space.restricted(asked.within)
        if figures:
            other.space = with_figures(other.space, figures)
        return other

    def rules_under(self, asked: Ask) -> Rules:
        """Rules of a re-solve: some left out, some with other values, bounds on metrics added."""
        rules = self.space.rules.without(*asked.without)
        for name, value in asked.values.items():
            rules = rules.with_value(name, value)
        for name, limit in asked.bounds.items():
            rule, tighter = (f"{name}_max", min) if sign(name) > 0 else (f"{name}_min", max)
            rules = rules.with_value(rule, tighter(limit, rules.values.get(rule, limit)))
        return rules

    def _frame(self, chosen: Mapping[str, Any]) -> Frame:
        chip = next(c for c in self.space.chips if c.name == chosen["hardware"])
        setting = next(self.space.settings())
        return replace(
            setting,
            chip=chip,
            split=replace(setting.split, tensor_parallel=chosen["tensor_parallel"]),
            formats=formats_of(chosen),
            batch=chosen["batch"],
            d_model=chosen["d_model"],
        )

    def _architecture(self, frame: Frame, chosen: Mapping[str, Any]) -> Architecture:
        space = self.space
        return space.architecture_of(frame, chosen["n_layers"], *space.chosen(chosen))


def with_figures(space: Space, figures: Mapping[str, float]) -> Space:
    """The space on chips with some figures scaled; those a chip does not state stay as they are."""
    if not any(has_figure(chip, path) for chip in space.chips for path in figures):
        scaled_chip(space.chips[0], figures)  # says what is wrong
    chips = tuple(
        scaled_chip(chip, {path: f for path, f in figures.items() if has_figure(chip, path)})
        for chip in space.chips
    )
    rules = replace(space.rules, reference=Reference(space.rules.reference.baseline))
    changed = replace(space, chips=chips, rules=rules)
    changed.memo.update({name: space.memo[name] for name in _SHARED})
    return changed
