"""The checker refuses what a wrong solver might return: one broken plan for every rule it guards."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import samples

from optimizer.anatomy.placement import nodes_for
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.questions.deployment.check import DeploymentCheck

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
    assert GOOD.loads.utilisation("decode") == 1.0


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
    own = replace(GOOD, replicas=Replicas.of([ROW | {"kv_dtype": "fp8"}, PREFILL, DECODE]))
    assert own.broken({}) == []  # an aggregated replica hands nothing over


def checked(*rows: dict[str, Any], counts: dict[int, int] | None = None, **fields: Any) -> DeploymentCheck:
    """A plan of one replica of each row, on as many chips as wanted."""
    some = counts or dict.fromkeys(range(len(rows)), 1)
    plain = {
        "replicas": Replicas.of(rows),
        "supplies": (LOOSE,),
        "counts": some,
        "factors": {},
        "demand": None,
    }
    return DeploymentCheck(**(plain | fields))


LOOSE = Supply("red", None, 2.0, 700.0, None, 80.0, None)


def test_the_slowest_row_counts() -> None:
    plan = checked(ROW, ROW | {"ttft_ms": 250.0, "tpot_ms": 25.0})
    totals = plan.totals()
    assert (totals["ttft_ms"], totals["tpot_ms"]) == (250.0, 25.0)
    assert plan.broken({"ttft_ms_max": 249.0}) == ["ttft_ms_max"]
    assert plan.broken({"tpot_ms_max": 24.0}) == ["tpot_ms_max"]
    assert plan.broken({"ttft_ms_max": 250.0, "tpot_ms_max": 25.0}) == []


def test_a_phase_has_no_latency_of_the_other() -> None:
    late = checked(PREFILL | {"tpot_ms": 999.0}, DECODE | {"ttft_ms": 999.0})
    assert late.broken({"ttft_ms_max": 200.0, "tpot_ms_max": 20.0}) == []


@pytest.mark.parametrize("count, broken", [(8, []), (7, ["inventory:red"]), (4, ["inventory:red"])])
def test_chips_in_stock(count: int, broken: list[str]) -> None:
    """Two replicas of four, where nobody knows the nodes; and one whose experts are of the same kind."""
    assert checked(ROW, counts={0: 2}, supplies=(replace(LOOSE, count=count),)).broken({}) == broken
    apart = DECODE | {"expert_chip": "red", "expert_chips": 4}
    assert checked(apart, supplies=(replace(LOOSE, count=count),)).broken({}) == broken
    assert checked(apart).chips("red") == checked(apart).chips() == 8


def test_kinds_of_chips_are_counted_apart() -> None:
    blue = replace(LOOSE, name="blue", count=3, usd_per_hour=5.0, power_w=100.0)
    plan = checked(ROW, DECODE | {"expert_chip": "blue", "expert_chips": 3}, supplies=(LOOSE, blue))
    assert (plan.chips("red"), plan.chips("blue"), plan.chips()) == (8, 3, 11)
    assert plan.totals()["usd_per_hour"] == 8 * 2.0 + 3 * 5.0
    assert plan.totals()["power_w"] == 8 * 700.0 + 3 * 100.0
    assert plan.broken({}) == []
    assert replace(plan, supplies=(LOOSE, replace(blue, count=2))).broken({}) == ["inventory:blue"]


def test_what_nobody_stated_keeps_no_bound() -> None:
    plan = checked(ROW, supplies=(replace(LOOSE, usd_per_hour=None, power_w=None),))
    assert not {"usd_per_hour", "power_w", "nodes"} & set(plan.totals())
    for name in ("usd_per_hour_max", "power_w_max", "nodes_max"):
        assert plan.broken({name: 1e9}) == [name]


@pytest.mark.parametrize(
    "domains, node, count, broken",
    [
        ("8", 8, 8, []),
        ("8", 4, 8, ["inventory:red"]),
        ("4+4", 4, 8, []),
        ("2x4", 8, None, []),
        ("6+2", 6, 8, []),
        ("6+2", 5, 8, ["inventory:red"]),
        ("6+2", 5, None, ["inventory:red"]),  # a block larger than a node lies nowhere
        ("2x3+2", 6, 8, []),
        ("2x3+2", 5, 8, []),
        ("3+3+2", 4, 8, ["inventory:red"]),
    ],
)
def test_blocks_lie_in_nodes(domains: str, node: int, count: int | None, broken: list[str]) -> None:
    row = ROW | {"tensor_parallel": 1, "chips": 8, "domains": domains}
    assert checked(row, supplies=(replace(LOOSE, node=node, count=count),)).broken({}) == broken


def test_a_block_lies_in_a_domain_of_a_node_that_has_several() -> None:
    red = replace(LOOSE, chip=samples.chip(scaleup=samples.CHIP["scaleup"] | {"domain": 4}), node=8, count=16)
    for domains, held in (("8", False), ("2x4", True), ("3+3+2", True), ("6+2", False)):
        row = ROW | {"tensor_parallel": 1, "chips": 8, "domains": domains}
        assert (checked(row, supplies=(red,)).broken({}) == []) == held


def test_memory_of_both_sides() -> None:
    """Three quarters of 80 GiB are 60; experts that lie apart fill their own chips."""
    blue = replace(LOOSE, name="blue", usable_gib=40.0)
    row = DECODE | {"expert_chip": "blue", "expert_chips": 1, "expert_memory_gib": 30.0}
    plan = checked(row, supplies=(LOOSE, blue))
    assert plan.broken({"memory_capacity": 0.75}) == []
    assert plan.broken({"memory_capacity": 0.74}) == ["memory_capacity"]
    full = checked(row | {"expert_memory_gib": 30.1}, supplies=(LOOSE, blue))
    assert full.broken({"memory_capacity": 0.75}) == ["memory_capacity"]
    unknown = checked(row, supplies=(replace(LOOSE, usable_gib=None), replace(blue, usable_gib=None)))
    assert unknown.broken({"memory_capacity": 0.01}) == []


def test_what_waits_in_the_second_tier_has_room_there() -> None:
    tier = samples.chip(second_tier={"kind": "host", "capacity": "100 GiB", "bandwidth": "100 GB/s"})
    row = ROW | {"second_tier_gib": 100.0}
    assert checked(row, supplies=(replace(LOOSE, chip=tier),)).broken({}) == []
    full = checked(row | {"second_tier_gib": 100.1}, supplies=(replace(LOOSE, chip=tier),))
    assert full.broken({}) == ["second_tier"]
    assert checked(row, supplies=(replace(LOOSE, chip=samples.chip()),)).broken({}) == ["second_tier"]
    assert checked(row).broken({}) == ["second_tier"]


@pytest.mark.parametrize(
    "rows, same",
    [
        ([ROW], True),
        ([PREFILL, DECODE], True),
        ([PREFILL], True),
        ([ROW, ROW | {"chips": 8}], False),
        ([ROW, PREFILL, DECODE], False),
        ([PREFILL, DECODE, DECODE | {"batch": 9}], False),
        ([PREFILL, PREFILL | {"batch": 9}, DECODE], False),
    ],
)
def test_one_setup_for_all_of_a_phase(rows: list[dict[str, Any]], same: bool) -> None:
    assert checked(*rows, same=True).broken({}) == ([] if same else ["mix"])
    assert checked(*rows).broken({}) == []


@pytest.mark.parametrize(
    "mode, factors, most, demand, kept",
    [
        ("decode", {"decode": 0.8}, 1.0, 2.4, True),
        ("decode", {"decode": 0.8}, 1.0, 2.41, False),
        ("prefill", {"prefill": 0.7}, 1.0, 2.1, True),
        ("prefill", {"prefill": 0.7}, 1.0, 2.11, False),
        ("decode", {"decode": 0.8}, 0.5, 1.2, True),
        ("decode", {"decode": 0.8}, 0.5, 1.21, False),
        ("both", {}, 0.9, 2.7, True),
        ("both", {}, 0.9, 2.71, False),
    ],
)
def test_pools_are_used_no_more_than_planned(
    mode: str, factors: dict[str, float], most: float, demand: float, kept: bool
) -> None:
    """One prefill replica of 3 requests/s, and two decode replicas of 1.5: the thinner pool counts."""
    plan = checked(PREFILL, DECODE, counts={0: 1, 1: 2}, factors=factors, utilisation_max=most, demand=demand)
    assert plan.broken({}) == ([] if kept else ["requests_per_s"])


def test_the_use_of_pools() -> None:
    """Of 5 requests/s, 4 asked for: aggregated ones get 2 of 5, each pool the other 3 of 5."""
    plan = checked(ROW, PREFILL, DECODE, counts={0: 1, 1: 2, 2: 2}, demand=4.0)
    assert plan.loads.served == 5
    assert plan.loads.utilisation("aggregated") == pytest.approx(1.6 / 2)
    assert plan.loads.utilisation("prefill") == pytest.approx(2.4 / 6)
    assert plan.loads.utilisation("decode") == pytest.approx(2.4 / 3)
    full = replace(plan, demand=None)
    assert [full.loads.utilisation(mode) for mode in ("aggregated", "prefill", "decode")] == [1.0, 0.5, 1.0]


def test_the_rate_at_the_percentile_counts() -> None:
    """A replica of 2 requests/s that may be given 1.5: what is asked beyond is not served."""
    plan = checked(ROW, percentile=99.0, given={0: 1.5}, demand=1.5)
    assert plan.broken({}) == []
    assert replace(plan, demand=1.51).broken({}) == ["requests_per_s"]
    assert float(plan.loads.served) == 1.5


@pytest.mark.parametrize("ttft_ms, rate, service", [(200.0, 2.0, 5.0), (200.0, 8.0, 8.0), (1000.0, 2.0, 2.0)])
def test_a_replica_too_busy_for_the_percentile_is_refused(
    ttft_ms: float, rate: float, service: float
) -> None:
    """P(wait > t) = rho exp(-(1 - rho) mu t), with mu the larger of the rate and 1 / TTFT."""
    for load in (0.3 * rate, 0.9 * rate):
        rho = load / service
        wait_ms = max(0.0, 1e3 * math.log(rho / 0.01) / ((1 - rho) * service))
        row = ROW | {"ttft_ms": ttft_ms, "requests_per_s": rate}
        plan = checked(row, demand=load, percentile=99.0, given={0: load})
        assert plan.broken({"ttft_ms_max": (ttft_ms + wait_ms) * 1.0001}) == []
        assert plan.broken({"ttft_ms_max": (ttft_ms + wait_ms) * 0.9999}) == ["percentile"]
    full = checked(ROW | {"ttft_ms": 1000.0}, demand=2.0, percentile=99.0, given={0: 2.0})
    assert full.broken({"ttft_ms_max": 1e9}) == ["percentile"]  # waits without end


def test_prefill_replicas_queue_and_decode_replicas_do_not() -> None:
    plan = checked(PREFILL, DECODE, counts={0: 1, 1: 2}, demand=2.9, percentile=99.0, given={0: 3.0, 1: 1.5})
    rho = 2.9 / 5
    wait_ms = 1e3 * math.log(rho / 0.01) / ((1 - rho) * 5)
    assert plan.broken({"ttft_ms_max": 200 + 1.001 * wait_ms}) == []
    assert plan.broken({"ttft_ms_max": 200 + 0.999 * wait_ms}) == ["percentile"]


def test_one_bad_row_of_two_is_enough() -> None:
    full = checked(ROW, ROW | {"memory_gib": 70.0})
    assert full.broken({"memory_capacity": 0.8}) == ["memory_capacity"]
    assert full.broken({"memory_capacity": 0.9}) == []


def test_a_pool_alone_serves_nothing() -> None:
    alone = checked(PREFILL, demand=1.0)
    assert (alone.loads.served, alone.loads.load("prefill"), alone.loads.utilisation("prefill")) == (0, 0, 0)
    assert alone.broken({}) == ["requests_per_s"]
    assert alone.loads.utilisation("decode") == 0.0


def test_nodes_of_each_kind_hold_their_own_blocks() -> None:
    """Six red groups of four in three nodes of eight, and two blue ones in two nodes of four."""
    kinds = (replace(LOOSE, node=8, count=24), replace(LOOSE, name="blue", node=4, count=8))
    plan = checked(ROW, ROW | {"chip": "blue"}, counts={0: 6, 1: 2}, supplies=kinds)
    assert plan.broken({}) == []
    assert [plan.nodes(s) for s in kinds] == [3, 2]
    assert plan.totals()["nodes"] == 5
    assert plan.broken({"nodes_max": 4.0}) == ["nodes_max"]
    unknown = replace(plan, supplies=(kinds[0], replace(kinds[1], node=None)))
    assert "nodes" not in unknown.totals()
    apart = DECODE | {"expert_chip": "blue", "expert_chips": 5}
    split = checked(apart, supplies=kinds)
    assert [split.nodes(s) for s in kinds] == [1, 2]


@pytest.mark.parametrize(
    "groups, node, chips, nodes",
    [
        ([8, 4, 2, 2], 8, None, 2),
        ([3, 3, 3], 8, 9, None),
        ([3, 3, 3], 8, 11, 2),
        ([5, 4, 4, 3], 8, 16, 2),
        ([4, 4, 3, 3, 2], 8, 16, 2),
        ([9], 8, None, None),
        ([], 8, 0, 0),
    ],
)
def test_placing_groups_into_nodes(
    groups: list[int], node: int, chips: int | None, nodes: int | None
) -> None:
    assert nodes_for(Counter(groups), node, node, chips) == nodes
