"""Seconds of the exchanges of a group of chips, inside a scale-up domain and across the network.

S is the full tensor (all-to-all: what one rank holds), n the chips, W the bandwidth one way per chip.
On links inside a domain the fastest of the measured algorithms counts, each a latency and a share of W:

    all-reduce, one shot       a + (n-1) S / (e W)
    all-reduce, two shot       a + 2 (n-1)/n S / (e W)      also NCCL's, in the switch where it is
    all-gather, reduce-scatter, all-to-all    a + (n-1)/n S / (e W)

A mesh group of n chips owns n-1 direct links, not the whole domain's. A torus has forms of its own
(`optimizer.cost.torus`). A group of m domains with g chips in each works rail by rail: a reduce-scatter
inside, an exchange of S/g between the m chips of a rail, an all-gather inside. The stages overlap chunk by
chunk, so the slowest one's bytes and all latencies count. Four nodes of eight H200 measured 22.8 ms for
4 GiB (stas00/ml-engineering network/README.md @744d01e1); in series it would be 40 ms.

Constants are in the chip files: one and two shot from TensorRT-LLM, SGLang and vLLM kernels, the rest from
nccl-tests rows in ai-dynamo/aiconfigurator @095f58a5. Steps of rings and trees as in NVIDIA/nccl @5067397c
src/graph/tuning.cc.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost import torus
from optimizer.cost.operator_cost import achieved
from optimizer.errors import InputError
from optimizer.spec import links
from optimizer.spec.chip import Chip
from optimizer.spec.links import AllReduce, Shot, Sizes

Time = tuple[Number, Number]
"""Seconds, and how many of them do not depend on the size."""

_RING_STEP_S = 0.6e-6  # one more chip in a ring over NVLink, protocol LL, NVIDIA/nccl tuning.cc
_TREE_SHARE = 0.92  # of the bandwidth of a ring that a tree reaches, same file


@dataclass(frozen=True, slots=True)
class Group:
    """Chips that exchange data: `n_chips` in all, `per_domain` of them inside each scale-up domain."""

    n_chips: int
    per_domain: int

    def __post_init__(self) -> None:
        if self.per_domain < 1 or self.n_chips % self.per_domain:
            raise InputError(
                f"a group of {self.n_chips} chips cannot have {self.per_domain} of them in each domain"
            )

    @property
    def domains(self) -> int:
        """Domains that the group reaches into."""
        return self.n_chips // self.per_domain


def group_of(n_chips: int, chip: Chip, stride: int = 1) -> Group:
    """How a group of every `stride`-th chip lies in the domains, filled evenly.

    A data-parallel group across tensor-parallel groups of eight has stride 8. Where the domain does not
    divide the group, each domain holds the largest equal part that fits.
    """
    reach = max(1, chip.scaleup.domain // stride)
    return Group(n_chips, max(part for part in range(1, min(reach, n_chips) + 1) if n_chips % part == 0))


def all_reduce_s(size: Number, group: Group, chip: Chip, speed: float = 1.0) -> Time:
    """Seconds to sum `size` bytes over all chips of a group, the sum left on each; of which latency.

    `speed` is an engine's bandwidth over that of the fastest kernels; no share of a link passes all of it.
    """
    if group.domains == 1:
        return _all_reduce_inside(size, group.n_chips, chip, speed)
    inside = [_exchange(op, size, group.per_domain, chip, speed) for op in ("reduce_scatter", "all_gather")]
    return _pipelined(inside, _rails(size / group.per_domain, group, chip, passes=2, speed=speed))


def all_gather_s(size: Number, group: Group, chip: Chip) -> Time:
    """Seconds until each chip has all `size` bytes, of which it held one n-th; of which latency."""
    return _gathered("all_gather", size, group, chip)


def reduce_scatter_s(size: Number, group: Group, chip: Chip) -> Time:
    """Seconds to sum `size` bytes over all chips, one n-th of the sum left on each; of which latency."""
    return _gathered("reduce_scatter", size, group, chip)


def all_to_all_s(size: Number, group: Group, chip: Chip) -> Time:
    """Seconds until each chip has sent an n-th of its `size` bytes to each chip; of which latency.

    Links inside the domain and the network work at the same time: the bytes of the slower of the two count.
    """
    n, g = group.n_chips, group.per_domain
    return routed_s(size * (g / n), size * ((n - g) / n), group, chip)


def routed_s(inside: Number, outside: Number, group: Group, chip: Chip) -> Time:
    """Seconds until tokens are where they go: what a rank holds for its domain, what it sends beyond."""
    spread = _exchange("all_to_all", inside, group.per_domain, chip)
    if group.domains == 1:
        return spread
    return _pipelined([spread], point_to_point_s(outside, chip, inside=False))


def point_to_point_s(size: Number, chip: Chip, inside: bool) -> Time:
    """Seconds of one message between two chips: over one link of the domain, or over the network."""
    if not inside:
        fit, width = chip.efficiency.scaleout, _network(chip)
    else:
        fit, width = chip.efficiency.point_to_point, _width(2, chip)
    latency = fit.latency + 0.0 * size
    return latency + size / (achieved(fit.link) * width), latency


def _gathered(operation: str, size: Number, group: Group, chip: Chip) -> Time:
    inside = _exchange(operation, size, group.per_domain, chip)
    if group.domains == 1:
        return inside
    return _pipelined([inside], _rails(size / group.per_domain, group, chip, passes=1))


def _all_reduce_inside(size: Number, n: int, chip: Chip, speed: float) -> Time:
    if n == 1:
        return _nothing(size) if chip.devices == 1 else _between_devices(size, chip, speed)
    if chip.scaleup.topology.startswith("torus"):
        return _on_a_torus("all_reduce", size, n, chip, speed)
    fit = all_reduce_fit(chip, n)
    ring = 2 * (n - 1) / n * size
    shots = [(fit.one_shot, (n - 1) * size), (fit.two_shot, ring)]
    if fit.large is not None:
        shots.append((fit.large, ring))
    return _fastest(shots, _width(n, chip), speed)


def _between_devices(size: Number, chip: Chip, speed: float) -> Time:
    """An all-reduce of the devices of one chip, whose links are taken to be as fast as all that leave it."""
    shot, moved = all_reduce_fit(chip, chip.devices).two_shot, 2 * (chip.devices - 1) / chip.devices * size
    return _fastest([(shot, moved)], chip.scaleup.bandwidth, speed)


def _on_a_torus(operation: str, size: Number, n: int, chip: Chip, speed: float) -> Time:
    """The forms of a torus hold for whole links."""
    price = torus.all_reduce_s if operation == "all_reduce" else partial(torus.exchange_s, operation)
    seconds, latency = price(size, n, chip.scaleup)
    return latency + (seconds - latency) / achieved(1.0, speed), latency


def _exchange(operation: str, size: Number, n: int, chip: Chip, speed: float = 1.0) -> Time:
    """An all-gather, reduce-scatter or all-to-all inside one domain."""
    if n == 1:
        return _nothing(size)
    if chip.scaleup.topology.startswith("torus"):
        return _on_a_torus(operation, size, n, chip, speed)
    table = _table(chip, operation)
    shots = table[_measured(table, n)]
    seconds, latency = _fastest([(shot, (n - 1) / n * size) for shot in shots], _width(n, chip), speed)
    beyond = 0.0 if operation == "all_to_all" else max(0, n - max(table)) * _RING_STEP_S
    return seconds + beyond, latency + beyond


def _rails(size: Number, group: Group, chip: Chip, passes: int, speed: float = 1.0) -> Time:
    """A ring or a tree over one chip of each domain; all rails work at once. An all-reduce passes twice."""
    m, fit = group.domains, chip.efficiency.scaleout
    moved = passes * (m - 1) / m * size
    ring = Shot.model_construct(latency=passes * (m - 1) * fit.latency, link=fit.link)
    depth = math.ceil(math.log2(m))
    tree = Shot.model_construct(latency=passes * depth * fit.latency, link=fit.link * _TREE_SHARE)
    return _fastest([(ring, moved), (tree, moved)], _network(chip), speed)


def _pipelined(inside: list[Time], outside: Time) -> Time:
    """Stages that overlap chunk by chunk: every latency, and the bytes of the slower kind of link."""
    latency = sum(stage[1] for stage in inside) + outside[1]
    moving = sum(stage[0] - stage[1] for stage in inside)
    return latency + np.maximum(moving, outside[0] - outside[1]), latency


def _fastest(shots: Sequence[tuple[Shot, Number]], width: float, speed: float) -> Time:
    """The fastest of some algorithms, each with the bytes it moves through a chip's links."""
    first, *others = [
        (shot.latency, shot.latency + moved / (achieved(shot.link, speed) * width)) for shot, moved in shots
    ]
    latency, best = first[0] + 0.0 * first[1], first[1]
    for start, seconds in others:
        latency = np.where(best <= seconds, latency, start)
        best = np.minimum(best, seconds)
    return best, latency


