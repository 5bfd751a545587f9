"""Small linear programmes in whole numbers, without rounding: the simplex method on an integral tableau.

Every entry is a whole number over one common denominator, the last pivot, by which each update divides
without remainder (Edmonds 1967; Bareiss 1968).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from optimizer.watch import UNWATCHED, Watch

_STEEPEST = 500
"""Pivots by the steepest objective, before Bland's rule, which cannot cycle, takes over."""


@dataclass(frozen=True)
class Solved:
    """The optimum, one solution that has it, and what each row is worth."""

    value: Fraction
    variables: tuple[Fraction, ...]
    duals: tuple[Fraction, ...]


def maximise(
    objective: Sequence[int], rows: Sequence[Sequence[int]], limits: Sequence[int], watch: Watch = UNWATCHED
) -> Solved:
    """The most of `objective` over variables >= 0 with each row at most its limit, which is >= 0.

    The programme must be bounded: ValueError if it is not, or if a limit is negative. Raises Stopped.
    """
    n, m = len(objective), len(rows)
    if any(limit < 0 for limit in limits):
        raise ValueError("a limit below 0")
    table = np.zeros((m + 1, n + m + 1), dtype=object)
    for i, row in enumerate(rows):
        table[i, :n] = row
        table[i, n + i] = 1
        table[i, -1] = limits[i]
    table[m, :n] = [-c for c in objective]
    basis, scale, pivots = list(range(n, n + m)), 1, 0
    while (column := _entering(table[m, :-1], pivots < _STEEPEST)) is not None:
        watch.check()
        leaving = _leaving(table, column, basis)
        table, scale = _pivot(table, leaving, column, scale)
        basis[leaving] = column
        pivots += 1
    found = [Fraction(0)] * (n + m)
    for i, variable in enumerate(basis):
        found[variable] = Fraction(table[i, -1], scale)
    duals = tuple(Fraction(v, scale) for v in table[m, n:-1])
    return Solved(Fraction(table[m, -1], scale), tuple(found[:n]), duals)


def _entering(costs: Any, steepest: bool) -> int | None:
    negative = np.flatnonzero(costs < 0)
    if not len(negative):
        return None
    return int(negative[costs[negative].argmin()] if steepest else negative[0])


def _leaving(table: Any, column: int, basis: list[int]) -> int:
    """The row that limits a column first; among equals the one of the least variable."""
    ratios = [
        (Fraction(table[i, -1], table[i, column]), basis[i], i)
        for i in range(len(basis))
        if table[i, column] > 0
    ]
    if not ratios:
        raise ValueError("nothing limits the objective")
    return min(ratios)[2]


def _pivot(table: Any, row: int, column: int, scale: int) -> tuple[Any, int]:
    pivot = table[row, column]
    own = table[row].copy()
    touched = table[:, column].copy()
    new = (table * pivot - np.outer(touched, own)) // scale
    new[row] = own
    return new, pivot
