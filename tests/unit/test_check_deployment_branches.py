"""Every branch of the checker of deployments: a plan that only it refuses, and one at its edge that it keeps.

Guards the last look at an answer. Each limit is tried at its value and a millionth beside it, in each pool;
each figure of a priced row is changed alone.
"""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import samples

from optimizer.columns.deployment import PricedBy
from optimizer.columns.replica_costs import replica_columns
from optimizer.columns.replicas import Replicas
from optimizer.columns.separated_costs import separated_columns
from optimizer.columns.supply import Supply
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.check_loads import Loads
from optimizer.questions.deployment.check_prices import Prices
from optimizer.spec.architecture import Architecture
from optimizer.spec.deployment import ReplicaSpace, Traffic

ROW: dict[str, Any] = {
    "mode": "aggregated", "chip": "red", "tensor_parallel": 2, "pipeline_parallel": 1, "expert_parallel": 1,
    "data_parallel": 1, "batch": 8, "weight_dtype": "bf16", "kv_dtype": "bf16", "chips": 2,
    "requests_per_s": 2.0, "ttft_ms": 200.0, "tpot_ms": 20.0, "memory_gib": 60.0, "label": "",
}  # fmt: skip
SLOW = ROW | {"ttft_ms": 150.0, "tpot_ms": 30.0, "requests_per_s": 1.0}
PREFILL = ROW | {"mode": "prefill", "tpot_ms": 0.0, "requests_per_s": 4.0, "ttft_ms": 100.0}
DECODE = ROW | {"mode": "decode", "ttft_ms": 0.0, "requests_per_s": 3.0, "tpot_ms": 10.0}
RED = Supply("red", None, 2.0, 700.0, 8, 80.0, None)
BLUE = Supply("blue", None, 3.0, 500.0, 4, 40.0, None)
ROWS = Replicas.of([ROW, SLOW, PREFILL, DECODE])


def plan(counts: dict[int, int], rows: Any = ROWS, **fields: Any) -> DeploymentCheck:
    own: dict[str, Any] = {"supplies": (RED, BLUE), "factors": {}, "demand": None}
    return DeploymentCheck(rows, counts=counts, **(own | fields))


def test_rates_are_added_by_pool() -> None:
    found = plan({0: 2, 1: 3, 2: 1, 3: 2})
    assert found.loads.planned("aggregated") == 2 * 2 + 3 * 1
    assert (found.loads.planned("prefill"), found.loads.planned("decode")) == (4, 6)
    assert found.loads.served == 7 + 4
    assert plan({3: 2}).loads.served == 0
    factors = {"aggregated": 0.5, "prefill": 0.25, "decode": 0.75}
    shares = plan({0: 2, 2: 1, 3: 2}, factors=factors, utilisation_max=0.8)
    assert shares.loads.planned("aggregated") == Fraction(4 * 4, 10)
    assert shares.loads.planned("prefill") == Fraction(8, 10)
    assert shares.loads.planned("decode") == Fraction(36, 10)
    given = plan({0: 2, 1: 1}, given={0: 1.5, 1: 9.0})
    assert given.loads.planned("aggregated") == 2 * Fraction(3, 2) + 1  # no more than stated


def test_loads_are_spread_evenly() -> None:
    found = plan({0: 2, 2: 1, 3: 2}, demand=6.0).loads  # serves 4 + min(4, 6) = 8
    assert [found.load(mode) for mode in ("aggregated", "prefill", "decode")] == [3, 3, 3]
    assert [found.utilisation(mode) for mode in ("aggregated", "prefill", "decode")] == [0.75, 0.75, 0.5]
    full = plan({0: 2, 2: 1, 3: 2}).loads
    assert [full.load(mode) for mode in ("aggregated", "prefill", "decode")] == [4, 4, 4]
    over = replace(found, demand=10.0)
    assert over.load("aggregated") == 4
    idle = plan({2: 1}, demand=1.0).loads
    assert (idle.load("prefill"), idle.utilisation("prefill"), idle.utilisation("decode")) == (0, 0, 0)