def _width(n: int, chip: Chip) -> float:
    """Bytes a second that a group of n chips moves out of each: in a mesh only its own links'."""
    link = chip.scaleup
    bandwidth: float = link.bandwidth
    share = (n - 1) / max(1, link.domain - 1) if link.topology == "mesh" else 1.0
    return bandwidth * min(1.0, share)


def connected(group: Group, chip: Chip) -> bool:
    """Whether the chips of a group reach each other: inside one domain, or over a known network."""
    return group.domains == 1 or chip.scaleout_bandwidth is not None


def _network(chip: Chip) -> float:
    bandwidth: float | None = chip.scaleout_bandwidth
    if bandwidth is None:
        raise InputError(
            f"{chip.name}: the group leaves the domain of {chip.scaleup.domain} chips, but the chip has no "
            "scaleout_bandwidth; give one, such as '50 GB/s' (one way, per chip), or use fewer chips"
        )
    return bandwidth


def _nothing(size: Number) -> Time:
    return 0.0 * size, 0.0 * size


def all_reduce_fit(chip: Chip, n: int) -> AllReduce:
    """Constants of an all-reduce on n chips of one domain: the chip's own, or the fallback's."""
    generic = links.PCIE_ALL_REDUCE if chip.scaleup.topology == "pcie" else links.UNMEASURED_ALL_REDUCE
    table = chip.efficiency.all_reduce or generic
    return table[_measured(table, n)]


def _table(chip: Chip, operation: str) -> Sizes:
    own: Sizes = getattr(chip.efficiency.collectives, operation)
    generic = links.PCIE_COLLECTIVES if chip.scaleup.topology == "pcie" else links.UNMEASURED_COLLECTIVES
    return own or getattr(generic, operation)


def _measured(sizes: Iterable[int], n: int) -> int:
    """The nearest measured number of chips at or above, else the largest."""
    sizes = list(sizes)
    return min((size for size in sizes if size >= n), default=max(sizes))
