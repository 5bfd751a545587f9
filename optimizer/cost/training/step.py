"""Seconds of a training step by part.

    step = [ m x slowest stage + bubble + pipeline messages ] + exposed data-parallel messages + optimizer

With m microbatches, p stages of ceil(L / p) layers and v chunks each, the bubble is (p - 1) / v mean stages
(Narayanan et al. 2021, arXiv 2104.04473), a third of it with zero-bubble schedules (Qi et al. 2023). A stage's
time has its share of the layers' forward and backward computing, what is computed again, and the messages of
tensor, expert and context parallelism that nothing hides.
"""

from dataclasses import dataclass, fields

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.collectives import all_gather_s, all_reduce_s, all_to_all_s, reduce_scatter_s
from optimizer.cost.training import constants
from optimizer.cost.training.layout import Layout
from optimizer.cost.training.links import exchange_s, message_s
from optimizer.cost.training.memory import WEIGHT_BYTES, Parameters, stage_layers
from optimizer.cost.training.work import Work
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of one step, by part; they add up to the step."""

    forward: Number
    backward: Number
    recompute: Number
    tensor_parallel: Number
    expert_parallel: Number
    context_parallel: Number
    imbalance: Number
    bubble: Number
    pipeline: Number
    data_parallel: Number
    optimizer: Number

    @property
    def total(self) -> Number:
        """The step."""
        return sum(getattr(self, field.name) for field in fields(self))


def hidden(messages: Number, behind: Number, overlap: bool, leak: float = constants.LEAK) -> Number:
    """Seconds that messages add to computing that may hide them; `leak` of what is hidden still costs."""
    if not overlap:
        return messages
    return np.maximum(0.0, messages - behind) + leak * np.minimum(messages, behind)


def step_times(
    architecture: Architecture, chip: Chip, at: Layout, own: Work, held: Parameters
) -> StepTimes:
    """The step, from the work of one microbatch over all layers and the parameters of a rank."""
    n_layers, m, p = architecture.n_layers, at.n_microbatches, at.pipeline_parallel
    share = stage_layers(n_layers, at) / n_layers
    norms = own.norms / at.sequence_shards
    light = norms + own.elementwise + own.kernels
    products = own.products + constants.EXPERTS * own.experts
    forward = products + own.attention + light
    engine = constants.ENGINES[at.engine]
    core = constants.FLASH_BACKWARD if at.flash_attention else 2.0
    backward = 2 * products + core * own.attention + constants.ELEMENTWISE_BACKWARD * light
    again = np.where(
        at.recompute_layers,
        forward,
        at.recompute_attention * (own.attention + norms + own.elementwise + engine.selective_products * products),
    )
    reduce = _reduce_s(own, at, chip)
    passes = 2 + at.recompute_layers
    tensor = passes * reduce * np.where(at.overlap & (at.sequence_shards > 1), engine.tensor_exposed, 1.0)
    expert = passes * _dispatch_s(own, at, chip) * (engine.expert_exposed if at.overlap else 1.0)
    context = _ring_s(own, at, chip)
    layers = forward + backward + again + tensor + expert + context
    head = 3 * own.head
    gather, scatter = _shard_messages(held, at, chip)
    fsdp = np.where(
        at.zero_stage >= 3,
        hidden(gather, share * forward, at.overlap, engine.data_exposed)
        + hidden(gather + scatter, share * (backward + again), at.overlap, engine.data_exposed),
        0.0,
    )
    slack = p * stage_layers(n_layers, at) - n_layers
    slowest = np.maximum(share * layers, (share - slack / n_layers) * layers + head) + fsdp
    mean = (layers + head) / p + fsdp
    bubble = (p - 1) / at.pipeline_interleave * mean * np.where(at.zero_bubble, 1 / 3, 1.0)
    once = np.where(
        at.zero_stage >= 3,
        0.0,
        hidden(scatter, share * backward, at.overlap, engine.data_exposed)
        + hidden(gather, share * forward, at.overlap, engine.data_exposed),
    )
    messages = m * at.pipeline_interleave * 2 * _boundary_s(own, at, chip)
    pipeline = np.where(p > 1, hidden(messages, messages * (at.pipeline_interleave > 1), at.overlap), 0.0)
    update = _optimizer_s(held, at, chip)
    parts = {
        "forward": m * (share * forward + head / 3),
        "backward": m * (share * backward + head * 2 / 3),
        "recompute": m * share * again,
        "tensor_parallel": m * share * tensor,
        "expert_parallel": m * share * expert,
        "context_parallel": m * share * context,
        "imbalance": m * (slowest - fsdp - share * layers - head),
        "bubble": bubble,
        "pipeline": pipeline,
        "data_parallel": m * fsdp + once,
        "optimizer": update,
    }
    return StepTimes(**parts)


def _reduce_s(own: Work, at: Layout, chip: Chip) -> Number:
    """Tensor-parallel messages of one pass over all layers."""
    t, size = at.tensor_parallel, own.reduced_bytes
    whole = exchange_s(all_reduce_s, size, t, chip)
    split = exchange_s(all_gather_s, size, t, chip) + exchange_s(reduce_scatter_s, size, t, chip)
    return own.reductions * np.where(at.sequence_shards > 1, split, whole)


def _dispatch_s(own: Work, at: Layout, chip: Chip) -> Number:
    """Tokens to their experts and back, in one pass over all layers."""
    return 2 * own.routed_layers * exchange_s(all_to_all_s, own.routed_bytes, at.expert_parallel, chip)


def _ring_s(own: Work, at: Layout, chip: Chip) -> Number:
    """Keys and values around the context-parallel ring, as far as attention does not hide them."""
    c, t = at.context_parallel, at.tensor_parallel
    inside = c * t <= chip.scaleup.domain
    one = (c - 1) * message_s(own.key_value_bytes / c, chip, inside, c > 1)
    forward = hidden(own.attention_layers * one, own.attention, at.overlap)
    backward = hidden(2 * own.attention_layers * one, 2 * own.attention, at.overlap)
    return forward + backward


def _shard_messages(held: Parameters, at: Layout, chip: Chip) -> tuple[Number, Number]:
    """(gathering the weights, summing the gradients) of a rank's stage once."""
    t = at.tensor_parallel
    shared, spread = held.layers + held.tables, held.experts
    apart = at.expert_parallel * at.expert_tensor_parallel
    ranks, few = at.replicas, at.expert_replicas
    gather = exchange_s(all_gather_s, WEIGHT_BYTES * shared, at.zero_group, chip, t)
    gather = gather + exchange_s(all_gather_s, WEIGHT_BYTES * spread, np.minimum(few, at.zero_group), chip, apart)
    sums = exchange_s(reduce_scatter_s, at.gradient_bytes * shared, ranks, chip, t)
    sums = sums + exchange_s(reduce_scatter_s, at.gradient_bytes * spread, few, chip, apart)
    whole = at.zero_stage == 0  # nothing is sharded: one all-reduce
    return np.where(whole, 0.0, gather), np.where(whole, 2 * sums, sums)


def _boundary_s(own: Work, at: Layout, chip: Chip) -> Number:
    """One microbatch's activations to the next stage."""
    ranks = at.tensor_parallel * at.context_parallel * at.data_parallel
    p = at.pipeline_parallel
    return message_s(own.reduced_bytes / at.sequence_shards, chip, ranks * p <= chip.scaleup.domain, p > 1)


def _optimizer_s(held: Parameters, at: Layout, chip: Chip) -> Number:
    """Gradients read, states read and written, weights written, at memory speed."""
    per = at.gradient_bytes + 2 * at.optimizer_bytes + WEIGHT_BYTES
    shared = (held.layers + held.tables) / np.where(at.zero_stage >= 1, at.zero_group, 1)
    spread = held.experts / np.where(at.zero_stage >= 1, np.maximum(1, at.expert_replicas), 1)
    return per * (shared + spread) / (chip.hbm_bandwidth * chip.efficiency.elementwise.memory)