def test_totals() -> None:
    apart = DECODE | {"expert_chip": "blue", "expert_chips": 3}
    found = plan({0: 2, 1: 1, 2: 1, 3: 2}, Replicas.of([ROW, SLOW, PREFILL, apart]))
    assert found.totals() == {
        "chips": 4 + 2 + 2 + 4 + 6,
        "requests_per_s": 2 * 2 + 1 + 4,
        "usd_per_hour": 12 * 2 + 6 * 3,
        "power_w": 12 * 700 + 6 * 500,
        "nodes": 2 + 2,
        "ttft_ms": 200,
        "tpot_ms": 30,
    }
    assert (found.chips("red"), found.chips("blue")) == (12, 6)
    unpriced = replace(
        found, supplies=(replace(RED, usd_per_hour=None), replace(BLUE, power_w=None, node=None))
    )
    assert not {"usd_per_hour", "power_w", "nodes"} & set(unpriced.totals())
    spare = replace(plan({0: 1}), supplies=(RED, replace(BLUE, usd_per_hour=None, power_w=None, node=None)))
    assert {"usd_per_hour", "power_w", "nodes"} <= set(spare.totals())  # a kind that is not used
    assert "tpot_ms" not in plan({2: 1}).totals()
    assert "ttft_ms" not in plan({3: 1}).totals()


AT: dict[str, tuple[dict[int, int], float]] = {
    "ttft_ms_max": ({0: 1, 1: 1}, 200.0),
    "tpot_ms_max": ({0: 1, 1: 1}, 30.0),
    "chips_max": ({0: 2}, 4.0),
    "nodes_max": ({0: 5}, 2.0),
    "usd_per_hour_max": ({0: 2}, 8.0),
    "power_w_max": ({0: 2}, 2800.0),
}


@pytest.mark.parametrize("name", AT)
def test_each_limit_at_its_value_and_beside_it(name: str) -> None:
    counts, value = AT[name]
    own = plan(counts)
    assert own.broken({name: value}) == own.broken({name: value * (1 - 5e-10)}) == []
    assert own.broken({name: value * (1 - 1e-6)}) == [name]
    assert own.broken({name: value / 2}) == [name]


def test_what_is_not_known_is_over_every_limit_but_a_latency_of_no_replica() -> None:
    unpriced = (replace(RED, usd_per_hour=None, power_w=None, node=None),)
    own = plan({2: 1, 3: 1}, supplies=unpriced)
    for name in ("usd_per_hour_max", "power_w_max", "nodes_max"):
        assert own.broken({name: 1e9}) == [name]
        assert plan({}, supplies=unpriced).broken({name: 0.0}) == []
    assert plan({3: 1}).broken({"ttft_ms_max": 1.0}) == []
    assert plan({2: 1}).broken({"tpot_ms_max": 1.0}) == []


def test_chips_in_stock() -> None:
    for counts, stock, kept in (({0: 2}, 4, True), ({0: 2}, 3, False), ({0: 1}, 3, True), ({}, 0, True)):
        own = plan(counts, supplies=(replace(RED, count=stock), BLUE))
        assert own.broken({}) == ([] if kept else ["inventory:red"])
    threes = Replicas.of([ROW | {"tensor_parallel": 3, "chips": 3}])
    for stock, kept in ((9, False), (10, False), (11, True)):  # 3 and 3 in a node of 8, the rest in the next
        own = plan({0: 3}, threes, supplies=(replace(RED, count=stock),))
        assert own.broken({}) == ([] if kept else ["inventory:red"])
        loose = plan({0: 3}, threes, supplies=(replace(RED, count=stock, node=None),))
        assert loose.broken({}) == []
    apart = Replicas.of([DECODE | {"expert_chip": "blue", "expert_chips": 3}])
    for stock, kept in ((6, True), (5, False)):
        own = plan({0: 2}, apart, supplies=(RED, replace(BLUE, count=stock)))
        assert own.broken({}) == ([] if kept else ["inventory:blue"])


