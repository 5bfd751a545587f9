"""Replicas of two sides by hand: experts apart, second tiers of memory, hand-overs, overlapped halves.

Guards each term of their steps against being lost: comparisons of one design with another see only the
larger ones.
"""

from dataclasses import replace
from typing import Any

import kinds
import numpy as np
import pytest
import samples

from optimizer.blocks import block
from optimizer.blocks.operators import AllReduce, ExpertExchange, Experts
from optimizer.cost import disaggregation as d
from optimizer.cost import memory, quality, queueing
from optimizer.cost.collectives import point_to_point_s
from optimizer.cost.frame import Frame
from optimizer.cost.overflow import placement, streamed_s
from optimizer.cost.overlap import EXPOSED, overlapped_decode_s, two_microbatches_s
from optimizer.cost.quantities import QUANTITIES, n_chunks, roofline, shared_operators, step_of
from optimizer.cost.separation import (
    Gates,
    Separated,
    attention_chip_gib,
    caravan_s,
    expert_chip_gib,
    gates,
    step_s,
)
from optimizer.cost.two_tier import Placement, Tensor, hiding_tokens, place, read_s
from optimizer.errors import InputError
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import SecondTier
from optimizer.spec.engine import IDEAL

GIB = 2**30
GQA = kinds.GroupedQueryAttention(n_heads=8, n_kv_heads=2, d_head=16)
STATE = kinds.Lightning(n_heads=8, d_head=16)
DENSE = kinds.DenseFeedForward(d_ff=48)
MOE = kinds.MixtureOfExperts(n_experts=12, n_active_experts=2, d_expert=24, n_shared_experts=1)
MODEL = Architecture(
    name="small",
    d_model=32,
    vocab_size=1000,
    layers=(
        {"block": {"mixer": GQA, "ffn": DENSE}, "count": 2},
        {"block": {"mixer": STATE, "ffn": MOE}, "count": 3},
    ),
)
ENGINE = IDEAL.model_copy(
    update={"host_ms": 2.0, "reserve_gib": 1.5, "data_parallel_balance": 0.75, "step_tokens": 30}
)


def part(name: str = "sample", **fields: Any) -> Any:
    own = {"dense_flops": {"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"}, "scaleout_bandwidth": "50 GB/s"}
    return samples.chip(**(own | {"name": name} | fields))


def frame(**fields: Any) -> Frame:
    own: dict[str, Any] = {"batch": 48, "tensor_parallel": 2, "data_parallel": 3, "weight_dtype": "fp8"}
    own |= {"input_tokens": 100, "output_tokens": 20, "engine": ENGINE}
    return samples.frame(MODEL, fields.pop("chip", part()), **(own | fields))


# Experts apart.


def separated(**fields: Any) -> Separated:
    own: dict[str, Any] = {"expert_chip": part("other", hbm_bandwidth="1 TB/s", scaleout_bandwidth="40 GB/s")}
    own |= {"n_expert_chips": 6, "expert_parallel": 3, "microbatches": 2}
    names = set(Separated.__dataclass_fields__)
    own |= {k: fields.pop(k) for k in list(fields) if k in names}
    return Separated(frame(**fields), **own)


@pytest.mark.parametrize("same_domain", [False, True])
@pytest.mark.parametrize("expert_dtype", ["", "bf16"])
def test_gates_of_a_layer(same_domain: bool, expert_dtype: str) -> None:
    """Half of 16 sequences on each of three ranks: 24 tokens on their way to 6 chips in 3 groups."""
    both = separated(same_domain=same_domain, expert_dtype=expert_dtype)
    at = both.frame
    step = replace(step_of(at, "decode"), batch=8)
    own = block(STATE).operators(STATE, step) + block(MOE).operators(MOE, step)
    stays = [op for op in own if not isinstance(op, Experts | ExpertExchange)]
    assert len(own) - len(stays) == 3
    element = 2 if expert_dtype else 1
    copies = 6 / 3 * 3 * (1 - (1 - 1 / 3) ** 2)
    out, back = (24 * copies * 32 * size for size in (element, 2))
    ways = [
        max(
            float(point_to_point_s(moved / n, chip, same_domain)[0])
            for n, chip in ((6, at.chip), (6, both.expert_chip))
        )
        for moved in (out, back)
    ]
    experts = Experts("experts", 24, 32, 24 * 3 / 6, 12, 2, 4, True, 0.0, 1 - (1 - 1 / 3) ** 2)
    found = gates(both, STATE, MOE)
    assert float(found.attention_s) == pytest.approx(float(roofline(at).seconds(stays)) / 0.75)
    assert float(found.out_s) == pytest.approx(ways[0])
    assert float(found.back_s) == pytest.approx(ways[1])
    rates = replace(roofline(at), chip=both.expert_chip)
    assert float(found.experts_s) == pytest.approx(float(rates.cost(experts).seconds))
    one = replace(both, frame=samples.changed(at, data_parallel=1))
    alone = gates(one, STATE, MOE).attention_s
    step = replace(step_of(one.frame, "decode"), batch=24)
    own = block(STATE).operators(STATE, step) + block(MOE).operators(MOE, step)
    stays = [op for op in own if not isinstance(op, Experts)]
    assert any(isinstance(op, AllReduce) for op in stays)
    assert float(alone) == pytest.approx(float(roofline(one.frame).seconds(stays)))


