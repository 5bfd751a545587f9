"""Seconds and bytes of each operator and each exchange, term by term, on a chip of round numbers.

Guards against a term, factor, rounding or fallback that is lost: predictions against measured points have
tolerances that hide one. The formulas are those of the docstrings, worked out here again.
"""

import math
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.blocks import operators as o
from optimizer.cost import collectives as c
from optimizer.cost.experts import copies_per_token, distinct_ranks, exchange_bytes, experts_cost
from optimizer.cost.operator_cost import Cost
from optimizer.cost.quantisation import gemm_efficiency, wave_efficiency
from optimizer.cost.roofline import Roofline
from optimizer.spec.chip import UNMEASURED_EXPERTS, Chip
from optimizer.spec.dtypes import PLAIN
from optimizer.spec.engine import IDEAL
from optimizer.spec.split import Formats, Split

P, W, NET, HBM = 1e15, 450e9, 50e9, 2e12
US = 1e-6


def shot(us: float, link: float) -> dict[str, Any]:
    return {"latency": f"{us} us", "link": link}


EFFICIENCY: dict[str, Any] = {
    "gemm": {
        "bf16": {"compute": 0.5, "memory": 0.8, "overhead": "5 us"},
        "fp8": {"compute": 0.4, "memory": 0.7, "overhead": "6 us"},
        "int4": {"compute": 0.3, "memory": 0.6, "overhead": "7 us"},
    },
    "attention_prefill": {64: {"peak": 0.4, "half": 100}, 128: {"peak": 0.5, "half": 300}},
    "attention_decode": {
        "bf16": {"memory": 0.6, "overhead": "10 us"},
        "fp8": {"memory": 0.55, "overhead": "11 us"},
    },
    "elementwise": {"memory": 0.75, "overhead": "3 us"},
    "all_reduce": {
        4: {"one_shot": shot(5, 0.5), "two_shot": shot(9, 0.6), "large": shot(20, 0.8)},
        8: {"one_shot": shot(6, 0.45), "two_shot": shot(11, 0.65)},
    },
    "collectives": {
        "all_gather": {4: [shot(7, 0.3), shot(15, 0.7)], 6: [shot(8, 0.35)]},
        "reduce_scatter": {4: [shot(7.5, 0.33)]},
        "all_to_all": {4: [shot(8.5, 0.36)]},
    },
    "point_to_point": shot(12, 0.88),
    "scaleout": shot(14, 0.9),
}


def chip(**fields: Any) -> Chip:
    own = {"dense_flops": {"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"}, "hbm_bandwidth": "2 TB/s"}
    own |= {"scaleout_bandwidth": "50 GB/s", "efficiency": EFFICIENCY}
    return samples.chip(**(own | fields))


ENGINE = IDEAL.model_copy(
    update={"compute": 1.2, "attention_decode": 0.9, "all_reduce": 0.8, "all_reduce_us": 2.5}
)


def rates(
    t: int = 4, weights: str = "bf16", kv: str = "bf16", part: Chip | None = None, **fields: Any
) -> Roofline:
    formats = Formats(weights, kv, fields.pop("expert_dtype", ""))
    return Roofline(part or chip(), Split(t), formats, **({"engine": ENGINE} | fields))


def costs(cost: Cost) -> list[float]:
    return [float(value) for value in astuple(cost)]


def close(*terms: float) -> Any:
    return pytest.approx(list(terms), rel=1e-12, abs=0)


# Format, bytes a weight, bytes an activation, peak, the three figures of its kernel.
FORMATS = [
    ("bf16", 2, 2, P, 0.5, 0.8, 5),
    ("fp8", 1, 1, 2 * P, 0.4, 0.7, 6),
    ("mxfp8", 33 / 32, 33 / 32, 2 * P, 0.4, 0.7, 6),
    ("int8", 1, 2, P, 0.5, 0.8, 5),  # weight only; not measured: bf16's kernel
    ("int4", 0.5 + 2 / 128, 2, P, 0.3, 0.6, 7),  # measured
    ("nvfp4", 0.5625, 2, P, 0.5, 0.8, 5),  # no 4-bit arithmetic on this chip
]


