"""Rows of a deployment by hand: supplies, splits, setups, prices of one row, and which rows count.

Guards what plans are made of. The planner and its brute force read the same columns, so a wrong row is
agreed by both.
"""

import math
from dataclasses import replace
from typing import Any

import kinds
import numpy as np
import pytest
import samples

from optimizer import catalog
from optimizer.columns.deployment import UNIT, DeploymentColumns
from optimizer.columns.overflowing import overflowing
from optimizer.columns.queueing import rate_at_percentile
from optimizer.columns.replica import Replica, common
from optimizer.columns.replica_costs import (
    BATCHES,
    replica_columns,
    replicas_of,
    unrunnable,
    without_arithmetic,
)
from optimizer.columns.replicas import Replicas
from optimizer.columns.separated_costs import separated_columns
from optimizer.columns.supply import Supply, supplies
from optimizer.cost.frame import Frame
from optimizer.cost.memory_parts import memory_parts
from optimizer.cost.overflow import placement, streamed_s
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.separation import Separated, attention_chip_gib, expert_chip_gib, step_s
from optimizer.cost.serving import aggregated, decode, most_scheduled, prefill
from optimizer.degrees import unsplittable
from optimizer.errors import InputError
from optimizer.spec.architecture import Architecture
from optimizer.spec.deployment import Offer, ReplicaSpace, Traffic
from optimizer.spec.split import Formats, Split

GIB = 2**30
THREE = (
    "tensor_parallel 3 breaks tensor_parallel_divisibility; "
    "engines with unequal shares that run it: exllamav3, llama.cpp"
)
TRAFFIC = Traffic(input_tokens=100, output_tokens=20, prefix_tokens=10, requests_per_s=1.0, percentile="none")
DENSE = Architecture(
    name="dense",
    d_model=64,
    vocab_size=1000,
    position_embeddings=7,
    tied_embeddings=True,
    layers=(
        {
            "block": {
                "mixer": {"kind": "gqa", "n_heads": 8, "n_kv_heads": 4, "d_head": 16},
                "ffn": {"kind": "dense_ffn", "d_ff": 192},
                "n_norms": 4,
                "norm_bias": True,
            },
            "count": 6,
        },
    ),
)
MOE = Architecture(
    name="moe",
    d_model=64,
    vocab_size=1000,
    checkpoint={"method": "mxfp4", "experts": {"dtype": "mxfp4", "bits": 4, "group": 32, "scale_bits": 8}},
    layers=(
        {
            "block": {
                "mixer": {"kind": "gqa", "n_heads": 8, "n_kv_heads": 4, "d_head": 16},
                "ffn": {"kind": "moe", "n_experts": 12, "n_active_experts": 2, "d_expert": 48},
            },
            "count": 6,
        },
    ),
)


def chip(**fields: Any) -> Any:
    own = {"scaleout_bandwidth": "25 GB/s", "usd_per_chip_hour": 3.0, "power": "700 W", "tdp": "800 W"}
    return samples.chip(**(own | fields))


def supply(own: Any = None, **fields: Any) -> Supply:
    own = own or chip()
    return Supply(**({"name": own.name, "count": None, "usd_per_hour": 3.0, "power_w": 700.0, "node": 8,
                      "usable_gib": 79.0, "chip": own} | fields))  # fmt: skip


def replica(own: Any = None, t: int = 1, p: int = 1, e: int = 1, d: int = 1, weight: str = "bf16") -> Replica:
    own = own or chip()
    return Replica(supply(own), own, Split(t, p, e, d), Formats(weight))


def ideal(model: Architecture, own: Replica, batch: Any, **space: Any) -> Frame:
    """The frame of a replica on an engine that adds nothing."""
    return own.frame(model, common(ReplicaSpace(**({"engine": "ideal"} | space)), TRAFFIC), batch=batch)


# Supplies.


