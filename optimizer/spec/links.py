"""Measured constants of exchanges between chips, and what holds where nobody measured."""

from typing import Annotated

from pydantic import Field

from optimizer.spec.base import Strict
from optimizer.spec.quantity import Fraction, Seconds


class Shot(Strict):
    """One algorithm of an exchange: latency + bytes moved / (link * bandwidth)."""

    latency: Seconds
    link: Fraction


class AllReduce(Strict):
    """Measured constants of the algorithms of an all-reduce on one number of chips."""

    one_shot: Shot
    two_shot: Shot
    large: Shot | None = None
    """Two-shot traffic of the library that wins on large tensors, in the switch where it can."""


Shots = Annotated[tuple[Shot, ...], Field(min_length=1)]
"""The fastest of these counts: a library changes its protocol with the size."""
Sizes = dict[Annotated[int, Field(ge=2)], Shots]
"""By number of chips; the nearest number at or above holds for others."""


class Collectives(Strict):
    """Measured constants of the other exchanges inside one domain."""

    all_gather: Sizes = {}
    reduce_scatter: Sizes = {}
    all_to_all: Sizes = {}


def _shot(latency_us: float, link: float) -> Shot:
    return Shot.model_construct(latency=latency_us * 1e-6, link=link)


def _reduce(one: Shot, two: Shot) -> AllReduce:
    return AllReduce.model_construct(one_shot=one, two_shot=two, large=None)


def _sizes(shots: dict[int, tuple[tuple[float, float], ...]]) -> Sizes:
    return {n: tuple(_shot(*shot) for shot in row) for n, row in shots.items()}


UNMEASURED_ALL_REDUCE = {2: _reduce(_shot(6, 0.6), _shot(12, 0.65))}
"""Where no kernel was measured on links of the chip's own: the medians of the measured switches."""

UNMEASURED_COLLECTIVES = Collectives.model_construct(
    all_gather=_sizes({8: ((12, 0.36), (25, 0.71))}),
    reduce_scatter=_sizes({8: ((12, 0.43), (25, 0.70))}),
    all_to_all=_sizes({8: ((9, 0.09), (14, 0.63))}),
)
"""The same for the other exchanges: the medians of NCCL on A100, H100, H200 and B200."""

PCIE_ALL_REDUCE = {
    2: _reduce(_shot(5, 0.56), _shot(20, 0.655)),
    8: _reduce(_shot(10, 0.45), _shot(20, 0.50)),
}
"""Chips on PCIe share the host's bridges. Two chips: fitted to 17 sizes of the fastest kernel on L40S in
ai-dynamo/aiconfigurator @095f58a5, in sample. More chips: two sources disagree. Kernels on that server reach
0.157 and 0.071 of the link on 4 and 8 cards, but TensorRT-LLM's published throughput of Llama-2-70B on 4 and
8 L40S (NVIDIA/TensorRT-LLM perf-overview, v0.11) is 2 to 6 times what such links allow. The published engine
is believed; the share is rounded from those rows."""

PCIE_COLLECTIVES = Collectives.model_construct(
    all_gather=_sizes({2: ((6.0, 0.31), (19, 0.617)), 8: ((11, 0.25), (25, 0.50))}),
    reduce_scatter=_sizes({2: ((6.0, 0.31), (18, 0.594)), 8: ((10, 0.25), (25, 0.50))}),
    all_to_all=_sizes({2: ((9.2, 0.36), (18, 0.70)), 8: ((9, 0.09), (18, 0.50))}),
)
"""The same for the other exchanges: NCCL on two L40S, the share of the all-reduce on more."""

POINT_TO_POINT = _shot(10, 0.88)
"""A message between two chips: 396 of 450 GB/s on H200 and 55 of 63 GB/s over PCIe 5 (stas00/ml-engineering
network/README.md @744d01e1); the latency is ai-dynamo/aiconfigurator's planning value @095f58a5."""

SCALEOUT = _shot(10, 0.90)
"""A message over the network: 365 of 400 GB/s a node on four nodes of eight H200 (stas00/ml-engineering
network/README.md @744d01e1); the latency is ai-dynamo/aiconfigurator's planning value @095f58a5."""