def test_the_ends_of_a_way_share_its_bytes() -> None:
    """Six attention chips and 2 or 30 expert chips: the busier end counts."""
    for n in (2, 30):
        both = separated(n_expert_chips=n, expert_parallel=2)
        copies = n / 2 * 2 * (1 - (1 - 1 / 2) ** 2)
        moved = 24 * copies * 32 * 2
        sides = [
            float(point_to_point_s(moved / k, chip, False)[0])
            for k, chip in ((6, both.frame.chip), (n, both.expert_chip))
        ]
        assert float(gates(both, STATE, MOE).back_s) == pytest.approx(max(sides))


def test_a_step_of_two_sides() -> None:
    both = separated()
    dense, apart = gates(both, GQA, DENSE), gates(both, STATE, MOE)
    assert (dense.out_s, dense.experts_s, dense.back_s) == (0, 0, 0)
    shared = float(roofline(both.frame).seconds(shared_operators(both.frame, "decode")))
    layers = float(caravan_s([(2, dense), (3, apart)], 2))
    assert step_s(both, MODEL) == pytest.approx(layers + shared)
    assert both.n_chips == 6 + 6
    drafted = replace(both, frame=replace(both.frame, draft_tokens=2, draft_cost=0.1))
    dense, apart = gates(drafted, GQA, DENSE), gates(drafted, STATE, MOE)
    shared = float(roofline(drafted.frame).seconds(shared_operators(drafted.frame, "decode")))
    whole = float(caravan_s([(2, dense), (3, apart)], 2)) + shared
    assert step_s(drafted, MODEL) == pytest.approx(whole + 2 * 0.1 * step_s(both, MODEL))


def test_the_caravan_by_hand() -> None:
    gate = Gates(3.0, 1.0, 4.0, 2.0)
    assert (gate.longest, gate.round_trip) == (4, 10)
    assert [gate.period(m) for m in (1, 2, 3)] == [10, 10, 12]
    # Five layers, three microbatches: four periods, the last layer whole, two more behind its longest gate.
    assert caravan_s([(5, gate)], 3) == 4 * 12 + 10 + 2 * 4
    assert caravan_s([(2, Gates(3.0)), (5, gate)], 3) == 2 * 9 + 4 * 12 + 10 + 2 * 4
    assert [
        g.longest for g in (Gates(5, 1, 1, 1), Gates(1, 5, 1, 1), Gates(1, 1, 5, 1), Gates(1, 1, 1, 5))
    ] == [5] * 4


def test_memory_of_two_sides() -> None:
    both = separated()
    routed = 3 * 12 * 3 * 32 * 24  # one byte each
    assert expert_chip_gib(both, MODEL) == pytest.approx(routed / 6 / GIB + 1.5)
    whole = QUANTITIES["memory_bytes"].total(both.frame, MODEL)
    assert attention_chip_gib(both, MODEL) == pytest.approx((whole - routed / 6) / GIB)
    sixteen = separated(expert_dtype="bf16")
    assert expert_chip_gib(sixteen, MODEL) == pytest.approx(2 * routed / 6 / GIB + 1.5)


# Two microbatches.


