"""Replicas under requests that come at random: rows of the columns, the waits behind them, and whole plans.

Guards what `workload.percentile` means: latencies that a replica keeps at its rate and below, with slots for
the sequences in flight, and plans made of such rows.
"""

from dataclasses import replace
from itertools import product
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import InputError, Replaying, catalog, load_problem, simulate, solve
from optimizer.anatomy.all_requests import of_all_requests
from optimizer.columns.operating_points import loads, slots_of, up_to
from optimizer.cost.frame import frame_of
from optimizer.cost.queueing import fixed_wait_quantile_s
from optimizer.cost.under_load import slots_for, under_load
from optimizer.questions.deployment.columns import all_bounds, prepare
from optimizer.questions.deployment.optimum import optimum
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.question import DeploymentQuestion
from optimizer.spec.plan import Pool
from optimizer.spec.setup import Setup


def problem(**more: Any) -> DeploymentProblem:
    fields = {
        "name": "own", "architecture": "llama-3.1-8b", "hardware": [{"chip": "h100", "max_count": 12}],
        "workload": {"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 20},
        "deployment": {"tensor_parallel": 1, "engine": "vllm"}, "minimize": "chips",
        "constraints": {"ttft_ms_max": 400, "tpot_ms_max": 20},
    }  # fmt: skip
    return DeploymentProblem.model_validate(fields | more)


MODELS = ["llama-3.1-8b", "llama-3.3-70b", "gpt-oss-120b", "deepseek-v3"]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(MODELS),
    chip=st.sampled_from(["h100", "b200", "mi300x"]),
    engine=st.sampled_from(["trtllm", "vllm", "vllm-2023", "llama.cpp"]),
    mode=st.sampled_from(["aggregated", "prefill", "decode"]),
    split=st.sampled_from([(8, 1, 1), (1, 8, 1), (4, 1, 2)]),
    sizes=st.tuples(st.integers(50, 6000), st.integers(2, 2000)),
    percentile=st.sampled_from([50.0, 95.0, 99.9]),
)
def test_more_traffic_is_never_quicker(
    model: str, chip: str, engine: str, mode: str, split: Any, sizes: Any, percentile: float
) -> None:
    """Rates rise with the load and latencies do not fall; slots are more than the sequences in the mean."""
    degrees = dict(zip(("tensor_parallel", "data_parallel", "pipeline_parallel"), split, strict=True))
    setup = Setup(input_tokens=sizes[0], output_tokens=sizes[1], engine=engine, **degrees, batch=split[1] * 8)
    frame = frame_of(catalog.model(model), catalog.chip(chip), setup)
    lanes = frame.split.lanes
    frame = replace(frame, batch=lanes) if mode == "prefill" else frame
    each = lanes * np.arange(0.02, 1, 0.07) if mode == "prefill" else loads(lanes, 300 * lanes)
    found = under_load(mode, frame, catalog.model(model), each, percentile)
    for values in vars_of(found.served):
        assert (np.diff(values) >= 0).all()
    assert (found.slots > each).all() and (np.diff(found.slots) >= 0).all()
    higher = under_load(mode, frame, catalog.model(model), each, 99.95).served
    assert (
        np.broadcast_to(higher.ttft_s, each.shape) >= np.broadcast_to(found.served.ttft_s, each.shape)
    ).all()


def vars_of(served: Any) -> list[Any]:
    each = (served.ttft_s, served.tpot_s, served.requests_per_s)
    return [np.broadcast_to(v, np.shape(served.requests_per_s))[np.isfinite(v)] for v in each if np.ndim(v)]


@pytest.mark.parametrize(("slots", "crowding"), [(8, 1.0), (30, 1.0), (64, 1.0), (64, 2.0)])
def test_slots_are_enough(slots: int, crowding: float) -> None:
    """Of requests at random one in 200 finds none at p95; a wider number is a scaled Poisson's."""
    each = np.arange(0.05, slots, 0.01)
    load = each[slots_for(each, crowding, 95.0) <= slots][-1]
    draws = crowding * np.random.default_rng(3).poisson(load / crowding, 400_000)
    late = float(np.mean(draws > slots - 1))
    assert 0.001 < late <= 0.0055


def test_slots_are_the_fewest_that_are_enough() -> None:
    assert slots_of(np.array([1.5, 2.0, 7.9, 8.1]), np.array([2, 8])).tolist() == [2, 2, 8, 0]
    assert up_to(0.15, 2).tolist() == [0.02, 0.06, 0.15] and up_to(0.06, 2).tolist() == [0.02, 0.06]
    assert loads(2, 0.5).tolist() == [0.02, 0.06, 0.2, 0.4]


def test_waits_of_one_server_are_those_of_lindley() -> None:
    """W' = max(0, W + S - gap), S = 1; within a service P(W <= t) = (1 - rho) exp(rho t)."""
    rng = np.random.default_rng(5)
    for rho in (0.06, 0.5, 0.9):
        gaps = rng.exponential(1 / rho, 400_000)
        path = np.concatenate([[0.0], np.cumsum(1 - gaps)[:-1]])
        waits = path - np.minimum.accumulate(path)
        for share in (0.95, 0.99):
            own = float(fixed_wait_quantile_s(share, rho, 2.0)) / 2
            assert own == pytest.approx(np.quantile(waits, share), rel=0.06, abs=0.02)
    t = float(fixed_wait_quantile_s(0.95, 0.1, 1.0))
    assert 0 < t < 1 and (1 - 0.1) * exp(0.1 * t) == pytest.approx(0.95)
    assert float(fixed_wait_quantile_s(0.5, 0.1, 1.0)) == 0


