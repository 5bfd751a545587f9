"""Ranks that do not share a layer evenly: which engines run them, as what, at what price."""

from dataclasses import replace
from typing import Any

import drawn
import numpy as np
import pytest
import samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.anatomy.estimate import estimate
from optimizer.anatomy.shares_assumed import shares_assumed
from optimizer.blocks import padded
from optimizer.blocks.operators import Experts
from optimizer.blocks.padding import EXACT, Padding
from optimizer.columns.replica_costs import keeps
from optimizer.cost.quantities import QUANTITIES, layer_operators
from optimizer.degrees import unsplittable
from optimizer.errors import InputError
from optimizer.questions.architecture.kinds import kinds_like
from optimizer.spec.architecture import Architecture
from optimizer.spec.engine import Engine
from optimizer.spec.loading import validate
from optimizer.spec.setup import Setup
from optimizer.spec.split import Formats, Split

QWEN = catalog.model("Qwen/Qwen3-14B")  # 40 query heads on 8 key-value heads, d_ff 17408
H100 = catalog.chip("nvidia-h100-sxm")
EVERYTHING = {"heads": 1, "kv_heads": 1, "ffn": 1, "experts": 1}
TIMES = ("decode_s", "prefill_s", "mixed_s", "memory_bytes")


def engine(pads: Any = EVERYTHING) -> Engine:
    return validate(
        Engine, {"name": "own", "title": "own", "sources": {"default": "made up"}, "pads": pads}, ""
    )


def test_the_fullest_rank_by_hand() -> None:
    """8 key-value heads on 3 ranks: 3 with 15 queries on the fullest; of 17408 columns 46 units of 128."""
    frame = samples.frame(QWEN, H100, tensor_parallel=3)
    frame = replace(frame, engine=engine({"kv_heads": 1, "ffn": 128}))
    [said] = shares_assumed(frame, QWEN)
    assert said.value == (
        "query heads from 40 to 45, key-value heads from 8 to 9, feed-forward width from 17408 to 17664 "
        "on 3 ranks: all wait for the fullest"
    )
    block = QWEN.first
    mixer, ffn = (padded(half, frame.split, frame.padding) for half in (block.mixer, block.ffn))
    assert (mixer.n_heads, mixer.n_kv_heads, ffn.d_ff) == (45, 9, 46 * 128 * 3)
    d, head, bytes_each = 5120, 128, 2
    own = d * head * (15 + 3 + 3 + 15) + 2 * head  # its queries, keys, values and output, the norms of a head
    cache = 2 * head * 3 * (frame.input_tokens + frame.output_tokens)
    norms = 2 * d
    memory = QUANTITIES["memory_bytes"]
    assert memory.mixer(frame, block.mixer, block.norms) == bytes_each * (own + cache + norms)
    assert memory.ffn(frame, block.ffn) == bytes_each * 3 * d * 46 * 128


def test_products_of_the_fullest_rank_by_hand() -> None:
    frame = replace(samples.frame(QWEN, H100, tensor_parallel=3), engine=engine({"kv_heads": 1, "ffn": 128}))
    found = {
        op.name: op
        for half in (QWEN.first.mixer, QWEN.first.ffn)
        for op in layer_operators(frame, half, "decode")
    }
    assert found["qkv projection"].n == 128 * (15 + 3 + 3)
    assert (found["attention"].n_heads, found["attention"].n_kv_heads) == (15, 3)
    assert found["output projection"].k == 128 * 15
    assert (found["gate and up projection"].n, found["down projection"].k) == (2 * 46 * 128, 46 * 128)


def test_a_bound_below_kinds_that_are_rounded_up_unlike() -> None:
    """56 heads on 7 key-value heads are 64 on 4 ranks, on 8 they stay 56: the least of both is no bound."""
    mixer = QWEN.first.mixer.changed(n_heads=56, n_kv_heads=8)
    plan = QWEN.changed(layers=({"block": {"mixer": mixer, "ffn": QWEN.first.ffn}, "count": 40},))
    kinds = kinds_like(
        mixer, n_heads=np.array([56, 56]), n_kv_heads=np.array([7, 8]), d_head=np.array([128, 128])
    )
    frame = samples.frame(plan, H100, tensor_parallel=4, input_tokens=200_000)
    frame = replace(frame, engine=engine())
    known = drawn.least_among(frame, plan, [kinds, kinds_like(QWEN.first.ffn)])
    prefill = QUANTITIES["prefill_s"]
    rounded = prefill.base(frame) + float(np.min(prefill.least(frame, known)))
    assert prefill.floor(frame, known) <= prefill.total(frame, plan) < rounded


