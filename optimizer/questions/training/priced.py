"""A setting of a training problem priced again from its setup alone: choices changed, constants scaled."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from optimizer import catalog
from optimizer.cost.memory import GIB
from optimizer.cost.training.rules import SENTENCES
from optimizer.errors import InputError, InternalMismatch
from optimizer.questions.question import Question
from optimizer.questions.training.answer import TrainingAnswer
from optimizer.questions.training.check import TrainingCheck, check_training
from optimizer.questions.training.choices import setup_of
from optimizer.questions.training.lattice import Lattice
from optimizer.questions.training.metrics import TrainingMetric, limits_of, metrics_for, wanted
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.search import Found
from optimizer.questions.training.splits import layout
from optimizer.questions.vary import own_and_figures, scaled_chip, scaled_problem
from optimizer.questions.vocabulary import Priced
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.chip import Chip
from optimizer.spec.plan import Plan
from optimizer.spec.training import TrainingSetup
from optimizer.watch import UNWATCHED, Watch

INNER = ("sequence_parallel", "pipeline_interleave", "recompute", "zero_stage", "schedule")
"""Free choices inside a split, beside the degrees and the microbatch."""
SAME = 1e-9
"""How far the search and the check may be apart."""
Rules = Mapping[str, float]
"""Bytes are GiB; a rule that is not there does not hold."""


class PricedSettings(Question):
    """A question that knows its model, chip and lattice, and prices any setting alone."""

    ANSWER = TrainingAnswer
    problem: TrainingProblem

    def __init__(
        self, problem: TrainingProblem, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        super().__init__(problem, watch, settings)
        self.model = catalog.model(problem.train_model, problem.documents)
        self.use(catalog.chip(problem.hardware, problem.documents))
        self.lattices: dict[int, Lattice] = {}

    def use(self, chip: Chip) -> None:
        """Ask about this chip; InputError where the setup leaves it no memory."""
        self.chip = chip
        self.table = metrics_for(self.problem, self.model, chip)
        self.name = wanted(self.problem, self.table)
        self.bounds = limits_of(self.problem, self.table)
        if layout(self.problem).reserve_bytes >= chip.hbm_for_programs:
            raise InputError(f"{self.problem.name}: setup.reserve_gib leaves no memory of {chip.name}")

    def lattice(self, chips: int) -> Lattice:
        """The lattice of so many chips."""
        if chips not in self.lattices:
            self.lattices[chips] = Lattice(self.problem, self.model, self.chip, chips)
        return self.lattices[chips]

    def varied(self, within: Mapping[str, tuple[Any, ...]], scaled: Mapping[str, float]) -> Self:
        """The question with other domains or constants; kept, for it may be asked again."""
        return self.variant(lambda: self._varied(within, scaled), within, scaled)

    def _varied(self, within: Mapping[str, tuple[Any, ...]], scaled: Mapping[str, float]) -> Self:
        own, figures = own_and_figures(scaled)
        problem = scaled_problem(self.problem, own) if own else self.problem
        if within:
            problem = problem.changed(setup=problem.setup.changed(**within))
        other = type(self)(problem, self.watch, self.settings)
        if figures:
            other.use(scaled_chip(other.chip, figures))
        return other

    @property
    def metric(self) -> TrainingMetric:
        """What is optimised."""
        return self.table[self.name]

    def choices(self, plan: Plan) -> dict[str, Any]:
        """The setting, field by field."""
        setup = _setup(plan)
        degrees = asdict(self.lattice(self.problem.chips).domains)
        return {name: getattr(setup, name) for name in (*degrees, *INNER, "zero_group")}

    def plan_of(self, found: Found, rules: Rules) -> Plan:
        """A setting recomputed alone, from its setup; one that fails is no answer."""
        setup = setup_of(self.problem, found.split, found.inner, found.row)
        checked, values = self.checked(setup, rules), self.values(found)
        if checked.broken:
            broken = ", ".join(checked.broken)
            raise InternalMismatch(f"the setting found breaks {broken} when recomputed; no answer is given")
        for name, value in values.items():
            own = checked.metrics[name]
            if abs(value - own) > SAME * abs(own):
                raise InternalMismatch(
                    f"the search found {name} {value:.9g}, the check {own:.9g} for the same setting; "
                    "no answer is given"
                )
        return Plan(architecture=self.model.name, setup=setup, metrics=values)

    def values(self, found: Found) -> dict[str, float]:
        """Every metric of a setting."""
        names = set(found.split) - {"expert_parallel", "microbatch"}
        n = math.prod(found.split[name] for name in names)
        return {name: float(m.value(found.step_s, n, found.memory)) for name, m in self.table.items()}

    def priced(
        self,
        plan: Plan,
        changed: Mapping[str, Any] = {},
        scaled: Mapping[str, float] = {},
        values: Mapping[str, Any] = {},
    ) -> Priced:
        """The setting recomputed alone, from its setup."""
        other = self.varied({}, scaled)
        setup = _setup(plan).changed(**changed)
        if scaled:
            own = other.problem
            setup = setup.changed(global_batch=own.global_batch, sequence_length=own.sequence_length)
        checked = other.checked(setup, {**other.rules(), **values})
        if set(checked.broken) & set(SENTENCES):
            return Priced(None, checked.broken)
        metrics = {name: float(checked.metrics[name]) for name in other.table}
        return Priced(metrics, checked.broken)

    def checked(self, setup: TrainingSetup, rules: Mapping[str, float]) -> TrainingCheck:
        """A setup recomputed, and what it breaks of rules and of divisibility."""
        limits = dict(rules)
        if "memory_capacity" in limits:
            limits["memory_capacity"] *= GIB
        own = self.problem
        return check_training(self.model, self.chip, setup, own.training_tokens, limits, own.long_run)


def _setup(plan: Plan) -> TrainingSetup:
    if plan.setup is None:
        raise TypeError("the plan is of no training run")
    return plan.setup