@pytest.mark.parametrize(("dtype", "weight", "activation", "peak", "compute", "memory", "us"), FORMATS)
def test_a_product(
    dtype: str, weight: float, activation: float, peak: float, compute: float, memory: float, us: float
) -> None:
    flops, moved = 2 * 10 * 20 * 30, weight * 20 * 30 + activation * 10 * 30 + 2 * 10 * 20
    expected = close(flops, moved, 0, flops / (peak * compute * 1.2), moved / (HBM * memory), 0, us * US)
    assert costs(rates(weights=dtype).cost(o.Gemm("", 10, 20, 30))) == expected
    assert costs(rates(weights="bf16").cost(o.Gemm("", 10, 20, 30, dtype))) == expected


def test_decode_attention() -> None:
    op = o.DecodeAttention("", batch=3, context=50, n_heads=8, n_kv_heads=2, d_head=5, queries=2)
    flops = 4 * 3 * 2 * 8 * 5 * 50
    for kv, element, share, us in (("bf16", 2, 0.6, 10), ("fp8", 1, 0.55, 11)):
        moved = 3 * (2 * 2 * 5 * 50 * element + 2 * 2 * 2 * 8 * 5)
        memory_s = moved / (HBM * share * 0.9)
        expected = close(flops, moved, 0, flops / (P * 0.55), memory_s, 0, us * US)
        assert costs(rates(kv=kv).cost(op)) == expected
    fast = IDEAL.model_copy(update={"attention_decode": 2.0})  # no engine reads faster than the memory
    moved = 3 * (2 * 2 * 5 * 50 * 2 + 2 * 2 * 2 * 8 * 5)
    assert costs(rates(engine=fast).cost(op))[4] == pytest.approx(moved / HBM)
    table = EFFICIENCY | {"attention_decode": {"bf16": EFFICIENCY["attention_decode"]["bf16"]}}
    unmeasured = rates(kv="fp8", part=chip(efficiency=table)).cost(op)
    assert costs(unmeasured)[4] == pytest.approx(3 * (1000 + 320) / (HBM * 0.54))


def test_query_heads_read_for_themselves_where_there_are_many() -> None:
    """Of an engine on one maker's chips: up to 24 heads x sequences the 2 groups read, then the 8 heads."""
    own = IDEAL.model_copy(update={"heads_share_up_to": {"AMD": 24}})
    for batch, devices, readers in ((3, 1, 2), (4, 1, 8), (6, 2, 2), (7, 2, 8)):
        op = o.DecodeAttention("", batch=batch, context=50, n_heads=8, n_kv_heads=2, d_head=5)
        moved = batch * (2 * readers * 5 * 50 * 2 + 2 * 2 * 8 * 5)
        part = chip(vendor="AMD", devices=devices)
        assert costs(rates(engine=own, part=part).cost(op))[1] == pytest.approx(moved)
    other = batch * (2 * 2 * 5 * 50 * 2 + 2 * 2 * 8 * 5)
    assert costs(rates(engine=own).cost(op))[1] == pytest.approx(other)  # of another maker


def test_devices_of_one_chip_exchange_what_ranks_would() -> None:
    """An all-reduce of two devices passes every byte once over the links of the chip; of one, nothing."""
    op, link = o.AllReduce("", 3e6), rates().chip.scaleup.bandwidth
    two = chip(
        devices=2,
        efficiency=EFFICIENCY | {"all_reduce": {2: {"one_shot": shot(1, 0.1), "two_shot": shot(9, 0.5)}}},
    )
    alone = costs(rates(1).cost(op))
    paired = rates(1, part=two, engine=IDEAL).cost(op)
    assert (alone[5], alone[6]) == (0, 0)
    assert float(paired.link_s) == pytest.approx(3e6 / (0.5 * link))
    assert float(paired.overhead_s) == pytest.approx(9 * US)
    asked = IDEAL.model_copy(update={"all_reduce_us": 2.5})
    assert float(rates(1, part=two, engine=asked).cost(op).overhead_s) == pytest.approx(11.5 * US)


def test_latent_attention() -> None:
    """Each head multiplies its query with latent and rotary key, and its weights with the latent."""
    op = o.LatentAttention("", batch=3, context=50, n_heads=8, d_latent=6, d_rope=3, queries=2)
    flops = 2 * 3 * 2 * 8 * (6 + 3 + 6) * 50
    for kv, element, share, us in (("bf16", 2, 0.6, 10), ("fp8", 1, 0.55, 11)):
        moved = 3 * ((6 + 3) * 50 * element + 2 * 2 * 8 * (6 + 3 + 6))
        memory_s = moved / (HBM * share * 0.9)
        expected = close(flops, moved, 0, flops / (P * 0.55), memory_s, 0, us * US)
        assert costs(rates(kv=kv).cost(op)) == expected


