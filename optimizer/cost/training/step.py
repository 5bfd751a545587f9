"""Seconds of a training step by part.

    step = m x slowest stage + bubble + pipeline messages + exposed data-parallel messages + optimizer

for m microbatches (`optimizer.cost.training.pipeline`). A stage's time has its share of the layers' forward
and backward computing, what is computed again, and the messages of tensor, expert and context parallelism
that nothing hides.
"""

from dataclasses import dataclass, fields

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.training import messages
from optimizer.cost.training.constants import (
    ELEMENTWISE_BACKWARD,
    ENGINES,
    EXCHANGE_CORES,
    EXPERTS,
    FLASH_BACKWARD,
)
from optimizer.cost.training.layout import Layout
from optimizer.cost.training.memory import WEIGHT_BYTES, Parameters, expert_group
from optimizer.cost.training.messages import hidden
from optimizer.cost.training.pipeline import Turns, bubble_stages, equal_turns, stage_layers
from optimizer.cost.training.work import Work
from optimizer.spec.chip import Chip


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of one step, by part; they add up to the step."""

    forward: Number
    backward: Number
    recompute: Number
    head: Number
    """What the head and the loss add to the slowest stage."""
    tensor_parallel: Number
    expert_parallel: Number
    context_parallel: Number
    bubble: Number
    pipeline: Number
    data_parallel: Number
    optimizer: Number

    @property
    def total(self) -> Number:
        """The step."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Passes:
    """Seconds of computing all layers for one microbatch: forward, backward, and again."""

    forward: Number
    backward: Number
    again: Number

    @property
    def total(self) -> Number:
        """All of them."""
        return self.forward + self.backward + self.again


def passes(own: Work, at: Layout) -> Passes:
    """The passes over all layers. Backward: twice the products, a flash kernel two and a half times."""
    norms = own.norms / at.sequence_shards
    products = own.products + EXPERTS * own.experts
    light = norms + own.elementwise + own.kernels
    forward = products + own.attention + light
    core = FLASH_BACKWARD if at.flash_attention else 2.0
    backward = 2 * products + core * own.attention + ELEMENTWISE_BACKWARD * light
    cheap = norms + own.elementwise
    parts = own.attention + cheap + ENGINES[at.engine].selective_products * products
    light = np.where(at.recompute_light, cheap + own.rebuilt, 0.0)
    again = np.where(at.recompute_layers, forward, np.where(at.recompute_attention, parts, light))
    return Passes(forward, backward, again)


def layer_messages(own: Work, at: Layout, chip: Chip) -> tuple[Number, Number, Number]:
    """Exposed seconds of (tensor, expert, context) messages of all layers for one microbatch."""
    repeated = 2 + at.recompute_layers  # passes that send messages: a layer computed again sends its own
    return (
        repeated * messages.tensor_s(own, at, chip),
        exposed_exchange_s(repeated * messages.expert_s(own, at, chip), passes(own, at).total, at),
        messages.context_s(own, at, chip),
    )


