"""Tokens that caches hold and the longest request, of deployments, against brute force over few replicas.

Guards the row of added tokens, the pruning that must count them, and the halving that finds the longest
request: a wrong one would name another setup with confidence. The checker's own figures are the oracle's.
"""

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer import frontier, perturb, solve
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.question import DeploymentQuestion
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.fleet.question import FleetQuestion

if TYPE_CHECKING:
    from optimizer.spec.answer import Answer

KV, LONG = "kv_cache_tokens", "max_context_tokens"
SETTINGS = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def problems(draw: Any) -> dict[str, Any]:
    """One or two kinds of chips, few of each; splits, formats, engines with and without blocks."""
    modes = draw(st.sampled_from([["aggregated"], ["aggregated"], ["disaggregated"]]))
    mixed = draw(st.booleans())
    chips = [{"chip": "h100", "max_count": draw(st.integers(1, 4))}]
    chips += [{"chip": "h200", "max_count": draw(st.integers(1, 2))}] if mixed else []
    return {
        "name": "drawn",
        "architecture": draw(st.sampled_from(["llama-3.1-8b", "gpt-oss-20b", "mamba2-2.7b"])),
        "hardware": chips,
        "deployment": {
            "mode": modes,
            "mix": draw(st.sampled_from(["any", "same"])),
            "tensor_parallel": draw(st.sampled_from([[1], [2], [1, 2]])),
            "batch": draw(st.sampled_from([[4], [2, 64]])),
            "kv_dtype": draw(st.sampled_from([["bf16"], ["bf16", "fp8"]])) if not mixed else "bf16",
            "engine": draw(st.sampled_from(["trtllm", "vllm"])),
        },
        "workload": {
            "input_tokens": draw(st.sampled_from([500, 9000])),
            "output_tokens": 200,
            "percentile": "none",
        },
    }


def plans(problem: DeploymentProblem, bounds: dict[str, float]) -> list[dict[str, float]]:
    """The totals of every plan within bounds, replicas counted out."""
    question = DeploymentQuestion(problem)
    columns = question.columns
    stock = {s.name: s.count or 0 for s in columns.supplies}
    tops = [
        stock[str(c)] // int(n) for c, n in zip(columns.replicas.chip, columns.replicas.chips, strict=True)
    ]
    found = []
    for numbers in product(*(range(top + 1) for top in tops)):
        counts = {row: n for row, n in enumerate(numbers) if n}
        check = question.plan_of(bounds, counts).check
        if counts and check.loads.served > 0 and not check.broken(bounds):
            found.append(check.totals())
    return found


def few(fields: dict[str, Any]) -> bool:
    """Whether its plans can all be written down."""
    columns = DeploymentQuestion(DeploymentProblem(**fields, maximize="requests_per_s")).columns
    stock, size = {s.name: s.count or 0 for s in columns.supplies}, 1
    for chip, n in zip(columns.replicas.chip, columns.replicas.chips, strict=True):
        size *= stock[str(chip)] // int(n) + 1
    return size <= 300


@SETTINGS
@given(problems(), st.sampled_from([KV, LONG]), st.sampled_from([0.0, 0.4, 1.0, 1.01]))
def test_the_most_room_is_brute_forces(fields: dict[str, Any], metric: str, share: float) -> None:
    """The most, then the fewest chips for a share of it, and a conflict for more."""
    if not few(fields):
        return
    problem = DeploymentProblem(**fields, maximize=metric)
    own = DeploymentQuestion(problem).bounds
    every = plans(problem, own)
    found: Answer = solve(problem)
    assert (found.status == "infeasible") is (not every)
    if not every:
        return
    most = max(plan[metric] for plan in every)
    assert found.status == "optimal" and found.objective.value == found.objective.bound == most
    assert found.metrics[metric] == most
    asked = max(1, int(most * share))
    workload = fields["workload"] | {"requests_per_s": 1e-6}
    limited = solve(
        DeploymentProblem(
            **{**fields, "workload": workload}, minimize="chips", constraints={f"{metric}_min": asked}
        )
    )
    kept = [plan["chips"] for plan in every if plan[metric] >= asked]
    assert limited.status == ("optimal" if kept else "infeasible")
    if kept:
        assert limited.objective.value == min(kept) and limited.metrics[metric] >= asked
    elif limited.conflict is not None:
        nearest = {change.constraint: change.to for change in limited.conflict.relaxations}
        assert nearest[f"{metric}_min"] == most