@pytest.mark.parametrize(
    ("d_head", "peak", "half"),
    [(5, 0.4, 100), (64, 0.4, 100), (127, 0.4, 100), (128, 0.5, 300), (256, 0.5, 300)],
)
def test_prefill_attention(d_head: int, peak: float, half: float) -> None:
    op = o.PrefillAttention(
        "", tokens=11, window=30, n_heads=8, n_kv_heads=2, d_head=d_head, prompts=2, prefix=5, chunks=3
    )
    pairs = sum(min(place, 30) for place in range(6, 39)) / 3
    flops = 2 * 2 * 2 * pairs * 8 * d_head
    # Queries and outputs of all heads, keys and values of the chunk and of what comes before it (5, 16, 27).
    moved = 2 * (2 * 2 * 11 * 8 * d_head + 2 * 2 * (11 + 16) * 2 * d_head)
    share = peak * 11 / (11 + half) * 1.2
    expected = close(flops, moved, 0, flops / (P * share), moved / (HBM * 0.75), 0, 10 * US)
    assert costs(rates(kv="fp8").cost(op)) == expected


def test_prefill_attention_in_8_bit() -> None:
    """As fast as the chip's 8-bit products; of 16 bit on a chip without them. Bytes stay."""
    op = o.PrefillAttention("", 11, 30, 8, 2, 64)
    plain, narrow = (rates().cost(replace(op, dtype=dtype)) for dtype in ("bf16", "fp8"))
    peaks = rates().chip.dense_flops
    assert narrow.compute_s == pytest.approx(plain.compute_s * peaks["bf16"] / peaks["fp8"])
    assert narrow.compute_s < plain.compute_s and narrow.memory_s == plain.memory_s
    without = replace(rates(), chip=rates().chip.changed(dense_flops={"bf16": P}))
    assert without.cost(replace(op, dtype="fp8")).compute_s == pytest.approx(plain.compute_s)


def test_prefill_attention_of_kinds_at_once() -> None:
    op = o.PrefillAttention("", 11, 30, 8, 2, np.array([5, 64, 128]))
    found = rates().cost(op).seconds
    assert found.tolist() == [float(rates().cost(replace(op, d_head=d)).seconds) for d in (5, 64, 128)]


def test_copies_and_the_host() -> None:
    assert costs(rates().cost(o.Elementwise("", 3e6))) == close(0, 3e6, 0, 0, 3e6 / (HBM * 0.75), 0, 3 * US)
    assert costs(rates().cost(o.Host("", 0.004))) == close(0, 0, 0, 0, 0, 0, 0.004)


def test_an_operator_of_some_kinds() -> None:
    whole = rates().cost(o.Gemm("", 10, 20, 30))
    found = rates().cost(o.ForSome(o.Gemm("own", 10, 20, 30), np.array([0, 1])))
    for name in ("flops", "bytes", "compute_s", "memory_s", "overhead_s", "seconds"):
        assert getattr(found, name).tolist() == [0, float(getattr(whole, name))]
    assert o.ForSome(o.Gemm("own", 1, 1, 1), 1).name == "own"


def test_an_operator_takes_its_longest_resource_and_its_overhead() -> None:
    for terms, bound in (((5, 3, 2, 1), "compute"), ((3, 5, 2, 1), "memory"), ((3, 2, 5, 1), "link")):
        cost = Cost(0, 0, 0, *terms)
        assert (cost.seconds, cost.bound_by) == (6, bound)
    assert Cost(0, 0, 0, 1, 2, 3, 4).bound_by == "overhead"
    assert astuple(Cost(1, 2, 3, 4, 5, 6, 7).times(0.5)) == (0.5, 1, 1.5, 2, 2.5, 3, 3.5)
    series = [o.Elementwise("", 3e6), o.Host("", 0.004)]
    assert rates().seconds(series) == pytest.approx(3e6 / (HBM * 0.75) + 3 * US + 0.004)


# Exchanges.