def test_halves_that_overlap() -> None:
    assert two_microbatches_s(3.0, 2.0) == 6
    assert two_microbatches_s(2.0, 3.0) == 6
    assert two_microbatches_s(3.0, 2.0, 0.25) == 7
    assert EXPOSED == {"decode": 0.7, "prefill": 0.1}
    for ranks in (3, 1):
        at = frame(data_parallel=ranks)
        half = replace(step_of(at, "decode"), batch=8 if ranks == 3 else 24)
        total = float(roofline(at).seconds(shared_operators(at, "decode")))
        for mixer, ffn, count in ((GQA, DENSE, 2), (STATE, MOE, 3)):
            own = block(mixer).operators(mixer, half) + block(ffn).operators(ffn, half)
            ways = [op for op in own if isinstance(op, ExpertExchange)]
            stays = [op for op in own if not isinstance(op, ExpertExchange)]
            compute = float(roofline(at).seconds(stays)) / (0.75 if ranks == 3 else 1)
            exchange = float(roofline(at).seconds(ways))
            assert (exchange > 0) == (ranks == 3 and ffn is MOE)
            total += count * 2 * (max(compute, exchange) + 0.7 * min(compute, exchange))
        assert overlapped_decode_s(at, MODEL) == pytest.approx(total)


# Two tiers of memory.

TIER = SecondTier.model_validate({"kind": "ddr", "capacity": "64 GiB", "bandwidth": "100 GB/s", "share": 0.5})


def test_tensors_move_out_least_read_first() -> None:
    """22 of 50 too much; of each byte moved, 2 / 8 come back as room for layers on their way."""
    tensors = [Tensor("weights", 30, 30), Tensor("cache", 20, 10), Tensor("empty", 0, 0)]
    placed = place(tensors, 28, 8, 100)
    moved = 22 / (1 - 2 / 8)
    assert placed.slow_bytes == pytest.approx(moved)
    assert placed.buffer_bytes == pytest.approx(moved / 4)
    share = (moved - 20) / 30
    assert placed.slow_share == pytest.approx({"cache": 1.0, "weights": share, "empty": 0.0})
    assert placed.slow_read == pytest.approx(10 + share * 30)
    few = place(tensors, 44, 8, 100)
    assert few.slow_share == pytest.approx({"cache": 0.4, "weights": 0, "empty": 0})
    assert place(tensors, 50, 8, 0).slow_bytes == 0


def test_tiers_that_are_too_small() -> None:
    tensors = [Tensor("weights", 30, 30)]
    assert place(tensors, 24, 8, 8.0).slow_bytes == pytest.approx(8)  # 6 over, exactly the slow tier
    assert place(tensors, 24, 8, 8.0 * (1 - 1e-13)).slow_bytes == pytest.approx(8)
    for free, layers, capacity in ((24, 8, 7.9), (24, 2, 100), (24, 1, 100), (5, 8, 100)):
        with pytest.raises(InputError, match="are over what the fast memory holds"):
            place(tensors, free, layers, capacity)
    assert place(tensors, 30, 2, 0.0).slow_bytes == 0


def test_reading_both_tiers() -> None:
    assert read_s(6, 4, 2, 1) == 4
    assert read_s(6, 1, 2, 1) == 3
    assert read_s(6, 4, 2, 1, overlapped=False) == 7
    assert hiding_tokens(1e15, 2, 1e11) == 1e15 * 2 / 2e11
    assert TIER.achieved == 50e9


PARTS = {"weights": 10.0, "cache": 6.0, "state": 0.5, "activations": 0.25, "reserve": 1.5}


def test_what_of_a_frame_waits_outside() -> None:
    at = frame(data_parallel=1)
    tables = float(memory.embedding_bytes(at)) / GIB
    usable = 79.0
    share = 15.0 / usable
    placed = placement(at, MODEL, TIER, PARTS, share)
    over = 10.0 + 6.0 + 2.25 - 15.0
    assert placed.slow_bytes == pytest.approx(over / (1 - 2 / 5) * GIB)
    read = (100 + 20 / 2) / 120  # of a full cache, in the middle of the answer
    assert placed.slow_share["cache"] == pytest.approx(over / 0.6 / 6.0)
    assert placed.slow_share["weights"] == 0
    assert placed.slow_read == pytest.approx(over / 0.6 * read * GIB)
    assert tables > 0
    assert placement(at, MODEL, TIER, PARTS).slow_bytes == 0
    with pytest.raises(InputError):
        placement(at, MODEL, TIER, PARTS, 2.0 / usable)


