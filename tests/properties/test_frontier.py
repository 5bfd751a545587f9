"""Frontiers against full enumeration on random small problems, with two and three objectives."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_optimum import problems

from optimizer.metrics import sign
from optimizer.questions.architecture.enumeration import all_values
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.space import resolve
from optimizer.search.steps import steps_of
from optimizer.studies.frontier import frontier

METRICS = ("loss", "memory_gib", "n_params", "output_tokens_per_s", "tpot_ms", "ttft_ms")


def pareto_by_enumeration(problem, aims) -> set[tuple[float, ...]]:
    """(first objective to 9 digits, steps of the others) of all plans that no plan dominates in them."""
    space = resolve(problem)
    values = all_values(space, space.rules, tuple(symbol(a.metric) for a in aims))
    keys = values * [a.sign for a in aims]
    for i, aim in enumerate(aims[1:], 1):
        keys[:, i] = np.ceil(keys[:, i] / aim.step - 1e-9)
    left = keys[np.lexsort(keys.T[::-1])]
    kept = set()
    while len(left):  # the first is dominated by none: those it dominates go
        key = left[0]
        kept.add((float(f"{key[0]:.9g}"), *key[1:]))
        left = left[~(left[:, 1:] >= key[1:]).all(axis=1)]
    return kept


def points_of(found) -> set[tuple[float, ...]]:
    first, *later = found.objectives
    return {
        (float(f"{first.sign * p.metrics[first.metric]:.9g}"), *steps_of(tuple(later), p))
        for p in found.points
    }


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems(), st.permutations(METRICS), st.integers(2, 3))
def test_frontier_equals_enumeration(problem, order, n) -> None:
    names = tuple(order[:n])
    found = frontier(problem, names, resolution={name: 20.0 * STEP[name] for name in names[1:]})
    truth = pareto_by_enumeration(problem, found.objectives)
    assert points_of(found) == truth
    assert found.status == ("complete" if truth else "infeasible")
    assert len(found.points) == len(truth)


STEP = {
    "loss": 1e-4,
    "memory_gib": 2**-6,
    "n_params": 1e6,
    "output_tokens_per_s": 1.0,
    "tpot_ms": 1e-2,
    "ttft_ms": 1e-2,
}


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems(), st.permutations(METRICS))
def test_no_point_is_dominated_in_exact_numbers(problem, order) -> None:
    names = tuple(order[:3])
    found = frontier(problem, names, resolution={name: 200.0 * STEP[name] for name in names[1:]})
    keys = [[sign(n) * p.metrics[n] for n in names] for p in found.points]
    for a in keys:
        for b in keys:
            assert a is b or not all(x <= y for x, y in zip(a, b, strict=True))
    space = resolve(problem)
    values = all_values(space, space.rules, tuple(symbol(n) for n in names)) * [sign(n) for n in names]
    for key in keys:
        slack = 1e-9 * np.abs(key)
        better = (values <= key + slack).all(axis=1) & (values < key - slack).any(axis=1)
        assert not better.any()


@pytest.mark.parametrize("names", [("tpot_ms",), ("tpot_ms", "tpot_ms"), ("a", "b", "c", "d")])
def test_two_or_three_different_metrics(names) -> None:
    from optimizer import InputError, load_problem

    with pytest.raises(InputError, match="metric"):
        frontier(load_problem("dense-1b-b200"), names)