def test_all_reduce_inside_a_domain_by_its_fastest_algorithm() -> None:
    for n in (3, 4):
        ring = 2 * (n - 1) / n
        ways = [(5 * US, (n - 1) / 0.5), (9 * US, ring / 0.6), (20 * US, ring / 0.8)]
        best = set()
        for size in (1e3, 2e6, 1e9):
            times = [latency + bytes_ * size / W for latency, bytes_ in ways]
            first = times.index(min(times))
            found = c.all_reduce_s(size, c.Group(n, n), chip())
            assert [float(x) for x in found] == close(times[first], ways[first][0])
            best.add(first)
        assert best == {0, 1, 2}
    small, large = (c.all_reduce_s(size, c.Group(5, 5), chip()) for size in (1e3, 1e9))  # the kernel for 8
    assert float(small[0]) == pytest.approx(6 * US + 4e3 / (0.45 * W))
    assert float(large[0]) == pytest.approx(11 * US + 2 * 4 / 5 * 1e9 / (0.65 * W))
    beyond = chip(scaleup={"topology": "switch", "domain": 16, "bandwidth": "450 GB/s"})
    assert float(c.all_reduce_s(1e9, c.Group(16, 16), beyond)[0]) == pytest.approx(
        11 * US + 2 * 15 / 16 * 1e9 / (0.65 * W)
    )
    assert [float(x) for x in c.all_reduce_s(1e9, c.Group(1, 1), chip())] == [0, 0]


def test_equally_fast_algorithms_count_the_latency_of_the_first() -> None:
    same = {"all_gather": {4: [shot(7, 0.5), shot(7, 0.5)]}}
    own = chip(efficiency=EFFICIENCY | {"collectives": same})
    assert float(c.all_gather_s(1e6, c.Group(4, 4), own)[1]) == pytest.approx(7 * US)


def test_other_exchanges_inside_a_domain() -> None:
    gather = c.all_gather_s
    assert float(gather(1e3, c.Group(2, 2), chip())[0]) == pytest.approx(7 * US + 500 / (0.3 * W))
    assert float(gather(1e9, c.Group(4, 4), chip())[0]) == pytest.approx(15 * US + 0.75e9 / (0.7 * W))
    assert float(gather(1e6, c.Group(5, 5), chip())[0]) == pytest.approx(8 * US + 0.8e6 / (0.35 * W))
    beyond = [float(x) for x in gather(1e6, c.Group(8, 8), chip())]  # two more steps of a ring
    assert beyond == close(8 * US + 2 * 0.6 * US + 0.875e6 / (0.35 * W), 9.2 * US)
    scatter = [float(x) for x in c.reduce_scatter_s(1e6, c.Group(8, 8), chip())]
    assert scatter == close(7.5 * US + 4 * 0.6 * US + 0.875e6 / (0.33 * W), 9.9 * US)
    a2a = [float(x) for x in c.all_to_all_s(1e6, c.Group(8, 8), chip())]
    assert a2a == close(8.5 * US + 0.875e6 / (0.36 * W), 8.5 * US)
    for exchange in (gather, c.reduce_scatter_s, c.all_to_all_s):
        assert [float(x) for x in exchange(1e6, c.Group(1, 1), chip())] == [0, 0]


def test_unmeasured_links_use_the_medians_of_their_kind() -> None:
    bare = {k: v for k, v in EFFICIENCY.items() if k not in ("all_reduce", "collectives")}
    switch, pcie = (
        chip(efficiency=bare, scaleup={"topology": kind, "domain": 8, "bandwidth": "450 GB/s"})
        for kind in ("switch", "pcie")
    )
    found = {
        (name, part.scaleup.topology): [float(exchange(size, c.Group(8, 8), part)[0]) for size in (1e3, 1e9)]
        for part in (switch, pcie)
        for name, exchange in (("ar", c.all_reduce_s), ("ag", c.all_gather_s), ("a2a", c.all_to_all_s))
    }
    s = 0.875e9 / W
    assert found["ar", "switch"] == close(6 * US + 7e3 / (0.6 * W), 12 * US + 2 * s / 0.65)
    assert found["ar", "pcie"] == close(10 * US + 7e3 / (0.45 * W), 20 * US + 2 * s / 0.5)
    assert found["ag", "switch"] == close(12 * US + 875 / (0.36 * W), 25 * US + s / 0.71)
    assert found["ag", "pcie"] == close(11 * US + 875 / (0.25 * W), 25 * US + s / 0.5)
    assert found["a2a", "switch"] == close(9 * US + 875 / (0.09 * W), 14 * US + s / 0.63)
    assert found["a2a", "pcie"] == close(9 * US + 875 / (0.09 * W), 18 * US + s / 0.5)


