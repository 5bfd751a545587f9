"""Seconds of the messages of a training step, by the kind of parallelism that sends them.

Per pass over all layers (a forward, a backward, or a forward computed again):

    tensor     an all-reduce of the microbatch's activations for each layer half, or, with sequence
               parallelism, an all-gather and a reduce-scatter (arXiv 2205.05198)
    expert     each token's activations to its k experts and back, for each mixture: a copy for each expert,
               or one to each domain over the network and there one to each rank (DeepEP); to a limited number
               of domains where the experts form groups (arXiv 2412.19437)
    context    keys and values around a ring, as far as attention does not hide them; twice as much backward

and per step, or per microbatch with ZeRO 3: weights gathered, gradients summed (arXiv 1910.02054).
"""

from dataclasses import dataclass

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.collectives import (
    Group,
    Time,
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    reduce_scatter_s,
    routed_s,
)
from optimizer.cost.experts import distinct_ranks
from optimizer.cost.training.constants import ENGINES, LEAK
from optimizer.cost.training.layout import Layout
from optimizer.cost.training.links import exchange_s, message_s
from optimizer.cost.training.memory import WEIGHT_BYTES, Parameters, expert_group
from optimizer.cost.training.work import Work
from optimizer.spec.chip import Chip


def hidden(messages: Number, behind: Number, overlap: bool, leak: float = LEAK) -> Number:
    """Seconds that messages add to computing that may hide them; `leak` of what is hidden still costs."""
    if not overlap:
        return messages
    return np.maximum(0.0, messages - behind) + leak * np.minimum(messages, behind)


def tensor_s(own: Work, at: Layout, chip: Chip) -> Number:
    """Exposed tensor-parallel messages of one pass over all layers."""
    t, size = at.tensor_parallel, own.reduced_bytes
    whole = exchange_s(all_reduce_s, size, t, chip)
    split = exchange_s(all_gather_s, size, t, chip) + exchange_s(reduce_scatter_s, size, t, chip)
    exposed = ENGINES[at.engine].tensor_exposed if at.overlap else 1.0
    return own.reductions * np.where(at.sequence_shards > 1, exposed * split, whole)


def expert_s(own: Work, at: Layout, chip: Chip) -> Number:
    """Tokens to their experts and back, in one pass over all layers; none of it hidden."""
    both, ranks = (at.dispatch_bytes, 2.0), at.expert_parallel
    if at.dispatch == "all_to_all":
        ways = [exchange_s(all_to_all_s, own.routed * own.n_active * b, ranks, chip) for b in both]
    else:
        tokens = (own.n_active, own.groups, own.active_groups)
        ways = [exchange_s(_once_s, own.routed * b, ranks, chip, 1, *tokens) for b in both]
    return own.routed_layers * sum(ways)


def _once_s(
    size: Number, group: Group, chip: Chip, n_active: Number, groups: Number, active_groups: Number
) -> Time:
    """Tokens of `size` bytes on a rank: one copy to each domain with an expert, there one to each rank."""
    domains = group.domains
    reached = reached_domains(domains, groups, active_groups)
    here = distinct_ranks(reached * group.per_domain, n_active)
    away = distinct_ranks(reached, n_active) * (domains - 1) / domains
    return routed_s(size * here, size * away, group, chip)


def reached_domains(domains: Number, groups: Number, active_groups: Number) -> Number:
    """Domains that the experts of one token may lie in: those of its groups, each in as few as it can be."""
    return np.where(domains >= groups, domains * active_groups / groups, np.minimum(domains, active_groups))


def context_s(own: Work, at: Layout, chip: Chip) -> Number:
    """Keys and values around the ring, both passes over all layers, that attention does not hide."""
    c, t = at.context_parallel, at.tensor_parallel
    inside = c * t <= chip.scaleup.domain
    ring = own.attention_layers * (c - 1) * message_s(own.key_value_bytes / c, chip, inside, c > 1)
    forward = hidden(ring, own.attention, at.overlap)
    return forward + hidden(2 * ring, 2 * own.attention, at.overlap)


def boundary_s(own: Work, at: Layout, chip: Chip) -> Number:
    """Messages between stages, both ways, in a whole step; interleaved pipelines hide them."""
    p = at.pipeline_parallel
    ranks = at.tensor_parallel * at.context_parallel * at.data_parallel
    return hand_overs_s(at, hand_over_s(own, at, chip, ranks * p <= chip.scaleup.domain, p > 1))