def test_an_offer_takes_what_it_says_and_the_catalogue_knows_the_rest() -> None:
    h100 = catalog.chip("h100")
    [plain] = supplies([Offer(chip="h100")])
    assert plain == Supply(
        "nvidia-h100-sxm", None, h100.usd_per_chip_hour, h100.power, 8, h100.hbm_for_programs / GIB, h100
    )
    [own] = supplies([Offer(chip="h100", max_count=5, usd_per_chip_hour=1.5, power_w=99.0, node=4)])
    assert own == Supply("nvidia-h100-sxm", 5, 1.5, 99.0, 4, h100.hbm_for_programs / GIB, h100)
    [unknown] = supplies([Offer(chip="abacus", max_count=3)], known_only=False)
    assert unknown == Supply("abacus", 3, None, None, None, None, None)
    with pytest.raises(InputError, match="abacus"):
        supplies([Offer(chip="abacus")])
    with pytest.raises(InputError, match="two entries are the same chip"):
        supplies([Offer(chip="h100"), Offer(chip="nvidia-h100-sxm")])
    unpowered = [c for c in catalog.chips().values() if c.power is None and c.tdp]
    for other in unpowered[:1]:
        assert supplies([Offer(chip=other.name)])[0].power_w == other.tdp


def test_what_one_chip_adds() -> None:
    own = supply()
    assert [own.each(q) for q in ("chips", "usd_per_hour", "power_w")] == [1.0, 3.0, 700.0]
    for quantity, field in (("usd_per_hour", "usd_per_chip_hour"), ("power_w", "power_w")):
        with pytest.raises(InputError, match=f"no known {quantity}; give {field}"):
            replace(own, usd_per_hour=None, power_w=None).each(quantity)


def why_not(model: Architecture, own: Replica) -> str:
    return unrunnable(model, own, common(ReplicaSpace(), TRAFFIC))


# Splits.

UNEVEN = "does not divide tensor_parallel x data_parallel = 4"
SPLITS = [
    ("dense", {}, {}),
    ("dense", {"pipeline_parallel": 6}, {}),
    ("dense", {"pipeline_parallel": 7}, {"pipeline_parallel": "more stages than the 6 layers"}),
    ("dense", {"data_parallel": 2}, {"data_parallel": "only a mixture of experts shares layers"}),
    ("dense", {"expert_parallel": 2, "tensor_parallel": 2}, {"expert_parallel": "the model has no experts"}),
    ("moe", {"tensor_parallel": 2, "data_parallel": 3, "expert_parallel": 6}, {}),
    ("moe", {"tensor_parallel": 2, "data_parallel": 2, "expert_parallel": 3}, {"expert_parallel": UNEVEN}),
    ("moe", {"tensor_parallel": 8, "expert_parallel": 8}, {"expert_parallel": "does not divide the 12"}),
    ("moe", {"data_parallel": 2}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "split", "refused"), SPLITS)
def test_splits(model: str, split: dict[str, int], refused: dict[str, str]) -> None:
    own = {"dense": DENSE, "moe": MOE}[model]
    found = unsplittable(own, Split(**split), 100)
    assert set(found) == set(refused)
    assert all(found[name].startswith(why) for name, why in refused.items())


def test_why_a_setup_cannot_run() -> None:
    own = chip()
    assert why_not(DENSE, replica()) == ""
    assert why_not(DENSE, replica(t=8)) == ""
    assert why_not(DENSE, replica(weight="fp8")) == "sample has no fp8 arithmetic for fp8 weights"
    assert why_not(DENSE, replica(weight="int4")) == ""
    assert why_not(DENSE, replica(t=16)) == "tensor_parallel 16 is wider than a node of sample"
    assert why_not(DENSE, replace(replica(t=16), supply=supply(node=None))).endswith("divisibility")
    assert unrunnable(DENSE, replica(t=16), common(ReplicaSpace(), TRAFFIC), True).endswith("divisibility")
    assert why_not(DENSE, replica(t=3)) == THREE
    alone = chip(scaleout_bandwidth=None)
    wide = replica(alone, t=8, d=2)
    assert why_not(MOE, wide) == "16 chips leave the domain of sample, which states no network"
    assert why_not(MOE, replica(alone, t=4, d=2)) == ""
    assert why_not(MOE, replica(own, t=8, d=2)) == ""
    assert why_not(MOE, replica(t=8, e=8)) == "expert_parallel 8: does not divide the 12 experts"
    mixer = kinds.GroupedQueryAttention.model_construct(
        **(DENSE.first.mixer.model_dump() | {"n_heads": 6, "n_kv_heads": 4})
    )
    layers = (
        DENSE.layers[0],
        DENSE.layers[0].model_copy(update={"block": DENSE.first.model_copy(update={"mixer": mixer})}),
    )
    uneven = DENSE.model_copy(update={"layers": layers})
    assert why_not(uneven, replica()) == "tensor_parallel 1 breaks gqa_divisibility"
    for dtype in ("int8", "int4", "mxfp4", "bf16"):
        assert without_arithmetic(own, dtype) == ""
    assert without_arithmetic(own, "nvfp4") == "sample has no fp4 arithmetic for nvfp4 weights"