@pytest.mark.parametrize(("domains", "depth"), [(2, 1), (3, 2), (4, 2), (5, 3), (64, 6)])
def test_all_reduce_over_rails(domains: int, depth: int) -> None:
    """Reduce-scatter and all-gather inside, and between the domains the faster of ring and tree, twice."""
    for size in (1e4, 1e9):
        inside = [
            c.reduce_scatter_s(size, c.Group(4, 4), chip()),
            c.all_gather_s(size, c.Group(4, 4), chip()),
        ]
        moved = 2 * (domains - 1) / domains * size / 4
        ring = (2 * (domains - 1) * 14 * US, moved / (0.9 * NET))
        tree = (2 * depth * 14 * US, moved / (0.9 * 0.92 * NET))
        latency, moving = min(ring, tree, key=sum)
        latency += sum(float(x[1]) for x in inside)
        moving = max(moving, sum(float(x[0] - x[1]) for x in inside))
        found = c.all_reduce_s(size, c.Group(4 * domains, 4), chip())
        assert [float(x) for x in found] == close(latency + moving, latency)
    assert depth == math.ceil(math.log2(domains))


def test_gathers_over_rails_pass_once() -> None:
    for size in (1e4, 1e9):
        for exchange in (c.all_gather_s, c.reduce_scatter_s):
            inside = [float(x) for x in exchange(size, c.Group(4, 4), chip())]
            moved = 4 / 5 * size / 4
            ring = (4 * 14 * US, moved / (0.9 * NET))
            tree = (3 * 14 * US, moved / (0.9 * 0.92 * NET))
            latency, moving = min(ring, tree, key=sum)
            total = latency + inside[1] + max(moving, inside[0] - inside[1])
            found = [float(x) for x in exchange(size, c.Group(20, 4), chip())]
            assert found == close(total, latency + inside[1])


def test_all_to_all_over_domains() -> None:
    """Of what a chip sends, 4 of 20 parts stay in the domain; both networks work at once."""
    for size, slow in ((1e9, "network"), (1e9, "domain")):
        own = chip() if slow == "network" else chip(scaleout_bandwidth="50 TB/s")
        inside = 0.75 * size * 4 / 20 / (0.36 * W)
        outside = size * 16 / 20 / (0.9 * (NET if slow == "network" else 50e12))
        assert (outside > inside) == (slow == "network")
        latency = (8.5 + 14) * US
        found = [float(x) for x in c.all_to_all_s(size, c.Group(20, 4), own)]
        assert found == close(latency + max(inside, outside), latency)


def test_a_message() -> None:
    inside, outside = (c.point_to_point_s(1e6, chip(), where) for where in (True, False))
    assert [float(x) for x in inside] == close(12 * US + 1e6 / (0.88 * W), 12 * US)
    assert [float(x) for x in outside] == close(14 * US + 1e6 / (0.9 * NET), 14 * US)


def test_chips_of_a_mesh_own_their_own_links() -> None:
    mesh = chip(scaleup={"topology": "mesh", "domain": 8, "bandwidth": "450 GB/s"})
    for n in (2, 4, 8):
        seconds = c.all_gather_s(1e9, c.Group(n, n), mesh)[0]
        fit = {2: (15, 0.7), 4: (15, 0.7), 8: (9.2, 0.35)}[n]
        width = W * (n - 1) / 7
        assert float(seconds) == pytest.approx(fit[0] * US + (n - 1) / n * 1e9 / (fit[1] * width))
    assert float(c.point_to_point_s(1e6, mesh, True)[0]) == pytest.approx(12 * US + 1e6 / (0.88 * W / 7))
    lone = chip(scaleup={"topology": "mesh", "domain": 1, "bandwidth": "450 GB/s"})
    assert float(c.point_to_point_s(1e6, lone, True)[0]) == pytest.approx(12 * US + 1e6 / (0.88 * W))


def test_how_groups_lie() -> None:
    twelve = chip(scaleup={"topology": "switch", "domain": 12, "bandwidth": "450 GB/s"})
    found = {
        (n, stride): c.group_of(n, twelve, stride).per_domain for n in (1, 8, 16, 36) for stride in (1, 4, 20)
    }
    assert found == {
        (1, 1): 1, (1, 4): 1, (1, 20): 1,
        (8, 1): 8, (8, 4): 2, (8, 20): 1,
        (16, 1): 8, (16, 4): 2, (16, 20): 1,
        (36, 1): 12, (36, 4): 3, (36, 20): 1,
    }  # fmt: skip
    assert c.Group(36, 12).domains == 3
    assert c.connected(c.Group(36, 12), twelve)
    alone = samples.chip()
    assert (c.connected(c.Group(8, 8), alone), c.connected(c.Group(16, 8), alone)) == (True, False)


