"""Optimistic bounds of a frame, depth by depth, in numpy: what no plan of a slice can beat.

For each depth and attention kind the feed-forward kinds that reach the parameter window form a run of the
list sorted by parameters; the cheapest of the run bounds every plan with that attention kind. The bound
ignores how other rows interact, so it is never above the truth, and it shares nothing with CP-SAT: it
is the witness that slices left unsolved hold nothing better.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.columns.table import FrameTable
from optimizer.columns.window import hull, largest, lowest, meets
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
    for limit in _limits(table):
        last = np.minimum(last, _run_end(table, limit, order, depths))
    run = _Run(order, first, last - 1, first >= last)
    dead = run.empty | _unreachable(table, run, depths)

    fewest = np.where(dead, np.inf, run.least(table, "n_params", depths, +1)).min(axis=1)
    most = -np.where(dead, np.inf, run.least(table, "n_params", depths, -1)).min(axis=1)
    low, high = np.maximum(low, fewest), np.minimum(high, most)
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
class _Limit:
    """quantity <= most, which some bound on a metric amounts to."""

    quantity: str
    most: float


def _limits(table: FrameTable) -> list[_Limit]:
    """Upper limits of quantities other than n_params that the bounds imply."""
    found = []
    for _, bound in table.rules.bounds:
        s = bound.symbol
        capped = np.isfinite(bound.high if s.rises else bound.low)
        if s.quantity != "n_params" and s.rises is not None and capped:
            found.append(_Limit(s.quantity, largest(bound, table.at(0))))
    return found


def _run_end(table: FrameTable, limit: _Limit, order: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """End of the run of feed-forward kinds within a limit, shape (D, A); all, if costs are not in order."""
    column = table.columns[limit.quantity]
    y = column.ffn[order]
    if (np.diff(y) < 0).any():
        return np.full((len(depths), len(column.attention)), len(y))
    left = (limit.most * (1 + 1e-9) - column.base) / depths[:, None] - column.attention
    return np.asarray(np.searchsorted(y, left, side="right"))


def _unreachable(table: FrameTable, run: "_Run", depths: np.ndarray) -> np.ndarray:
    """Attention kinds that no feed-forward kind of their run brings within every bound, shape (D, A)."""
    dead = np.zeros(run.empty.shape, dtype=bool)
    for _, bound in table.rules.bounds:
        s = bound.symbol
        if s.quantity == "n_params" or s.rises is None:
            continue
        ends = [
            np.asarray(s.value(table.at(0), sign * run.least(table, s.quantity, depths, sign)), dtype=float)
            for sign in (+1, -1)
        ]
        with np.errstate(invalid="ignore"):
            smallest, largest_value = np.fmin(*ends), np.fmax(*ends)
        dead |= ~meets(smallest, -np.inf, bound.high) | ~meets(largest_value, bound.low, np.inf)
    return dead


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
