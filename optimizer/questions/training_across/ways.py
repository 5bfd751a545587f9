"""How a cluster may be used: the ranks of a stage, what it computes again and shards; the order of clusters.

A plan uses some clusters, each with one way and so many stages, in an order that is free as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import Any

import numpy as np

from optimizer.cost.training.layout import Layout, layout_of
from optimizer.cost.training.rules import Facts, kept
from optimizer.questions.training.splits import divisors
from optimizer.questions.training_across.problem import AcrossProblem, ClusterOffer
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.training import TrainingSetup

IDLE = "idle"
Within = Mapping[str, Sequence[Any]]
"""Values that choices are held within, by name."""


@dataclass(frozen=True, order=True)
class Ranks:
    """Degrees of parallelism inside one stage; of data parallelism all stages have the same."""

    tensor_parallel: int
    context_parallel: int
    expert_parallel: int

    @property
    def each(self) -> int:
        """Chips of one stage of one replica."""
        return self.tensor_parallel * self.context_parallel


@dataclass(frozen=True, order=True)
class Way:
    """How each stage of a cluster runs."""

    ranks: Ranks
    recompute: str
    zero_stage: int


FREE = ("stages", "recompute", "zero_stage")
"""What is chosen of each cluster in use: its stages with their ranks, and the rest of its way."""


def choice_of(g: int, what: str) -> str:
    """What a choice is called, of the cluster at this place of the file."""
    return f"clusters.{g + 1}.{what}"


def stages_in_words(ranks: Ranks, stages: int) -> str:
    """Stages and their ranks, as a value of that choice."""
    more = f" cp{ranks.context_parallel}" * (ranks.context_parallel > 1)
    more += f" ep{ranks.expert_parallel}" * (ranks.expert_parallel > 1)
    return f"{stages} x tp{ranks.tensor_parallel}{more}"


ZERO = {stage: f"ZeRO {stage}" for stage in (0, 1)}
"""What is sharded, as a value of that choice: idle clusters have a word for theirs."""


def words_of(way: Way, stages: int) -> tuple[str, str, str]:
    """The choices of a cluster in use, in the order of `FREE`."""
    return stages_in_words(way.ranks, stages), way.recompute, ZERO[way.zero_stage]


def orders(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Every sequence of some clusters, by its words."""
    places = range(len(names))
    found = [some for n in range(1, len(names) + 1) for some in permutations(places, n)]
    return {" > ".join(names[g] for g in some): some for some in found}


def setup_of(
    problem: AcrossProblem, way: Way, data_parallel: int, microbatch: int, stages: int
) -> TrainingSetup:
    """A cluster's stages as a setup; `stages` of the whole pipeline."""
    space = problem.setup
    shared = set(TrainingSetup.model_fields) & set(type(space).model_fields)
    own = {name: getattr(space, name) for name in sorted(shared)}
    return TrainingSetup(
        **own
        | {
            "tensor_parallel": way.ranks.tensor_parallel,
            "context_parallel": way.ranks.context_parallel,
            "expert_parallel": way.ranks.expert_parallel,
            "pipeline_parallel": stages,
            "data_parallel": data_parallel,
            "microbatch": microbatch,
            "global_batch": problem.global_batch,
            "sequence_length": problem.sequence_length,
            "recompute": way.recompute,
            "zero_stage": way.zero_stage,
            "zero_group": None,
        }
    )


@dataclass(frozen=True)
class Cluster:
    """A cluster on offer, and what may be done with it."""

    number: int
    """Its place in the file."""
    chip: Chip
    chips: int
    offer: ClusterOffer
    facts: Facts
    """What the model's layers divide into, and how far the chips are wired."""
    model: Architecture

    def with_chips(self, chips: int) -> "Cluster":
        """The cluster with another number of chips."""
        return replace(self, chips=chips)

    def ranks(self, problem: AcrossProblem) -> list[Ranks]:
        """Degrees that its rules allow, whatever the data parallelism."""
        facts, offer = self.facts, self.offer
        widest = int(min(self.chips, facts.domain, max((*facts.heads, *facts.widths, 1))))
        tensor = offer.tensor_parallel or tuple(range(1, widest + 1))
        experts = sorted({k for n in facts.experts for k in divisors(n)}) or [1]
        found = []
        for t, c, e in product(tensor, offer.context_parallel, offer.expert_parallel or experts):
            ranks = Ranks(t, c, e)
            # With as many replicas as experts ask for, only what no replica can mend is left.
            rules = kept(facts, self._layout(problem, ranks, e))
            told = all(bool(rules[name]) for name in ("heads_divide", "width_divides", "sequence_divides"))
            if t * c <= self.chips and told and bool(rules["experts_divide"]):
                found.append(ranks)
        return found

    def allows(self, problem: AcrossProblem, ranks: Ranks, data_parallel: int) -> bool:
        """Whether so many replicas of a stage can run here."""
        rules = kept(self.facts, self._layout(problem, ranks, data_parallel))
        return bool(rules["experts_divide"]) and bool(rules["chips_connected"])

    def stages(self, ranks: Ranks, data_parallel: int) -> Any:
        """How many stages of these there may be, as an array."""
        reach = min(self.chips, self.facts.reach)
        most = min(int(reach // (ranks.each * data_parallel)), self.facts.n_layers)
        wanted = self.offer.stages or range(1, most + 1)
        return np.array([p for p in wanted if p <= most], dtype=np.int64)

    def _layout(self, problem: AcrossProblem, ranks: Ranks, data_parallel: int) -> Layout:
        return layout_of(setup_of(problem, Way(ranks, "none", 0), data_parallel, 1, 1))


def ways_of(problem: AcrossProblem, ranks: Ranks) -> Iterator[Way]:
    """All ways of some ranks."""
    for again, stage in product(problem.setup.recompute, sorted(set(problem.setup.zero_stage))):
        yield Way(ranks, again, stage)