def test_the_longest_request_is_no_longer_than_the_cache() -> None:
    """Where every layer keeps every token, whatever the blocks: of one replica, and of many."""
    fields: dict[str, Any] = {
        "name": "one", "architecture": "llama-3.1-8b", "hardware": [{"chip": "h100", "max_count": 1}],
        "workload": {"input_tokens": 9000, "output_tokens": 100, "percentile": "none"},
    }  # fmt: skip
    for engine, batch in (("vllm", 1), ("trtllm", 64), ("vllm-2026", 16)):
        deployment = {"tensor_parallel": 1, "batch": batch, "engine": engine, "kv_dtype": "fp8"}
        found = solve(DeploymentProblem(**fields, deployment=deployment, maximize=KV))
        assert 0 < found.metrics[LONG] <= found.metrics[KV]


@pytest.mark.parametrize("metric", [KV, LONG])
def test_a_chip_more_never_leaves_less_room(metric: str) -> None:
    values = []
    for n in (1, 2, 3):
        hardware = [{"chip": "h100", "max_count": n}]
        fields: dict[str, Any] = {
            "name": "more", "architecture": "llama-3.1-8b", "hardware": hardware,
            "deployment": {"tensor_parallel": [1, 2], "batch": [8]},
            "workload": {"input_tokens": 1000, "output_tokens": 100, "percentile": "none"},
        }  # fmt: skip
        values.append(solve(DeploymentProblem(**fields, maximize=metric)).objective.value)
    assert values[0] < values[1] <= values[2]


FEW: dict[str, Any] = {
    "name": "few", "architecture": "llama-3.1-8b", "hardware": [{"chip": "h100", "max_count": 4}],
    "deployment": {"tensor_parallel": [1, 2], "batch": [8]},
    "workload": {"input_tokens": 1000, "output_tokens": 100, "requests_per_s": 1, "percentile": "none"},
}  # fmt: skip


def test_studies_of_room() -> None:
    """A point a width of split; bounds move, and what they cost is told; a plan that breaks one is caught."""
    trade = frontier(DeploymentProblem(**FEW, minimize="chips"), ["chips", LONG])
    assert trade.status == "complete"
    assert [point.metrics["chips"] for point in trade.points] == [1, 2]
    least = [int(point.metrics[LONG]) for point in trade.points]
    bounds = {f"{LONG}_min": least[1], f"{KV}_min": 3 * least[0]}
    problem = DeploymentProblem(**FEW, minimize="chips", constraints=bounds)
    best = solve(problem)
    assert best.objective.value == 4 and {row.constraint for row in best.binding} == {*bounds}
    moved = perturb(problem)
    moves = {(change.name, change.move) for change in moved.changes}
    assert {(name, move) for name in bounds for move in ("+5 %", "dropped")} <= moves
    question = DeploymentQuestion(problem)
    narrow = question.columns.replicas.tensor_parallel.tolist().index(1)
    assert question.plan_of(question.bounds, {narrow: 4}).check.broken(question.bounds) == [f"{LONG}_min"]
    assert question.plan_of(question.bounds, {narrow: 1}).check.broken(question.bounds) == [
        f"{KV}_min",
        f"{LONG}_min",
    ]


def test_a_service_of_a_fleet_has_room_for_its_longest_request() -> None:
    service = {"architecture": "llama-3.1-8b"}
    traffic = [{"input_tokens": 1000, "output_tokens": 100, "requests_per_s": 1}]
    names = {"chat": {}, "code": {f"{LONG}_min": "700k"}}
    services = [
        {"name": name, "traffic": traffic, "constraints": own} | service for name, own in names.items()
    ]
    fields = {name: FEW[name] for name in ("name", "hardware", "deployment")}
    problem = FleetProblem.model_validate(fields | {"services": services, "minimize": "chips"})
    best = solve(problem)
    assert {pool.service: pool.chips for pool in best.deployment.pools} == {"chat": 1, "code": 2}
    assert [(row.constraint, row.gain) for row in best.binding] == [(f"code.{LONG}_min", -1.0)]
    question = FleetQuestion(problem)
    broken = question.priced(best.plan, values={f"code.{LONG}_min": 10**7}).broken
    assert broken == (f"code.{LONG}_min",)
    with pytest.raises(ValueError, match="a performance_table does not state it"):
        FleetProblem.model_validate(
            fields | {"services": [services[1] | {"architecture": None, "performance_table": "x.csv"}],
                      "minimize": "chips"}
        )  # fmt: skip
