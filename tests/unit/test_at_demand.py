"""Latencies at the traffic asked for: of as many sequences as are in flight then, not of full replicas."""

from dataclasses import replace
from typing import Any

import pytest

from optimizer import load_problem, solve
from optimizer.anatomy.at_demand import at_demand
from optimizer.questions.deployment.columns import prepare
from optimizer.questions.deployment.problem import DeploymentProblem


def answer(requests_per_s: float, **more: Any) -> Any:
    workload = {"input_tokens": 1000, "output_tokens": 500, "requests_per_s": requests_per_s}
    fields = {
        "name": "own", "architecture": "llama-3.1-8b", "hardware": "h100", "workload": workload,
        "deployment": {"tensor_parallel": 1, "engine": "vllm"}, "minimize": "chips",
    }  # fmt: skip
    return solve(DeploymentProblem.model_validate(fields | more))


def test_little_traffic_waits_less() -> None:
    """Little's law: in flight are the requests of a second times the seconds that each stays."""
    [slow], [fast] = (answer(rate).deployment.pools for rate in (8.0, 0.5))
    for rate, pool in ((8.0, slow), (0.5, fast)):
        stays_s = (pool.ttft_at_demand_ms + 500 * pool.tpot_at_demand_ms) / 1e3
        assert pool.sequences_at_demand == pytest.approx(rate * stays_s, rel=0.25, abs=1)
        assert pool.tpot_at_demand_ms < pool.tpot_ms
        assert pool.ttft_at_demand_ms < pool.ttft_p95_at_demand_ms < 10 * pool.ttft_at_demand_ms
        assert pool.tpot_at_demand_ms < pool.tpot_p95_at_demand_ms
    assert fast.tpot_at_demand_ms < slow.tpot_at_demand_ms
    assert fast.sequences_at_demand < slow.sequences_at_demand < slow.batch


def test_a_full_pool_has_its_own_latencies_alone() -> None:
    problem = load_problem("llama-70b-chat")
    columns = prepare(problem)
    pools = solve(problem).deployment.pools
    assert all(pool.sequences_at_demand is None for pool in pools if pool.phase == "prefill")
    full = pools[-1].changed(utilisation=1.0)
    assert at_demand(columns, full) is full
    assert at_demand(replace(columns, priced_by=None), pools[-1]) is pools[-1]
    assert at_demand(replace(columns, demand=None), pools[-1]) is pools[-1]


def test_the_report_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from optimizer.report.deployment import report

    Console(width=200).print(report(answer(0.5)))
    assert "At the traffic asked for" in capsys.readouterr().out
