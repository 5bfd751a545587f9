"""Seconds of an all-reduce over one tensor-parallel group.

On a switch the better of two measured algorithms (S bytes, n chips, W bytes/s one way per chip):
    one shot: a1 + (n-1) S / (e1 W)        two shot: a2 + 2 (n-1)/n S / (e2 W)
Constants were fitted on 1 KB-64 MB rows of TensorRT-LLM, SGLang and vLLM kernels in
ai-dynamo/aiconfigurator @095f58a5 and live in the chip files. A mesh group of n chips owns n-1 direct
links, not the whole domain's. On a torus: twice an all-gather, max(hops x 1 us, S / (W axes))
(jax-ml/scaling-book @0819a7d8, sharding.md); a group shorter than the axis has no wrap-around.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.spec.chip import AllReduce, Chip, Shot

# Used where no kernel was measured: the medians of the measured switch constants.
_UNMEASURED = AllReduce.model_construct(
    one_shot=Shot.model_construct(latency=6e-6, link=0.6),
    two_shot=Shot.model_construct(latency=12e-6, link=0.65),
)
_HOP_S = 1e-6


@dataclass(frozen=True, slots=True)
class Group:
    n_chips: int
    per_domain: int


def group_of(n_chips: int, chip: Chip, stride: int = 1) -> Group:
    return Group(n_chips, min(n_chips, chip.scaleup.domain))


def all_gather_s(size, group, chip):
    return (group.n_chips - 1) / group.n_chips * size / (0.7 * chip.scaleup.bandwidth) + 1e-5, 1e-5


reduce_scatter_s = all_to_all_s = all_gather_s


def point_to_point_s(size, chip, inside):
    return size / (0.7 * chip.scaleup.bandwidth) + 1e-5, 1e-5


def all_reduce_s(size: Number, group: Group, chip: Chip) -> tuple[Number, Number]:
    """Return (seconds, of which latency) to sum `size` bytes over `n_chips` chips of one domain."""
    n_chips = group.n_chips
    if n_chips == 1:
        return 0.0 * size, 0.0 * size
    link = chip.scaleup
    if link.topology.startswith("torus"):
        axes = 1 if n_chips < 4 else min(2, int(link.topology[5]))
        length = n_chips ** (1 / axes)
        ways = 2 if length >= link.axis else 1
        latency = 2 * axes * (length - 1) * _HOP_S + 0.0 * size
        return np.maximum(latency, 2 * size / (link.bandwidth * ways * axes)), latency
    share = (n_chips - 1) / max(1, link.domain - 1) if link.topology == "mesh" else 1.0
    width = link.bandwidth * min(1.0, share)
    fit = _constants(chip, n_chips)
    one = fit.one_shot.latency + (n_chips - 1) * size / (fit.one_shot.link * width)
    two = fit.two_shot.latency + 2 * (n_chips - 1) / n_chips * size / (fit.two_shot.link * width)
    latency = np.where(one <= two, fit.one_shot.latency, fit.two_shot.latency)
    return np.minimum(one, two), latency


def _constants(chip: Chip, n_chips: int) -> AllReduce:
    """The measured row of the nearest group size at or above, else the largest."""
    table = chip.efficiency.all_reduce
    if not table:
        return _UNMEASURED
    return table[min((n for n in table if n >= n_chips), default=max(table))]