# Setups and their rows.


def test_all_setups_of_a_space() -> None:
    space = ReplicaSpace(
        tensor_parallel=(1, 2),
        pipeline_parallel=(1, 3),
        weight_dtype=("bf16", "fp8"),
        kv_dtype=("bf16", "fp8"),
    )
    found = list(replicas_of((supply(),), space))
    assert len(found) == len(set(map(str, found))) == 16
    assert found[0].split.tensor_parallel == 1
    assert replica(t=2, p=3, e=2, d=4).split.chips == 24
    with pytest.raises(InputError, match="abacus is not in the catalogue"):
        list(replicas_of((supply(name="abacus", chip=None),), space))


def test_batches_tried() -> None:
    """All to 64, then sixteen steps to each doubling, to 2048."""
    assert BATCHES[:64] == tuple(range(1, 65))
    assert BATCHES[64:68] == (67, 70, 73, 76)
    assert (BATCHES[79], BATCHES[-1], len(BATCHES)) == (128, 2048, 144)


def test_the_frame_of_a_setup() -> None:
    space = ReplicaSpace(
        draft_tokens=2, draft_acceptance=0.5, draft_cost=0.25, engine="vllm", host_ms=7.0, reserve_gib=2.5
    )
    own = replace(replica(t=2, p=3, e=4, d=5), formats=Formats(kv_dtype="fp8"))
    frame = own.frame(DENSE, common(space, TRAFFIC), batch=12)
    engine = catalog.engine("vllm").model_copy(update={"host_ms": 7.0, "reserve_gib": 2.5})
    assert frame == replace(
        samples.frame(DENSE, own.chip, tensor_parallel=2, pipeline_parallel=3, expert_parallel=4,
                      data_parallel=5, batch=12, kv_dtype="fp8"),
        training=None, training_tokens=0.0, input_tokens=100, output_tokens=20, prefix_tokens=10,
        draft_tokens=2, draft_acceptance=0.5, draft_cost=0.25, engine=engine,
    )  # fmt: skip
    assert (frame.final_bias, frame.tied_embeddings, frame.position_embeddings) == (True, True, 7)
    formats = [ideal(MOE, replica(weight=w), 1).formats.of("experts").dtype for w in ("bf16", "int4")]
    assert formats == ["mxfp4", "int4"]


SPACE: dict[str, Any] = {"tensor_parallel": 2, "engine": "ideal"}


def rows(model: Architecture, own: Any = None, offered: Any = None, **space: Any) -> list[dict[str, Any]]:
    """The rows of replicas that lie in one domain."""
    return [row for row in lying(model, own, offered, **space) if row["domains"].isdigit()]


def lying(model: Architecture, own: Any = None, offered: Any = None, **space: Any) -> list[dict[str, Any]]:
    table, _ = replica_columns(
        model, offered or (supply(own),), ReplicaSpace.model_validate(SPACE | space), TRAFFIC
    )
    return [table.row(i) for i in range(len(table))]


