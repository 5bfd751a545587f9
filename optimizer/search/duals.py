"""What no solution of a programme is below, from weights on its rows: exact, whoever proposes the weights.

With a weight y_r on each row, positive where it holds from below and negative where from above, every
solution x has (weak duality)

    sum c_i x_i  >=  sum y_r side_r  +  sum of the least of (c_i - sum y_r a_ri) x_i within its limits

The best weights are the duals of the linear relaxation. They come from an engine, in floating point; here
they are whole multiples of a small unit, and all is added up in integers.
"""

from collections.abc import Sequence

from optimizer.search.programme import Programme

_UNIT = 2**60
"""Steps of a weight of 1: rows have coefficients up to 2**60, of which no digit should be lost."""


def dual_bound(m: Programme, weights: Sequence[float]) -> int:
    """No solution has an objective below this. ValueError for another number of weights than rows."""
    return reduced(m, weights)[0]


def reduced(m: Programme, weights: Sequence[float]) -> tuple[int, dict[int, int]]:
    """That bound, and by how much more a solution costs for each unit of a variable that is at its low.

    Of variables whose cost is reduced to more than nothing only: each is rounded down.
    """
    costs = {i: c * _UNIT for i, c in m.objective.items()}
    total = 0
    for row, weight in zip(m.rows, weights, strict=True):
        y = round(weight * _UNIT)
        side = row.low if y > 0 else row.high
        if not y or side is None:
            continue
        total += y * side
        for i, c in row.terms.items():
            costs[i] = costs.get(i, 0) - y * c
    total += sum(r * (m.lows[i] if r > 0 else m.highs[i]) for i, r in costs.items())
    more = {i: r // _UNIT for i, r in costs.items() if r > 0}
    return -(-total // _UNIT), more  # the objective is whole