# Exchanges as operators of a replica.


def test_the_engine_slows_its_all_reduce() -> None:
    seconds, latency = (float(x) for x in c.all_reduce_s(2e6, c.Group(4, 4), chip()))
    found = rates(4).cost(o.AllReduce("", 2e6))
    moving = (seconds - latency) / 0.8
    assert costs(found) == close(0, 0, 2 * 3 / 4 * 2e6, 0, 0, moving, latency + 2.5 * US)
    assert costs(rates(1).cost(o.AllReduce("", 2e6))) == [0] * 7
    seconds, latency = (float(x) for x in c.all_reduce_s(2e6, c.Group(16, 8), chip()))
    assert costs(rates(16).cost(o.AllReduce("", 2e6)))[5] == pytest.approx((seconds - latency) / 0.8)


def test_a_group_without_a_network_is_priced_as_one_domain() -> None:
    """A rule forbids it; the price only names the conflict."""
    alone = chip(scaleout_bandwidth=None)
    assert alone.scaleout_bandwidth is None
    seconds, latency = (float(x) for x in c.all_reduce_s(2e6, c.Group(16, 16), alone))
    found = rates(16, part=alone).cost(o.AllReduce("", 2e6))
    assert costs(found)[5] == pytest.approx((seconds - latency) / 0.8)


@pytest.mark.parametrize(
    ("t", "ranks", "runs", "inside", "outside"),
    [
        (4, 0, 0, 1, 0),  # two stages of four in eight
        (4, 0, 0, 1, 1),  # and a third in the next domain
        (2, 0, 0, 3, 0),
        (2, 0, 0, 3, 1),
        (8, 0, 0, 0, 2),
        (2, 2, 0, 1, 0),  # two ranks of each stage lie together
        (2, 2, 0, 1, 1),
        (2, 4, 0, 0, 2),
        (2, 1, 3, 2, 2),  # as told
        (2, 1, 1, 5, 0),
    ],
)
def test_a_stage_hand_over(t: int, ranks: int, runs: int, inside: int, outside: int) -> None:
    """Eight chips share a domain; each of t ranks sends its share, hop after hop, inside it or out of it."""
    size, hops = 3e6 / t, inside + outside
    found = rates(t, ranks_together=ranks, stage_runs=runs).cost(o.StageTransfer("", 3e6, hops))
    moving = inside * size / (0.88 * W) + outside * size / (0.9 * NET)
    latency = inside * 12 * US + outside * 14 * US
    assert costs(found) == close(0, 0, hops * size, 0, 0, moving, latency)


@pytest.mark.parametrize(
    ("t", "ranks", "together", "per_domain"),
    [(1, 8, 0, 8), (1, 16, 0, 8), (2, 8, 0, 8), (2, 6, 0, 6), (1, 8, 4, 4), (2, 8, 1, 2), (4, 12, 0, 4)],
)
def test_an_exchange_over_domains(t: int, ranks: int, together: int, per_domain: int) -> None:
    """Whole tensor-parallel groups spread evenly over domains of eight: as many as fit, or as told."""
    op = o.ExpertExchange("", 7, 32, 16, 2, ranks, 2, True)
    size = 7 * copies_per_token(ranks, 2, 2) * 32 * 2
    seconds, latency = (float(x) for x in c.all_to_all_s(size, c.Group(ranks, per_domain), chip()))
    found = costs(rates(t, ranks_together=together).cost(op))
    assert found[5:] == [pytest.approx(seconds - latency), pytest.approx(latency)]


@pytest.mark.parametrize(
    ("weights", "outward", "element"), [("fp8", True, 1), ("fp8", False, 2), ("bf16", True, 2)]
)
def test_an_exchange_of_tokens(weights: str, outward: bool, element: int) -> None:
    """7 rows to 2 of 8 experts, which lie in 2 groups of 4 chips: both groups with probability a half."""
    op = o.ExpertExchange("", 7, 32, 8, 2, 8, 2, outward)
    assert copies_per_token(8, 2, 2) == 4 * 1.5
    size = 7 * 6 * 32 * element
    total, latency = (float(x) for x in c.all_to_all_s(size, c.Group(8, 8), chip()))
    expected = close(0, 0, 7 / 8 * size, 0, 0, total - latency, latency)
    assert costs(rates(weights=weights).cost(op)) == expected
    everywhere = rates(weights=weights, engine=ENGINE.model_copy(update={"expert_exchange": "all_gather"}))
    size = 7 * 8 * 32 * element
    gather = c.all_gather_s if outward else c.reduce_scatter_s
    total, latency = (float(x) for x in gather(size, c.Group(8, 8), chip()))
    assert costs(everywhere.cost(op)) == close(0, 0, 7 / 8 * size, 0, 0, total - latency, latency)