def test_rows_of_every_way_to_lie_in_domains() -> None:
    """Three stages of two chips: 6 together, 4 and 2, or each alone, with no, one and two hops outside."""
    found = lying(DENSE, batch=9, pipeline_parallel=3)
    assert [row["domains"] for row in found] == ["6", "4+2", "3x2"]
    for row, runs in zip(found, (1, 2, 3), strict=True):
        frame = ideal(DENSE, replica(t=2, p=3), 9)
        served = aggregated(replace(frame, stage_runs=runs), DENSE)
        assert row["tpot_ms"] == pytest.approx(1e3 * served.tpot_s)
        assert row["requests_per_s"] == pytest.approx(served.requests_per_s)
    assert found[0]["tpot_ms"] < found[1]["tpot_ms"] < found[2]["tpot_ms"]
    alone = lying(DENSE, chip(scaleout_bandwidth=None), batch=9, pipeline_parallel=3)
    assert [row["domains"] for row in alone] == ["6"]
    small = lying(DENSE, offered=(supply(node=4),), batch=9, pipeline_parallel=3)
    assert [row["domains"] for row in small] == ["4+2", "3x2"]
    assert [row["tpot_ms"] for row in small] == [row["tpot_ms"] for row in found[1:]]
    experts = lying(MOE, batch=8, data_parallel=4)
    assert [row["domains"] for row in experts] == ["8", "2x4", "4x2"]
    for row, ranks in zip(experts, (4, 2, 1), strict=True):
        frame = ideal(MOE, replica(t=2, d=4), 8)
        served = aggregated(replace(frame, ranks_together=ranks), MOE)
        assert row["requests_per_s"] == pytest.approx(served.requests_per_s)


def test_an_aggregated_row() -> None:
    [row] = rows(DENSE, batch=9, pipeline_parallel=3)
    frame = ideal(DENSE, replica(t=2, p=3), 9)
    served = aggregated(frame, DENSE)
    assert row == {
        "mode": "aggregated", "chip": "sample", "tensor_parallel": 2, "pipeline_parallel": 3,
        "expert_parallel": 1, "data_parallel": 1, "batch": 9, "weight_dtype": "bf16", "kv_dtype": "bf16",
        "chips": 6, "requests_per_s": pytest.approx(served.requests_per_s),
        "ttft_ms": pytest.approx(1e3 * served.ttft_s), "tpot_ms": pytest.approx(1e3 * served.tpot_s),
        "memory_gib": pytest.approx(QUANTITIES["memory_bytes"].total(frame, DENSE) / GIB),
        "label": "cost model",
        "expert_chip": "", "expert_chips": 0, "expert_memory_gib": 0.0, "microbatches": 1,
        "second_tier_gib": 0.0, "domains": "6", "context_parallel": 1, "engine": "", "in_flight": 0.0,
    }  # fmt: skip


def test_rows_of_a_prefill_and_a_decode_replica() -> None:
    """A prompt's whole cache crosses the slowest network on offer, each stage its own part side by side."""
    offered = (
        supply(),
        supply(chip(name="other", scaleout_bandwidth=None)),
        supply(chip(name="third", scaleout_bandwidth="10 GB/s")),
    )
    space = {"mode": ["disaggregated"], "pipeline_parallel": 3, "batch": [6, 9], "prefill_batch": [1, 4]}
    found = rows(DENSE, offered=offered, **space)
    own = [row for row in found if row["chip"] == "sample"]
    assert [(r["mode"], r["batch"]) for r in own] == [
        ("prefill", 3),
        ("prefill", 12),
        ("decode", 6),
        ("decode", 9),
    ]
    cached = (
        6 * 2 * 2 * 16 * 100 * 2
    )  # 6 layers, keys and values, 2 of 4 heads on a rank, 100 tokens, 2 bytes
    for row, together in zip(own[:2], (1, 4), strict=True):
        frame = ideal(DENSE, replica(t=2, p=3), 3 * together)
        served = prefill(replace(frame, prefill_batch=together), DENSE)
        assert row["ttft_ms"] == pytest.approx(1e3 * (served.ttft_s + cached / 3 / 10e9))
        assert (row["tpot_ms"], row["requests_per_s"]) == (0, pytest.approx(served.requests_per_s))
    for row, batch in zip(own[2:], (6, 9), strict=True):
        served = decode(ideal(DENSE, replica(t=2, p=3), batch), DENSE)
        assert (row["ttft_ms"], row["tpot_ms"]) == (0, pytest.approx(1e3 * served.tpot_s))
        assert row["requests_per_s"] == pytest.approx(served.requests_per_s)
    [alone, *_] = rows(DENSE, chip(scaleout_bandwidth=None), **space)  # a network nobody stated: 50 GB/s
    [known, *_] = rows(DENSE, chip(scaleout_bandwidth="50 GB/s"), **space)
    assert alone["ttft_ms"] == pytest.approx(known["ttft_ms"], rel=1e-3)
    assert own[0]["ttft_ms"] > known["ttft_ms"]