def test_a_group_stays_in_the_domain_of_its_chip() -> None:
    """A node of 8 with domains of 4 holds two groups of 3, not the four that its chips would."""
    small = samples.chip(name="red", scaleup={"topology": "switch", "domain": 4, "bandwidth": "450 GB/s"})
    threes = Replicas.of([ROW | {"tensor_parallel": 3, "chips": 3}])
    found = plan({0: 3}, threes, supplies=(replace(RED, chip=small),))
    assert found.totals()["nodes"] == 2
    sixes = Replicas.of([ROW | {"tensor_parallel": 6, "chips": 6}])
    assert plan({0: 1}, sixes, supplies=(replace(RED, chip=small, count=8),)).broken({}) == ["inventory:red"]
    assert plan({0: 1}, sixes, supplies=(replace(RED, count=8),)).broken({}) == []


def test_traffic_served() -> None:
    own = plan({0: 1, 2: 1, 3: 1})
    for demand, kept in ((5.0, True), (5.0 * (1 + 5e-10), True), (5.000001, False), (6.0, False)):
        assert replace(own, demand=demand).broken({}) == ([] if kept else ["requests_per_s"])


def test_memory_of_both_sides() -> None:
    apart = DECODE | {"expert_chip": "blue", "expert_chips": 3, "expert_memory_gib": 30.0}
    rows = Replicas.of([ROW, apart])
    for share, kept in ((0.75, True), (0.75 * (1 - 1e-6), False), (1.0, True)):
        assert plan({0: 1}, rows).broken({"memory_capacity": share}) == ([] if kept else ["memory_capacity"])
        assert plan({1: 1}, rows).broken({"memory_capacity": share}) == ([] if kept else ["memory_capacity"])
    full = Replicas.of([ROW | {"memory_gib": 10.0}, apart | {"expert_memory_gib": 31.0, "memory_gib": 1.0}])
    assert plan({0: 1, 1: 1}, full).broken({"memory_capacity": 0.75}) == ["memory_capacity"]
    assert plan({0: 1, 1: 1}, full).broken({}) == []
    unknown = (replace(RED, usable_gib=None), BLUE)
    assert plan({0: 1}, supplies=unknown).broken({"memory_capacity": 0.01}) == []


def test_a_second_tier_has_room() -> None:
    tier = {"kind": "ddr", "capacity": "64 GiB", "bandwidth": "100 GB/s"}
    own = samples.chip(name="red", second_tier=tier)
    for spilled, kept in ((0.0, True), (64.0, True), (64.0 * (1 + 5e-10), True), (64.001, False)):
        rows = Replicas.of([ROW | {"second_tier_gib": spilled}])
        assert plan({0: 1}, rows, supplies=(replace(RED, chip=own),)).broken({}) == (
            [] if kept else ["second_tier"]
        )
        behind = plan(
            {0: 1}, rows, supplies=(BLUE, replace(RED, chip=own))
        )  # the tier of its own kind counts
        assert behind.broken({}) == ([] if kept else ["second_tier"])
        bare = plan({0: 1}, rows, supplies=(replace(RED, chip=samples.chip(name="red")),))
        assert bare.broken({}) == ([] if spilled == 0 else ["second_tier"])
        assert plan({0: 1}, rows).broken({}) == ([] if spilled == 0 else ["second_tier"])


