"""Of plans of as many chips the one that is quickest at the traffic: every plan of one or two rows tried."""

from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
import pytest

from optimizer import solve
from optimizer.questions.deployment.columns import all_bounds, offered_by, prepare
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.quickest import NEAR
from optimizer.spec.split import DEGREES


def problem(rate: float, **more: Any) -> DeploymentProblem:
    deployment = {"tensor_parallel": [1, 2, 4], "batch": [1, 4, 16, 64, 256], "weight_dtype": "bf16"}
    fields = {
        "name": "own", "architecture": "qwen3-32b", "hardware": [{"chip": "h100", "max_count": 16}],
        "workload": {"input_tokens": 1000, "output_tokens": 500, "requests_per_s": rate},
        "deployment": deployment, "minimize": "chips",
    }  # fmt: skip
    return DeploymentProblem.model_validate(fields | more)


def quickest_at(columns: Any, bounds: Any, rate: float, splits: list[tuple[Any, int]]) -> float:
    """The least tpot_ms at which so many replicas of each split carry the rate."""
    usable = columns.within(bounds, prune=False)
    r, rows = columns.replicas, usable.rows
    of = {split: [i for i, row in enumerate(rows) if _split(r, row) == split] for split, _ in splits}
    for limit in np.unique(r.tpot_ms[rows]):
        quick = {s: [usable.capacity[i] for i in own if r.tpot_ms[rows[i]] <= limit] for s, own in of.items()}
        if sum(n * max(quick[s], default=0) for s, n in splits) >= rate * 1e8:
            return float(limit)
    return float("inf")


def _split(replicas: Any, row: Any) -> tuple[Any, ...]:
    return (*(int(getattr(replicas, name)[row]) for name in DEGREES), str(replicas.domains[row]))


@pytest.mark.parametrize("rate", [0.2, 2.0, 6.0, 14.0])
def test_no_plan_of_as_many_chips_is_quicker(rate: float) -> None:
    own = problem(rate)
    answer = solve(own)
    columns, bounds = prepare(own), all_bounds(own, offered_by(own))
    chips = round(answer.metrics["chips"])
    rows = columns.within(bounds, prune=False).rows
    sizes = {_split(columns.replicas, row): int(columns.replicas.all_chips[row]) for row in rows}
    plans = [
        list(zip(pair, counts, strict=True))
        for pair in combinations_with_replacement(sizes, 2)
        for counts in product(range(chips + 1), repeat=2)
        if sum(n * sizes[split] for split, n in zip(pair, counts, strict=True)) == chips
    ]
    best = min(quickest_at(columns, bounds, rate, plan) for plan in plans)
    pools = answer.deployment.pools
    shown = [((*vars(p.split).values(), p.domains), p.replicas) for p in pools]
    assert quickest_at(columns, bounds, rate, shown) <= best * NEAR
    assert best < np.inf
    kept = [(row, _split(columns.replicas, row)) for row in rows]
    for pool, (split, _) in zip(pools, shown, strict=True):
        assert pool.batch == max(columns.replicas.batch[row] for row, own in kept if own == split)


def test_a_slower_full_batch_does_not_decide() -> None:
    """DeepSeek-R1 for half a request a second: data-parallel stages serve most, and take twice as long."""
    deployment = {
        "mode": "aggregated", "engine": "sglang", "weight_dtype": "fp8", "tensor_parallel": [1, 8],
        "pipeline_parallel": 2, "data_parallel": [1, 8], "expert_parallel": 8, "batch": [8, 128, 1024],
    }  # fmt: skip
    supply = [{"chip": "h100", "max_count": 16}]
    [pool] = solve(
        problem(0.5, architecture="deepseek-v3", hardware=supply, deployment=deployment)
    ).deployment.pools
    assert (pool.split.tensor_parallel, pool.split.data_parallel) == (8, 1)
    assert 5 < pool.tpot_at_demand_ms < 15


def test_the_most_traffic_is_the_question_itself_and_is_not_given_up() -> None:
    most = solve(problem(2.0, minimize=None, maximize="requests_per_s"))
    served = sum(p.requests_per_s for p in most.deployment.pools)
    assert served == pytest.approx(most.objective.value, rel=1e-6)
