"""What the cost model said of a replica is asked again: every row holds, and any figure changed is refused.

Guards the figures that a plan's latency, memory and rate rest on, which the solver takes as they are.
"""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
import samples

from optimizer import catalog
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.supply import Supply
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.check_prices import Prices
from optimizer.questions.deployment.columns import prepare
from optimizer.questions.deployment.problem import DeploymentProblem

FIGURES = (
    "chips",
    "requests_per_s",
    "ttft_ms",
    "tpot_ms",
    "memory_gib",
    "expert_memory_gib",
    "second_tier_gib",
)
ASKED: dict[str, dict[str, Any]] = {
    "dense": {
        "architecture": "meta-llama/Llama-3.1-8B",
        "hardware": ["nvidia-h100-sxm", "nvidia-l40s"],
        "deployment": {
            "mode": ["aggregated", "disaggregated"],
            "pipeline_parallel": [1, 3],
            "prefill_batch": [1, 3],
            "prefill_ttft_factor": 1.8,
            "draft_tokens": 2,
            "kv_dtype": ["bf16", "fp8"],
        },
    },
    "experts": {
        "architecture": "openai/gpt-oss-120b",
        "hardware": [{"chip": "nvidia-h100-sxm", "node": 4}, "nvidia-b200-sxm"],
        "deployment": {
            "mode": ["aggregated", "disaggregated", "separated"],
            "tensor_parallel": [1, 2],
            "data_parallel": [1, 4],
            "pipeline_parallel": [1, 2],
            "expert_parallel": [1, 4],
            "reserve_gib": 3.5,
            "host_ms": 0.4,
        },
    },
    "shared sequences": {
        "architecture": "meta-llama/Llama-3.1-8B",
        "hardware": [{"chip": "nvidia-h100-sxm", "node": 4}, "nvidia-l40s"],
        "deployment": {
            "mode": ["aggregated", "disaggregated"],
            "tensor_parallel": [1, 2],
            "pipeline_parallel": [1, 2],
            "context_parallel": [1, 2, 3, 8],
            "kv_dtype": ["bf16", "fp8"],
        },
    },
    "two tiers": {
        "architecture": "meta-llama/Llama-3.3-70B-Instruct",
        "hardware": "nvidia-gh200-96",
        "deployment": {"mode": ["aggregated", "disaggregated"], "second_tier": [False, True]},
        "constraints": {"memory_capacity": 0.9},
    },
}
PERCENTILES = {"dense": 95, "experts": 90, "shared sequences": "none", "two tiers": 99}
"""Full replicas of the others: tests/unit/test_check_deployment_branches.py."""


@pytest.fixture(scope="module", params=ASKED)
def columns(request: pytest.FixtureRequest) -> DeploymentColumns:
    traffic: dict[str, Any] = {"input_tokens": 3000, "output_tokens": 200, "prefix_tokens": 500}
    traffic |= {"requests_per_s": 1, "percentile": PERCENTILES[request.param]}
    problem = {"name": "priced", "workload": traffic, "minimize": "chips"} | ASKED[request.param]
    return prepare(DeploymentProblem.model_validate(problem))


def drawn(columns: DeploymentColumns) -> list[dict[str, Any]]:
    """Some rows of each mode."""
    rng, found = Random(1), []
    modes = columns.replicas.mode.tolist()
    kinds = list(zip(modes, (columns.replicas.expert_chips > 0).tolist(), strict=True))
    for kind in sorted(set(kinds)):
        own = [i for i, other in enumerate(kinds) if other == kind]
        found += [columns.replicas.row(i) for i in rng.sample(own, min(len(own), 25))]
    return found


def test_every_row_is_priced_the_same_twice(columns: DeploymentColumns) -> None:
    assert columns.priced_by is not None
    prices = Prices(columns.priced_by, columns.supplies)
    for row in drawn(columns):
        assert not prices.differs(row), row


def test_a_figure_that_the_cost_model_does_not_give_is_refused(columns: DeploymentColumns) -> None:
    assert columns.priced_by is not None
    prices = Prices(columns.priced_by, columns.supplies)
    seen = set()
    for row in drawn(columns)[::3]:
        for name in FIGURES:
            if row[name]:
                seen.add(name)
                assert prices.differs(row | {name: row[name] * 1.001}), (name, row)
                assert prices.differs(row | {name: row[name] * 0.999})
            else:
                assert prices.differs(row | {name: 1.0})
    assert {"requests_per_s", "ttft_ms", "tpot_ms", "memory_gib"} <= seen


