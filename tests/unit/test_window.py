"""Bounds on a metric as intervals of its quantity: never too small, and no larger than they say.

Guards the translation on which every row, cut-off and skipped slice rests: an interval too small loses a
plan, one too large costs time and is caught by the check in floating point.
"""

from typing import Any

import numpy as np
import pytest

from optimizer.cost.frame import Slice
from optimizer.questions.architecture.window import Grid, intervals, largest, lowest, meets, tolerance
from optimizer.scope import Bound, Symbol

INF = np.inf
AT: Any = Slice(None, None)  # type: ignore[arg-type]
FINE = 20_001

METRICS = {
    "rises": Symbol("m", "q", True, lambda at, q: 3.0 * q + 1.0),
    "falls": Symbol("m", "q", False, lambda at, q: 60.0 / q),
    "steps": Symbol("m", "q", True, lambda at, q: np.ceil(q)),
    "turns": Symbol("m", "q", None, lambda at, q: (q - 4.3) ** 2 + 2.0),
    "turns twice": Symbol("m", "q", None, lambda at, q: 10.0 + np.sin(q)),
    "falls, unsaid": Symbol("m", "q", None, lambda at, q: 60.0 / (q + 1.0)),
}
SMOOTH = sorted(METRICS)


def test_a_comparison_allows_the_noise_of_a_float() -> None:
    for limit in (1.0, -1.0, 7e9):
        close, far = abs(limit) * 0.9e-12, abs(limit) * 1.1e-12
        assert meets(limit, limit, limit)
        assert meets(limit + close, -INF, limit) and meets(limit - close, limit, INF)
        assert not meets(limit + far, -INF, limit) and not meets(limit - far, limit, INF)
    assert meets(1e300, -INF, INF)
    assert (tolerance(2.0), tolerance(-2.0), tolerance(INF), tolerance(3)) == (2e-12, 2e-12, 0.0, 3e-12)
    assert tolerance(np.array([2.0, -2.0, INF, -INF])).tolist() == [2e-12, 2e-12, 0.0, 0.0]
    assert meets(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 3.1]), 3.0).tolist() == [True, True, False]