def exposed_exchange_s(sent: Number, behind: Number, at: Layout) -> Number:
    """Seconds that tokens on their way to experts and back add.

    DualPipe hides them behind the computing of another microbatch.
    """
    share = ENGINES[at.engine].expert_exposed if at.overlap else 1.0
    overlapped = messages.hidden(sent, behind, at.overlap, EXCHANGE_CORES)
    return np.where(at.dualpipe, overlapped, share * sent)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a step is made of: seconds of one microbatch over all layers, and of what comes once a step."""

    computing: Passes
    tensor: Number
    """Exposed messages of all layers for one microbatch, by the parallelism that sends them."""
    expert: Number
    context: Number
    head: Number
    """Forward and backward of the head and the loss."""
    waiting: Number
    """Mean stages of waiting."""
    boundary: Number
    """Messages between stages, in a step."""
    each: Number
    """Exposed weights and gradients of one microbatch."""
    once: Number
    """The same, once a step."""
    optimizer: Number

    @property
    def layers(self) -> Number:
        """Seconds of all layers for one microbatch: computing, and messages that nothing hides."""
        return self.computing.total + self.tensor + self.expert + self.context


def step_times(n_layers: int, chip: Chip, at: Layout, own: Work, held: Parameters) -> StepTimes:
    """The step, from the work of one microbatch over all layers and the parameters of a rank."""
    computing, share = passes(own, at), stage_layers(n_layers, at) / n_layers
    tensor, expert, context = layer_messages(own, at, chip)
    each, once = data_parallel_s(chip, at, held, computing, share)
    parts = Parts(
        computing=computing,
        tensor=tensor,
        expert=expert,
        context=context,
        head=head_of(own.head),
        waiting=bubble_stages(at),
        boundary=messages.boundary_s(own, at, chip),
        each=each,
        once=once,
        optimizer=optimizer_s(held, at, chip),
    )
    return added_up(at, parts, equal_turns(n_layers, at, parts.layers, parts.head))


def head_of(forward: Number) -> Number:
    """Seconds of the head and the loss for one microbatch: backward is twice the products."""
    return 3 * forward


def added_up(at: Layout, parts: Parts, turns: Turns) -> StepTimes:
    """The step that its parts make; of the least that each part may be, the least that the step may be.

    Of unlike stages `parts` are those of the slowest, whatever it would take them for all layers.
    """
    m, share, computing = at.n_microbatches, turns.share, parts.computing
    return StepTimes(
        forward=m * share * computing.forward,
        backward=m * share * computing.backward,
        recompute=m * share * computing.again,
        head=m * (turns.slowest - share * parts.layers),
        tensor_parallel=m * share * parts.tensor,
        expert_parallel=m * share * parts.expert,
        context_parallel=m * share * parts.context,
        bubble=parts.waiting * (turns.mean + parts.each),
        pipeline=parts.boundary,
        data_parallel=m * parts.each + parts.once,
        optimizer=parts.optimizer,
    )


def data_parallel_s(
    chip: Chip, at: Layout, held: Parameters, computing: Passes, share: Number
) -> tuple[Number, Number]:
    """Exposed seconds of weights and gradients: (each microbatch, once a step).

    Sharded gradients (ZeRO 2) must be summed in each microbatch, sharded weights (3) gathered for each pass.
    """
    engine = ENGINES[at.engine]
    gather, sums = messages.gather_s(held, at, chip), messages.sum_s(held, at, chip)
    forward, backward = share * computing.forward, share * (computing.backward + computing.again)

    def exposed(sent: Number, behind: Number) -> Number:
        return hidden(sent, behind, at.overlap, engine.data_exposed)

    within, across = exposed(sums.within, backward), exposed(sums.across, backward)
    summing = exposed(sums.whole, backward)
    updated = messages.broadcast_s(held, at, chip) if engine.broadcasts else exposed(gather, forward)
    updated = np.where(at.zero_stage > 0, updated, 0.0)
    all_sharded = exposed(gather, forward) + exposed(gather + sums.within, backward)
    stage = at.zero_stage
    each = np.where(stage == 3, all_sharded, np.where(stage == 2, within, 0.0))
    once = np.where(stage == 3, across, np.where(stage == 2, updated + across, updated + summing))
    return each, once


def optimizer_s(held: Parameters, at: Layout, chip: Chip) -> Number:
    """Gradients read, states read and written, weights written, at memory speed."""
    moved = at.gradient_bytes + 2 * at.optimizer_bytes + WEIGHT_BYTES
    shared, spread = held.layers + held.tables, held.experts
    few = expert_group(at)
    whole = at.copies * (shared + spread)
    own = np.where(at.zero_stage >= 1, shared / at.zero_group + spread / few, whole)
    return moved * own / (chip.hbm_bandwidth * chip.efficiency.elementwise.memory)
