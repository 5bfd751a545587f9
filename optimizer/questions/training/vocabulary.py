"""What a training problem says of itself: metrics, rules, free choices; a setting priced again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from optimizer.bands import Key, kind_of
from optimizer.cost.memory import GIB
from optimizer.errors import InputError, nearest
from optimizer.metrics import step_of
from optimizer.questions.moves import Move, moves_of, whole_moves
from optimizer.questions.training.metrics import (
    metric_of_rule,
)
from optimizer.questions.training.priced import INNER, PricedSettings
from optimizer.questions.vary import HARDWARE, scaled_chip
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim


class TrainingVocabulary(PricedSettings):
    """What a training problem says of itself."""

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

    def groups(self, plan: Plan) -> tuple[Key, ...]:
        """The group of its chip and the kind of its model."""
        return (Key("rate", "training", kind_of(self.model), chip=self.chip.name),)

    def rules(self) -> dict[str, float]:
        """Memory in GiB, the chips there are, and the bounds, by name."""
        own = {"memory_capacity": self.chip.hbm_for_programs / GIB, "chips": float(self.problem.chips)}
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
        return self.rules()[rule], metric_of_rule(rule)

    @cached_property
    def _domains(self) -> dict[str, tuple[Any, ...]]:
        space = self.problem.setup
        found: dict[str, tuple[Any, ...]] = asdict(self.lattice(self.problem.chips).domains)
        found |= {name: getattr(space, name) for name in INNER}
        found["pipeline_interleave"] = space.pipeline_interleave or tuple(range(1, self.model.n_layers + 1))
        return {name: values for name, values in found.items() if len(values) > 1}

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Degrees, the microbatch and what is chosen inside a split, where there are several."""
        return self._domains

    def listed_by(self) -> tuple[str, ...]:
        """Choices that make settings differ: of others a list would show one setting in other words."""
        words = ("sequence_parallel", "pipeline_interleave", "schedule")
        return tuple(name for name in self.domains() if name not in words)

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor its chip has this number."""
        if path.startswith(HARDWARE):
            scaled_chip(self.chip, {path: 1.0})
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