def dense(symbol: Symbol, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    q = np.linspace(low, high, FINE)
    return q, np.asarray(symbol.value(AT, q), dtype=float)


def bounds(symbol: Symbol, low: float, high: float, rng: np.random.Generator) -> list[Bound]:
    """Around values that the metric takes in the window, and beyond it."""
    _, value = dense(symbol, low, high)
    a, b = sorted(rng.choice(value, 2))
    beyond = value.max() + 1.0
    return [
        Bound(symbol, -INF, b), Bound(symbol, a, INF), Bound(symbol, a, b), Bound(symbol, beyond, INF),
        Bound(symbol, -INF, beyond), Bound(symbol, -INF, value.min() - 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("seed", range(4))
def test_a_hull_holds_all_that_meets_the_bound_and_little_more(name: str, seed: int) -> None:
    rng, symbol = np.random.default_rng(seed), METRICS[name]
    low, high = np.array([1.0, 2.5, 3.0]), np.array([8.0, 2.5, 9.0])
    for bound in bounds(symbol, 1.0, 9.0, rng):
        grid = Grid.of(symbol, AT, low, high)
        first, last = grid.hull(bound)
        for i in range(3):
            q, value = dense(symbol, low[i], high[i])
            good = q[meets(value, bound.low, bound.high)]
            assert (first[i] <= last[i]) or (first[i], last[i]) == (INF, -INF)
            if len(good):
                assert first[i] <= good[0] and good[-1] <= last[i]
            margin = float(grid.margin[i, 0])
            near = q[meets(value, bound.low - margin, bound.high + margin)]
            step = (high[i] - low[i]) / 32
            if not len(near):
                assert first[i] > last[i]
            elif first[i] <= last[i]:
                assert low[i] <= first[i] and last[i] <= high[i]
                assert near[0] - first[i] <= step * (1 + 1e-9) and last[i] - near[-1] <= step * (1 + 1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_what_hides_between_two_points_of_a_grid(name: str) -> None:
    """Nothing of a metric that rises or falls; else twice the largest second difference."""
    symbol = METRICS[name]
    grid = Grid.of(symbol, AT, np.array([1.0]), np.array([9.0]))
    assert grid.quantity.tolist() == [np.linspace(1.0, 9.0, 33).tolist()]
    assert grid.value.tolist() == [np.asarray(symbol.value(AT, grid.quantity[0])).tolist()]
    second = np.abs(np.diff(grid.value[0], n=2)).max()
    expected = 0.0 if symbol.rises is not None else 2 * second
    assert grid.margin.tolist() == [[pytest.approx(expected)]]


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("sense", [1, -1])
def test_the_lowest_value_of_a_window(name: str, sense: int) -> None:
    symbol = METRICS[name]
    low, high = np.array([1.0, 2.5, 3.0]), np.array([8.0, 2.5, 9.0])
    found = lowest(symbol, sense, AT, low, high)
    for i in range(3):
        _, value = dense(symbol, low[i], high[i])
        true = float((sense * value).min())
        if symbol.rises is not None:
            assert found[i] == pytest.approx(true, rel=1e-12)
        else:
            margin = float(Grid.of(symbol, AT, low, high).margin[i, 0])
            assert true - 1.5 * margin - 1e-12 <= found[i] <= true


@pytest.mark.parametrize("name", ["rises", "falls", "steps"])
@pytest.mark.parametrize("seed", range(30))
def test_the_largest_quantity_of_a_bound(name: str, seed: int) -> None:
    """The first quantity found outside: what lies a billionth below is inside, it itself is not."""
    symbol = METRICS[name]
    at = float(np.random.default_rng(seed).uniform(0.5, 3e6))
    value = float(symbol.value(AT, at))
    bound = Bound(symbol, -INF, value) if symbol.rises else Bound(symbol, value, INF)
    found = largest(bound, AT)
    both = (symbol.value(AT, found), symbol.value(AT, found * (1 - 1e-9)))
    outside, inside = (bool(meets(v, bound.low, bound.high)) for v in both)
    assert (outside, inside) == (False, True)
    other = Bound(symbol, 1e-300, value) if symbol.rises else Bound(symbol, value, 1e300)
    assert largest(other, AT) == found  # the side that does not cap plays no part


def test_the_largest_quantity_of_bounds_that_allow_all_or_nothing() -> None:
    rises, falls = METRICS["rises"], METRICS["falls"]
    assert largest(Bound(rises, -INF, INF), AT) == INF
    assert largest(Bound(falls, -INF, INF), AT) == INF
    assert largest(Bound(rises, -INF, 0.5), AT) < 1e-29  # no quantity at all
    assert largest(Bound(rises, -INF, 1.0), AT) < 1e-12


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("seed", range(4))
def test_intervals_hold_all_that_meets_the_bound_and_no_more_than_the_margin(name: str, seed: int) -> None:
    symbol = METRICS[name]
    for bound in bounds(symbol, 1.0, 9.0, np.random.default_rng(seed)):
        found = intervals(bound, AT, 1.0, 9.0)
        q, value = dense(symbol, 1.0, 9.0)
        inside, well_inside = np.zeros(len(q), dtype=bool), np.zeros(len(q), dtype=bool)
        for a, b in found:
            assert 1.0 <= a <= b <= 9.0
            inside |= (a <= q) & (q <= b)
            well_inside |= (a + 1e-7 <= q) & (q <= b - 1e-7)
        assert not (meets(value, bound.low, bound.high) & ~inside).any()
        grid = np.asarray(symbol.value(AT, np.linspace(1.0, 9.0, 132)), dtype=float)
        margin = 0.0 if symbol.rises is not None else 2 * np.abs(np.diff(grid, n=2)).max()
        assert not (well_inside & ~meets(value, bound.low - margin, bound.high + margin)).any()
        assert [a for a, _ in found] == sorted(a for a, _ in found)
    assert intervals(Bound(symbol, -INF, INF), AT, 1.0, 9.0) == [(1.0, 9.0)]
    assert intervals(Bound(symbol, -INF, INF), AT, 9.0, 1.0) == []


def test_ends_of_an_interval_are_just_outside() -> None:
    """Rows are whole units of at least 10^-7 of the window: an end may be late by less, never early."""
    rises = METRICS["rises"]
    for limit in (7.0, 13.37, 20.001):
        [(low, end)] = intervals(Bound(rises, -INF, limit), AT, 1.0, 9.0)
        assert low == 1.0
        assert (limit - 1) / 3 <= end <= (limit - 1) / 3 + 8e-8
        [(begin, high)] = intervals(Bound(rises, limit, INF), AT, 1.0, 9.0)
        assert high == 9.0
        assert (limit - 1) / 3 - 8e-8 <= begin <= (limit - 1) / 3


def test_two_intervals_of_a_metric_that_turns() -> None:
    turns = METRICS["turns"]
    left, right = intervals(Bound(turns, 6.0, INF), AT, 1.0, 9.0)
    assert (left[0], right[1]) == (1.0, 9.0)
    assert 2.3 <= left[1] <= 2.32 and 6.28 <= right[0] <= 6.3
    [middle] = intervals(Bound(turns, -INF, 6.0), AT, 1.0, 9.0)
    assert 2.28 <= middle[0] <= 2.3 and 6.3 <= middle[1] <= 6.32
