"""Attention apart from experts: the caravan against a simulation, its work, ways and memory."""

from dataclasses import replace

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.cost import separation as s
from optimizer.cost.overlap import overlapped_decode_s, two_microbatches_s
from optimizer.cost.quantities import QUANTITIES
from optimizer.errors import InputError

PROPERTY = settings(derandomize=True, deadline=None, max_examples=80)
spans = st.floats(0.01, 10)
OWN = catalog.model("deepseek-v3")


def separated(**fields):
    attention = {"data_parallel": 8, "batch": 960, "weight_dtype": "fp8", "kv_dtype": "fp8"} | fields
    own = {name: attention.pop(name) for name in list(attention) if name in s.Separated.__dataclass_fields__}
    chips = {"expert_chip": catalog.chip("h200"), "n_expert_chips": 16, "expert_parallel": 16}
    frame = samples.frame(OWN, "h200", input_tokens=4096, output_tokens=512, **attention)
    return s.Separated(frame, **(chips | own))


def simulated(gates: s.Gates, n_layers: int, microbatches: int) -> float:
    """Each microbatch passes the gates in order, each gate takes one at a time, in order of arrival."""
    stages = (gates.attention_s, gates.out_s, gates.experts_s, gates.back_s)
    free, ready = [0.0] * 4, [0.0] * microbatches
    for _ in range(n_layers):
        for m in range(microbatches):
            for g, span in enumerate(stages):
                ready[m] = free[g] = max(ready[m], free[g]) + span
    return max(ready)


@PROPERTY
@given(spans, spans, spans, spans, st.integers(1, 20), st.integers(1, 8))
def test_the_caravan(attention, out, experts, back, n_layers, microbatches) -> None:
    gates = s.Gates(attention, out, experts, back)
    expected = simulated(gates, n_layers, microbatches)
    assert s.caravan_s([(n_layers, gates)], microbatches) == pytest.approx(expected)


def test_three_microbatches_hide_short_ways_and_two_do_not() -> None:
    """Equal work on both sides, ways a third of it: MegaScale-Infer's 2 (1 + 1/3) = 2.7."""
    gates = s.Gates(3.0, 1.0, 3.0, 1.0)
    work = {m: gates.period(m) / m for m in (1, 2, 3, 4)}
    assert work == {1: 8.0, 2: 4.0, 3: 3.0, 4: 3.0}


def test_dense_layers_never_leave_attention() -> None:
    block = OWN.layers[0].block
    found = s.gates(separated(), block.mixer, block.ffn)
    assert found.attention_s > 0
    assert (found.out_s, found.experts_s, found.back_s) == (0, 0, 0)


def test_each_side_has_its_own_chip_and_link() -> None:
    block = OWN.layers[1].block
    base = s.gates(separated(), block.mixer, block.ffn)
    assert min(base.attention_s, base.out_s, base.experts_s, base.back_s) > 0
    assert base.back_s > 1.8 * base.out_s  # 16 bit back, 8 bit out
    other = s.gates(separated(expert_chip=catalog.chip("b200")), block.mixer, block.ffn)
    assert other.attention_s == base.attention_s
    assert other.experts_s < base.experts_s
    near = s.gates(separated(same_domain=True), block.mixer, block.ffn)
    assert near.out_s < base.out_s / 3
    assert (near.attention_s, near.experts_s) == (base.attention_s, base.experts_s)


def test_ways_carry_each_token_to_each_rank_of_its_experts() -> None:
    """Sixteen ranks, eight experts: 16 (1 - (15/16)^8) = 6.45 copies of 7168 bytes for each of 320 tokens."""
    block = OWN.layers[1].block
    gates = s.gates(separated(), block.mixer, block.ffn)
    moved = 320 * 16 * (1 - (15 / 16) ** 8) * 7168
    assert gates.out_s == pytest.approx(moved / 8 / (0.9 * 50e9) + 10e-6, rel=1e-6)


def test_ways_of_experts_on_a_narrower_vector_are_as_narrow() -> None:
    """Kimi-K3: 16 of 896 experts on 3,584 of 7,168 numbers; the projections stay with attention."""
    own = catalog.model("kimi-k3")
    frame = samples.frame(own, "h200", data_parallel=8, batch=960, weight_dtype="fp8", output_tokens=512)
    sep = s.Separated(frame, catalog.chip("h200"), n_expert_chips=16, expert_parallel=16)
    block = own.layers[1].block
    wide = block.ffn.changed(d_latent=7168)
    gates, other = (s.gates(sep, block.mixer, ffn) for ffn in (block.ffn, wide))
    moved = 320 * 16 * (1 - (15 / 16) ** 16) * 3584
    assert gates.out_s == pytest.approx(moved / 8 / (0.9 * 50e9) + 10e-6, rel=1e-6)
    assert other.out_s - 10e-6 == pytest.approx(2 * (gates.out_s - 10e-6), rel=1e-6)
    assert other.attention_s > gates.attention_s and other.experts_s > gates.experts_s


def test_memory_of_the_two_sides_is_all_of_it() -> None:
    sep = separated()
    whole = QUANTITIES["memory_bytes"].total(sep.frame, OWN) / 2**30
    attention, experts = s.attention_chip_gib(sep, OWN), s.expert_chip_gib(sep, OWN)
    assert attention + experts * 16 / 8 == pytest.approx(whole)
    assert experts == pytest.approx(58 * 256 * 3 * 7168 * 2048 / 16 / 2**30)
    dense = catalog.model("meta-llama/Llama-3.1-8B")
    plain = replace(sep, frame=samples.frame(dense))
    assert s.expert_chip_gib(plain, dense) == 0


def test_a_step_has_drafts_and_many_chips_are_faster() -> None:
    sep = separated()
    plain = s.step_s(sep, OWN)
    drafted = s.step_s(replace(sep, frame=replace(sep.frame, draft_tokens=2)), OWN)
    assert plain < drafted < 3.2 * plain
    assert sep.n_chips == 24
    more = replace(sep, n_expert_chips=64, expert_parallel=64)
    assert s.gates(more, *_halves(1)).experts_s < s.gates(sep, *_halves(1)).experts_s


def _halves(group: int):
    block = OWN.layers[group].block
    return block.mixer, block.ffn


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="pipeline_parallel"):
        separated(pipeline_parallel=2)
    with pytest.raises(InputError, match="expert_parallel 5 does not divide the 16"):
        separated(expert_parallel=5)


def test_two_microbatches_overlap() -> None:
    assert two_microbatches_s(3.0, 2.0) == 6
    assert two_microbatches_s(3.0, 2.0, exposed=1.0) == 10
    frame = samples.frame(
        OWN,
        "h200",
        batch=64 * 128,
        data_parallel=64,
        expert_parallel=64,
        weight_dtype="fp8",
        input_tokens=4096,
        output_tokens=512,
    )
    serial = QUANTITIES["decode_s"].total(frame, OWN)
    ideal, half, none = (overlapped_decode_s(frame, OWN, share) for share in (0.0, 0.5, 1.0))
    assert ideal < half < none
    assert ideal < serial < none  # weights are read twice: two microbatches without overlap lose
