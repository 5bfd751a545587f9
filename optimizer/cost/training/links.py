"""Seconds of the messages between ranks: which ranks form a group, and what their collectives take.

Ranks are numbered tensor, context, data, pipeline from the inside out, as in Megatron; expert groups are
neighbours. Stand-in until optimizer.cost.collectives has groups.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.spec.chip import Chip

_NET_SHARE = 0.8
_LINK_SHARE = 0.75
_NET_S, _HOP_S = 12e-6, 1.5e-6
_DEFAULT_NET = 25e9


@dataclass(frozen=True)
class Group:
    """Ranks that talk to each other, and how many of them share a scale-up domain."""

    n_chips: Number
    per_domain: Number


def group_of(n_chips: Number, chip: Chip, stride: Number = 1) -> Group:
    """A group of ranks `stride` apart."""
    return Group(n_chips, np.maximum(1, np.minimum(n_chips, np.floor(chip.scaleup.domain / stride))))


def _gather(size: Number, group: Group, chip: Chip) -> tuple[Number, Number]:
    n, g = group.n_chips, group.per_domain
    domains = np.ceil(n / g)
    inside = (g - 1) / g * size / (_width(chip) * _LINK_SHARE)
    net = chip.scaleout_bandwidth or _DEFAULT_NET
    # each chip of a domain brings its share of the tensor over its own network port
    across = (domains - 1) / domains * size / (g * net * _NET_SHARE)
    latency = np.where(n > 1, _HOP_S * (g - 1) + _NET_S * np.log2(np.maximum(domains, 1)) , 0.0)
    return np.maximum(inside, across) + latency, latency


def _width(chip: Chip) -> float:
    link = chip.scaleup
    if link.topology.startswith("torus"):
        return link.bandwidth * 2 * int(link.topology[5])
    return link.bandwidth


def all_gather_s(size: Number, group: Group, chip: Chip) -> tuple[Number, Number]:
    """Seconds, of which latency, to gather a tensor of `size` bytes in all."""
    return _gather(size, group, chip)


def reduce_scatter_s(size: Number, group: Group, chip: Chip) -> tuple[Number, Number]:
    """Seconds, of which latency, to sum and scatter a tensor of `size` bytes in all."""
    return _gather(size, group, chip)


def all_reduce_s(size: Number, group: Group, chip: Chip) -> tuple[Number, Number]:
    """Seconds, of which latency, to sum a tensor."""
    a, b = _gather(size, group, chip)
    return 2 * a, 2 * b


def all_to_all_s(size: Number, group: Group, chip: Chip) -> tuple[Number, Number]:
    """Seconds, of which latency, when each rank holds `size` bytes for all."""
    n, g = group.n_chips, group.per_domain
    net = chip.scaleout_bandwidth or _DEFAULT_NET
    inside = (g - 1) / n * size / (_width(chip) * _LINK_SHARE)
    across = (n - g) / n * size / (net * _NET_SHARE)
    latency = np.where(n > 1, 10e-6 + np.where(n > g, 15e-6, 0.0), 0.0)
    return np.maximum(inside, across) + latency, latency


def point_to_point_s(size: Number, chip: Chip, inside: Number) -> tuple[Number, Number]:
    """Seconds, of which latency, of one message."""
    net = (chip.scaleout_bandwidth or _DEFAULT_NET) * _NET_SHARE
    width = np.where(inside, _width(chip) * _LINK_SHARE, net)
    return 10e-6 + size / width, 10e-6 + 0 * size