def test_the_optimum_is_that_of_every_plan_of_operating_points() -> None:
    """Chips against counts of all rows within the bounds, for all numbers of replicas that there are."""
    for limit in (120, 400):
        own = problem(
            hardware=[{"chip": "h100", "max_count": 3}],
            deployment={"tensor_parallel": [1, 2], "batch": [8, 24], "engine": "vllm"},
            workload={"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 7, "percentile": 99},
            constraints={"ttft_ms_max": limit, "tpot_ms_max": 16},
        )
        columns, r = prepare(own), prepare(own).replicas
        ok = (r.ttft_ms <= limit) & (r.tpot_ms <= 16) & (columns.memory_share() <= 1)
        best = {n: max(r.requests_per_s[ok & (r.chips == n)], default=0.0) for n in (1, 2)}
        plans = [(a + 2 * b, a * best[1] + b * best[2]) for a, b in product(range(4), range(2))]
        enough = [chips for chips, rate in plans if chips <= 3 and rate >= 7]
        found = optimum(columns, (("chips", 1),), all_bounds(own, columns.supplies))
        assert found.values.get("chips", 0) == min(enough, default=0)


def test_a_row_that_claims_more_is_refused() -> None:
    question = DeploymentQuestion(problem())
    answer = solve(problem())
    [pool] = answer.deployment.pools
    r = question.columns.replicas
    row = int(np.flatnonzero((r.batch == pool.batch) & (r.in_flight == pool.in_flight))[0])
    check = question.plan_of(question.bounds, {row: pool.replicas}).check
    assert check.broken(question.bounds) == []
    for name, factor in (("in_flight", 0.99), ("ttft_ms", 0.99), ("requests_per_s", 1.01), ("tpot_ms", 0.99)):
        other = getattr(r, name).copy()
        other[row] *= factor
        changed = type(r)(**{**vars(r), name: other})
        assert "prices" in replace(check, replicas=changed).broken(question.bounds)
    fewer = r.batch.copy()
    fewer[row] = int(pool.in_flight)  # slots for the mean alone
    assert "prices" in replace(check, replicas=type(r)(**{**vars(r), "batch": fewer})).broken(question.bounds)


def test_a_replay_holds_what_is_claimed() -> None:
    """At the traffic asked for, of one pool and of pools that hand over."""
    for mode in ("aggregated", "disaggregated"):
        answer = solve(problem(deployment={"tensor_parallel": 1, "engine": "vllm", "mode": mode}))
        assert answer.percentile == 95
        seen = simulate(answer, Replaying(requests=6000))
        said = {claim.name: claim for claim in seen.claims}
        for name in ("ttft", "tpot"):
            claim = said[f"{name}_p95_at_demand_ms"]
            assert -0.25 < claim.difference < 0.15, (mode, claim)
            assert claim.replayed <= answer.metrics[f"{name}_ms"] * 1.05


def test_full_replicas_are_what_they_were() -> None:
    workload = {"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 90}
    plans = [solve(problem(workload=workload | {"percentile": p})) for p in ("none", None, 50, 95, 99.9)]
    assert plans[0].deployment == plans[1].deployment and plans[0].percentile is None
    assert plans[0].deployment.pools[0].in_flight == 0
    chips = [plan.metrics["chips"] for plan in plans[1:]]
    assert chips == sorted(chips) and chips[0] < chips[-1]
    assert [plan.percentile for plan in plans] == [None, None, 50, 95, 99.9]
    assert solve(problem()).percentile == 95 and "percentile" not in solve(problem()).problem["workload"]


@pytest.mark.parametrize("percentile", [49.9, 99.95, 150, "p95", True, "", [95]])
def test_what_is_no_percentile(percentile: Any) -> None:
    with pytest.raises(InputError, match=r"workload\.percentile: .* from 50 to 99\.9, such as 95, or none"):
        load_problem("llama-405b-h100", {"workload.percentile": percentile})


def test_percentiles_of_all_requests_are_those_of_a_mixture() -> None:
    """Two pools of normal latencies, 1 in 4 requests in the slower one, against draws."""
    rng = np.random.default_rng(1)
    means, deviations, rates = (100.0, 200.0), (10.0, 30.0), (3.0, 1.0)
    pools, draws = [], []
    for mean, deviation, rate in zip(means, deviations, rates, strict=True):
        own = mean + deviation * rng.standard_normal(int(200_000 * rate))
        said = {f"ttft_p{p}_at_demand_ms": float(np.percentile(own, p)) for p in (50, 95, 99)}
        pools.append(Pool(chip="x", utilisation=0.5, requests_per_s=2 * rate, ttft_at_demand_ms=mean, **said))
        draws.append(own)
    found = of_all_requests(pools)
    assert found["ttft_at_demand_ms"] == pytest.approx(125.0)
    for p in (50, 95, 99):
        assert found[f"ttft_p{p}_at_demand_ms"] == pytest.approx(
            np.percentile(np.concatenate(draws), p), rel=0.01
        )
    assert "tpot_at_demand_ms" not in found and of_all_requests([Pool(chip="x")]) == {}
