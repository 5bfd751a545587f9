"""The checker of pipelines: for each of its branches a plan that only it refuses.

Guards the last line before an answer: with any one branch switched off, a test here turns red.
"""

from typing import Any

import pytest

from optimizer import catalog
from optimizer.columns.supply import supplies
from optimizer.questions.pipeline.check import PipelineCheck
from optimizer.questions.pipeline.columns import StagePrices
from optimizer.questions.pipeline.cut import Found, evenly
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.spec.deployment import Offer

H100, A100 = catalog.chip("nvidia-h100-sxm"), catalog.chip("nvidia-a100-80-sxm")
STAGES = ((H100, 2), (H100, 2), (A100, 4))
COUNTS = ((12, 12, 8),)


def check(
    stages: Any = STAGES, counts: Any = COUNTS, batch: int = 32, degrees: Any = None, **constraints: float
) -> PipelineCheck:
    groups = [
        {"chip": c.name, "chips": 4} | ({"tensor_parallel": degrees} if degrees else {}) for c in (H100, A100)
    ]
    problem = PipelineProblem.model_validate(
        {
            "name": "checked",
            "architecture": "meta-llama/Llama-3.1-8B",
            "pipeline": {"stages": groups},
            "deployment": {"batch": [1, 32, 2000]},
            "workload": {"input_tokens": 2000, "output_tokens": 400},
            "maximize": "output_tokens_per_s",
            "constraints": constraints,
        }
    )
    model = catalog.model("meta-llama/Llama-3.1-8B")
    return PipelineCheck(model, problem, stages, counts, batch, problem.constraints.model_dump())


def broken(**changes: Any) -> list[str]:
    own = check(**changes)
    return own.broken(own.metrics())


def test_a_good_plan_is_good() -> None:
    assert broken() == []


@pytest.mark.parametrize("ways", [((2, 2), (4, 1)), ((4, 1), (1, 4)), ((4, 1), (1, 0))])
def test_each_stages_memory_and_all_times_are_the_searchs(ways: Any) -> None:
    """The table lies on the first and the last stage, the logits on the last, caches of all turns on each."""
    own = check()
    offered = [supplies([Offer(chip=chip.name)])[0] for chip in (H100, A100)]
    prices = StagePrices(own.model, own.problem)
    setups = prices.setups_of(offered, ways)
    costs = prices.priced(setups, 32)
    assert not isinstance(costs, str)
    found = Found(costs, evenly([32], len(setups)))
    again = check(tuple((s.chip, s.split.tensor_parallel) for s in setups), tuple(map(tuple, found.counts)))
    for s in range(len(setups)):
        assert found.memory(s) == pytest.approx(again.memory(s), rel=1e-12)
    assert 1e3 * found.tpot_s == pytest.approx(again.metrics()["tpot_ms"], rel=1e-12)
    assert 1e3 * found.ttft_s == pytest.approx(again.metrics()["ttft_ms"], rel=1e-12)
    table, logits = 128256 * 4096 * 2 / setups[-1].split.tensor_parallel, costs.base_memory[-1]
    if len(setups) == 5:
        assert logits - costs.base_memory[-2] == pytest.approx(table + 4.0 * 160 * 128256, rel=1e-3)


def test_layers_left_over_or_placed_twice() -> None:
    assert broken(counts=((12, 12, 7),)) == ["layers"]
    assert broken(counts=((12, 12, 9),)) == ["layers"]


def test_a_stage_without_a_layer() -> None:
    assert check(counts=((16, 16, 0),)).broken({}) == ["stages"]


@pytest.mark.parametrize(
    "stages, counts",
    [
        (((H100, 2), (H100, 2), (H100, 2), (A100, 4)), ((8, 8, 8, 8),)),
        (((A100, 4), (H100, 4)), ((16, 16),)),
        (((H100, 1), (H100, 2), (A100, 4)), ((8, 12, 12),)),
    ],
    ids=["more than there are", "out of order", "one group cut two ways"],
)
def test_stages_that_are_not_on_offer(stages: Any, counts: Any) -> None:
    assert broken(stages=stages, counts=counts) == ["chips"]


def test_a_degree_that_was_not_asked_for() -> None:
    assert broken(degrees=[1, 2]) == ["chips"]
    assert broken(degrees=[2, 4]) == []


def test_batches_not_asked_for_or_more_than_the_engine_schedules() -> None:
    assert broken(batch=31) == ["batch"]
    assert "batch" in broken(batch=2000)


def test_memory() -> None:
    own = check()
    fullest = max(own.memory(s) / chip.hbm_for_programs for s, (chip, _) in enumerate(STAGES))
    assert broken(memory_capacity=fullest * 1.001) == []
    assert broken(memory_capacity=fullest * 0.999) == ["memory_capacity"]


@pytest.mark.parametrize("name", ["tpot_ms", "ttft_ms"])
def test_limits_on_latencies(name: str) -> None:
    value = check().metrics()[name]
    assert broken(**{f"{name}_max": value * 1.001}) == []
    assert broken(**{f"{name}_max": value * 0.999}) == [f"{name}_max"]


@pytest.mark.parametrize("name", sorted(check().metrics()))
def test_figures_that_are_not_as_claimed(name: str) -> None:
    own = check()
    assert own.broken(own.metrics() | {name: own.metrics()[name] * 1.0001}) == [name]