@pytest.mark.parametrize(("mode", "stated"), [("aggregated", 2.0), ("prefill", 4.0), ("decode", 6.0)])
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_no_pool_is_busier_than_allowed(mode: str, stated: float, factor: float) -> None:
    """Three quarters of a factor of what the pool states; the pools that it meets have room."""
    wide = Replicas.of(
        [ROW, PREFILL, DECODE, PREFILL | {"requests_per_s": 99.0}, DECODE | {"requests_per_s": 99.0}]
    )
    counts = {"aggregated": {0: 1}, "prefill": {1: 1, 4: 1}, "decode": {2: 2, 3: 1}}[mode]
    for busy, kept in ((0.75, True), (0.75 * (1 + 5e-10), True), (0.7500001, False), (1.0, False)):
        own = plan(counts, wide, factors={mode: factor}, demand=stated * factor * busy, utilisation_max=0.75)
        assert own.broken({}) == ([] if kept else ["requests_per_s"])


def test_an_overloaded_queue_has_no_percentile() -> None:
    """What is given to a replica may be more than it serves: then no wait is short enough."""
    rows = Replicas.of([ROW | {"ttft_ms": 500.0}])
    for load, broken in ((1.9, []), (2.0, ["percentile"]), (2.1, ["percentile"])):
        own = DeploymentCheck(rows, (RED,), {0: 1}, {}, load, percentile=90.0)
        vars(own)["loads"] = OverGiven(own.rows, own.counts, own.factors, own.demand)
        assert own.broken({"ttft_ms_max": 1e6}) == broken


class OverGiven(Loads):
    """A plan whose rates are not held to what rows state."""

    def planned_rate(self, index: int) -> Fraction:
        return Fraction(3)


@pytest.mark.parametrize("mode", ["aggregated", "prefill"])
def test_the_wait_at_a_percentile(mode: str) -> None:
    """M/M/1: late with probability rho exp(-(1 - rho) mu t), mu the faster of rate and 1 / TTFT."""
    for rate, ttft in ((10.0, 50.0), (10.0, 200.0)):
        own = (ROW if mode == "aggregated" else PREFILL) | {"requests_per_s": rate, "ttft_ms": ttft}
        fast = DECODE | {"requests_per_s": 1000.0}
        rows, counts = Replicas.of([own, fast]), ({0: 2} if mode == "aggregated" else {0: 2, 1: 1})
        mu = max(rate, 1e3 / ttft)
        for load in (1.0, 4.0, 8.0):
            check = plan(counts, rows, demand=2 * load, percentile=95.0)
            rho = load / mu
            wait = max(0.0, 1e3 * math.log(rho / 0.05) / ((1 - rho) * mu))
            edge = ttft + wait
            assert check.broken({"ttft_ms_max": edge * (1 + 1e-9)}) == []
            beyond = check.broken({"ttft_ms_max": edge * (1 - 1e-6)})
            assert ("percentile" in beyond) == (wait > 0)
            assert replace(check, percentile=None).broken({"ttft_ms_max": edge * (1 + 1e-9)}) == []
            assert check.broken({}) == []
    assert plan({3: 1}, demand=None, percentile=95.0).broken({"ttft_ms_max": 1e-3}) == []


def test_the_wait_of_each_row_of_a_pool() -> None:
    """Load is spread by planned rate: the slow row's replicas get a third of the others'."""
    rows = Replicas.of(
        [ROW | {"requests_per_s": 9.0, "ttft_ms": 100.0}, ROW | {"requests_per_s": 3.0, "ttft_ms": 300.0}]
    )
    check = plan({0: 1, 1: 2}, rows, demand=7.5, percentile=90.0, given={0: 6.0, 1: 2.0})

    def edge(load: float, rate: float, ttft: float) -> float:
        mu = max(rate, 1e3 / ttft)
        rho = load / mu
        return ttft + max(0.0, 1e3 * math.log(rho / 0.1) / ((1 - rho) * mu))

    worst = max(edge(7.5 * 6 / 10, 9.0, 100.0), edge(7.5 * 2 / 10, 3.0, 300.0))
    assert check.broken({"ttft_ms_max": worst * (1 + 1e-8)}) == []
    assert check.broken({"ttft_ms_max": worst * (1 - 1e-6)}) == ["percentile"]


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        ({}, True), ({0: 3}, True), ({2: 1}, True), ({3: 2}, True), ({2: 1, 3: 2}, True),
        ({0: 1, 1: 1}, False), ({0: 1, 2: 1}, False), ({0: 1, 2: 1, 3: 1}, False),
    ],
)  # fmt: skip
def test_a_mix_of_one_setup(counts: dict[int, int], kept: bool) -> None:
    assert plan(counts, same=True).broken({}) == ([] if kept else ["mix"])
    assert plan(counts).broken({}) == []
    two = Replicas.of([PREFILL, PREFILL, DECODE])
    assert plan({0: 1, 1: 1, 2: 1}, two, same=True).broken({}) == ["mix"]


