"""One-dimensional reasoning about a metric inside a slice.

Inside a slice a metric is a function of one additive quantity. A bound on the metric is therefore a set
of intervals of the quantity. A metric that rises or falls throughout has one; the loss may turn, so its
intervals are found on a grid and widened by twice the largest second difference, which is more than a
smooth function can hide between two grid points. Sets are never too small; they may be too large by
that margin, which is why every plan is checked again in floating point.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from optimizer.cost.frame import Slice
from optimizer.scope import Bound, Symbol

_GRID = 33
_TOLERANCE = 1e-12
_OCTAVES = 101  # every quantity of a plan lies between 2^-100 and 2^100
_SECTIONS, _PARTS = 6, 1024  # as fine as sixty bisections

Interval = tuple[float, float]


def tolerance(limit: Any) -> Any:
    """Slack of a float comparison with `limit`, a number or an array."""
    if isinstance(limit, float | int):
        return _TOLERANCE * abs(limit) if isfinite(limit) else 0.0
    return _TOLERANCE * np.abs(np.where(np.isfinite(limit), limit, 0.0))


def meets(value: Any, low: Any, high: Any) -> Any:
    """low <= value <= high within float noise."""
    return (value >= low - tolerance(low)) & (value <= high + tolerance(high))


@dataclass(frozen=True)
class Grid:
    """A metric on a grid of its quantity, for many slices at once; bounds on it are then comparisons.

    Arrays have shape (K, points); `margin` of shape (K, 1) is what may hide between two points.
    """

    quantity: np.ndarray
    value: np.ndarray
    margin: np.ndarray

    @classmethod
    def of(cls, symbol: Symbol, at: Slice, low: np.ndarray, high: np.ndarray) -> "Grid":
        """`low` and `high` of the quantity have shape (K,); arrays in `at` have shape (K, 1)."""
        quantity, value = _on_grid(symbol, at, low, high)
        return cls(quantity, value, _margin(symbol, value)[:, None])

    def hull(self, bound: Bound) -> tuple[np.ndarray, np.ndarray]:
        """Smallest interval of the quantity around all values that may meet a bound, for each slice.

        An empty set is low > high.
        """
        ok = meets(self.value, bound.low - self.margin, bound.high + self.margin)
        first = np.maximum(ok.argmax(axis=1) - 1, 0)
        last = np.minimum(_GRID - ok[:, ::-1].argmax(axis=1), _GRID - 1)
        rows = np.arange(len(ok))
        empty = ~ok.any(axis=1)
        return (
            np.where(empty, np.inf, self.quantity[rows, first]),
            np.where(empty, -np.inf, self.quantity[rows, last]),
        )


def lowest(symbol: Symbol, sense: int, at: Slice, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Lower bound of sense x metric for quantities between `low` and `high`; shapes as in `Grid.of`."""
    if symbol.rises is not None:
        best = low if symbol.rises == (sense > 0) else high
        return np.asarray(sense * symbol.value(at, best[:, None]), dtype=float)[:, 0]
    _, value = _on_grid(symbol, at, low, high)
    return np.asarray((sense * value).min(axis=1) - _margin(symbol, value), dtype=float)


def _on_grid(symbol: Symbol, at: Slice, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grid = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _GRID)
    return grid, np.broadcast_to(symbol.value(at, grid), grid.shape)


def largest(bound: Bound, at: Slice) -> float:
    """The largest quantity that a bound allows: its upper side if the metric rises, else its lower."""
    low, high = (-np.inf, bound.high) if bound.symbol.rises else (bound.low, np.inf)

    def first_outside(grid: np.ndarray) -> int:
        inside = meets(np.broadcast_to(bound.symbol.value(at, grid), grid.shape), low, high)
        return int(inside.argmin()) if not inside.all() else len(grid)

    octaves = 2.0 ** np.arange(-_OCTAVES, _OCTAVES)
    i = first_outside(octaves)
    if i == len(octaves):
        return np.inf
    inside, outside = octaves[max(i - 1, 0)], octaves[i]
    for _ in range(_SECTIONS):
        grid = np.linspace(inside, outside, _PARTS + 1)
        i = max(first_outside(grid), 1)
        if i > _PARTS:
            break
        inside, outside = grid[i - 1], grid[i]
    return float(outside)


def intervals(bound: Bound, at: Slice, low: float, high: float) -> list[Interval]:
    """Intervals of the quantity in [low, high] whose metric meets the bound; ends found by bisection."""
    if low > high:
        return []
    grid = np.linspace(low, high, 4 * _GRID)
    value = np.broadcast_to(bound.symbol.value(at, grid), grid.shape)
    margin = float(_margin(bound.symbol, value[None, :])[0])
    lowest_ok, highest_ok = bound.low - margin, bound.high + margin

    def ok(q: Any) -> Any:
        return meets(bound.symbol.value(at, q), lowest_ok, highest_ok)

    good = np.broadcast_to(meets(value, lowest_ok, highest_ok), grid.shape)
    found: list[Interval] = []
    start = grid[0] if good[0] else None
    for i in range(1, len(grid)):
        if good[i] and start is None:
            start = _crossing(ok, grid[i], grid[i - 1])
        elif not good[i] and start is not None:
            found.append((start, _crossing(ok, grid[i - 1], grid[i])))
            start = None
    if start is not None:
        found.append((start, grid[-1]))
    return found


def _margin(symbol: Symbol, value: np.ndarray) -> np.ndarray:
    if symbol.rises is not None:
        return np.zeros(len(value))
    return np.asarray(2.0 * np.abs(np.diff(value, n=2, axis=1)).max(axis=1))


def _crossing(ok: Any, inside: float, outside: float) -> float:
    """The last point from inside towards outside, approached from outside: never too early."""
    for _ in range(_SECTIONS // 2):  # to a part in 10^9 of the step, finer than any integer unit
        grid = np.linspace(inside, outside, _PARTS + 1)
        good = np.broadcast_to(ok(grid), grid.shape)
        first = max(int(good.argmin()), 1) if not good.all() else _PARTS
        inside, outside = float(grid[first - 1]), float(grid[first])
    return outside
