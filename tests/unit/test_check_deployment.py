"""The checker refuses what a wrong solver might return: one broken plan for every rule it guards."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from optimizer.check_deployment import DeploymentCheck
from optimizer.check_placement import nodes_for
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply

ROW: dict[str, Any] = {
    "mode": "aggregated",
    "chip": "red",
    "tensor_parallel": 4,
    "pipeline_parallel": 1,
    "expert_parallel": 1,
    "data_parallel": 1,
    "batch": 8,
    "weight_dtype": "bf16",
    "kv_dtype": "bf16",
    "chips": 4,
    "requests_per_s": 2.0,
    "ttft_ms": 200.0,
    "tpot_ms": 20.0,
    "memory_gib": 60.0,
    "label": "",
}
PREFILL = ROW | {"mode": "prefill", "tpot_ms": 0.0, "requests_per_s": 3.0}
DECODE = ROW | {"mode": "decode", "ttft_ms": 0.0, "requests_per_s": 1.5}
RED = Supply("red", 16, 2.0, 700.0, 8, 80.0, None)
GOOD = DeploymentCheck(Replicas.of([ROW, PREFILL, DECODE]), (RED,), {0: 1, 1: 1, 2: 2}, {}, demand=5.0)
BOUNDS = {
    "ttft_ms_max": 200.0,
    "tpot_ms_max": 20.0,
    "chips_max": 16.0,
    "nodes_max": 2.0,
    "usd_per_hour_max": 32.0,
    "power_w_max": 11200.0,
    "memory_capacity": 0.75,
}


def test_a_plan_on_every_limit_holds() -> None:
    assert GOOD.broken(BOUNDS) == []
    totals = GOOD.totals()
    assert totals["requests_per_s"] == 5.0
    assert (totals["chips"], totals["nodes"], totals["usd_per_hour"]) == (16, 2, 32.0)
    assert GOOD.utilisation("decode") == 1.0


@pytest.mark.parametrize(
    "name, limit",
    [
        ("ttft_ms_max", 199.0),
        ("tpot_ms_max", 19.9),
        ("chips_max", 15.0),
        ("nodes_max", 1.0),
        ("usd_per_hour_max", 31.99),
        ("power_w_max", 11199.0),
        ("memory_capacity", 0.74),
    ],
)
def test_each_bound_is_checked(name: str, limit: float) -> None:
    assert GOOD.broken(BOUNDS | {name: limit}) == [name]


@pytest.mark.parametrize(
    "change, broken",
    [
        ({"demand": 5.001}, ["requests_per_s"]),
        ({"supplies": (replace(RED, count=15),)}, ["inventory:red"]),
        ({"supplies": (replace(RED, node=6),)}, ["inventory:red"]),
        ({"factors": {"decode": 0.9}}, ["requests_per_s"]),
        ({"utilisation_max": 0.9}, ["requests_per_s"]),
        ({"counts": {0: 1, 1: 2}}, ["requests_per_s"]),
    ],
)
def test_each_part_of_a_plan_is_checked(change: dict[str, Any], broken: list[str]) -> None:
    found = replace(GOOD, **change).broken({})
    assert found == broken


def test_caches_of_two_formats_cannot_be_handed_over() -> None:
    mixed = replace(GOOD, replicas=Replicas.of([ROW, PREFILL, DECODE | {"kv_dtype": "fp8"}]))
    assert mixed.broken({}) == ["kv_dtype"]


def test_a_replica_too_busy_for_the_percentile_is_refused() -> None:
    one = replace(GOOD, counts={0: 1}, demand=1.9, percentile=99.0, given={0: 1.9})
    assert one.broken({"ttft_ms_max": 300.0}) == ["percentile"]
    assert one.broken({"ttft_ms_max": 5000.0}) == []


@pytest.mark.parametrize(
    "groups, node, chips, used",
    [
        ([8, 4, 2, 2], 8, None, [8, 8]),
        ([3, 3, 3], 8, 9, None),
        ([3, 3, 3], 8, 11, [6, 3]),
        ([5, 4, 4, 3], 8, 16, [8, 8]),
        ([4, 4, 3, 3, 2], 8, 16, [8, 8]),
        ([9], 8, None, None),
        ([], 8, 0, []),
    ],
)
def test_placing_groups_into_nodes(
    groups: list[int], node: int, chips: int | None, used: list[int] | None
) -> None:
    found = nodes_for(Counter(groups), node, node, chips)
    assert (found if found is None else sorted(found)) == (used if used is None else sorted(used))
