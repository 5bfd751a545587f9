"""Decode replicas whose experts lie on other chips: their columns, and plans that count both kinds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import samples

from optimizer import catalog
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica_costs import replica_columns
from optimizer.columns.replicas import Replicas
from optimizer.columns.separated_costs import separated_columns
from optimizer.columns.supply import Supply, supplies
from optimizer.cost.separation import Separated, attention_chip_gib, expert_chip_gib, step_s
from optimizer.errors import InputError
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.optimum import optimum
from optimizer.spec.deployment import Offer, ReplicaSpace, Traffic

PLAIN: dict[str, Any] = {
    "tensor_parallel": 4,
    "pipeline_parallel": 1,
    "expert_parallel": 1,
    "data_parallel": 1,
    "batch": 8,
    "weight_dtype": "fp8",
    "kv_dtype": "fp8",
    "chip": "red",
    "chips": 4,
    "ttft_ms": 200.0,
    "tpot_ms": 20.0,
    "memory_gib": 60.0,
    "label": "",
}
PREFILL = PLAIN | {"mode": "prefill", "requests_per_s": 4.0}
DECODE = PLAIN | {"mode": "decode", "requests_per_s": 1.5}
APART = DECODE | {"expert_chip": "blue", "expert_chips": 3, "expert_memory_gib": 45.0}
RED = Supply("red", 16, 2.0, 700.0, 8, 80.0, None)
BLUE = Supply("blue", 6, 3.0, 1000.0, 4, 50.0, None)
TABLE = Replicas.of([PREFILL, APART])
PLAN = DeploymentCheck(TABLE, (RED, BLUE), {0: 1, 1: 2}, {}, demand=3.0)
COLUMNS = DeploymentColumns(TABLE, (RED, BLUE), 3.0, False, {}, None, {})
BOUNDS = {"inventory:red": 16.0, "inventory:blue": 6.0, "requests_per_s": 3.0, "memory_capacity": 1.0}
V3, H200, B200 = "deepseek-ai/DeepSeek-V3", "nvidia-h200-sxm", "nvidia-b200-sxm"
TRAFFIC = Traffic(input_tokens=4000, output_tokens=1000, percentile="none")


def test_totals_by_hand() -> None:
    """One prefill replica of 4 red, two decode replicas of 4 red and 3 blue: 12 red and 6 blue."""
    totals = PLAN.totals()
    assert (PLAN.chips(), PLAN.chips("red"), PLAN.chips("blue")) == (18, 12, 6)
    assert totals["usd_per_hour"] == 12 * 2 + 6 * 3
    assert totals["power_w"] == 12 * 700 + 6 * 1000
    assert totals["nodes"] == 2 + 2
    assert totals["requests_per_s"] == 3.0
    assert PLAN.broken(BOUNDS) == []


@pytest.mark.parametrize(
    "name, value", [("chips", 18.0), ("usd_per_hour", 42.0), ("power_w", 14400.0), ("nodes", 4.0)]
)
def test_the_solver_counts_both_kinds(name: str, value: float) -> None:
    found = optimum(COLUMNS, ((name, 1),), BOUNDS)
    assert (found.status, found.values[name]) == ("optimal", value)
    assert found.counts == {0: 1, 1: 2}


@pytest.mark.parametrize(
    "change, broken",
    [
        ({"supplies": (RED, replace(BLUE, count=5))}, ["inventory:blue"]),
        ({"supplies": (replace(RED, count=11), BLUE)}, ["inventory:red"]),
        ({"supplies": (RED, replace(BLUE, usable_gib=44.0))}, ["memory_capacity"]),
        ({"demand": 3.01}, ["requests_per_s"]),
    ],
)
def test_the_checker_looks_at_both_kinds(change: dict[str, Any], broken: list[str]) -> None:
    assert replace(PLAN, **change).broken(BOUNDS) == broken


def test_too_few_of_the_second_chip() -> None:
    assert optimum(COLUMNS, (("chips", 1),), BOUNDS | {"inventory:blue": 5.0}).status == "infeasible"
    most = optimum(
        COLUMNS, (("requests_per_s", -1),), BOUNDS | {"inventory:blue": 5.0, "requests_per_s": 1.0}
    )
    assert most.served == 1.5
    full = DeploymentColumns(TABLE, (RED, replace(BLUE, usable_gib=44.0)), 3.0, False, {}, None, {})
    assert optimum(full, (("chips", 1),), BOUNDS).status == "infeasible"


def test_experts_on_the_same_kind_share_its_inventory() -> None:
    """8 red for prefill and attention, and one for the experts: two nodes; 8 red are one too few."""
    same = Replicas.of([PREFILL, DECODE | {"expert_chip": "red", "expert_chips": 1}])
    columns = DeploymentColumns(same, (RED,), 1.5, False, {}, None, {})
    bounds = {"requests_per_s": 1.5, "inventory:red": 9.0}
    assert optimum(columns, (("chips", 1),), bounds).values["chips"] == 9
    assert optimum(columns, (("nodes", 1),), bounds).values["nodes"] == 2
    assert optimum(columns, (("chips", 1),), bounds | {"inventory:red": 8.0}).status == "infeasible"
    assert DeploymentCheck(same, (RED,), {0: 1, 1: 1}, {}, 1.5).totals()["nodes"] == 2


def test_a_row_is_only_hidden_by_one_that_needs_less_of_each_kind() -> None:
    """Rows that differ only in the second kind or its count are all kept; a worse one is not."""
    rows = [APART, APART | {"expert_chips": 2, "requests_per_s": 1.0}, APART | {"expert_chip": "red"}]
    rows += [DECODE | {"requests_per_s": 1.0}, APART | {"expert_chips": 4}]
    columns = DeploymentColumns(Replicas.of(rows), (RED, BLUE), None, False, {}, None, {})
    assert columns.within({}).rows.tolist() == [0, 1, 2, 3]
    finer = APART | {"tensor_parallel": 2, "expert_chips": 4}
    columns = DeploymentColumns(Replicas.of([APART, finer]), (RED, BLUE), None, False, {}, None, {})
    assert columns.within({}).rows.tolist() == [0, 1]


def table(model: str = V3, **space: Any) -> Replicas:
    offered = supplies([Offer(chip=H200), Offer(chip=B200)])
    wanted: dict[str, Any] = {"mode": "separated", "weight_dtype": "fp8", "kv_dtype": "fp8"}
    found = ReplicaSpace.model_validate(wanted | space)
    return separated_columns(catalog.model(model), offered, found, TRAFFIC)[0]


def test_the_columns_are_the_cost_function_one_by_one() -> None:
    """All batches and pairs of chips at once equal `cost.separation` for each alone."""
    own = catalog.model(V3)
    split = {"tensor_parallel": 1, "data_parallel": 8, "expert_parallel": 16}
    columns = table(**split, batch=[48, 96, 960, 1000])
    per_pair = {(m, b) for m in (2, 3, 4) for b in (48, 96, 960, 1000) if b % (8 * m) == 0}
    assert len(columns) == 4 * len(per_pair)
    for i in range(len(columns)):
        row = columns.row(i)
        assert row["batch"] % (8 * row["microbatches"]) == 0
        frame = samples.frame(
            own,
            row["chip"],
            data_parallel=8,
            batch=row["batch"],
            weight_dtype="fp8",
            kv_dtype="fp8",
            input_tokens=4000,
            output_tokens=1000,
            engine=catalog.engine("trtllm"),
        )
        both = Separated(frame, catalog.chip(row["expert_chip"]), 16, 16, row["microbatches"])
        assert row["tpot_ms"] == pytest.approx(1e3 * step_s(both, own), rel=1e-12)
        assert row["requests_per_s"] == pytest.approx(row["batch"] / step_s(both, own) / 1000, rel=1e-12)
        assert row["memory_gib"] == pytest.approx(attention_chip_gib(both, own), rel=1e-12)
        assert row["expert_memory_gib"] == pytest.approx(expert_chip_gib(both, own), rel=1e-12)
        assert (row["chips"], row["expert_chips"], row["mode"]) == (8, 16, "decode")
    assert {(a, b) for a, b in zip(columns.chip, columns.expert_chip, strict=True)} == {
        (a, b) for a in (H200, B200) for b in (H200, B200)
    }


def test_separated_alone_prices_prefill_replicas_too() -> None:
    space = ReplicaSpace.model_validate({"mode": "separated", "tensor_parallel": 8, "weight_dtype": "fp8"})
    prefill, _ = replica_columns(catalog.model(V3), supplies([Offer(chip=H200)]), space, TRAFFIC)
    assert np.unique(prefill.mode).tolist() == ["prefill"]


@pytest.mark.parametrize(
    "model, space, words",
    [
        ("meta-llama/Llama-3.1-8B", {}, "separated needs a mixture of experts"),
        (V3, {"pipeline_parallel": 2}, "mode separated has none"),
        (V3, {"second_tier": True}, "fast memory alone"),
        (V3, {"expert_parallel": 7}, "7: does not divide the 256 experts"),
    ],
)
def test_what_cannot_be_separated(model: str, space: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        table(model, **space)
