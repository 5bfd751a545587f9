"""Seconds of the messages between ranks.

Ranks are numbered tensor, context, data, pipeline from the inside out, and expert groups are neighbours, as
in Megatron: a group of n ranks `stride` apart lies in as many scale-up domains as it must. Arrays of group
sizes are priced once per distinct group.
"""

from collections.abc import Callable, Sequence

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.collectives import Time, group_of, point_to_point_s
from optimizer.spec.chip import Chip

_WIDE = 1 << 31
Collective = Callable[..., Time]
"""Bytes, a group, its chip, and what else the exchange depends on, to seconds."""


def exchange_s(
    collective: Collective, size: Number, n_chips: Number, chip: Chip, stride: Number = 1, *more: Number
) -> Number:
    """Seconds of a collective of `size` bytes over groups of `n_chips` ranks `stride` apart."""
    if np.ndim(n_chips) == 0 and np.ndim(stride) == 0:
        return _one(collective, size, int(n_chips), chip, int(stride), more)
    kinds = np.int64(n_chips) * _WIDE + np.int64(stride)
    sizes, groups, *others = np.broadcast_arrays(size, kinds, *more)
    seconds = np.zeros(sizes.shape)
    for group in np.unique(groups):
        rows = groups == group
        n, apart = divmod(int(group), _WIDE)
        own = [values[rows] for values in others]
        seconds[rows] = _one(collective, sizes[rows], n, chip, apart, own)
    return seconds


def _one(
    collective: Collective, size: Number, n: int, chip: Chip, stride: int, more: Sequence[Number]
) -> Number:
    if n == 1:
        return 0.0 * size
    seconds, _ = collective(size, group_of(n, chip, stride), chip, *more)
    return np.where(np.greater(size, 0), seconds, 0.0)


def message_s(size: Number, chip: Chip, inside: Number, sent: Number) -> Number:
    """Seconds of one message, over the domain's links where `inside`, nothing where none is `sent`."""
    if not np.any(sent):
        return 0.0 * size
    near = point_to_point_s(size, chip, inside=True)[0] if np.any(inside) else 0.0
    far = point_to_point_s(size, chip, inside=False)[0] if not np.all(inside) else 0.0
    return np.where(sent, np.where(inside, near, far), 0.0)