@pytest.mark.parametrize("model", ["google/gemma-2-2b", "meta-llama/Llama-4-Scout-17B-16E-Instruct"])
def test_windows_and_chunks_take_several_prompts_together(model: str) -> None:
    a = catalog.model(model)
    space = {"mode": ["disaggregated"], "tensor_parallel": 8, "batch": [8], "weight_dtype": "int4"}

    def prefilled(*together: int) -> list[dict[str, Any]]:
        found = rows(a, catalog.chip("h100"), prefill_batch=list(together), **space)
        return [row for row in found if row["mode"] == "prefill"]

    assert prefilled(1, 2, 4) == prefilled(1) + prefilled(2) + prefilled(4)


def test_modes() -> None:
    def modes(*mode: str) -> list[str]:
        return [row["mode"] for row in rows(DENSE, batch=3, mode=list(mode))]

    assert modes("aggregated") == ["aggregated"]
    assert modes("disaggregated") == ["prefill", "decode"]
    assert modes("separated") == ["prefill"]  # its decode rows are of `separated_costs`
    assert modes("aggregated", "disaggregated", "separated") == ["aggregated", "prefill", "decode"]


def test_batches_of_a_row_are_whole_in_every_lane_and_fit_the_schedule() -> None:
    assert [r["batch"] for r in rows(DENSE, batch=[1, 3, 4, 5, 6, 9], pipeline_parallel=3)] == [3, 6, 9]
    assert [r["batch"] for r in rows(DENSE, batch=[2, 3, 4])] == [2, 3, 4]
    frame = ideal(DENSE, replica(t=2), 1, engine="trtllm")
    most = most_scheduled(frame)
    tried = [r["batch"] for r in rows(DENSE, engine="trtllm", batch=[most - 1, most, most + 1])]
    assert tried == [most - 1, most]
    both = rows(DENSE, engine="trtllm", batch=[most, most + 1], mode="disaggregated")
    assert [r["batch"] for r in both if r["mode"] == "decode"] == [most, most + 1]
    all_batches = [r["batch"] for r in rows(DENSE, mode="disaggregated", pipeline_parallel=3)]
    assert all_batches[1:] == [3 * b for b in BATCHES]


def test_what_is_left_out_is_counted() -> None:
    space = ReplicaSpace.model_validate(
        SPACE | {"tensor_parallel": [1, 3, 16], "batch": 4, "weight_dtype": ["bf16", "fp8"]}
    )
    table, dropped = replica_columns(DENSE, (supply(),), space, TRAFFIC)
    assert len(table) == 1
    assert dropped == {
        "sample has no fp8 arithmetic for fp8 weights": 3,
        THREE: 1,
        "tensor_parallel 16 breaks tensor_parallel_divisibility": 1,
    }
    space = ReplicaSpace.model_validate(SPACE | {"second_tier": [True, False], "batch": 4})
    table, dropped = replica_columns(DENSE, (supply(),), space, TRAFFIC)
    assert (len(table), dropped) == (1, {"sample has no second tier of memory": 1})
    space = ReplicaSpace.model_validate(SPACE | {"second_tier": True, "batch": 4})
    with pytest.raises(
        InputError, match=r"no setup can run dense: sample has no second tier of memory \(1\)"
    ):
        replica_columns(DENSE, (supply(),), space, TRAFFIC)


# The second tier.


def tiered(usable_gib: float, capacity: str = "1 GiB") -> Any:
    tier = {"kind": "lpddr", "capacity": capacity, "bandwidth": "100 GB/s", "share": 0.5}
    own = chip(second_tier=tier)
    return own.model_copy(update={"hbm_usable": usable_gib * GIB})


