"""What a question of training over clusters says of itself: metrics, rules, choices; a plan priced again."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

from optimizer.metrics import step_of
from optimizer.questions.moves import Move, moves_of, whole_moves
from optimizer.questions.training_across.check import INVENTORY
from optimizer.questions.training_across.metrics import known
from optimizer.questions.training_across.plan import way_of
from optimizer.questions.training_across.priced import PricedPlans
from optimizer.questions.training_across.ways import (
    FREE,
    IDLE,
    ZERO,
    choice_of,
    orders,
    stages_in_words,
    words_of,
)
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim

MEMORY_SHARE = "memory_capacity"
"""The rule on memory: a share of what a program can have of each chip."""


class AcrossVocabulary(PricedPlans):
    """What such a problem says of itself."""

    def metrics(self) -> tuple[str, ...]:
        """Metrics that every plan has."""
        return tuple(self.table)

    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective, in its better direction; InputError if there is none of that name."""
        own = known(metric, self.table, f"objectives {metric[:64]}")
        way = "max" if own.more else "min"
        return Aim(metric=metric, sense=way, unit=own.unit, step=step or step_of(metric))

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objective."""
        return (self.aim(self.name),)

    def usual(self) -> tuple[str, ...]:
        """The objective against the chips, or the step against them."""
        return (self.name, "chips") if self.name != "chips" else (self.name, "step_s")

    # Rules.

    def rules(self) -> dict[str, float]:
        """The chips there are of each kind, the share of their memory, and the bounds, by name."""
        own = {f"{INVENTORY}{c.chip.name}": float(c.chips) for c in self.clusters}
        own |= {MEMORY_SHARE: 1.0} | self.bounds
        return {rule: own[rule] for rule in sorted(own)}

    def can_be_dropped(self, rule: str) -> bool:
        """Whether the problem without the rule asks the same: the chips there are are the question."""
        return not rule.startswith(INVENTORY)

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a rule's own: of chips one more or less, or a domain; no more memory than all."""
        value = self.rules()[rule]
        if not rule.startswith(INVENTORY):
            return [move for move in moves_of(value) if rule != MEMORY_SHARE or move[1] <= 1]
        chip = next(c.chip for c in self.clusters if rule == f"{INVENTORY}{c.chip.name}")
        sizes = tuple(sorted({1, chip.scaleup.domain}))
        return [move for move in whole_moves(value, sizes) if move[1] >= 1]

    # Free choices.

    @cached_property
    def _domains(self) -> dict[str, tuple[Any, ...]]:
        space = self.space({c.number: c.chips for c in self.clusters})
        found: dict[str, tuple[Any, ...]] = {
            "data_parallel": tuple(space.data),
            "microbatch": tuple(space.batches),
            "order": tuple(orders([c.chip.name for c in self.clusters])),
        }
        for g, own in enumerate(self.clusters):
            idle = (IDLE,) if len(self.clusters) > 1 else ()
            words: dict[str, None] = {}
            for data in space.data:
                for ranks in space.ranks(g, data):
                    stages = own.stages(ranks, data).tolist()
                    words |= dict.fromkeys(stages_in_words(ranks, p) for p in stages)
            setup = self.problem.setup
            shards = [ZERO[stage] for stage in sorted(set(setup.zero_stage))]
            values = (tuple(words), setup.recompute, shards)
            found |= {choice_of(g, what): (*idle, *some) for what, some in zip(FREE, values, strict=True)}
        return {name: values for name, values in found.items() if len(values) > 1}

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Replicas, the microbatch, the order of the clusters, how each is used: where there are several."""
        return self._domains

    def choices(self, plan: Plan) -> dict[str, Any]:
        """The same of a plan, and the layers of its stages."""
        runs = [(group, list(own)) for group, own in groupby(plan.pools, key=lambda pool: pool.group)]
        found: dict[str, Any] = {
            "data_parallel": plan.pools[0].split.data_parallel,
            "microbatch": plan.pools[0].batch,
            "order": " > ".join(own[0].chip for _, own in runs),
        }
        used = dict(runs)
        for g in range(len(self.clusters)):
            pools = used.get(g + 1)
            values = words_of(way_of(pools), len(pools)) if pools else (IDLE, IDLE, IDLE)
            found |= {choice_of(g, what): value for what, value in zip(FREE, values, strict=True)}
        layers = " | ".join("+".join(str(pool.layers[0]) for pool in own) for _, own in runs)
        return found | {"layers": layers}

    def space(self, chips: Mapping[int, int]) -> Any:
        """The lattice on so many chips of each cluster."""
        raise NotImplementedError

    # How a study is kept.

    @property
    def lattice_points(self) -> int:
        """Ways before any rule, each with its layers to place."""
        return math.prod(len(values) for values in self.domains().values())

    def identity(self) -> str:
        """The problem with its model and chips written out."""
        parts = [self.problem, self.model, *(own.chip for own in self.clusters)]
        return "\n".join(part.model_dump_json(exclude_unset=True) for part in parts)
