"""An engine faster than the chip's measured kernels: floors once forgot its speed, and proved what was false.

Guards the answers `solve` gave on twelve points: an optimum that was none, an infeasible question that was
feasible, and an error; a point of the lattice asked for alone was better than the optimum of all.
"""

import drawn
import pytest

import optimizer
from optimizer.questions.architecture.enumeration import brute_force
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.space import resolve

OFF = dict.fromkeys(["aspect_ratio", "ffn_ratio", "attention_ratio", "kv_sharing"], False)


def problem(
    compute: float = 1.6, d_model: object = (2048, 4096), batch: object = 64, **bounds: float
) -> Problem:
    engine = {"name": "fast", "title": "x", "compute": compute, "sources": {"default": "made up"}}
    return Problem.model_validate(
        {
            "name": "engine-faster-than-the-chip",
            "architecture": {
                "n_params": 3150200000,
                "n_params_tolerance": 0.05,
                "vocab_size": 32000,
                "d_model": d_model,
                "n_layers": 32,
                "n_heads": [8, 16, 24],
                "n_kv_heads": 8,
                "d_head": 128,
                "d_ff": [6144, 12288],
            },
            "hardware": "nvidia-b200-sxm",
            "deployment": {"engine": drawn.written(engine), "batch": batch},
            "workload": {"input_tokens": 8192, "output_tokens": 32, "batch": 64},
            "minimize": "ttft_ms",
            "constraints": OFF | bounds,
        }
    )


@pytest.mark.parametrize("compute", [0.3, 1.0, 1.6, 2.0])
@pytest.mark.parametrize("metric", ["ttft_ms", "tpot_steady_ms", "output_tokens_per_s"])
def test_no_point_is_better_than_the_optimum(compute: float, metric: str) -> None:
    sense = -1 if metric.startswith("output") else 1
    aim = {"minimize": None, "maximize": [metric]} if sense < 0 else {"minimize": [metric]}
    asked = Problem.model_validate(problem(compute).model_dump(exclude_none=True) | aim)
    found = optimizer.solve(asked)
    space = resolve(asked)
    truth = sense * brute_force(space, space.rules, symbol(metric), sense)
    assert found.status == "optimal"
    assert found.metrics[metric] == pytest.approx(truth, rel=1e-12)


def test_a_part_of_the_lattice_holds_nothing_better() -> None:
    whole, part = optimizer.solve(problem()), optimizer.solve(problem(d_model=4096))
    assert whole.metrics["ttft_ms"] == part.metrics["ttft_ms"]


def test_a_bound_that_a_plan_keeps_is_no_error() -> None:
    found = optimizer.solve(problem(ttft_ms_max=30.0))
    assert found.status == "optimal"
    assert found.metrics["ttft_ms"] <= 30


def test_many_frames_do_not_make_it_infeasible() -> None:
    """More than are priced again without floors: there the floor is the only witness."""
    space = resolve(problem(batch={"min": 1, "max": 1100}, ttft_ms_max=30.0))
    assert space.n_frames == 2200
    outcome = Search(space, space.rules, symbol("ttft_ms"), 1).run()
    assert outcome.best is not None
    assert outcome.best.key <= 30