def test_ranks_of_a_token() -> None:
    """k experts on n ranks at random: by listing all choices."""
    for n, k in ((2, 1), (2, 2), (3, 2), (4, 3)):
        choices = np.indices((n,) * k).reshape(k, -1).T
        assert distinct_ranks(n, k) == pytest.approx(np.mean([len(set(row)) for row in choices.tolist()]))
    assert exchange_bytes(7, 6, 32, "mxfp8") == 7 * 6 * 32 * 33 / 32


KERNEL: dict[str, Any] = {
    "compute": 0.6, "width_half": 200, "tile_half": 50, "memory": 0.7, "activations": 0.5,
    "overhead": "20 us", "per_pair": 1e-9, "per_expert": 1e-7,
}  # fmt: skip


def expert_cost(
    kernel: dict[str, Any], rows: float, local: int, gated: bool, sent: float, skew: float, peak: float,
    element: float, activation: float, everywhere: bool = False, launched: float = 0.0,
) -> tuple[list[float], float]:  # fmt: skip
    """The formula of `optimizer.cost.experts` for h 32, f 24, 16 experts of which 2 a token; seconds too."""
    g, h, f, k, e = 3 if gated else 2, 32, 24, 2, 16
    skew = skew if local < e else 1.0
    n = skew * rows * k * local / e
    touched = local * (1 - (1 - k / e) ** rows)
    compute = math.inf
    for tile in (8, 16, 32, 64, 128):
        rho = tile / (tile + kernel["tile_half"]) * (128 + kernel["tile_half"]) / 128
        padded = touched * max(tile, n / touched + tile / 2)
        width = f / (f + kernel["width_half"])
        compute = min(compute, 2 * g * h * f * padded / (peak * rho * kernel["compute"] * width))
    weight_bytes = g * touched * h * f * element
    weights = weight_bytes / (HBM * min(0.9, kernel["memory"]))
    both = math.hypot(compute, weights)
    if kernel.get("vector_rows"):
        plain = 2 * g * h * f * n / (peak * kernel["compute"])
        vector = max(plain, weights * max(1, n / touched / kernel["vector_rows"]))
        compute, both = (plain, vector) if vector < both else (compute, both)
    here = rows if everywhere else rows * sent
    pairs = rows * k * (local / e if sent < 1 and not everywhere else 1)
    moved = n * (h * (2 * activation + 4) + f * (2 * (g - 1) + 2 * activation)) + 4 * here * h
    fixed = 20 * US + kernel["per_expert"] * touched + kernel["per_pair"] * pairs
    fixed += moved / (HBM * kernel["activations"]) + launched * 30 * US
    times = (both, weights) if compute >= weights else (compute, both)
    return [2 * g * h * f * n, weight_bytes + moved, 0, *times, 0, fixed], both + fixed


@pytest.mark.parametrize("rows", [1, 4, 40, 700, 20000])
@pytest.mark.parametrize(("local", "sent"), [(16, 1.0), (4, 1.0), (4, 0.4375)])
@pytest.mark.parametrize("gated", [True, False])
def test_experts(rows: int, local: int, sent: float, gated: bool) -> None:
    kernels = {"bf16": KERNEL, "fp8": KERNEL | {"memory": 0.95, "compute": 0.5, "vector_rows": 8}}
    part = chip(efficiency=EFFICIENCY | {"experts": kernels})
    engine = ENGINE.model_copy(update={"expert_skew": 1.3, "host_us_per_expert_layer": 30.0})
    op = o.Experts("", rows, 32, 24, 16, 2, local, gated, 0.25, sent)
    for dtype, peak, element, activation in (("bf16", P, 2, 2), ("fp8", 2 * P, 1, 1), ("int8", P, 1, 2)):
        own = kernels.get(dtype, kernels["bf16"])
        for exchange in ("all_to_all", "all_gather"):
            used = engine.model_copy(update={"expert_exchange": exchange})
            terms, seconds = expert_cost(
                own, rows, local, gated, sent, 1.3, peak, element, activation, exchange == "all_gather", 0.25
            )
            found = experts_cost(op, part, PLAIN[dtype], used)
            assert costs(found) == close(*terms)
            assert float(found.seconds) == pytest.approx(seconds)
            assert costs(rates(part=part, weights=dtype, engine=used).cost(op)) == close(*terms)
    fp8 = rates(part=part, weights="bf16", expert_dtype="fp8", engine=engine).cost(op)
    assert costs(fp8) == costs(experts_cost(op, part, PLAIN["fp8"], engine))