def test_other_words_are_other_prices(columns: DeploymentColumns) -> None:
    """Batch, split, formats and domains are part of what is priced, and so is what it was priced for."""
    assert columns.priced_by is not None
    prices = Prices(columns.priced_by, columns.supplies)
    for row in drawn(columns)[::5]:
        lanes = row["data_parallel"] * row["pipeline_parallel"] * row["microbatches"]
        assert prices.differs(row | {"batch": row["batch"] + lanes})
        assert prices.differs(row | {"in_flight": row["in_flight"] * 1.001 or 1.0})
        assert prices.differs(row | {"in_flight": 0.0 if row["in_flight"] else 1.0})
        assert prices.differs(row | {"weight_dtype": "fp8" if row["weight_dtype"] == "bf16" else "bf16"})
        assert prices.differs(row | {"domains": f"{row['chips'] + 1}"}) or row["expert_chips"]
        assert prices.differs(row | {"context_parallel": row["context_parallel"] + 1})
        longer = columns.priced_by.traffic.model_copy(update={"input_tokens": 3500, "output_tokens": 260})
        other = replace(columns.priced_by, traffic=longer)
        assert Prices(other, columns.supplies).differs(row)


def test_a_replica_larger_than_a_domain_has_no_price_inside_one() -> None:
    supply = Supply("sample", None, 1.0, 1.0, 4, None, samples.chip(scaleout_bandwidth="50 GB/s"))
    problem = {"name": "priced", "architecture": "meta-llama/Llama-3.1-8B", "hardware": "nvidia-h100-sxm"}
    problem |= {"deployment": {"tensor_parallel": 2, "pipeline_parallel": 3, "batch": 12}}
    problem |= {
        "workload": {"input_tokens": 100, "output_tokens": 100, "requests_per_s": 1, "percentile": "none"}
    }
    columns = prepare(DeploymentProblem.model_validate(problem | {"minimize": "chips"}), (supply,))
    rows = [columns.replicas.row(i) for i in range(len(columns.replicas))]
    assert [row["domains"] for row in rows] == ["4+2", "3x2"]
    assert columns.priced_by is not None
    inside = Prices(columns.priced_by, (replace(supply, node=8),))
    small = Prices(columns.priced_by, (supply,))
    for row in rows:
        assert not inside.differs(row) and not small.differs(row)
        assert small.differs(row | {"domains": "6"})
    assert small.differs(rows[0] | {"domains": "3x2"}) and small.differs(rows[1] | {"domains": "4+2"})
    assert small.differs(rows[0] | {"domains": "5+1"}) and small.differs(rows[0] | {"domains": "2x2"})


def test_a_plan_on_prices_of_its_own_is_refused() -> None:
    problem = {"name": "priced", "hardware": "nvidia-h100-sxm", "minimize": "chips"}
    problem |= {"architecture": "meta-llama/Llama-3.1-8B"}
    problem |= {
        "workload": {"input_tokens": 100, "output_tokens": 100, "requests_per_s": 1, "percentile": "none"}
    }
    columns = prepare(DeploymentProblem.model_validate(problem))
    check = DeploymentCheck(columns.replicas, columns.supplies, {3: 1}, {}, None, priced_by=columns.priced_by)
    assert check.broken({}) == []
    faster = vars(columns.replicas) | {"tpot_ms": columns.replicas.tpot_ms * 0.99}
    assert replace(check, replicas=type(columns.replicas)(**faster)).broken({}) == ["prices"]
    both = replace(check, counts={3: 1, 4: 1})
    assert both.broken({}) == []
    late = columns.replicas.tpot_ms.copy()
    late[4] *= 1.01
    assert replace(
        both, replicas=type(columns.replicas)(**(vars(columns.replicas) | {"tpot_ms": late}))
    ).broken({}) == ["prices"]
    other = replace(columns.priced_by, architecture=catalog.model("qwen3-8b"))  # type: ignore[type-var]
    assert replace(check, priced_by=other).broken({}) == ["prices"]
