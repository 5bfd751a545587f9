"""Seconds of exchanges on a torus, where data hops from neighbour to neighbour.

A group of n chips is a box with sides as equal as n allows. A side as long as the torus axis closes to a
ring and has two ways in each chip, a shorter one is a line with one. S bytes, W bytes/s of one link one way:

    all-gather, reduce-scatter    max(hops x 1 us, S / (W x ways))         ways summed over the sides
    all-reduce                    twice that
    all-to-all                    max(hops x 1 us, longest of S l / (8 W) on a ring, S l / (4 W) on a line)

S is the full tensor; in all-to-all what one rank holds, so that on one ring of l chips it takes a quarter of
an all-gather of all l S bytes. Source: jax-ml/scaling-book @0819a7d8, sharding.md; the line's form follows
from its middle link. `optimizer.cost.topology` has the same torus as a graph.
"""

from functools import cache

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.spec.chip import ScaleUp

HOP_S = 1e-6


@cache
def box(n_chips: int, n_axes: int) -> tuple[int, ...]:
    """Sides of the most cubic box of n chips, longest first: 8 chips in two axes are (4, 2)."""
    if n_axes == 1:
        return (n_chips,)
    sides = [side for side in range(1, n_chips + 1) if n_chips % side == 0]
    shapes = [
        tuple(sorted((side, *box(n_chips // side, n_axes - 1)), reverse=True))
        for side in sides
        if side**n_axes <= n_chips
    ]
    return min(shapes)


def sides(n_chips: int, link: ScaleUp) -> tuple[tuple[int, int], ...]:
    """The sides longer than one chip, each with its ways out of a chip: 2 if it closes to a ring."""
    shape = box(n_chips, int(link.topology[5]))
    return tuple((side, 2 if side >= link.axis else 1) for side in shape if side > 1)


def hops(n_chips: int, link: ScaleUp) -> int:
    """Links between the two chips of the group that are farthest apart."""
    return sum(side // 2 if ways == 2 else side - 1 for side, ways in sides(n_chips, link))


def all_reduce_s(size: Number, n_chips: int, link: ScaleUp) -> tuple[Number, Number]:
    """Seconds to sum `size` bytes over the group, the sum left on each chip; of which latency."""
    seconds, latency = exchange_s("all_gather", size, n_chips, link)
    return 2 * seconds, 2 * latency


def exchange_s(operation: str, size: Number, n_chips: int, link: ScaleUp) -> tuple[Number, Number]:
    """Seconds of 'all_gather', 'reduce_scatter' or 'all_to_all'; of which latency."""
    latency = hops(n_chips, link) * HOP_S + 0.0 * size
    shape = sides(n_chips, link)
    if operation == "all_to_all":
        moving = size * max(side / (4 * ways) for side, ways in shape) / link.bandwidth
    else:
        moving = size / (link.bandwidth * sum(ways for _, ways in shape))
    return np.maximum(latency, moving), latency


def ring_exists(n_chips: int, link: ScaleUp) -> bool:
    """Whether one ring of neighbours visits each chip of the group once.

    A lone line has none; nor has a box of lines with an odd number of chips, whose chips alternate like the
    fields of a chess board.
    """
    shape = sides(n_chips, link)
    closes = any(ways == 2 for _, ways in shape)
    if len(shape) < 2:
        return closes and n_chips > 2
    return closes or n_chips % 2 == 0