def hand_over_s(own: Work, at: Layout, chip: Chip, inside: Number, sent: Number = True) -> Number:
    """Seconds of a microbatch on its way from a stage to the next, over the domain's links or the network."""
    split = at.tensor_parallel if ENGINES[at.engine].split_boundary else at.sequence_shards
    return message_s(own.reduced_bytes / split, chip, inside, sent)


def hand_overs_s(at: Layout, one: Number) -> Number:
    """Seconds that all messages between two stages add to a step, from those of one."""
    v = at.pipeline_interleave
    every = at.n_microbatches * v * 2 * one
    return hidden(every, np.where((v > 1) | (np.equal(at.dualpipe, 1)), every, 0.0), at.overlap)


def gather_s(held: Parameters, at: Layout, chip: Chip) -> Number:
    """Gathering the weights of a rank once from the ranks that share them."""
    each = WEIGHT_BYTES * at.copies
    shared, spread = each * (held.layers + held.tables), each * held.experts
    few = expert_group(at)
    dense = exchange_s(all_gather_s, shared, at.zero_group, chip, at.tensor_parallel)
    return dense + exchange_s(all_gather_s, spread, few, chip, _apart(at))


@dataclass(frozen=True, slots=True)
class Sums:
    """Seconds of summing the gradients of a rank once."""

    within: Number
    """Inside each ZeRO group, a shard of the sum left on each rank: every microbatch where gradients are
    sharded, else once a step."""
    across: Number
    """Of those shards between the groups, once a step; nothing where one group has all replicas."""

    @property
    def whole(self) -> Number:
        """Both."""
        return self.within + self.across


def sum_s(held: Parameters, at: Layout, chip: Chip) -> Sums:
    """Summing the gradients of a rank over all replicas: without ZeRO each rank is a group of its own."""
    shared, spread = _gradients(held, at)
    group, few = (np.where(at.zero_stage == 0, 1, g) for g in (at.zero_group, expert_group(at)))
    dense = _sums(shared, at.replicas, group, chip, at.tensor_parallel)
    experts = _sums(spread, at.expert_replicas, few, chip, _apart(at))
    return Sums(dense.within + experts.within, dense.across + experts.across)


def least_sum_s(held: Parameters, at: Layout, chip: Chip) -> Number:
    """Seconds of `sum_s` at least, whatever ZeRO shards over which ranks: scattered sums at once."""
    shared, spread = _gradients(held, at)
    dense = _at_once_s(shared, at.replicas, chip, at.tensor_parallel)
    return dense + _at_once_s(spread, at.expert_replicas, chip, _apart(at))


def _gradients(held: Parameters, at: Layout) -> tuple[Number, Number]:
    """Bytes of the gradients of a rank: of what all replicas share, and of its experts."""
    each = at.gradient_bytes * at.copies
    return each * (held.layers + held.tables), each * held.experts


def _at_once_s(size: Number, replicas: Number, chip: Chip, stride: Number) -> Number:
    """Scattered sums over all replicas."""
    return exchange_s(reduce_scatter_s, size, replicas, chip, stride)


def _sums(size: Number, replicas: Number, group: Number, chip: Chip, stride: Number) -> Sums:
    """Scattered sums in groups, then an all-reduce of each shard; no faster than scattered sums at once."""
    within = exchange_s(reduce_scatter_s, size, group, chip, stride)
    others = np.ceil(replicas / group)
    shards = 2 * exchange_s(reduce_scatter_s, size / group, others, chip, stride * group)
    at_once = _at_once_s(size, replicas, chip, stride)
    return Sums(within, np.maximum(shards, at_once - within))


def broadcast_s(held: Parameters, at: Layout, chip: Chip) -> Number:
    """New weights from the rank that updated them to all others of its group, one rank after the other."""
    size = WEIGHT_BYTES * at.copies * (held.layers + held.tables + held.experts)
    inside = at.zero_group * at.tensor_parallel <= chip.scaleup.domain
    return message_s(size, chip, inside, at.zero_group > 1)


def _apart(at: Layout) -> Number:
    """Distance of two ranks with the same experts."""
    return at.expert_parallel * at.expert_tensor_parallel