def test_seconds_of_the_slow_link() -> None:
    """A prompt's cache goes out while weights come in; four chunks of 30 tokens take all weights each."""
    at = frame(data_parallel=1, prefill_batch=3, batch=4)
    assert n_chunks(at) == 10
    tables = float(memory.embedding_bytes(at))
    for read in (1e6, 1e9):
        placed = Placement({"weights": 0.25, "cache": 0.5}, 0.0, 0.0, read)
        for parts in (PARTS, PARTS | {"weights": tables / GIB}):
            found = streamed_s(at, TIER, parts, placed)
            weights = (parts["weights"] * GIB - tables) * 0.25
            written = 6.0 * GIB * 0.5 * 100 / 120 / 4  # one prompt's part of the cache outside
            expected = {
                "decode_s": read,
                "prefill_s": max(10 * weights, 3 * written),
                "mixed_s": max(read, 4 / 20 * written),
                "joined_s": max(10 * read, written),
            }
            assert found == pytest.approx({k: v / 50e9 for k, v in expected.items()})


# Prefill and decode apart.


def test_a_hand_over_by_hand() -> None:
    """One prompt's cache, on the chips of one attention rank at either end; messages follow each other."""
    sender = frame(pipeline_parallel=2, tensor_parallel=2, kv_dtype="bf16")
    receiver = frame(chip=part("other", scaleout_bandwidth="40 GB/s"), tensor_parallel=1, kv_dtype="fp8")
    cached = 2 * 2 * 2 * 16 * 100 + 3 * 4 * 8 * 16 * 16  # two layers with a cache of fp8, three with a state
    assert d.prompt_cache_bytes(receiver, MODEL) == cached
    found = d.hand_over(sender, receiver, MODEL)
    assert (found.received_bytes, found.sent_bytes) == (cached, cached / 4)
    slow = cached / (0.9 * 40e9) + 10e-6
    assert found.transfer_s == pytest.approx(slow + 3 * 10e-6)
    assert found.n_layers == 5
    assert found.exposed_s(1.0) == pytest.approx(found.transfer_s / 5)
    late = found.transfer_s - 1e-6
    assert found.exposed_s(1e-6) == pytest.approx(found.transfer_s / 5 + 4 / 5 * late)
    near = d.hand_over(sender, receiver, MODEL, same_domain=True)
    assert near.transfer_s == pytest.approx(cached / (0.88 * 450e9) + 4 * 10e-6)


def test_rates_of_workers() -> None:
    at = frame(prefill_batch=1, pipeline_parallel=2, draft_tokens=1, draft_acceptance=0.5)
    assert n_chunks(at) == 4
    assert d.prefill_worker_rate(at, 2.0) == pytest.approx(3 / (2.0 * 4 / 5))
    assert d.decode_worker_rate(at, 0.5) == pytest.approx(48 * 1.5 / (0.5 * 20))
    assert d.pool_ratio(2.0, 3.0) == pytest.approx(3.0 * 0.92 / (2.0 * 0.9))
    assert d.pool_ratio(2.0, 3.0, 0.5, 1.0) == pytest.approx(3.0)
    assert d.pools_rate(2, 5.0, 3, 4.0) == pytest.approx(min(2 * 5 * 0.9, 3 * 4 * 0.92))
    assert d.pools_rate(2, 5.0, 3, 2.0, 1.0, 0.5) == pytest.approx(3.0)
    handed = d.HandOver(1.0, 1.0, 0.08, 80)
    queue = queueing.prefill_pool_ttft_s(3.0, 0.2, 2, 1.0, 0.9)
    assert d.ttft_s(handed, 0.2, 3.0, 2, 1.0, 0.9) == pytest.approx(float(queue) + 0.001)
    assert d.ttft_s(handed, 0.2) == pytest.approx(0.201)


def test_sequences_in_flight_by_hand() -> None:
    assert queueing.decoding(2.0, 100, 0.03) == queueing.in_system(2.0, 3.0) == 6


# Formats of 4 bit in the loss proxy.


@pytest.mark.parametrize(("dtype", "group"), [("nvfp4", 16), ("mxfp4", 32)])
def test_native_four_bit_formats_share_a_law(dtype: str, group: int) -> None:
    n, tokens = 8e9, 15e12
    expected = 0.1582 * tokens**0.0745 * np.log2(group) ** 0.7779 / n**0.2186
    assert float(quality.quantisation(dtype, n, tokens)) == pytest.approx(expected)
