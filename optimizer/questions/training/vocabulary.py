"""What a training problem says of itself: metrics, rules, free choices; a setting priced again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Self

from optimizer import catalog
from optimizer.cost.memory import GIB
from optimizer.cost.training.rules import SENTENCES
from optimizer.errors import InputError, nearest
from optimizer.metrics import step_of
from optimizer.questions.moves import Move, moves_of, whole_moves
from optimizer.questions.question import Question
from optimizer.questions.training.answer import TrainingAnswer
from optimizer.questions.training.check import TrainingCheck, check_training
from optimizer.questions.training.lattice import Lattice
from optimizer.questions.training.metrics import TrainingMetric, limits_of, metrics_for, wanted
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.vary import HARDWARE, scaled_chip, scaled_problem
from optimizer.questions.vocabulary import Priced
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim
from optimizer.spec.training import TrainingSetup
from optimizer.watch import UNWATCHED, Watch

_INNER = ("sequence_parallel", "pipeline_interleave", "recompute", "zero_stage", "schedule")
"""Free choices inside a split, beside the degrees and the microbatch."""
_KEPT = 32


class TrainingVocabulary(Question):
    """What a training problem says of itself."""

    ANSWER = TrainingAnswer
    problem: TrainingProblem

    def __init__(
        self, problem: TrainingProblem, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        super().__init__(problem, watch, settings)
        self.model = catalog.model(problem.train_model, problem.documents)
        self.use(catalog.chip(problem.hardware, problem.documents))
        self._others: dict[str, Self] = {}
        self.lattices: dict[int, Lattice] = {}

    def use(self, chip: Any) -> None:
        """Ask about this chip; InputError where the setup leaves it no memory."""
        self.chip = chip
        self.table = metrics_for(self.problem, self.model, chip)
        self.name = wanted(self.problem, self.table)
        self.bounds = limits_of(self.problem, self.table)
        self.usable = chip.hbm_usable - self.problem.setup.reserve_gib * GIB
        if self.usable <= 0:
            raise InputError(f"{self.problem.name}: setup.reserve_gib leaves no memory of {chip.name}")

    def lattice(self, chips: int) -> Lattice:
        """The lattice of so many chips."""
        if chips not in self.lattices:
            self.lattices[chips] = Lattice(self.problem, self.model, self.chip, chips)
        return self.lattices[chips]

    def varied(self, within: Mapping[str, tuple[Any, ...]], scaled: Mapping[str, float]) -> Self:
        """The question with other domains or constants; kept, for it may be asked again."""
        if not within and not scaled:
            return self
        key = repr((sorted(within.items()), sorted(scaled.items())))
        if key not in self._others:
            if len(self._others) >= _KEPT:
                self._others.clear()
            own = {path: f for path, f in scaled.items() if not path.startswith(HARDWARE)}
            figures = {p.removeprefix(HARDWARE): f for p, f in scaled.items() if p.startswith(HARDWARE)}
            problem = scaled_problem(self.problem, own) if own else self.problem
            if within:
                problem = problem.changed(setup=problem.setup.changed(**within))
            other = type(self)(problem, self.watch, self.settings)
            if figures:
                other.use(scaled_chip(other.chip, figures))
            self._others[key] = other
        return self._others[key]

    @property
    def metric(self) -> TrainingMetric:
        """What is optimised."""
        return self.table[self.name]

    def metrics(self) -> tuple[str, ...]:
        """Metrics that every setting has."""
        return tuple(self.table)

    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective, in its better direction; InputError if training has none of that name."""
        if metric not in self.table:
            hint = nearest(metric, list(self.table)) or f" Accepted: {', '.join(self.table)}."
            raise InputError(f"objectives {metric[:64]}: is no metric of training here.{hint}")
        own = self.table[metric]
        way = "max" if own.more else "min"
        return Aim(metric=metric, sense=way, unit=own.unit, step=step or step_of(metric))

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objective."""
        return (self.aim(self.name),)

    def usual(self) -> tuple[str, ...]:
        """The objective against the chips, or the step against them."""
        return (self.name, "chips") if self.name != "chips" else (self.name, "step_s")

    def rules(self) -> dict[str, float]:
        """Memory in GiB, the chips there are, and the bounds, by name."""
        own = {"memory_capacity": self.usable / GIB, "chips": float(self.problem.chips)}
        own |= {rule: bound for rule, (_, bound) in self.bounds.items()}
        return {rule: own[rule] for rule in sorted(own)}

    def can_be_dropped(self, rule: str) -> bool:
        """Whether the problem without the rule asks the same: the chips there are are the question."""
        return rule != "chips"

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a rule's own; of the chips one more or less, and a domain of them."""
        value = self.rules()[rule]
        if rule != "chips":
            return moves_of(value)
        sizes = tuple(sorted({1, self.chip.scaleup.domain}))
        return [move for move in whole_moves(value, sizes) if move[1] >= 1]

    def limit(self, rule: str, plan: Plan) -> tuple[float | None, str | None]:
        """The limit of a rule, and the metric it limits."""
        what = {"memory_capacity": "memory_gib", "chips": "chips"}.get(rule, rule.rpartition("_")[0])
        return self.rules()[rule], what

    @cached_property
    def _domains(self) -> dict[str, tuple[Any, ...]]:
        space = self.problem.setup
        found: dict[str, tuple[Any, ...]] = asdict(self.lattice(self.problem.chips).domains)
        found |= {name: getattr(space, name) for name in _INNER}
        found["pipeline_interleave"] = space.pipeline_interleave or tuple(range(1, self.model.n_layers + 1))
        return {name: values for name, values in found.items() if len(values) > 1}

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Degrees, the microbatch and what is chosen inside a split, where there are several."""
        return self._domains

    def listed_by(self) -> tuple[str, ...]:
        """Choices that make settings differ: of others a list would show one setting in other words."""
        words = ("sequence_parallel", "pipeline_interleave", "schedule")
        return tuple(name for name in self.domains() if name not in words)

    def choices(self, plan: Plan) -> dict[str, Any]:
        """The setting, field by field."""
        setup = _setup(plan)
        degrees = asdict(self.lattice(self.problem.chips).domains)
        return {name: getattr(setup, name) for name in (*degrees, *_INNER, "zero_group")}

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
        checked = other.checked(setup, other.rules() | dict(values))
        if set(checked.broken) & set(SENTENCES):
            return Priced(None, checked.broken)
        metrics = {name: float(checked.metrics[name]) for name in other.table}
        return Priced(metrics, checked.broken)

    def checked(self, setup: TrainingSetup, rules: Mapping[str, float]) -> TrainingCheck:
        """A setup recomputed, and what it breaks of rules and of divisibility."""
        limits = dict(rules)
        if "memory_capacity" in limits:
            limits["memory_capacity"] *= GIB
        return check_training(self.model, self.chip, setup, self.problem.training_tokens, limits)

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor its chip has this number."""
        if path.startswith(HARDWARE):
            scaled_chip(self.chip, {path.removeprefix(HARDWARE): 1.0})
        else:
            super().check_constant(path)

    @property
    def lattice_points(self) -> int:
        """Splits before any rule, of which each has settings inside."""
        return math.prod(map(len, asdict(self.lattice(self.problem.chips).domains).values()))

    def identity(self) -> str:
        """The problem with its chip and model written out."""
        parts = [self.problem, self.chip, self.model]
        return "\n".join(part.model_dump_json(exclude_unset=True) for part in parts)


def _setup(plan: Plan) -> TrainingSetup:
    if plan.setup is None:
        raise TypeError("the plan is of no training run")
    return plan.setup
