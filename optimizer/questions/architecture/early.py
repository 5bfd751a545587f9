"""A first plan of a wide space within moments: the same search over a few round values of every dimension.

Whatever it finds is a plan of the whole space, proven by the same engines, and a limit for the search that
follows. Where it finds nothing, that says nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.questions.architecture.space import Space

_ROUNDS = 3


@dataclass(frozen=True)
class Coarse:
    """A part of a space: some values of each dimension, with the rows that its kinds have in the whole."""

    space: Space
    attention: np.ndarray
    ffn: np.ndarray


def coarse(space: Space) -> Iterator[Coarse]:
    """Parts of a space, each larger than the last; the first takes a fraction of a second."""
    for n in range(1, _ROUNDS + 1):
        yield _part(space, n)


def _part(space: Space, n: int) -> Coarse:
    a, d = space.attention, space.problem.deployment
    heads, kv, d_head = (np.unique(values) for values in (a.n_heads, a.n_kv_heads, a.d_head))
    kept = (
        np.isin(a.n_heads, spread(heads, 8 * n))
        & np.isin(a.n_kv_heads, spread(kv, 3 * n))
        & np.isin(a.d_head, spread(d_head, 3 * n))
    )
    attention = np.flatnonzero(kept) if kept.any() else np.arange(min(len(a), 64))
    ffn = np.flatnonzero(np.isin(space.ffn.d_ff, spread(space.ffn.d_ff, 96 * n * n)))
    depths = spread(space.depths, 8 * n)
    split = {
        "tensor_parallel": ends(d.tensor_parallel, 1 + n),
        **{name: ends(values, 1 + n) for name, values in d.formats.chosen().items()},
        "batch": ends(d.batch, 1 + n) if d.batch else None,
    }
    own = replace(
        space,
        problem=space.problem.changed(deployment=d.changed(**split)),
        architecture=space.architecture.changed(
            d_model=spread(space.architecture.d_model, 6 * n), n_layers=depths
        ),
        chips=ends(space.chips, 1 + n),
        depths=np.array(depths, dtype=np.int64),
        attention=space.attention.take(attention),
        ffn=space.ffn.take(ffn),
    )
    return Coarse(own, attention, ffn)


def ends(values: Sequence[Any], n: int) -> tuple[Any, ...]:
    """At most n of the values, evenly spread, the first and the last among them."""
    if len(values) <= n:
        return tuple(values)
    return tuple(values[i * (len(values) - 1) // (n - 1)] for i in range(n))


def spread(values: Sequence[Any] | np.ndarray, n: int) -> tuple[Any, ...]:
    """At most n of the values, in their order, evenly spread; of numbers the roundest in each part."""
    listed = list(values.tolist() if isinstance(values, np.ndarray) else values)
    if len(listed) <= n:
        return tuple(listed)
    parts = [listed[len(listed) * i // n : len(listed) * (i + 1) // n] for i in range(n)]
    return tuple(max(part, key=_roundness) for part in parts)


def _roundness(value: Any) -> int:
    """The largest power of two that divides a number: tiles, groups and splits ask for one."""
    return value & -value if isinstance(value, int) else 0
