"""A training step over clusters of unlike chips: one pipeline, each stage of which is on one cluster.

    step = m x slowest stage + (p - 1) x mean stage + messages between stages + (gradients + optimizer)

for p stages and m microbatches, as for like chips (`step.py`): a stage takes its own layers at its own chips'
pace, the last also the head. Of messages between two stages and of the end of the step (gradients summed,
weights updated, priced for the largest stage of a cluster) the slowest counts. Replicas are inside clusters:
between clusters travel only the activations of microbatches and their gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from optimizer.blocks.operators import Number
from optimizer.cost.training.layout import Layout
from optimizer.cost.training.memory import TrainingMemory, rank_parameters, stage_memory
from optimizer.cost.training.messages import hand_over_s, hand_overs_s
from optimizer.cost.training.pipeline import Turns, bubble_stages, stage_layers
from optimizer.cost.training.step import (
    Parts,
    Passes,
    StepTimes,
    added_up,
    data_parallel_s,
    head_of,
    layer_messages,
    optimizer_s,
    passes,
)
from optimizer.cost.training.work import Work
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip


@dataclass(frozen=True)
class Link:
    """How clusters reach each other."""

    bandwidth: float
    """Bytes a second of each chip, one way."""
    latency: float
    """Seconds."""


@dataclass(frozen=True)
class Stages:
    """Stages of one cluster, next to each other in the pipeline, alike but for their layers."""

    chip: Chip
    at: Layout
    """`pipeline_parallel` counts the stages of the whole pipeline."""
    own: Work
    layers: tuple[int, ...]

    @property
    def n_chips(self) -> int:
        """Chips of all of them."""
        at = self.at
        return int(at.tensor_parallel * at.context_parallel * at.data_parallel) * len(self.layers)


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of one microbatch over all layers, were they all on one cluster, and of the head there."""

    computing: Passes
    tensor: Number
    expert: Number
    context: Number
    head: Number

    @property
    def layers(self) -> Number:
        """Of all layers."""
        return self.computing.total + self.tensor + self.expert + self.context


@dataclass(frozen=True)
class Across:
    """What a plan costs."""

    times: StepTimes
    """Computing and messages of layers are those of the slowest stage."""
    stage_s: tuple[float, ...]
    """What each stage takes for one microbatch."""
    memory: tuple[TrainingMemory, ...]
    """On a chip of each stage."""

    @property
    def step_s(self) -> float:
        """Seconds of a step."""
        return float(self.times.total)


def turn_of(own: Work, at: Layout, chip: Chip) -> Turn:
    """What the layers and the head take a cluster for one microbatch."""
    return Turn(passes(own, at), *layer_messages(own, at, chip), head_of(own.head))


def end_of_step(
    architecture: Architecture, at: Layout, chip: Chip, computing: Passes
) -> tuple[Number, Number]:
    """Exposed seconds of (gradients and weights, the optimizer) once a step, of a stage of `at.layers`."""
    held = rank_parameters(architecture, at)
    share = stage_layers(architecture.n_layers, at) / architecture.n_layers
    _, once = data_parallel_s(chip, at, held, computing, share)
    return once, optimizer_s(held, at, chip)


def reaching_others(chip: Chip, link: Link | None) -> Chip:
    """The chip as other clusters meet it: on the link between them, or on its own network."""
    if link is None:
        return chip
    shot = chip.efficiency.scaleout.changed(latency=link.latency)
    own = chip.with_network(link.bandwidth, "the link between clusters")
    return own.with_efficiency(chip.efficiency.changed(scaleout=shot))


def away_s(own: Work, at: Layout, chip: Chip, link: Link | None) -> Number:
    """Seconds of a microbatch between this cluster and another, as far as this end decides."""
    return hand_over_s(own, at, reaching_others(chip, link), inside=False)


def next_s(own: Work, at: Layout, chip: Chip, stages: Number) -> Number:
    """Seconds of a microbatch to the next of so many stages of the same cluster; nothing where it is one."""
    ranks = at.tensor_parallel * at.context_parallel * at.data_parallel
    return hand_over_s(own, at, chip, ranks * stages <= chip.scaleup.domain, stages > 1)


def step_of(
    at: Layout, turns: Turns, message: Number, once: Number, optimizer: Number, turn: Turn | None = None
) -> StepTimes:
    """The step, from its turns, its slowest message and its end; `turn` of the slowest stage's cluster."""
    own = turn or Turn(Passes(0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 0.0)
    waiting, boundary = bubble_stages(at), hand_overs_s(at, message)
    parts = Parts(
        own.computing,
        own.tensor,
        own.expert,
        own.context,
        own.head,
        waiting,
        boundary,
        0.0,
        once,
        optimizer,
    )
    return added_up(at, parts, turns)


def priced_across(architecture: Architecture, run: Sequence[Stages], link: Link | None) -> Across:
    """The step of a plan, its stages in order, and what each takes and holds."""
    n, last = architecture.n_layers, sum(len(own.layers) for own in run) - 1
    turns = [turn_of(own.own, own.at, own.chip) for own in run]
    placed = [(g, k) for g, own in enumerate(run) for k in own.layers]
    stage_s = [
        float(turns[g].layers / n * k + (s == last) * turns[g].head) for s, (g, k) in enumerate(placed)
    ]
    memory = tuple(
        stage_memory(architecture, run[g].at, k, last - s, s == 0, s == last)
        for s, (g, k) in enumerate(placed)
    )
    ends = []
    for own, turn in zip(run, turns, strict=True):
        at = replace(own.at, layers=max(own.layers))
        once, optimizer = end_of_step(architecture, at, own.chip, turn.computing)
        ends.append((float(once), float(optimizer)))
    slowest = max(range(last + 1), key=lambda s: stage_s[s])
    g, k = placed[slowest]
    shared = Turns(k / n, stage_s[slowest], sum(stage_s) / (last + 1))
    times = step_of(run[0].at, shared, _message_s(run, link), *max(ends, key=sum), turns[g])
    return Across(times, tuple(stage_s), memory)


def _message_s(run: Sequence[Stages], link: Link | None) -> float:
    """Seconds of the slowest message between two neighbours of a pipeline."""
    inside = [float(next_s(own.own, own.at, own.chip, len(own.layers))) for own in run]
    ends = [own for pair in pairwise(run) for own in pair]
    return max([*inside, *(float(away_s(own.own, own.at, own.chip, link)) for own in ends)])
