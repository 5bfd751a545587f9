"""The solver against two kinds of enumeration on random small problems.

`point_by_point` shares no column, bound or row with the solver: it builds every architecture of the lattice
as a model file would and asks the independent checker.
"""

from dataclasses import replace
from itertools import product

import drawn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.anatomy.check import check
from optimizer.questions.architecture.enumeration import brute_force
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.space import resolve


def problems():
    """Small problems on any chip and engine: the default engine alone once hid a floor above the truth."""
    return drawn.by_hypothesis(drawn.problem)


def point_by_point(space, name, sense):
    """Best sense x metric over the lattice, every point built and checked on its own; inf if none."""
    best = np.inf
    kinds = list(product(range(len(space.attention)), range(len(space.ffn))))
    for frame in space.frames():
        for n_layers, (a, f) in product(space.depths, kinds):
            attention = space.attention.take(a)
            if attention.n_heads % attention.n_kv_heads:
                continue
            architecture = space.architecture_of(frame, int(n_layers), attention, space.ffn.take(f))
            checked = check(frame, architecture, space.rules)
            if not checked.broken:
                best = min(best, sense * checked.metrics[name])
    return best


def run(space, name, sense):
    outcome = Search(space, space.rules, symbol(name), sense).run()
    assert outcome.finished
    return outcome.best.key if outcome.best else np.inf


@settings(max_examples=140, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems())
def test_solver_equals_numpy_enumeration(problem):
    """The search, its bounds and CP-SAT against full enumeration of the columns."""
    space = resolve(problem)
    (name, sense), *_ = problem.objectives
    truth = brute_force(space, space.rules, symbol(name), sense)
    assert run(space, name, sense) == pytest.approx(truth, rel=1e-9)


@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems())
def test_solver_equals_the_checker_asked_point_by_point(problem):
    """The same against the independent path: no shared columns, bounds or rows."""
    problem = problem.model_copy(
        update={"hardware": problem.hardware[:1], "workload": problem.workload.model_copy()}
    )
    space = resolve(problem)
    few = slice(None, None, 1 + len(space.attention) // 12)
    kinds = {"attention": space.attention.take(few), "ffn": space.ffn.take(slice(0, 2))}
    space = replace(space, **kinds, depths=space.depths[:1])
    (name, sense), *_ = problem.objectives
    assert run(space, name, sense) == pytest.approx(point_by_point(space, name, sense), rel=1e-9)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems(), st.data())
def test_dropping_a_rule_never_makes_the_optimum_worse(problem, data):
    space = resolve(problem)
    (name, sense), *_ = problem.objectives
    dropped = data.draw(st.sampled_from(sorted(space.rules.values)))
    if dropped == "gqa_divisibility":  # kinds without equal groups have no cost
        return
    looser = replace(space, rules=space.rules.without(dropped))
    tight, loose = run(space, name, sense), run(looser, name, sense)
    assert loose <= tight + abs(tight) * 1e-9 if np.isfinite(tight) else True


def test_settings_that_differ_only_in_the_split_do_not_share_their_floors():
    """With no rule that names tensor_parallel, tp 8 once took the widths of tp 1 and looked infeasible."""
    off = ["tile_alignment", "tensor_parallel_divisibility", "scaleup_domain", "memory_capacity"]
    problem = Problem.model_validate(
        {
            "name": "splits",
            "architecture": {
                "n_params": 8 * 10**9,
                "n_params_tolerance": 0.1,
                "d_model": [4096],
                "n_layers": [32, 33],
                "n_heads": [32, 48],
                "n_kv_heads": [8, 16],
                "d_head": [128],
                "d_ff": [13312, 14336],
            },
            "hardware": "b200",
            "deployment": {"tensor_parallel": [1, 8]},
            "workload": {"input_tokens": 32000, "output_tokens": 512, "batch": 64},
            "minimize": "loss",
            "constraints": dict.fromkeys(off, False) | {"tpot_ms_max": 12},
        }
    )
    space = resolve(problem)
    truth = brute_force(space, space.rules, symbol("loss"), 1)
    assert np.isfinite(truth)
    assert run(space, "loss", 1) == pytest.approx(truth, rel=1e-12)