def test_rows_whose_cache_spills() -> None:
    """Each batch is placed alone; what does not fit both tiers is left out."""
    part = tiered(0.0045, "0.004 GiB")
    space = {"batch": [1, 4, 16, 64, 512], "second_tier": True}
    found = rows(DENSE, part, **space)
    kept = []
    for batch in (1, 4, 16, 64, 512):
        frame = ideal(DENSE, replica(part, t=2), batch)
        parts = memory_parts(frame, DENSE)
        try:
            placed = placement(frame, DENSE, part.second_tier, parts, 1.0)
        except InputError:
            continue
        served = aggregated(frame, DENSE, streamed_s(frame, part.second_tier, parts, placed))
        held = sum(parts.values()) + (placed.buffer_bytes - placed.slow_bytes) / GIB
        kept.append((batch, served.tpot_s * 1e3, served.ttft_s * 1e3, held, placed.slow_bytes / GIB))
    assert 1 <= len(kept) < 5
    assert any(row[4] > 0 for row in kept)
    names = ("batch", "tpot_ms", "ttft_ms", "memory_gib", "second_tier_gib")
    assert [tuple(r[n] for n in names) for r in found] == [pytest.approx(row) for row in kept]


def test_what_a_second_tier_goes_with() -> None:
    part = tiered(0.0045)
    frame = ideal(DENSE, replica(part, t=2), np.array([4]))
    assert overflowing(frame, DENSE, 1.0).kept.tolist() == [0]
    for split in ({"pipeline_parallel": 2}, {"data_parallel": 2}):
        with pytest.raises(InputError, match="tensor parallelism alone"):
            overflowing(samples.changed(frame, **split), DENSE, 1.0)
    with pytest.raises(InputError, match="two tiers of memory are too small"):
        overflowing(replace(frame, batch=np.array([10**6])), DENSE, 1.0)
    half, whole = (overflowing(frame, DENSE, share).second_tier_gib[0] for share in (0.1, 1.0))
    assert half > whole


# Experts apart.


def test_rows_of_experts_apart() -> None:
    part, other = chip(), chip(name="other", hbm_bandwidth="4 TB/s")
    space = ReplicaSpace.model_validate(
        SPACE
        | {
            "mode": "separated",
            "data_parallel": 2,
            "expert_parallel": [3, 5],
            "microbatches": [2, 3],
            "batch": [4, 6, 12],
        }
    )
    table, dropped = separated_columns(MOE, (supply(part), supply(other)), space, TRAFFIC)
    found = [table.row(i) for i in range(len(table))]
    assert dropped == {"expert_parallel 5: does not divide the 12 experts": 4}
    own = [r for r in found if (r["chip"], r["expert_chip"]) == ("sample", "other")]
    assert [(r["microbatches"], r["batch"]) for r in own] == [(2, 4), (2, 12), (3, 6), (3, 12)]
    assert len(found) == 4 * len(own)
    row = own[1]
    frame = ideal(MOE, replica(part, t=2, d=2), 12)
    both = Separated(frame, other, n_expert_chips=3, expert_parallel=3, microbatches=2)
    step = step_s(both, MOE)
    expected = {
        "mode": "decode", "tensor_parallel": 2, "pipeline_parallel": 1, "expert_parallel": 3,
        "data_parallel": 2, "chips": 4, "expert_chips": 3, "tpot_ms": 1e3 * step, "ttft_ms": 0.0,
        "requests_per_s": 12 / step / 20, "memory_gib": attention_chip_gib(both, MOE),
        "expert_memory_gib": expert_chip_gib(both, MOE), "label": "cost model, experts apart",
    }  # fmt: skip
    assert {k: row[k] for k in expected} == pytest.approx(expected)
    for fields, words in (
        ({"pipeline_parallel": 2}, "mode separated has none; allow 1"),
        ({"second_tier": True}, "uses fast memory alone; allow false"),
        ({"expert_parallel": 5}, r"no separated setup can run moe: expert_parallel 5"),
    ):
        with pytest.raises(InputError, match=words):
            separated_columns(MOE, (supply(),), ReplicaSpace.model_validate(SPACE | fields), TRAFFIC)
    with pytest.raises(InputError, match="dense has no experts"):
        separated_columns(DENSE, (supply(),), space, TRAFFIC)


# Queueing.


@pytest.mark.parametrize("ttft_ms", [20.0, 100.0, 400.0])
@pytest.mark.parametrize("limit_ms", [90.0, 500.0])
@pytest.mark.parametrize("percentile", [50.0, 99.0])
def test_the_rate_at_a_percentile(ttft_ms: float, limit_ms: float, percentile: float) -> None:
    """The share that waits longer than t is rho exp(-(1 - rho) mu t); mu is the faster of the two."""
    rate = float(rate_at_percentile(10.0, ttft_ms, limit_ms, percentile))
    mu, left = max(10.0, 1e3 / ttft_ms), 1 - percentile / 100

    def late(rho: float) -> float:
        return rho * math.exp(-(1 - rho) * mu * (limit_ms - ttft_ms) / 1e3)

    if limit_ms < ttft_ms:
        assert rate == 0
    elif rate < 10.0:
        assert late(rate / mu) == pytest.approx(left, rel=1e-6)
    else:
        assert late(10.0 / mu) <= left


