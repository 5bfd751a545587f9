"""Linear programmes in fractions, each answer proven by its own duals.

Guards the simplex method that says what fleets carry: an answer is the optimum exactly if its variables keep
the rows, its duals keep the columns, and both have the same value (weak duality). No second solver is asked.
"""

from fractions import Fraction as F
from random import Random

import numpy as np
import pytest

from optimizer.questions.fleet import exact
from optimizer.questions.fleet.exact import Solved, _entering, maximise
from optimizer.watch import Stopped, Watch

Rows = list[list[int]]


def proven(objective: list[int], rows: Rows, limits: list[int]) -> Solved:
    """The optimum, proven."""
    found = maximise(objective, rows, limits)
    assert len(found.variables) == len(objective) and len(found.duals) == len(rows)
    assert min((*found.variables, *found.duals)) >= 0
    for row, limit in zip(rows, limits, strict=True):
        assert sum(c * x for c, x in zip(row, found.variables, strict=True)) <= limit
    for j, c in enumerate(objective):
        assert sum(row[j] * y for row, y in zip(rows, found.duals, strict=True)) >= c
    assert sum(c * x for c, x in zip(objective, found.variables, strict=True)) == found.value
    assert sum(b * y for b, y in zip(limits, found.duals, strict=True)) == found.value
    return found


def test_a_programme_solved_by_hand() -> None:
    """Most of 3x + 5y within x <= 4, 2y <= 12, 3x + 2y <= 18 (Dantzig's form of the Wyndor Glass example)."""
    found = proven([3, 5], [[1, 0], [0, 2], [3, 2]], [4, 12, 18])
    assert found == Solved(F(36), (F(2), F(6)), (F(0), F(3, 2), F(1)))


def test_a_row_that_was_reached_first_may_be_left_again() -> None:
    """x is worth more and rises to 1, where x - y <= 1 holds it; the optimum is y = 6."""
    assert proven([10, 9], [[3, 1], [1, -1]], [6, 1]).variables == (0, 6)


@pytest.mark.parametrize("seed", range(60))
def test_every_optimum_is_proven_by_its_duals(seed: int) -> None:
    draw = Random(seed)
    n, m = draw.randint(1, 5), draw.randint(1, 5)
    rows = [[draw.randint(-4, 9) for _ in range(n)] for _ in range(m)]
    rows.append([draw.randint(1, 9) for _ in range(n)])  # which bounds it
    limits = [draw.choice((0, 1, draw.randint(2, 50), 10**12 + 7)) for _ in rows]
    proven([draw.randint(-5, 9) for _ in range(n)], rows, limits)


def test_nothing_to_gain() -> None:
    assert proven([-1, 0], [[1, 1]], [5]) == Solved(F(0), (F(0), F(0)), (F(0),))


def test_the_steepest_column_enters_and_after_many_pivots_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bland's rule cannot cycle; it is slow, so it comes late."""
    costs = np.array([3, -1, -7, 0, -7], dtype=object)
    assert (_entering(costs, True), _entering(costs, False)) == (2, 1)
    assert _entering(np.array([0, 2], dtype=object), True) is None
    asked: list[bool] = []
    monkeypatch.setattr(exact, "_STEEPEST", 2)
    monkeypatch.setattr(
        exact, "_entering", lambda costs, steepest: asked.append(steepest) or _entering(costs, steepest)
    )
    proven([1, 1, 1, 1], [[int(i == j) for j in range(4)] for i in range(4)], [1, 2, 3, 4])
    assert asked == [True, True, False, False, False]


def test_what_is_no_bounded_programme_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing limits"):
        maximise([1, 1], [[1, 0], [0, -1]], [3, 3])
    with pytest.raises(ValueError, match="below 0"):
        maximise([1], [[1], [1]], [3, -1])


def test_a_watch_that_is_over_ends_it() -> None:
    with pytest.raises(Stopped):
        maximise([1], [[1]], [3], Watch(cancelled=lambda: True))