@pytest.mark.parametrize(
    ("heads", "kv", "ranks", "pads", "expected"),
    [
        (40, 8, 4, EVERYTHING, (40, 8)),
        (40, 8, 6, EVERYTHING, (60, 12)),
        (28, 4, 8, EVERYTHING, (32, 4)),  # key-value heads are copied, query heads rounded up
        (28, 4, 8, {"kv_heads": 1}, (28, 4)),
        (40, 40, 3, {"kv_heads": 1}, (42, 42)),
        (40, 40, 3, {"heads": 1}, (42, 40)),  # and refused, for 40 key-value heads do not divide
        (40, 8, 12, EVERYTHING, (48, 8)),  # more ranks than key-value heads, and refused
        (24, 6, 4, {"kv_heads": 2}, (32, 8)),
    ],
)
def test_heads_by_hand(heads: int, kv: int, ranks: int, pads: Any, expected: tuple[int, int]) -> None:
    mixer = QWEN.first.mixer.changed(n_heads=heads, n_kv_heads=kv)
    held = padded(mixer, Split(ranks), Padding(tuple(pads.items())))
    assert (held.n_heads, held.n_kv_heads) == expected
    whole = (ranks <= expected[1] and expected[1] % ranks == 0) or ranks % expected[1] == 0
    model = QWEN.changed(layers=({"block": {"mixer": mixer, "ffn": QWEN.first.ffn}, "count": 1},))
    frame = replace(samples.frame(model, H100, tensor_parallel=ranks), engine=engine({**pads, "ffn": 1}))
    assert keeps("tensor_parallel_divisibility", True, model, frame) is (expected[0] % ranks == 0 and whole)


def test_widths_by_hand() -> None:
    """Experts that stay whole on groups need no more; shared ones are split over the ranks of attention."""
    ffn = catalog.model("deepseek-v3").layers[-1].block.ffn  # 2048 wide, a shared one too
    thirds = padded(ffn, Split(3), Padding((("ffn", 128),)))
    assert (thirds.d_expert, thirds.d_shared, thirds.n_experts) == (2304, 2304, 256)
    whole = padded(ffn, Split(data_parallel=3, expert_parallel=3), Padding((("ffn", 128),)))
    assert (whole.d_expert, whole.d_shared) == (2048, 2048)
    spread = padded(ffn, Split(data_parallel=3), Padding((("ffn", 128),)))
    assert (spread.d_expert, spread.d_shared) == (2304, 2048)
    latent = catalog.model("deepseek-v3").first.mixer  # 128 heads
    assert padded(latent, Split(3), Padding((("heads", 1),))).n_heads == 129
    blocks = Padding((("ffn", 32),), 128)
    assert padded(QWEN.first.ffn, Split(3), blocks).d_ff == 46 * 128 * 3  # no rank has part of a block
    assert padded(QWEN.first.ffn.changed(d_ff=768), Split(4), blocks).d_ff == 1024
    assert padded(QWEN.first.ffn.changed(d_ff=768), Split(4), Padding((("ffn", 128),))).d_ff == 768


