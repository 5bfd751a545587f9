"""A plan over clusters priced again from its stages alone: metrics, and every rule and limit that it breaks.

Shares no code with the search or its columns: one setup a cluster, one step, plain numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from optimizer.cost.training.across import Across, Link, Stages, priced_across
from optimizer.cost.training.flops import forward_flops
from optimizer.cost.training.job import shape_of
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.long_run import effective_share
from optimizer.cost.training.rules import facts_of, kept
from optimizer.cost.training.run import Run, mean_chip
from optimizer.cost.training.work import work
from optimizer.metrics import trained
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.long_run import LongRun
from optimizer.spec.training import TrainingSetup

_NOISE = 1e-9
INVENTORY = "inventory:"


@dataclass(frozen=True)
class Placed:
    """One cluster of a plan: its chip, the setup of its stages, layers of each."""

    chip: Chip
    setup: TrainingSetup
    layers: tuple[int, ...]


@dataclass(frozen=True)
class AcrossCheck:
    """What a plan really is; clusters in the order of their stages."""

    architecture: Architecture
    clusters: tuple[Placed, ...]
    link: Link | None
    training_tokens: float
    long_run: LongRun

    @cached_property
    def stages(self) -> tuple[Stages, ...]:
        """Of each cluster, as the step is priced."""
        return tuple(
            Stages(
                own.chip,
                layout_of(own.setup),
                work(self.architecture, own.chip, shape_of(own.setup)),
                own.layers,
            )
            for own in self.clusters
        )

    @cached_property
    def priced(self) -> Across:
        """The step, and what each stage takes and holds."""
        return priced_across(self.architecture, self.stages, self.link)

    @cached_property
    def memory(self) -> tuple[float, ...]:
        """Bytes on a chip of each stage."""
        return tuple(float(own.total) for own in self.priced.memory)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Every metric of the run."""
        first = self.clusters[0].setup
        used = [(own.chip, own.n_chips) for own in self.stages]
        n, tokens = sum(count for _, count in used), first.global_batch * first.sequence_length
        flops = forward_flops(self.architecture, first.sequence_length).model(causal=True)
        share = float(effective_share(self.long_run, n))
        own = self.priced.step_s, n, max(self.memory), tokens, self.training_tokens, flops
        return trained(Run(*own, mean_chip(used), share))

    @cached_property
    def share(self) -> float:
        """Of the memory that a program can have, on the chip of which most is taken."""
        rooms = [own.chip.hbm_for_programs for own in self.clusters for _ in own.layers]
        return max(held / room for held, room in zip(self.memory, rooms, strict=True))

    @cached_property
    def waiting(self) -> dict[str, float]:
        """Share of the step in which each kind of chips waits for stages of others, on average."""
        times, m = self.priced.times, self.clusters[0].setup.n_microbatches
        own = float(times.pipeline + times.data_parallel + times.optimizer)
        found, turns = {}, list(self.priced.stage_s)
        for cluster in self.clusters:
            mine, turns = turns[: len(cluster.layers)], turns[len(cluster.layers) :]
            found[cluster.chip.name] = 1 - (m * sum(mine) / len(mine) + own) / self.priced.step_s
        return found

    def used(self, chip: str) -> int:
        """Chips in use of one kind."""
        return sum(own.n_chips for own in self.stages if own.chip.name == chip)

    def unsound(self) -> tuple[str, ...]:
        """What keeps the plan from running at all, whatever is asked of it."""
        found: set[str] = set()
        placed = [n for own in self.clusters for n in own.layers]
        if sum(placed) != self.architecture.n_layers:
            found.add("layers")
        if min(placed, default=0) < 1 or any(not own.layers for own in self.clusters):
            found.add("stages_have_layers")
        if len({own.chip.name for own in self.clusters}) < len(self.clusters) or not self._shared():
            found.add("clusters")
        for own in self.clusters:
            stages = replace(layout_of(own.setup), pipeline_parallel=len(own.layers))
            rules = kept(facts_of(self.architecture, own.chip), stages)
            found |= {name for name, holds in rules.items() if not bool(holds)}
            found |= {"zero_stage"} if own.setup.zero_stage > 1 else set()
        return tuple(sorted(found))

    def _shared(self) -> bool:
        """Whether clusters agree on what a pipeline shares."""
        free = ("tensor_parallel", "context_parallel", "expert_parallel", "recompute", "zero_stage")
        alike = [own.setup.model_dump(exclude=set(free)) for own in self.clusters]
        stages = sum(len(own.layers) for own in self.clusters)
        return all(own == alike[0] for own in alike) and alike[0]["pipeline_parallel"] == stages

    def broken(self, limits: Mapping[str, float]) -> tuple[str, ...]:
        """The limits that a sound plan breaks: chips there are, a share of the memory, bounds on metrics."""
        found = []
        for rule, limit in limits.items():
            value, side = self._of(rule)
            over = value - limit if side == "max" else limit - value
            if over > abs(limit) * _NOISE:
                found.append(rule)
        return tuple(found)

    def _of(self, rule: str) -> tuple[float, str]:
        """What the plan makes of a rule, and the side on which it limits."""
        if rule == "memory_capacity":
            return self.share, "max"
        if rule.startswith(INVENTORY):
            return float(self.used(rule.removeprefix(INVENTORY))), "max"
        name, _, side = rule.rpartition("_")
        return self.metrics[name], side


def side_by_side(groups: Sequence[int]) -> bool:
    """Whether the stages of each group are neighbours."""
    runs = [group for group, _ in groupby(groups)]
    return len(runs) == len(set(runs))
