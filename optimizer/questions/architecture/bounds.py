"""Optimistic bounds of a frame, depth by depth, in numpy: what no plan of a slice can beat.

For each depth and attention kind the feed-forward kinds that reach the parameter window form a run of the
list sorted by parameters; the cheapest of the run bounds every plan with that attention kind. The bound
ignores how other rows interact, so it is never above the truth, and it shares nothing with CP-SAT: it
is the witness that slices left unsolved hold nothing better.
"""

from dataclasses import dataclass, replace

import numpy as np

from optimizer.questions.architecture.table import FrameTable
from optimizer.questions.architecture.window import Grid, largest, lowest, meets
from optimizer.scope import Bound, Symbol

_ANY = 1e9
_GRIDS_KEPT = 2


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
    depths = table.depths.astype(float)
    low, high = _parameter_window(table, depths)
    runs = _Runs.within(table, depths, low, high).kept(table)
    shape = (len(depths), len(table.rules.attention))
    fewest = runs.per_depth(shape, runs.least(table, "n_params", +1))
    most = -runs.per_depth(shape, runs.least(table, "n_params", -1))
    low, high = np.maximum(low, fewest), np.minimum(high, most)
    by_attention = np.full(shape, np.inf)
    if objective.quantity == "n_params":
        best = lowest(objective, sense, table.at(table.depths[:, None]), *_finite(low, high))
        by_attention[runs.depth, runs.attention] = best[runs.depth]
    else:
        direction = 1 if objective.rises == (sense > 0) else -1
        q = direction * runs.least(table, objective.quantity, direction)
        value = np.asarray(objective.value(table.at(0), q), dtype=float)
        by_attention[runs.depth, runs.attention] = sense * value
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


@dataclass(frozen=True)
class _Runs:
    """For each depth and attention kind, the feed-forward kinds, in order of parameters, that may go with it.

    They are rows first..last of `order`. Only those with any; flat arrays of equal length.
    """

    order: np.ndarray
    depth: np.ndarray
    """Rows of the table's depths, ascending."""
    attention: np.ndarray
    first: np.ndarray
    last: np.ndarray
    layers: np.ndarray

    @classmethod
    def within(cls, table: FrameTable, depths: np.ndarray, low: np.ndarray, high: np.ndarray) -> "_Runs":
        """The runs that reach the parameter window of their depth."""
        n = table.columns["n_params"]
        order = np.argsort(n.ffn, kind="stable")
        rows = np.flatnonzero(low <= high)
        layers = depths[rows, None]
        reach = layers * n.attention
        slack = 1e-9 * np.abs(n.base + reach)
        params = n.ffn[order]
        first = np.searchsorted(params, (low[rows, None] - slack - n.base - reach) / layers)
        last = np.searchsorted(params, (high[rows, None] + slack - n.base - reach) / layers, side="right")
        row, attention = np.nonzero(first < last)
        found = first[row, attention], last[row, attention] - 1
        return cls(order, rows[row], attention, *found, depths[rows[row]])

    def where(self, keep: np.ndarray) -> "_Runs":
        """The runs that a mask keeps."""
        if keep.all():
            return self
        arrays = (self.depth, self.attention, self.first, self.last, self.layers)
        return _Runs(self.order, *(a[keep] for a in arrays))

    def kept(self, table: FrameTable) -> "_Runs":
        """The runs cut by upper limits, without those that no feed-forward kind brings within a bound."""
        runs = self
        for limit in _limits(table):
            runs = runs.cut(table, limit)
        for _, bound in table.rules.bounds:
            if bound.symbol.quantity != "n_params" and bound.symbol.rises is not None:
                runs = runs.where(runs.reaches(table, bound))
        return runs

    def cut(self, table: FrameTable, limit: _Limit) -> "_Runs":
        """End each run where a quantity passes its limit; left as it is if costs are not in order."""
        column = table.columns[limit.quantity]
        y = column.ffn[self.order]
        if (np.diff(y) < 0).any():
            return self
        left = (limit.most * (1 + 1e-9) - column.base) / self.layers - column.attention[self.attention]
        last = np.minimum(self.last, np.searchsorted(y, left, side="right") - 1)
        return replace(self, last=last).where(self.first <= last)

    def reaches(self, table: FrameTable, bound: Bound) -> np.ndarray:
        """Which runs may hold a value within a bound."""
        s = bound.symbol
        ends = [
            np.asarray(s.value(table.at(0), sign * self.least(table, s.quantity, sign)), dtype=float)
            for sign in (+1, -1)
        ]
        smallest, greatest = np.fmin(*ends), np.fmax(*ends)
        return np.asarray(meets(smallest, -np.inf, bound.high) & meets(greatest, bound.low, np.inf))

    def least(self, table: FrameTable, quantity: str, direction: int) -> np.ndarray:
        """Lower bound of direction x quantity of each run."""
        column = table.columns[quantity]
        y = direction * column.ffn[self.order]
        from_here = np.minimum.accumulate(y[::-1])[::-1]
        up_to_here = np.minimum.accumulate(y)
        cheapest = np.maximum(from_here[self.first], up_to_here[self.last])
        own = column.attention[self.attention]
        return np.asarray(direction * column.base + self.layers * (direction * own + cheapest))

    def per_depth(self, shape: tuple[int, int], value: np.ndarray) -> np.ndarray:
        """The lowest value at each depth, inf where there is no run."""
        found = np.full(shape[0], np.inf)
        np.minimum.at(found, self.depth, value)
        return found


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
        first, last = _grid(table, bound.symbol, *_finite(low, high)).hull(bound)
        low = np.where(alive, np.maximum(low, first), np.inf)
        high = np.where(alive, np.minimum(high, last), -np.inf)
    return low, high


def _grid(table: FrameTable, symbol: Symbol, low: np.ndarray, high: np.ndarray) -> Grid:
    """The metric over the windows of all depths; kept, since questions mostly differ in the bound on it."""
    key = (symbol.name, table.depths.tobytes(), low.tobytes(), high.tobytes())
    known: Grid | None = table.grids.get(key)
    if known is None:
        if len(table.grids) >= _GRIDS_KEPT:
            table.grids.clear()
        table.grids[key] = known = Grid.of(symbol, table.at(table.depths[:, None]), low, high)
    return known