def test_experts_that_groups_do_not_divide() -> None:
    """60 experts on 8 groups: the fullest has 8 of them, and 8/60 of the tokens."""
    known = catalog.model("Qwen/Qwen3-30B-A3B")
    few = known.first.changed(ffn=known.first.ffn.changed(n_experts=60))
    model = known.changed(layers=({"block": few, "count": known.n_layers},))
    split = Split(tensor_parallel=8, expert_parallel=8)
    assert unsplittable(model, split, 1) == {"expert_parallel": "does not divide the 60 experts"}
    assert unsplittable(model, split, 1, Padding((("experts", 1),))) == {}
    more = replace(split, tensor_parallel=64, expert_parallel=64)
    assert unsplittable(model, more, 1, Padding((("experts", 1),))) == unsplittable(model, more, 1)
    setup = Setup(tensor_parallel=8, expert_parallel=8, batch=64)
    found = estimate(model, H100, replace(setup, engine="vllm"))
    assert found.status == "feasible"
    assert "experts from 60 to 64 on 8 ranks" in next(
        a.value for a in found.assumptions if a.name == "vllm pads"
    )
    assert estimate(model, H100, setup).breaks == ("expert_parallel",)
    ffn = model.layers[-1].block.ffn
    frame = samples.frame(model, H100, tensor_parallel=8, expert_parallel=8)
    one = 3 * model.d_model * ffn.d_expert
    more = QUANTITIES["memory_bytes"].ffn(frame, ffn) - QUANTITIES["memory_bytes"].ffn(
        frame, ffn.changed(n_experts=56)
    )
    assert more == pytest.approx(2 * (one + 4 * model.d_model))  # one expert, and what the router has of four
    [routed] = [op for op in layer_operators(frame, ffn, "decode") if isinstance(op, Experts)]
    assert (routed.n_local, routed.n_experts) == (8, 60)
    four_bit = replace(frame, formats=Formats("mxfp4"))
    own, of_56 = (QUANTITIES["memory_bytes"].ffn(four_bit, e) for e in (ffn, ffn.changed(n_experts=56)))
    assert own - of_56 == pytest.approx((of_56 - 2 * 56 * model.d_model) / 7 + 2 * 4 * model.d_model)


def test_engines_that_round_nothing_up_are_as_they_were() -> None:
    assert all(
        e.pads == {} for n, e in catalog.engines().items() if n.startswith(("trt", "sgl", "mlx", "nim"))
    )
    assert samples.frame(QWEN, H100, tensor_parallel=3).padding == EXACT
    assert not EXACT
    assert "pads" not in engine({}).model_dump()
    assert padded(QWEN.first.mixer, Split(3), EXACT) is QWEN.first.mixer


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(drawn.by_hypothesis(drawn.plan), st.integers(1, 9), st.sampled_from(drawn.PADS))
def test_the_fullest_rank_costs_no_less_than_an_exact_share(case: Any, ranks: int, pads: Any) -> None:
    """And rounding up twice is rounding up once; where ranks divide all, it is none."""
    frame, model = case
    frame = replace(frame, split=replace(frame.split, tensor_parallel=ranks))
    padding = replace(frame, engine=frame.engine.changed(pads=pads))
    block = model.first
    for half in (block.mixer, block.ffn):
        once = padded(half, frame.split, padding.padding)
        assert padded(once, frame.split, padding.padding) == once
    for name in TIMES:
        exact, fullest = (QUANTITIES[name].total(f, model) for f in (frame, padding))
        assert fullest >= exact * (1 - 1e-12), name
        if keeps("tensor_parallel_divisibility", True, model, frame):
            assert fullest == exact
        assert QUANTITIES[name].floor(
            padding, drawn.least_of(frame, model, _params(frame, model))
        ) <= fullest * (1 + 1e-9)
    assert _params(padding, model) == _params(frame, model)


def _params(frame: Any, model: Architecture) -> float:
    return float(QUANTITIES["n_params"].total(frame, model))


@pytest.mark.parametrize(
    ("pads", "words"),
    [
        ({"heds": 1}, "'heads', 'kv_heads', 'ffn' or 'experts'"),
        (["heads", "vocab"], "'heads', 'kv_heads', 'ffn' or 'experts'"),
        ({"ffn": 0}, "greater than or equal to 1"),
        ({"ffn": 1.5}, "valid integer"),
        ({"ffn": "128"}, "valid integer"),
        ("heads", "dictionary"),
        (True, "dictionary"),
    ],
)
def test_odd_values_are_refused(pads: Any, words: str) -> None:
    with pytest.raises(InputError, match="pads") as error:
        engine(pads)
    assert words in str(error.value)


def test_names_alone_are_shared_one_by_one() -> None:
    assert engine(["heads", "ffn"]).pads == {"heads": 1, "ffn": 1}
