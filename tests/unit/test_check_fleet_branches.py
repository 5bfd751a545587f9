"""Every branch of the checker of fleets: a plan that only it refuses, and one at its edge that it keeps."""

from dataclasses import replace
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns, Item

RED = Supply("red", None, 2.0, 700.0, 8, 80.0, None)
BLUE = Supply("blue", None, 3.0, 500.0, 4, 40.0, None)
ROW: dict[str, Any] = {
    "mode": "aggregated", "chip": "red", "tensor_parallel": 2, "pipeline_parallel": 1, "expert_parallel": 1,
    "data_parallel": 1, "batch": 8, "weight_dtype": "bf16", "kv_dtype": "bf16", "chips": 2,
    "requests_per_s": 2.0, "ttft_ms": 200.0, "tpot_ms": 20.0, "memory_gib": 60.0, "label": "",
}  # fmt: skip


def item(service: int, phase: str, *setups: dict[str, Any], rates: Any) -> Item:
    rows = Replicas.of([ROW | {"mode": phase} | own for own in setups])
    table = np.array(rates, dtype=float)
    return Item(service, phase, rows, table, np.zeros(table.shape, dtype=int))


# A chat of two buckets on red or blue chips, and a batch job of one bucket with pools of its own.
CHAT = item(0, "aggregated", {}, {"chip": "blue", "chips": 4}, rates=[[4.0, 8.0], [2.0, 0.0]])
PREFILL = item(1, "prefill", {}, {"kv_dtype": "fp8"}, rates=[[5.0, 5.0]])
DECODE = item(1, "decode", {"chip": "blue"}, {"kv_dtype": "fp8"}, rates=[[10.0, 10.0]])
WHOLE = item(1, "aggregated", {}, rates=[[2.5]])
COLUMNS = FleetColumns(
    supplies=(RED, BLUE),
    names=("chat", "batch"),
    demands=((6.0, 1.0), (10.0,)),
    items=(CHAT, PREFILL, DECODE, WHOLE),
    same=(False, False),
    dropped={},
)
# Chat: bucket 0 half on red (3 of 4 a second) and half on blue (3 of 8), bucket 1 on red (1 of 2).
SHARES = {(0, 0, 0): F(1, 2), (0, 1, 0): F(1, 2), (0, 0, 1): F(1), (1, 0, 0): F(1), (2, 0, 0): F(1)}
REPLICAS = {(0, 0): 2, (0, 1): 1, (1, 0): 2, (2, 0): 1}


def plan(replicas: Any = None, shares: Any = None, **columns: Any) -> FleetCheck:
    own = REPLICAS if replicas is None else replicas
    return FleetCheck(replace(COLUMNS, **columns), own, SHARES if shares is None else shares)


def test_traffic_and_how_busy_it_keeps_a_setup() -> None:
    check = plan()
    assert check.traffic((0, 0, 0)) == 3
    assert check.utilisation(0, 0) == (F(3, 4) + F(1, 2)) / 2
    assert check.utilisation(0, 1) == F(3, 8)
    assert check.utilisation(1, 0) == check.utilisation(2, 0) == 1
    assert plan({(0, 0): 0}).utilisation(0, 0) is None  # traffic on no replica
    assert plan({}, {}).utilisation(0, 0) == 0
    nowhere = plan({(0, 1): 5}, {(0, 1, 1): F(1, 100)})
    assert nowhere.utilisation(0, 1) is None  # a bucket that the setup cannot serve
    assert plan({(0, 1): 5}, {(0, 1, 1): F(0)}).utilisation(0, 1) == 0


def test_what_is_served() -> None:
    assert [plan().served(service) for service in (0, 1)] == [[1, 1], [1]]
    mixed = {(1, 0, 0): F(1, 2), (2, 0, 0): F(1, 3), (2, 1, 0): F(1, 12), (3, 0, 0): F(1, 4)}
    assert plan(shares=mixed).served(1) == [F(1, 4) + F(5, 12)]
    assert plan(shares=mixed).served(0) == [0, 0]
    assert plan(shares=mixed).requests_per_s() == pytest.approx(10 * 2 / 3)
    assert plan().requests_per_s() == 17


