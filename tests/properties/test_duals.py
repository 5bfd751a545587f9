"""Counts of several kinds under shared rows: the bound of duals is below every solution, a tolerance is kept.

Layers of so many kinds under budgets are the shape: one total, a cost to be least, some rows. Guards a bound
that rounding raises above the optimum, weights of the wrong sign, and an answer worse than its tolerance.
"""

from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.search.duals import dual_bound
from optimizer.search.programme import Programme
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.solver.mathopt import row_duals
from optimizer.solver.proving import prove

SETTINGS = settings(deadline=None, derandomize=True, max_examples=80)
WHOLE = st.integers(-40, 40)


@st.composite
def programmes(draw: st.DrawFn) -> Programme:
    m = Programme()
    n = draw(st.integers(1, 4))
    for _ in range(n):
        low = draw(st.integers(-2, 1))
        m.variable(low, low + draw(st.integers(0, 3)))
    for _ in range(draw(st.integers(0, 3))):
        terms = {i: draw(WHOLE) for i in range(n)}
        ends = sorted([draw(st.integers(-80, 80)), draw(st.integers(-80, 80))])
        low, high = draw(st.sampled_from([(ends[0], None), (None, ends[1]), (ends[0], ends[1])]))
        m.row(terms, low=low, high=high)
    m.objective = {i: draw(WHOLE) for i in range(n)}
    return m


def least(m: Programme) -> int | None:
    ranges = [range(low, high + 1) for low, high in zip(m.lows, m.highs, strict=True)]
    return min((m.value(values) for values in product(*ranges) if m.holds(values)), default=None)


@SETTINGS
@given(programmes(), st.data())
def test_no_weights_give_a_bound_above_a_solution(m: Programme, data: st.DataObject) -> None:
    truth = least(m)
    weights = [data.draw(st.floats(-50, 50)) for _ in m.rows]
    assert truth is None or dual_bound(m, weights) <= truth
    assert dual_bound(m, [0.0] * len(m.rows)) == m.floor()


@SETTINGS
@given(programmes(), st.sampled_from([0.0, 0.01, 0.3]))
def test_an_optimum_is_within_its_tolerance_of_a_true_bound(m: Programme, tolerance: float) -> None:
    truth, found = least(m), prove(m, SolveSettings(tolerance=tolerance))
    if truth is None:
        assert found.status == "infeasible"
        return
    assert found.status == "optimal" and found.objective is not None and found.bound is not None
    assert m.holds(found.values) and found.objective == m.value(found.values)
    assert found.bound <= truth <= found.objective
    assert found.objective - found.bound <= tolerance * abs(found.objective)
    duals = row_duals(m)
    assert duals is None or dual_bound(m, duals) <= truth


def layers(rng: Random, kinds: int, total: int) -> Programme:
    """Layers of many kinds: so many in all, a parameter window, a memory budget; time is least."""
    m = Programme()
    counts = [m.variable(0, total) for _ in range(kinds)]
    size = [rng.randint(2_000, 9_000) for _ in counts]
    memory = [s + rng.randint(0, 3_000) for s in size]
    m.row(dict.fromkeys(counts, 1), low=total, high=total)
    m.row(dict(zip(counts, size, strict=True)), low=5_990 * total, high=6_010 * total)
    m.row(dict(zip(counts, memory, strict=True)), high=7_300 * total)
    m.objective = {i: 10 * s + rng.randint(0, 40_000) for i, s in zip(counts, size, strict=True)}
    return m


@pytest.mark.parametrize("seed", range(4))
def test_many_kinds_of_layers_are_proved_by_duals_or_else_by_a_second_engine(seed: int) -> None:
    """The relaxation of these is 0.04 to 0.13 % below: within 0.2 % nothing else is asked."""
    question = layers(Random(seed), 300, 60)
    for tolerance, said in ((2e-3, "the duals of the linear"), (1e-4, "CP-SAT, which finds nothing")):
        found = prove(question, SolveSettings(tolerance=tolerance))
        assert found.status == "optimal" and found.objective is not None and found.bound is not None
        assert found.confirmed_by[0].startswith(said)
        assert 0 < found.objective - found.bound <= tolerance * found.objective


def test_another_number_of_weights_than_rows_is_refused() -> None:
    m = Programme()
    m.row({m.variable(0, 1): 1}, low=1)
    with pytest.raises(ValueError, match="zip"):
        dual_bound(m, [])