def test_caches_that_cannot_be_read() -> None:
    rows = Replicas.of([PREFILL, DECODE | {"kv_dtype": "fp8"}, ROW | {"kv_dtype": "fp8"}])
    assert plan({0: 1, 1: 1}, rows).broken({}) == ["kv_dtype"]
    assert plan({0: 1, 2: 1}, rows).broken({}) == plan({1: 1, 2: 1}, rows).broken({}) == []


# Figures of rows that the cost model priced.

TRAFFIC = Traffic(input_tokens=100, output_tokens=20, prefix_tokens=10, requests_per_s=1.0, percentile="none")
MXFP4 = {"method": "mxfp4", "experts": {"dtype": "mxfp4", "bits": 4, "group": 32, "scale_bits": 8}}
MOE = Architecture.model_validate(
    {
        "name": "moe", "d_model": 64, "vocab_size": 1000, "n_layers": 6, "n_heads": 8, "n_kv_heads": 4,
        "d_head": 16, "n_experts": 12, "n_active_experts": 2, "d_expert": 48, "checkpoint": MXFP4,
        "tied_embeddings": True, "position_embeddings": 7, "n_norms": 4, "norm_bias": True,
    }
)  # fmt: skip
TIER = {"kind": "ddr", "capacity": "1 GiB", "bandwidth": "100 GB/s", "share": 0.5}


def priced(
    separated: bool = False,
    usable_gib: float = 79.0,
    share: float = 1.0,
    node: int = 8,
    domain: int = 8,
    **space: Any,
) -> Any:
    link = {"topology": "switch", "domain": domain, "bandwidth": "450 GB/s"}
    own = samples.chip(scaleout_bandwidth="25 GB/s", second_tier=TIER, scaleup=link)
    own = own.model_copy(update={"hbm_usable": usable_gib * 2**30})
    fast = {"hbm_bandwidth": "4 TB/s", "scaleout_bandwidth": "10 GB/s"}
    other = samples.chip(name="other", scaleup=link, **fast)
    supplies = tuple(Supply(c.name, None, 1.0, 1.0, node, 79.0, c) for c in (own, other))
    asked = ReplicaSpace.model_validate({"tensor_parallel": 2, "engine": "trtllm", "reserve_gib": 0} | space)
    if separated:
        table, _ = separated_columns(MOE, supplies, asked, TRAFFIC)
    else:
        table, _ = replica_columns(MOE, supplies, asked, TRAFFIC, share)
    return table, Prices(PricedBy(MOE, asked, TRAFFIC, share), supplies)


