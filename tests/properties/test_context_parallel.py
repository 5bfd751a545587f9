"""Small deployments with context parallelism free, against every way to fill a node, priced one by one.

Guards the whole chain: the setups a problem allows, their prices, the rules, the packing, and the check of
the answer. The brute force asks the cost model for each split and batch itself.
"""

from functools import cache
from typing import Any

import drawn
import pytest
import samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.cost import serving
from optimizer.cost.quantities import QUANTITIES
from optimizer.questions.deployment.check_prices import Prices
from optimizer.questions.deployment.columns import prepare
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.spec.engine import IDEAL
from optimizer.studies.solve import solve

MODEL = catalog.model("meta-llama/Llama-3.1-8B")
STOCK = 8
TENSOR, CONTEXT, BATCH = (1, 2), (1, 2, 3, 4), (1, 4)
CHIP = {
    "name": "small",
    "dense_flops": {"bf16": "1 PFLOP/s"},
    "hbm_capacity": "24 GiB",
    "hbm_usable": "23 GiB",
    "hbm_bandwidth": "3 TB/s",
    "scaleup": {"topology": "switch", "domain": STOCK, "bandwidth": "450 GB/s"},
}


@cache
def document() -> dict[str, Any]:
    return samples.CHIP | CHIP


@cache
def setups(tokens: int, answer: int) -> list[tuple[int, int, float, float, float]]:
    """Chips, planned rate, seconds to the first token and between later ones, ranks, of all that runs."""
    chip, found = samples.chip(**CHIP), []
    for t in TENSOR:
        for n in CONTEXT:
            for batch in BATCH:
                frame = samples.frame(
                    MODEL, chip, tensor_parallel=t, context_parallel=n, batch=batch, input_tokens=tokens,
                    output_tokens=answer, training=None, engine=IDEAL,
                )  # fmt: skip
                held = QUANTITIES["memory_bytes"].total(frame, MODEL)
                if tokens < 2 * n or batch > serving.most_scheduled(frame) or held > chip.hbm_usable:
                    continue
                served = serving.aggregated(frame, MODEL)
                rate = int(float(served.requests_per_s) * 1e8 + 1e-3)
                found.append((t * n, rate, float(served.ttft_s), float(served.tpot_s), n))
    return found


def most(kept: list[tuple[int, int, float, float, float]]) -> list[int]:
    """The highest rate that each number of chips reaches."""
    best = [0] * (STOCK + 1)
    for chips in range(1, STOCK + 1):
        own = [best[chips - size] + rate for size, rate, *_ in kept if size <= chips]
        best[chips] = max([best[chips - 1], *own])
    return best


def asked(tokens: int, answer: int, bounds: dict[str, float], **aim: Any) -> DeploymentProblem:
    traffic = {"input_tokens": tokens, "output_tokens": answer, "requests_per_s": aim.pop("demand", None)}
    return DeploymentProblem.model_validate(
        {
            "name": "shared sequences",
            "architecture": MODEL.name,
            "hardware": [{"chip": drawn.written(document()), "max_count": STOCK, "node": STOCK}],
            "deployment": {
                "tensor_parallel": list(TENSOR),
                "context_parallel": list(CONTEXT),
                "batch": list(BATCH),
                "engine": "ideal",
            },
            "workload": {name: value for name, value in traffic.items() if value is not None}
            | {"percentile": "none"},
            "constraints": bounds,
        }
        | aim
    )


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.sampled_from([3, 500, 20_000, 150_000]),
    st.sampled_from([2, 400]),
    st.sampled_from([None, 0.6, 1.0, 1.7, 4.0]),
    st.sampled_from([None, 1.0, 1.3]),
    st.sampled_from([0.2, 0.9]),
)
def test_the_optimum_is_brute_forces(
    tokens: int, answer: int, ttft: float | None, tpot: float | None, share: float
) -> None:
    """The highest rate of eight chips, and the fewest chips for a share of it, under bounds on latencies."""
    every = setups(tokens, answer)
    bounds: dict[str, float] = {}
    middle = sorted(every, key=lambda own: own[2])[len(every) // 2] if every else (0, 0, 1.0, 1.0, 0)
    if ttft is not None:
        bounds["ttft_ms_max"] = 1e3 * middle[2] * ttft
    if tpot is not None:
        bounds["tpot_ms_max"] = 1e3 * middle[3] * tpot
    kept = [
        own
        for own in every
        if 1e3 * own[2] <= bounds.get("ttft_ms_max", float("inf")) * (1 + 1e-12)
        and 1e3 * own[3] <= bounds.get("tpot_ms_max", float("inf")) * (1 + 1e-12)
    ]
    best = most(kept)
    found = solve(asked(tokens, answer, bounds, maximize="requests_per_s"))
    if not best[STOCK]:
        assert found.status == "infeasible"
        return
    assert found.status == "optimal"
    floored = found.metrics["requests_per_s"] * 1e8 - best[STOCK]  # of each replica, a part of 1e-8
    assert -1 <= floored < STOCK
    demand = float(int(best[STOCK] * share)) / 1e8
    fewest = next(n for n in range(STOCK + 1) if best[n] >= demand * 1e8)
    found = solve(asked(tokens, answer, bounds, minimize="chips", demand=demand))
    assert (found.status, found.metrics["chips"]) == ("optimal", fewest)
    assert found.deployment is not None
    assert {pool.split.context_parallel for pool in found.deployment.pools} <= set(CONTEXT)


def test_the_degree_is_worth_something() -> None:
    """Long prompts, a limit on the first token: without it there is no plan."""
    every = setups(150_000, 400)
    soonest = min(ttft for _, _, ttft, _, n in every if n > 1)
    alone = min((ttft for _, _, ttft, _, n in every if n == 1), default=float("inf"))
    assert soonest < alone / 2
    problem = asked(150_000, 400, {"ttft_ms_max": 2e3 * soonest}, maximize="requests_per_s")
    found = solve(problem)
    assert found.status == "optimal" and found.deployment is not None
    assert all(pool.split.context_parallel > 1 for pool in found.deployment.pools)
    shown = [pool["context_parallel"] for pool in found.model_dump(mode="json")["deployment"]["pools"]]
    assert shown and min(shown) > 1
    without = problem.deployment.changed(context_parallel=1)
    assert solve(problem.changed(deployment=without)).status == "infeasible"


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
def test_the_checker_prices_every_row_alike(mode: str) -> None:
    problem = asked(20_000, 400, {}, maximize="requests_per_s")
    columns = prepare(problem.changed(deployment=problem.deployment.changed(mode=mode)))
    assert columns.priced_by is not None
    prices = Prices(columns.priced_by, columns.supplies)
    rows = [columns.replicas.row(i) for i in range(len(columns.replicas))]
    assert {row["context_parallel"] for row in rows} == set(CONTEXT)
    for row in rows:
        assert not prices.differs(row)
        assert prices.differs(row | {"context_parallel": row["context_parallel"] + 1})
        assert row["chips"] == row["tensor_parallel"] * row["context_parallel"]