def test_an_expert_kernel_with_arithmetic_of_its_own() -> None:
    part = chip(efficiency=EFFICIENCY | {"experts": {"int4": KERNEL | {"arithmetic": "fp8"}}})
    op = o.Experts("", 40, 32, 24, 16, 2, 16, True)
    terms, _ = expert_cost(KERNEL, 40, 16, True, 1.0, 1.0, 2 * P, 0.5 + 2 / 128, 1)
    assert costs(experts_cost(op, part, PLAIN["int4"])) == close(*terms)
    plain = chip(efficiency=EFFICIENCY)
    own = UNMEASURED_EXPERTS.model_dump()
    terms, _ = expert_cost(own, 40, 16, True, 1.0, 1.0, P, 2, 2)
    terms[6] += 20 * US  # the fallback's overhead is 40 us
    assert costs(experts_cost(op, plain, PLAIN["bf16"])) == close(*terms)


def test_few_rows_of_an_expert_are_read_once_and_not_padded() -> None:
    """One token, 2 of 16 experts, 3 x 32 x 24 elements of 2 bytes each, at 0.7 of the bandwidth: no more.

    Four rows on each of 16 experts fill a kernel of v = 4; eight read the weights twice; 4000 go in tiles.
    """
    kernel = KERNEL | {"activations": 20, "compute": 1, "width_half": 0}
    little = {"bf16": "20 TFLOP/s", "fp8": "40 TFLOP/s"}
    slow, padded = (
        chip(dense_flops=little, efficiency=EFFICIENCY | {"experts": {"bf16": kernel | own}})
        for own in ({"vector_rows": 4}, {})
    )
    read = 3 * 32 * 24 * 2 / (HBM * 0.7)

    def both(part: Chip, rows: int, active: int) -> float:
        found = experts_cost(o.Experts("", rows, 32, 24, 16, active, 16, True), part, PLAIN["bf16"])
        return float(np.maximum(found.compute_s, found.memory_s))

    assert both(slow, 1, 2) == pytest.approx(2 * read)
    assert both(padded, 1, 2) > 4 * read
    assert both(slow, 4, 16) == pytest.approx(16 * read)
    assert both(slow, 8, 16) == pytest.approx(2 * 16 * read)
    many = [both(part, 4000, 16) for part in (slow, padded)]
    assert many[0] == many[1] < 4000 / 4 * 16 * read


def test_experts_of_many_kinds_at_once() -> None:
    part = chip(efficiency=EFFICIENCY | {"experts": {"bf16": KERNEL}})
    widths = np.array([24, 64, 4096])
    op = o.Experts("", 40, 32, widths, 16, 2, np.array([16, 4, 4]), True)
    found = experts_cost(op, part, PLAIN["bf16"])
    for i, (width, local) in enumerate(zip(widths, (16, 4, 4), strict=True)):
        alone = experts_cost(replace(op, d_expert=int(width), n_local=local), part, PLAIN["bf16"])
        assert float(found.seconds[i]) == pytest.approx(float(alone.seconds))


def test_waves_of_tiles() -> None:
    """Tiles of 128 x 64 on 10 cores: 3 x 4 tiles take two waves, 2 x 5 take one."""
    assert wave_efficiency(300, 250, (128, 64), 10) == pytest.approx(300 * 250 / (2 * 10 * 128 * 64))
    assert wave_efficiency(256, 320, (128, 64), 10) == 1
    assert wave_efficiency(257, 320, (128, 64), 10) == pytest.approx(257 * 320 / (2 * 10 * 128 * 64))
    assert wave_efficiency(1, 1, (128, 64), 10) == pytest.approx(1 / (10 * 128 * 64))
    part = chip(tile=(128, 64), n_cores=10)
    products = [o.Gemm("", 256, 320, 10), o.Gemm("", 300, 250, 7)]
    useful = 256 * 320 * 10 + 300 * 250 * 7
    assert gemm_efficiency(products, part) == pytest.approx(useful / (256 * 320 * 10 + 20 * 128 * 64 * 7))
