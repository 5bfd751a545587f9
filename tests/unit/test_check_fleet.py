"""The checker of fleets: for each of its branches a plan that only it refuses.

Guards the last line before an answer: with any one branch switched off, a test here turns red.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns, Item

ROW = {
    "tensor_parallel": 2,
    "pipeline_parallel": 1,
    "expert_parallel": 1,
    "data_parallel": 1,
    "batch": 1,
    "weight_dtype": "bf16",
    "kv_dtype": "bf16",
    "chips": 2,
    "requests_per_s": 1.0,
    "ttft_ms": 1.0,
    "tpot_ms": 1.0,
    "memory_gib": 0.0,
    "label": "",
    "chip": "red",
}
RED = Supply("red", 8, 1.5, 700.0, 4, None, None)
WHOLE = Fraction(1)


def item(phase: str, rates: list[list[float]], *rows: dict[str, Any]) -> Item:
    table = Replicas.of([ROW | {"mode": phase} | row for row in rows])
    return Item(0, phase, table, np.array(rates), None)


def columns(*items: Item, demands: tuple[float, ...] = (3.0,), same: bool = False) -> FleetColumns:
    return FleetColumns((RED,), ("a",), (demands,), items, (same,), {})


ONE = item("aggregated", [[3.0, 3.0]], {}, {"kv_dtype": "fp8"})
PAIR = (item("prefill", [[3.0, 3.0]], {}, {}), item("decode", [[3.0, 3.0]], {}, {"kv_dtype": "fp8"}))


def broken(
    own: FleetColumns,
    replicas: dict[tuple[int, int], int],
    shares: dict[tuple[int, int, int], Fraction],
    everything: bool = True,
    **bounds: float,
) -> list[str]:
    named = {name.replace("__", ":"): value for name, value in bounds.items()}
    return FleetCheck(own, replicas, shares).broken(named, everything)


def test_good_plans_are_good() -> None:
    limits = {"inventory__red": 2, "chips_max": 2, "usd_per_hour_max": 3.0, "power_w_max": 1400.0}
    assert broken(columns(ONE), {(0, 0): 1}, {(0, 0, 0): WHOLE}, **limits) == []
    pair = {(0, 0): 1, (1, 0): 1}, {(0, 0, 0): WHOLE, (1, 0, 0): WHOLE}
    assert broken(columns(*PAIR, same=True), *pair) == []
    assert broken(columns(ONE), {}, {}, everything=False) == []
    assert broken(columns(ONE, same=True), {}, {}, everything=False) == []


def test_traffic_that_is_not_served_or_served_twice() -> None:
    half = {(0, 0, 0): Fraction(1, 2)}
    assert broken(columns(ONE), {(0, 0): 1}, half) == ["service:a"]
    assert broken(columns(ONE), {(0, 0): 1}, half, everything=False) == []
    twice = {(0, 0, 0): Fraction(4, 3)}
    assert broken(columns(ONE), {(0, 0): 2}, twice, everything=False) == ["service:a"]


def test_a_pair_serves_what_its_thinner_pool_does() -> None:
    shares = {(0, 0, 0): WHOLE, (1, 0, 0): Fraction(1, 2)}
    assert broken(columns(*PAIR), {(0, 0): 1, (1, 0): 1}, shares) == ["service:a"]


def test_overload() -> None:
    slow = columns(item("aggregated", [[2.9]], {}))
    assert broken(slow, {(0, 0): 1}, {(0, 0, 0): WHOLE}) == ["utilisation"]
    barely = columns(item("aggregated", [[3.0 * (1 - 3e-8)]], {}))
    assert broken(barely, {(0, 0): 1}, {(0, 0, 0): WHOLE}) == ["utilisation"]


def test_loads_of_all_buckets_add_up() -> None:
    own = columns(item("aggregated", [[3.0], [3.0]], {}), demands=(2.0, 2.0))
    shares = {(0, 0, 0): WHOLE, (0, 0, 1): WHOLE}
    assert broken(own, {(0, 0): 1}, shares) == ["utilisation"]
    assert broken(own, {(0, 0): 2}, shares) == []


def test_load_on_no_replica_or_on_one_that_cannot() -> None:
    assert broken(columns(ONE), {}, {(0, 0, 0): WHOLE}) == ["utilisation"]
    cannot = columns(item("aggregated", [[0.0]], {}))
    assert broken(cannot, {(0, 0): 9}, {(0, 0, 0): WHOLE}) == ["utilisation"]


def test_stock_and_nodes() -> None:
    assert broken(columns(ONE), {(0, 0): 2}, {(0, 0, 0): WHOLE}, inventory__red=3) == ["inventory:red"]
    three = item("aggregated", [[3.0]], {"tensor_parallel": 3, "chips": 3})
    shares = {(0, 0, 0): WHOLE}
    assert broken(columns(three), {(0, 0): 2}, shares, inventory__red=7) == []
    assert broken(columns(three), {(0, 0): 2}, shares, inventory__red=6) == ["inventory:red"], "4 and 2"


def test_stock_where_nodes_are_unknown() -> None:
    own = replace(columns(ONE), supplies=(replace(RED, node=None),))
    assert broken(own, {(0, 0): 2}, {(0, 0, 0): WHOLE}, inventory__red=3) == ["inventory:red"]
    assert broken(own, {(0, 0): 2}, {(0, 0, 0): WHOLE}, inventory__red=4) == []


@pytest.mark.parametrize("name, value", [("chips", 2), ("usd_per_hour", 3.0), ("power_w", 1400.0)])
def test_limits_on_totals(name: str, value: float) -> None:
    plan = {(0, 0): 1}, {(0, 0, 0): WHOLE}
    assert broken(columns(ONE), *plan, **{f"{name}_max": value}) == []
    assert broken(columns(ONE), *plan, **{f"{name}_max": value * (1 - 1e-6)}) == [f"{name}_max"]


def test_a_total_nobody_knows_keeps_no_limit() -> None:
    own = replace(columns(ONE), supplies=(replace(RED, power_w=None),))
    assert broken(own, {(0, 0): 1}, {(0, 0, 0): WHOLE}, power_w_max=1e9) == ["power_w_max"]


def test_one_setup_a_phase_where_asked() -> None:
    halves = {(0, 0, 0): Fraction(1, 2), (0, 1, 0): Fraction(1, 2)}
    assert broken(columns(ONE), {(0, 0): 1, (0, 1): 1}, halves) == []
    assert broken(columns(ONE, same=True), {(0, 0): 1, (0, 1): 1}, halves) == ["mix:a"]
    both = {(0, 0, 0): WHOLE, (1, 0, 0): WHOLE}
    assert broken(columns(*PAIR, same=True), {(0, 0): 1, (0, 1): 1, (1, 0): 1}, both) == ["mix:a"]
    mixed = columns(*PAIR, replace_service(ONE), same=True)
    assert broken(mixed, {(0, 0): 1, (1, 0): 1, (2, 0): 1}, both) == ["mix:a"]


def replace_service(own: Item) -> Item:
    return Item(own.service, own.phase, own.setups, own.rates, None)


def test_a_decode_that_cannot_read_the_cache() -> None:
    shares = {(0, 0, 0): WHOLE, (1, 1, 0): WHOLE}
    assert broken(columns(*PAIR), {(0, 0): 1, (1, 1): 1}, shares) == ["kv_dtype:a"]
    one = {(0, 0, 0): Fraction(1, 2), (0, 1, 0): Fraction(1, 2)}
    assert broken(columns(ONE), {(0, 0): 1, (0, 1): 1}, one) == [], "whole replicas read their own"
