"""The solver against two kinds of enumeration on random small problems.

`point_by_point` shares no column, bound or row with the solver: it builds every architecture of the lattice
as a model file would and asks the independent checker.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.check import check
from optimizer.columns.compiled import symbol
from optimizer.columns.space import resolve
from optimizer.plugins import plugins
from optimizer.solver.oracle import brute_force
from optimizer.solver.search import Search
from optimizer.spec.problem import Problem

CHIPS = ["nvidia-b200-sxm", "nvidia-h100-sxm", "amd-mi300x", "google-tpu-v6e", "nvidia-a100-80-sxm"]


@st.composite
def problems(draw):
    def some(values, most, least=1):
        chosen = st.lists(st.sampled_from(values), min_size=least, max_size=most, unique=True)
        return sorted(draw(chosen))

    d_model = some([1024, 1536, 2048, 2560], 2)
    depth = draw(st.integers(8, 40))
    architecture = {
        "vocab_size": draw(st.sampled_from([32000, 50257, 128256])),
        "tied_embeddings": draw(st.booleans()),
        "gated_ffn": draw(st.booleans()),
        "qkv_bias": draw(st.booleans()),
        "d_model": d_model,
        "n_layers": list(range(depth, depth + draw(st.integers(1, 9)))),
        "n_heads": some([8, 12, 16, 20, 24, 32], 6, 3),
        "n_kv_heads": some([1, 2, 3, 4, 8, 16], 6, 3),
        "d_head": some([64, 96, 128, 256], 4, 2),
        "d_ff": some([2048, 4096, 5504, 6144, 7040, 8192, 11008], 7, 3),
    }
    if draw(st.booleans()):
        size = d_model[0] ** 2 * 12 * depth + 2 * d_model[0] * architecture["vocab_size"]
        architecture["n_params"] = size
        architecture["n_params_tolerance"] = draw(st.sampled_from([0.03, 0.2, 0.5]))
    metrics = sorted(set(plugins("objectives")) - {"power_w"})  # not every chip says its power
    name = draw(st.sampled_from(metrics))
    constraints = {}
    for switched in (
        "tile_alignment",
        "kv_sharing",
        "ffn_ratio",
        "attention_ratio",
        "aspect_ratio",
    ):
        if draw(st.booleans()):
            constraints[switched] = False
    limits = {
        "tpot_ms_max": [3.0, 5.0, 12.0],
        "ttft_ms_max": [20.0, 60.0],
        "memory_gib_max": [9.0, 14.0, 30.0],
        "output_tokens_per_s_min": [50.0, 500.0],
        "loss_max": [2.2, 2.3, 2.4],
        "loss_increase_max": [0.0, 0.03, 0.1],
        "n_params_min": [1e9],
    }
    for bound in draw(st.lists(st.sampled_from(sorted(limits)), max_size=2, unique=True)):
        constraints[bound] = draw(st.sampled_from(limits[bound]))
    return Problem.model_validate(
        {
            "name": "random",
            "architecture": architecture,
            "hardware": some(CHIPS, 2),
            "deployment": {
                "tensor_parallel": some([1, 2, 4, 8], 2),
                "weight_dtype": some(["bf16", "fp8", "int4"], 2),
                "batch": some([1, 16, 200], 2),
            },
            "workload": {
                "input_tokens": draw(st.sampled_from([64, 2000, 32000])),
                "output_tokens": 128,
                "requests_per_s": 3000.0,
            },
            "training_tokens": 2 * 10**12,
            "training": {"hardware": "nvidia-h100-sxm", "data_parallel": 4, "global_batch": 8},
            "baseline": "Qwen/Qwen2.5-1.5B",
            draw(st.sampled_from(["minimize", "maximize"])): name,
            "constraints": constraints,
        }
    )


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


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems())
def test_solver_equals_numpy_enumeration(problem):
    """The search, its bounds and CP-SAT against full enumeration of the columns."""
    space = resolve(problem)
    (name, sense), *_ = problem.objectives
    truth = brute_force(space, space.rules, symbol(name), sense)
    assert run(space, name, sense) == pytest.approx(truth, rel=1e-9)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems())
def test_solver_equals_the_checker_asked_point_by_point(problem):
    """The same against the independent path: no shared columns, bounds or rows."""
    problem = problem.model_copy(
        update={"hardware": problem.hardware[:1], "workload": problem.workload.model_copy()}
    )
    space = resolve(problem)
    space = replace(space, ffn=space.ffn.take(slice(0, 2)), depths=space.depths[:1])
    (name, sense), *_ = problem.objectives
    assert run(space, name, sense) == pytest.approx(point_by_point(space, name, sense), rel=1e-9)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
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