def test_totals() -> None:
    check = plan()
    assert check.chips() == {"red": 4 + 4, "blue": 4 + 2}
    assert [check.total(q) for q in ("chips", "usd_per_hour", "power_w")] == [14, 16 + 18, 5600 + 3000]
    unpriced = plan(supplies=(RED, replace(BLUE, usd_per_hour=None)))
    assert (unpriced.total("usd_per_hour"), unpriced.total("power_w")) == (None, 8600)
    assert plan({(0, 0): 1}, supplies=(RED, replace(BLUE, usd_per_hour=None))).total("usd_per_hour") == 4


def test_a_whole_plan_is_kept() -> None:
    assert plan().broken({}, everything=True) == []
    assert plan().broken({}, everything=False) == []


def without(*keys: Any, **change: Any) -> dict[Any, F]:
    return {key: share for key, share in SHARES.items() if key not in keys}


def test_every_bucket_is_served_where_it_must_be() -> None:
    for keys, broken in (
        ([(0, 0, 1)], ["service:chat"]),
        ([(0, 1, 0)], ["service:chat"]),
        ([(2, 0, 0)], ["service:batch"]),
        ([(1, 0, 0)], ["service:batch"]),
    ):
        own = plan(shares=without(*keys))
        assert own.broken({}, everything=True) == broken
        assert own.broken({}, everything=False) == []


def test_no_bucket_is_served_twice() -> None:
    own = plan(shares=SHARES | {(3, 0, 0): F(1, 100)}, replicas=REPLICAS | {(3, 0): 1})
    assert own.broken({}, everything=True) == own.broken({}, everything=False) == ["service:batch"]


@pytest.mark.parametrize("key", [(0, 0), (0, 1), (1, 0), (2, 0)])
def test_no_setup_is_overloaded(key: tuple[int, int]) -> None:
    own = {k: n for k, n in REPLICAS.items() if k != key}
    assert plan(own).broken({}, everything=True) == ["utilisation"]
    assert plan(REPLICAS | {key: 0}).broken({}, everything=True) == ["utilisation"]


def test_a_replica_may_be_full_and_no_more() -> None:
    for rate, kept in ((10.0, True), (10.0 * (1 - 5e-9), True), (9.99999, False)):
        full = item(1, "decode", {}, rates=[[rate]])
        own = plan(items=(CHAT, PREFILL, full, WHOLE))
        assert own.broken({}, everything=True) == ([] if kept else ["utilisation"])


def test_a_setup_that_cannot_serve_a_bucket_gets_none_of_it() -> None:
    own = plan(shares=SHARES | {(0, 0, 1): F(99, 100), (0, 1, 1): F(1, 100)})
    assert own.broken({}, everything=True) == ["utilisation"]


def test_chips_in_stock() -> None:
    for stock, kept in ((8, True), (7, False), (100, True)):
        assert plan().broken({"inventory:red": stock}, True) == ([] if kept else ["inventory:red"])
    for stock, kept in ((6, True), (5, False)):
        assert plan().broken({"inventory:blue": stock}, True) == ([] if kept else ["inventory:blue"])
    assert plan().broken({"inventory:green": 0}, True) == []
    threes = item(1, "aggregated", {"tensor_parallel": 3, "chips": 3}, rates=[[5.0]])
    shares, replicas = {(0, 0, 0): F(1)}, {(0, 0): 3}
    for node, stock, kept in (
        (8, 9, False),
        (8, 10, False),
        (8, 11, True),
        (None, 9, True),
        (None, 8, False),
    ):
        own = FleetCheck(
            replace(COLUMNS, items=(threes,), supplies=(replace(RED, node=node),)), replicas, shares
        )
        assert own.broken({"inventory:red": stock}, False) == ([] if kept else ["inventory:red"])


