"""Several engines to choose from: the answer is the best of each alone, or mixes them where it pays."""

from typing import Any

import pytest

from optimizer import InputError, enumerate_plans, load_problem, solve
from optimizer.cli import main
from optimizer.questions.deployment.columns import prepare
from optimizer.questions.deployment.problem import DeploymentProblem

ENGINES = ("vllm", "trtllm", "sglang")


def problem(engine: Any, **more: Any) -> DeploymentProblem:
    fields: dict[str, Any] = {
        "name": "own", "architecture": "llama-3.1-8b", "hardware": "h100", "minimize": "chips",
        "workload": {"input_tokens": 1000, "output_tokens": 300, "requests_per_s": 60},
        "constraints": {"tpot_ms_max": 12},
        "deployment": {"tensor_parallel": 1, "weight_dtype": "fp8", "engine": engine},
    }  # fmt: skip
    return DeploymentProblem.model_validate(fields | more)


def test_the_best_engine_is_found() -> None:
    alone = {name: solve(problem(name)) for name in ENGINES}
    free = solve(problem(list(ENGINES)))
    values = {name: answer.objective.value for name, answer in alone.items()}
    assert free.objective.value == min(values.values()) < max(values.values())
    [pool] = free.deployment.pools
    assert alone[pool.engine].deployment.pools[0].chips == pool.chips
    assert all(pool.engine == "" for answer in alone.values() for pool in answer.deployment.pools)


def test_an_engine_is_a_choice_that_lists_differ_in() -> None:
    found = enumerate_plans(problem(list(ENGINES)), top=3, distinct=("engine",))
    assert {pool.engine for plan in found.plans for pool in plan.pools} <= set(ENGINES)
    assert len({tuple(sorted({p.engine for p in plan.pools})) for plan in found.plans}) == len(found.plans)


@pytest.mark.parametrize(
    ("engine", "mode", "words"),
    [
        (["vllm", "trtllm"], ["aggregated", "disaggregated"], "several are a choice of aggregated replicas"),
        (["vllm", "vllm"], "aggregated", "names one twice"),
        ([], "aggregated", "at least 1 item"),
    ],
)
def test_what_cannot_be_a_choice(engine: Any, mode: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        problem(engine, deployment={"engine": engine, "mode": mode})


def test_an_engine_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="vlm"):
        solve(problem(["vlm", "trtllm"]))


def test_one_engine_in_a_list_is_that_engine() -> None:
    one, same = solve(problem("vllm")), solve(problem(["vllm"]))
    assert one.deployment == same.deployment


def test_fleets_choose_too() -> None:
    fleet = load_problem("fleet-three-models")
    fleet = fleet.changed(services=(fleet.services[0].changed(percentile="none"),))
    space = fleet.services[0].deployment or fleet.deployment
    wide = fleet.changed(deployment=space.changed(mode=("aggregated",), engine=("vllm", "trtllm")))
    narrow = [
        fleet.changed(deployment=space.changed(mode=("aggregated",), engine=e)) for e in ("vllm", "trtllm")
    ]
    values = [solve(own).objective.value for own in narrow]
    assert solve(wide).objective.value == min(values)


def test_each_row_fills_the_share_of_its_own_engine() -> None:
    """Else an engine that leaves more free would be held to another's room, or the other way round."""
    both = prepare(problem(["vllm", "sglang"]))
    rooms = {}
    for name in ("vllm", "sglang"):
        alone, own = prepare(problem(name)), both.replicas.engine == name
        assert both.memory_share()[own].tolist() == alone.memory_share().tolist()
        rooms[name] = both.room_gib(both.supplies[0], name)
    assert rooms["vllm"] != rooms["sglang"]


def test_a_format_that_nobody_knows_is_refused_beside_models(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "llama-3.1-8b", "qwen3-8b", "--chip", "h100", "--weight-dtype", "fp9"]
    assert main(words) == 2
    assert "weight_dtype.0: Input should be 'bf16'" in capsys.readouterr().err
