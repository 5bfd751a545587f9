"""Deployments on drawn chips, engines and formats: against enumeration, and asked in two ways.

Guards whole answers, from files to plans, where neither the chips nor the engine are the catalogue's.
"""

from fractions import Fraction
from functools import cache
from typing import Any

import drawn
import pytest
from packing_oracle import brute_force

from optimizer import solve
from optimizer.errors import InputError
from optimizer.questions.deployment.columns import all_bounds, prepare
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.question import DeploymentQuestion
from optimizer.questions.question import Ask
from optimizer.spec.studies import Aim

MODELS = ("Qwen/Qwen3-30B-A3B", "meta-llama/Llama-3.1-8B", "openai/gpt-oss-20b")
MOST_ROWS, N = 4, 12
pytestmark = pytest.mark.filterwarnings("ignore::optimizer.errors.OddInput")


def asked(seed: int) -> dict[str, Any]:
    """A deployment of a few configurations on one or two drawn chips."""
    d = drawn.Seeded(seed)
    chips = [drawn.chip(d, name) for name in ("red", "blue")[: d.whole(1, 2)]]
    model = d.of(MODELS)
    offers = [
        {
            "chip": drawn.written(chip | {"hbm_capacity": "900 GiB", "hbm_usable": "880 GiB"}),
            "max_count": d.whole(1, 5),
            "node": d.of([1, 2, 3, 4, 8]),
        }
        for chip in chips
    ]
    return {
        "name": "drawn",
        "architecture": model,
        "hardware": offers,
        "deployment": {
            "mode": d.of([["aggregated"], ["disaggregated"], ["aggregated", "disaggregated"]]),
            "mix": d.of(["any", "any", "same"]),
            "tensor_parallel": drawn.some(d, [1, 2], 2),
            "pipeline_parallel": d.of([[1], [1], [2], [3]]),
            "data_parallel": d.of([[1], [2]]) if "llama" not in model else [1],
            "batch": d.of([12, 24]),
            "weight_dtype": d.of(["bf16", "fp8", "int8"]),
            "kv_dtype": drawn.some(d, ["bf16", "fp8"], 2),
            "engine": d.of(["ideal", "trtllm", drawn.written(drawn.engine(d))]),
        },
        "workload": {
            "input_tokens": d.of([1, 700]),
            "output_tokens": 100,
            "requests_per_s": 1.0,
            "percentile": "none",
        },
        "minimize": d.of(["chips", "usd_per_hour", "power_w", "nodes"]),
    }


@cache
def problems() -> list[dict[str, Any]]:
    """Problems that have some configurations, and few enough to enumerate."""
    found: list[dict[str, Any]] = []
    for seed in range(30 * N):
        try:
            columns = prepare(posed(asked(seed)))
        except InputError:
            continue
        if 1 < len(columns.replicas) <= MOST_ROWS:
            found.append(asked(seed))
        if len(found) == N:
            return found
    raise AssertionError("too few of the problems drawn can be enumerated")


def posed(problem: dict[str, Any], **fields: Any) -> DeploymentProblem:
    return DeploymentProblem.model_validate(problem | fields)


def with_demand(problem: dict[str, Any], share: float) -> dict[str, Any]:
    """The same with a share of the traffic that all chips serve."""
    whole = solve(most(problem))
    rate = whole.objective.value or 1.0
    return problem | {"workload": problem["workload"] | {"requests_per_s": max(1e-6, round(rate * share, 6))}}


def most(problem: dict[str, Any], **fields: Any) -> DeploymentProblem:
    """The most traffic on what there is."""
    own = {key: value for key, value in problem.items() if key != "minimize"}
    traffic = {key: value for key, value in own["workload"].items() if key != "requests_per_s"}
    return posed(own | {"workload": traffic, "maximize": "requests_per_s"}, **fields)


@pytest.mark.parametrize("at", range(N))
def test_the_optimum_is_enumerations(at: int) -> None:
    for share in (0.4, 0.95, 1.3):
        problem = posed(with_demand(problems()[at], share))
        columns = prepare(problem)
        name, sense = problem.objectives[0]
        truth = brute_force(columns, name, sense, all_bounds(problem, columns.supplies), 5)
        found = solve(problem)
        assert found.status == ("infeasible" if truth is None else "optimal")
        if truth is not None:
            assert abs(Fraction(repr(found.objective.value)) - truth) <= Fraction(1, 10**6)


@pytest.mark.parametrize("at", range(0, N, 2))
def test_the_rate_and_its_inverse(at: int) -> None:
    """So many chips are the fewest: with them the traffic is served, with one less it is not."""
    problem = with_demand(problems()[at], 0.7) | {"minimize": "chips"}
    found = solve(posed(problem))
    if found.status == "infeasible":  # one setup for all may not serve so much
        return
    chips = int(found.objective.value or 0)
    demand = problem["workload"]["requests_per_s"]
    enough = solve(most(problem, constraints={"chips_max": chips}))
    assert enough.objective.value is not None and enough.objective.value >= demand * (1 - 1e-9)
    fewer = solve(most(problem, constraints={"chips_max": chips - 1}))
    assert (fewer.objective.value or 0.0) < demand


@pytest.mark.parametrize("at", range(0, N, 2))
def test_two_ways_to_ask(at: int) -> None:
    """Order, money in cents, more chips, a choice held and a bound dropped."""
    problem = with_demand(problems()[at], 0.6) | {"minimize": "usd_per_hour"}
    value = solve(posed(problem)).objective.value
    turned = problem | {"hardware": problem["hardware"][::-1]}
    space = {k: v[::-1] if isinstance(v, list) else v for k, v in problem["deployment"].items()}
    assert solve(posed(turned, deployment=space)).objective.value == pytest.approx(value)
    prices = [3.0, 5.0]
    dear = [o | {"usd_per_chip_hour": 7 * p} for o, p in zip(problem["hardware"], prices, strict=False)]
    cheap = [o | {"usd_per_chip_hour": p} for o, p in zip(problem["hardware"], prices, strict=False)]
    cost = solve(posed(problem, hardware=cheap)).objective.value
    scaled = solve(posed(problem, hardware=dear)).objective.value
    assert scaled == (None if cost is None else pytest.approx(7 * cost))
    more = [o | {"max_count": o["max_count"] + 2} for o in problem["hardware"]]
    richer = solve(posed(problem, hardware=more)).objective.value
    assert value is None or (richer is not None and richer <= value + 1e-9)
    question = DeploymentQuestion(posed(problem))
    aims = (Aim(metric="usd_per_hour", sense="min", unit="USD/h", step=0.01),)
    for kv in question.domains().get("kv_dtype", ()):
        held = question.optimum(Ask(aims=aims, within={"kv_dtype": (kv,)})).plan
        alone = solve(posed(problem, deployment=problem["deployment"] | {"kv_dtype": kv}))
        assert (held and held.metrics["usd_per_hour"]) == (
            None if alone.objective.value is None else pytest.approx(alone.objective.value)
        )
    bounded = posed(problem, constraints={"chips_max": 2})
    dropped = DeploymentQuestion(bounded).optimum(Ask(aims=aims, without=("chips_max",))).plan
    assert (dropped and dropped.metrics["usd_per_hour"]) == (None if value is None else pytest.approx(value))