SPACES: dict[str, dict[str, Any]] = {
    "aggregated": {"batch": [4, 12]},
    "stages": {"batch": [6, 12], "pipeline_parallel": [2, 3], "draft_tokens": 2},
    "ranks": {"batch": [8], "data_parallel": [2, 4, 8], "expert_parallel": [1, 2, 4], "host_ms": 3.0},
    "prefill and decode": {
        "mode": "disaggregated",
        "batch": [6],
        "prefill_batch": [1, 4],
    },
    "second tier": {"batch": [4, 64], "second_tier": True, "usable_gib": 0.003, "share": 0.9},
    "experts apart": {
        "separated": True,
        "mode": "separated",
        "expert_parallel": 3,
        "data_parallel": 2,
        "batch": 12,
    },
    "wide ranks": {"batch": [8], "tensor_parallel": [4, 8], "data_parallel": [1, 2], "domain": 2},
    "wide stages": {"batch": [12], "tensor_parallel": [1, 4], "pipeline_parallel": [2, 3, 6], "domain": 6},
    "experts apart with drafts": {"separated": True, "expert_parallel": 3, "batch": 12, "draft_tokens": 2},
    "small nodes": {"batch": [8], "data_parallel": [2, 4], "expert_parallel": [1, 2], "node": 4},
    "large nodes": {"batch": [8], "data_parallel": [4, 8], "expert_parallel": [1, 2], "node": 16},
    "formats": {"batch": [4], "weight_dtype": ["bf16", "int8"], "kv_dtype": ["bf16", "fp8"]},
}
FIGURES = (
    "chips",
    "requests_per_s",
    "ttft_ms",
    "tpot_ms",
    "memory_gib",
    "expert_memory_gib",
    "second_tier_gib",
)


@pytest.mark.parametrize("name", SPACES)
def test_a_priced_row_has_the_figures_of_its_setup(name: str) -> None:
    table, prices = priced(**SPACES[name])
    assert len(table)
    rows = [table.row(i) for i in range(len(table))]
    assert not any(map(prices.differs, rows))
    for row in rows:
        for figure in FIGURES:
            if row[figure] or figure != "second_tier_gib":  # a row that says it spills is priced otherwise
                for by in (1e-6, -1e-6):
                    other = row[figure] * (1 + by) if row[figure] else by
                    assert prices.differs(row | {figure: other}), figure
                assert not prices.differs(row | {figure: row[figure] * (1 + 1e-10)})
    if name == "second tier":
        assert any(row["second_tier_gib"] for row in rows)
        for row in (r for r in rows if r["second_tier_gib"]):
            assert prices.differs(row | {"second_tier_gib": 0.0})


@pytest.mark.parametrize("name", SPACES)
def test_a_row_with_the_figures_of_another_setup_is_refused(name: str) -> None:
    table, prices = priced(**SPACES[name])
    rows = [table.row(i) for i in range(len(table))]
    for row in rows:
        for change in (
            {"batch": row["batch"] + 12},
            {"tensor_parallel": 1, "chips": row["chips"] // 2},
            {"weight_dtype": "int4"},
            {"chip": "other" if row["chip"] == "sample" else "sample"},
        ):
            assert prices.differs(row | change), change


def test_a_load_factor_lengthens_the_first_token_of_prefill_replicas() -> None:
    table, plain = priced(mode="disaggregated", batch=[6])
    by = replace(plain.by, space=plain.by.space.model_copy(update={"prefill_ttft_factor": 1.5}))
    loaded = Prices(by, plain.supplies)
    for row in (table.row(i) for i in range(len(table))):
        longer = row | {"ttft_ms": 1.5 * row["ttft_ms"]}
        assert not loaded.differs(longer)
        assert loaded.differs(row) == (row["mode"] == "prefill")


def test_the_checker_asks_for_prices_where_the_cost_model_gave_them() -> None:
    table, prices = priced(batch=[4])
    wrong = Replicas.of([table.row(0) | {"tpot_ms": table.row(0)["tpot_ms"] / 2}])
    own: dict[str, Any] = {"supplies": tuple(prices.supplies), "factors": {}, "demand": None}
    for rows, broken in ((table, []), (wrong, ["prices"])):
        check = DeploymentCheck(rows, counts={0: 1}, **own, priced_by=prices.by)
        assert check.broken({}) == broken
        assert replace(check, priced_by=None).broken({}) == []