# Which rows count.

ROW: dict[str, Any] = {
    "mode": "aggregated", "chip": "red", "tensor_parallel": 1, "pipeline_parallel": 1, "expert_parallel": 1,
    "data_parallel": 1, "batch": 1, "weight_dtype": "bf16", "kv_dtype": "bf16", "chips": 2,
    "requests_per_s": 1.0, "ttft_ms": 100.0, "tpot_ms": 10.0, "memory_gib": 40.0, "label": "row",
}  # fmt: skip
RED = Supply("red", None, 1.0, 1.0, 8, 80.0, None)
BLUE = Supply("blue", None, 1.0, 1.0, 8, 100.0, None)


def columns(*own: dict[str, Any], **fields: Any) -> DeploymentColumns:
    known: dict[str, Any] = {"supplies": (RED, BLUE), "demand": 1.0, "same": False, "factors": {}}
    known |= {"percentile": None, "dropped": {}}
    return DeploymentColumns(Replicas.of([ROW | row for row in own]), **(known | fields))


def test_tables_of_rows() -> None:
    table = Replicas.of([ROW, ROW | {"batch": 3, "expert_chips": 4, "expert_chip": "blue"}])
    assert (len(table), table.all_chips.tolist()) == (2, [2, 6])
    assert table.row(0) == ROW | {"domains": "2x1"} | {
        "expert_chip": "", "expert_chips": 0, "expert_memory_gib": 0.0, "microbatches": 1,
        "second_tier_gib": 0.0, "context_parallel": 1, "engine": "", "in_flight": 0.0,
    }  # fmt: skip
    assert table.take([1]).row(0)["batch"] == 3
    twice = Replicas.together([table, table.take(np.array([False, True]))])
    assert twice.batch.tolist() == [1, 3, 3]
    filled = Replicas.filled(3, **(ROW | {"batch": np.array([1, 2, 3])}))
    assert [filled.row(i) for i in range(3)] == [table.row(0) | {"batch": b} for b in (1, 2, 3)]


def test_planned_rates() -> None:
    modes = ("aggregated", "prefill", "decode")
    own = columns(
        *({"mode": mode, "requests_per_s": 10.0} for mode in modes), factors={"prefill": 0.9, "decode": 0.8}
    )
    assert own.rates({}).tolist() == [10, 9, 8]
    assert own.rates({"utilisation_max": 0.5}).tolist() == [5, 4.5, 4]
    assert own.rates({"ttft_ms_max": 200.0}).tolist() == [10, 9, 8]
    queued = replace(own, percentile=95.0)
    assert queued.rates({}).tolist() == [10, 9, 8]
    limit = float(rate_at_percentile(10.0, 100.0, 200.0, 95.0))
    assert 0 < limit < 10
    assert queued.rates({"ttft_ms_max": 200.0}).tolist() == pytest.approx([limit, 0.9 * limit, 8])


def test_capacities_are_whole_units_rounded_down() -> None:
    own = columns(
        {"requests_per_s": 1.0}, {"requests_per_s": 0.29}, {"requests_per_s": 1.9e-8, "mode": "decode"}
    )
    assert UNIT == 10**8
    assert own.within({}, prune=False).capacity.tolist() == [10**8, 29 * 10**6, 1]
    none = columns({"requests_per_s": 0.9e-8})
    assert none.within({}).rows.tolist() == []
    assert none.within({}).dropped == {"no rate left at the percentile": 1}