def test_a_group_stays_in_the_domain_of_its_chip() -> None:
    small = samples.chip(name="red", scaleup={"topology": "switch", "domain": 4, "bandwidth": "450 GB/s"})
    sixes = item(1, "aggregated", {"tensor_parallel": 6, "chips": 6}, rates=[[10.0]])
    for chip, kept in ((small, False), (None, True)):
        supplies = (replace(RED, chip=chip),)
        own = FleetCheck(replace(COLUMNS, items=(sixes,), supplies=supplies), {(0, 0): 1}, {(0, 0, 0): F(1)})
        assert own.broken({"inventory:red": 8}, False) == ([] if kept else ["inventory:red"])


LIMITS = {"chips_max": 14.0, "usd_per_hour_max": 34.0, "power_w_max": 8600.0}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_at_their_value_and_beside_it(name: str) -> None:
    value = LIMITS[name]
    assert plan().broken({name: value}, True) == plan().broken({name: value * (1 - 5e-10)}, True) == []
    assert plan().broken({name: value * (1 - 1e-6)}, True) == [name]
    bare = (replace(RED, usd_per_hour=None, power_w=None), BLUE)
    unknown = plan(supplies=bare).broken({name: 1e9}, True)
    assert unknown == ([] if name == "chips_max" else [name])


@pytest.mark.parametrize(
    ("replicas", "shares", "kept"),
    [
        ({(3, 0): 4}, {(3, 0, 0): F(1)}, True),
        ({(1, 0): 2, (2, 0): 1}, {(1, 0, 0): F(1), (2, 0, 0): F(1)}, True),
        ({(3, 0): 4, (1, 0): 1, (2, 0): 1}, {(3, 0, 0): F(1)}, False),
        ({(3, 0): 2, (1, 0): 1, (2, 0): 1}, dict.fromkeys([(3, 0, 0), (1, 0, 0), (2, 0, 0)], F(1, 2)), False),
        ({(1, 0): 1, (1, 1): 1, (2, 0): 1}, {(1, 0, 0): F(1, 2), (1, 1, 0): F(1, 2), (2, 0, 0): F(1)}, False),
        ({(3, 0): 4, (1, 0): 0}, {(3, 0, 0): F(1)}, True),
        ({(3, 0): 1, (1, 0): 1, (2, 0): 1}, {}, False),
        ({(1, 0): 1}, {}, True),
        ({}, {}, True),
    ],
)  # fmt: skip
def test_one_setup_for_all_of_a_service(replicas: Any, shares: Any, kept: bool) -> None:
    found = plan(replicas, shares, same=(False, True)).broken({}, everything=False)
    assert ("mix:batch" in found) == (not kept)
    assert not [
        name for name in plan(replicas, shares).broken({}, everything=False) if name.startswith("mix")
    ]
    other = plan(replicas, shares, same=(True, False)).broken({}, everything=False)
    assert not [name for name in other if name.startswith("mix")]  # the other service may mix


def test_the_other_service_may_mix_or_not() -> None:
    assert plan(same=(True, False)).broken({}, True) == ["mix:chat"]
    assert plan(same=(False, True)).broken({}, True) == []


def test_a_decode_pool_reads_the_caches_it_is_handed() -> None:
    for decode, kept in ((0, True), (1, False)):
        own = plan(
            {k: n for k, n in REPLICAS.items() if k[0] != 2} | {(2, decode): 1},
            {k: s for k, s in SHARES.items() if k[0] != 2} | {(2, decode, 0): F(1)},
        )
        assert own.broken({}, True) == ([] if kept else ["kv_dtype:batch"])
    mixed = item(0, "aggregated", {}, {"kv_dtype": "fp8"}, rates=[[8.0, 8.0], [2.0, 2.0]])
    assert plan(items=(mixed, PREFILL, DECODE, WHOLE)).broken({}, True) == []  # nothing is handed over
