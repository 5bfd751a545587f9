"""Optimistic bounds of a frame, depth by depth, in numpy: what no plan of a slice can beat.

For each depth and attention kind the feed-forward kinds that reach the parameter window form a run of the
list sorted by parameters; the cheapest of the run bounds every plan with that attention kind. The bound
ignores how other rows interact, so it is never above the truth, and it shares nothing with CP-SAT: it
is the witness that slices left unsolved hold nothing better.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.columns.table import FrameTable
from optimizer.columns.window import hull, lowest, meets
from optimizer.scope import Symbol

_ANY = 1e9


@dataclass(frozen=True)
class DepthBounds:
    """For each depth of a table: the best objective key conceivable, and the parameter window left."""

    key: np.ndarray
    """sense x objective, shape (D,); inf where the depth holds no plan."""
    by_attention: np.ndarray
    """The same for each attention kind, shape (D, A)."""
    low: np.ndarray
    """Parameter window after all bounds on functions of n_params, shape (D,)."""
    high: np.ndarray


def depth_bounds(table: FrameTable, objective: Symbol, sense: int) -> DepthBounds:
    """Bound every depth of a frame at once."""
    n = table.columns["n_params"]
    depths = table.depths.astype(float)
    low, high = _parameter_window(table, depths)
    order = np.argsort(n.ffn, kind="stable")
    sorted_params = n.ffn[order]
    reach = depths[:, None] * n.attention
    slack = 1e-9 * np.abs(n.base + reach)
    first = np.searchsorted(sorted_params, (low[:, None] - slack - n.base - reach) / depths[:, None])
    last = np.searchsorted(
        sorted_params, (high[:, None] + slack - n.base - reach) / depths[:, None], side="right"
    )
    empty = first >= last
    run = _Run(order, first, last - 1, empty)

    dead = np.zeros(empty.shape, dtype=bool)
    for _, bound in table.rules.bounds:
        s = bound.symbol
        if s.quantity == "n_params" or s.rises is None:
            continue
        least = run.least(table, s.quantity, depths, +1)
        most = -run.least(table, s.quantity, depths, -1)
        at = table.at(0)
        ends = [np.asarray(s.value(at, q), dtype=float) for q in (least, most)]
        with np.errstate(invalid="ignore"):
            smallest, largest = np.fmin(*ends), np.fmax(*ends)
        dead |= ~meets(smallest, -np.inf, bound.high) | ~meets(largest, bound.low, np.inf)
    dead |= empty

    if objective.quantity == "n_params":
        best = lowest(objective, sense, table.at(table.depths[:, None]), *_finite(low, high))
        by_attention = np.broadcast_to(best[:, None], dead.shape)
    else:
        direction = 1 if objective.rises == (sense > 0) else -1
        q = direction * run.least(table, objective.quantity, depths, direction)
        by_attention = sense * np.asarray(objective.value(table.at(0), q), dtype=float)
    by_attention = np.where(dead, np.inf, by_attention)
    return DepthBounds(by_attention.min(axis=1), by_attention, low, high)


@dataclass(frozen=True)
class _Run:
    """Feed-forward kinds, in order of parameters, that reach the window: rows first..last."""

    order: np.ndarray
    first: np.ndarray
    last: np.ndarray
    empty: np.ndarray

    def least(self, table: FrameTable, quantity: str, depths: np.ndarray, direction: int) -> np.ndarray:
        """Lower bound of direction x quantity for each depth and attention kind, shape (D, A)."""
        column = table.columns[quantity]
        y = direction * column.ffn[self.order]
        from_here = np.minimum.accumulate(y[::-1])[::-1]
        up_to_here = np.minimum.accumulate(y)
        last_row = len(y) - 1
        cheapest = np.maximum(
            from_here[np.clip(self.first, 0, last_row)], up_to_here[np.clip(self.last, 0, last_row)]
        )
        total = direction * (column.base + depths[:, None] * column.attention) + depths[:, None] * cheapest
        return np.asarray(np.where(self.empty, np.inf, total))


def _finite(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows, with a harmless number in place of empty ones."""
    alive = low <= high
    return np.where(alive, low, _ANY), np.where(alive, high, _ANY)


def _parameter_window(table: FrameTable, depths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameter counts a depth can reach, cut by every bound on a function of n_params."""
    n = table.columns["n_params"]
    low = n.base + depths * (n.attention.min() + n.ffn.min())
    high = n.base + depths * (n.attention.max() + n.ffn.max())
    own = [b for _, b in table.rules.bounds if b.symbol.quantity == "n_params"]
    for bound in sorted(own, key=lambda b: b.symbol.rises is None):
        if bound.symbol.name == "n_params":
            low, high = np.maximum(low, bound.low), np.minimum(high, bound.high)
            continue
        alive = low <= high
        first, last = hull(bound, table.at(table.depths[:, None]), *_finite(low, high))
        low = np.where(alive, np.maximum(low, first), np.inf)
        high = np.where(alive, np.minimum(high, last), -np.inf)
    return low, high