def test_memory_of_the_fullest_chip() -> None:
    own = columns(
        {}, {"chip": "blue"}, {"expert_chip": "blue", "expert_chips": 1, "expert_memory_gib": 90.0},
        {"chip": "blue", "expert_chip": "red", "expert_chips": 1, "expert_memory_gib": 8.0},
        supplies=(RED, BLUE, replace(RED, name="unknown", usable_gib=None)),
    )  # fmt: skip
    assert own.memory_share().tolist() == [0.5, 0.4, 0.9, 0.4]
    assert own.chip_index(slice(None)).tolist() == [0, 1, 0, 1]
    assert (
        columns({"chip": "unknown"}, supplies=(replace(RED, name="unknown", usable_gib=None),)).memory_share()
        == 0
    )


@pytest.mark.parametrize("bound", ["ttft_ms_max", "tpot_ms_max", "memory_capacity"])
def test_bounds_on_one_replica(bound: str) -> None:
    """Each is kept at the bound and broken beside it, in the modes that it is about."""
    modes = ("aggregated", "prefill", "decode")
    own = columns(*({"mode": mode} for mode in modes))
    value = {"ttft_ms_max": 100.0, "tpot_ms_max": 10.0, "memory_capacity": 0.5}[bound]
    about = {"ttft_ms_max": (0, 1), "tpot_ms_max": (0, 2), "memory_capacity": (0, 1, 2)}[bound]
    for limit in (value, value * 1.001, value * (1 - 1e-13)):
        assert own.within({bound: limit}).rows.tolist() == [0, 1, 2]
    for limit in (value * 0.999, value / 2):
        found = own.within({bound: limit})
        assert found.rows.tolist() == [i for i in range(3) if i not in about]
        assert found.dropped == {bound: len(about)}


def test_a_row_is_counted_under_the_first_bound_it_breaks() -> None:
    own = columns({}, {"requests_per_s": 2.0})
    found = own.within({"ttft_ms_max": 50.0, "tpot_ms_max": 5.0})
    assert found.dropped == {"ttft_ms_max": 2}


def covered(a: dict[str, Any], b: dict[str, Any], packed: bool) -> bool:
    """Whether row a does all that row b does with no more chips; where nodes matter, wherever b fits."""
    names = ("mode", "chip", "expert_chip", "kv_dtype")
    fewer = a["chips"] <= b["chips"] and a["expert_chips"] <= b["expert_chips"]
    t, held = (
        a["tensor_parallel"],
        b["chips"] // b["tensor_parallel"] * (b["tensor_parallel"] // a["tensor_parallel"]),
    )
    finer = not packed or a["chips"] // t <= held  # the groups of a find room in those of b
    return all(a[n] == b[n] for n in names) and fewer and finer and a["requests_per_s"] >= b["requests_per_s"]


STOCK = {"inventory:red": 9.0, "inventory:blue": 9.0}


@pytest.mark.parametrize(("bounds", "nodes"), [({}, True), (STOCK, False), ({}, False)])
@pytest.mark.parametrize("seed", range(8))
def test_rows_that_others_cover_are_left_out(seed: int, bounds: dict[str, float], nodes: bool) -> None:
    """Against all pairs: each row left out is covered by one kept, and no kept one by another."""
    rng = np.random.default_rng(seed)

    def one() -> dict[str, Any]:
        t = int(rng.choice([1, 2, 3, 4, 6]))
        apart = int(rng.choice([0, 0, 1, 2]))
        return ROW | {
            "mode": "decode" if apart else str(rng.choice(["aggregated", "decode"])),
            "chip": str(rng.choice(["red", "blue"])),
            "tensor_parallel": t, "chips": t * int(rng.choice([1, 2])),
            "kv_dtype": str(rng.choice(["bf16", "fp8"])), "requests_per_s": 1 + int(rng.integers(0, 6)) / 100,
            "expert_chips": apart, "expert_chip": str(rng.choice(["red", "blue"])) if apart else "",
        }  # fmt: skip

    own = [one() for _ in range(60)]
    table = columns(*own)
    found, packed = table.within(bounds, nodes=nodes), nodes or bool(bounds)
    kept = set(found.rows.tolist())
    assert found.rows.tolist() == sorted(kept)
    assert found.dropped == {"dominated": 60 - len(kept)}
    whole = [table.replicas.row(i) for i in range(60)]
    for i in range(60):
        by = [j for j in kept if j != i and covered(whole[j], whole[i], packed)]
        assert (i in kept) == (not by), (i, by)
    assert len(table.within({}, prune=False).rows) == 60
