"""Activations and arithmetic of training by hand: the papers' formulas, and small layers of every kind.

Guards terms that whole steps hide: what dropout, flash kernels and selective recomputation keep, shared
experts, windows, and the two conventions of counting attention.
"""

from typing import Any

import numpy as np
import pytest

from optimizer.blocks import block
from optimizer.cost.training.activations import half_bytes, layer_bytes, mean_layer_bytes, saved_per_token
from optimizer.cost.training.flops import forward_flops
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.limits import (
    tokens_hiding_gathers,
    tokens_hiding_ring,
    widest_tensor_parallel,
)
from optimizer.spec.architecture import Architecture
from optimizer.spec.training import TrainingSetup

S = 48
OLD: dict[str, Any] = {"flash_attention": False, "dropout": True, "sequence_parallel": False}
FLASH: dict[str, Any] = {"flash_attention": True, "dropout": False, "sequence_parallel": False}
WIDTHS: dict[str, Any] = {"name": "own", "d_model": 64, "vocab_size": 100, "n_layers": 2}
GPT = WIDTHS | {"n_heads": 8, "n_kv_heads": 8, "d_head": 8, "d_ff": 256, "gated_ffn": False}


def layout(**own: Any) -> Any:
    return layout_of(TrainingSetup.model_validate({"sequence_length": S, "global_batch": 12} | own))


def model(**own: Any) -> Architecture:
    return Architecture.model_validate(own)


def saved(fields: dict[str, Any], **own: Any) -> float:
    made = model(**fields)
    return float(saved_per_token(made.first, made.d_model, layout(**own)))


@pytest.mark.parametrize("t", [1, 2, 4])
def test_a_layer_of_gpt_keeps_what_the_paper_says(t: int) -> None:
    """arXiv 2205.05198, equations 2, 4 and 6, in bytes per token; a = 8 heads of d = 64."""
    scores = 5 * 8 * S / t
    assert saved(GPT, **OLD, tensor_parallel=t) == pytest.approx(64 * (10 + 24 / t) + scores)
    split = OLD | {"sequence_parallel": True, "tensor_parallel": t}
    assert saved(GPT, **split) == pytest.approx(64 * 34 / t + scores)
    assert saved(GPT, **split, recompute="selective") == pytest.approx(64 * 34 / t)
    without = OLD | {"dropout": False, "tensor_parallel": t}
    assert saved(GPT, **without) == pytest.approx(64 * (8 + 24 / t) + 2 * 8 * S / t)


@pytest.mark.parametrize("t", [1, 2])
def test_a_gated_layer_with_grouped_queries_and_a_flash_kernel(t: int) -> None:
    """Two inputs and norms' outputs, 8 d; queries and output, keys and values; gate, up and their product."""
    own = WIDTHS | {"n_heads": 4, "n_kv_heads": 2, "d_head": 24, "d_ff": 100}
    core = 2 * (2 * 96 / t + 2 * 48 / t) + 4 * 4 / t  # and a row sum of four bytes a head
    assert saved(own, **FLASH, tensor_parallel=t) == pytest.approx(8 * 64 + core + 6 * 100 / t)
    # Computed again: the norms' outputs and the activation's.
    again = 4 * 64 + core + 4 * 100 / t
    assert saved(own, **FLASH, tensor_parallel=t, recompute="selective") == pytest.approx(again)
    few = saved(own, **FLASH, tensor_parallel=4)
    assert few == pytest.approx(
        8 * 64 + 2 * (2 * 24 + 2 * 24) + 4 + 6 * 25
    )  # one key-value head a rank at least


def test_scores_reach_as_far_as_the_window_and_the_sequence() -> None:
    for window, context in ((None, S), (20, 20), (S, S), (100, S)):
        own = GPT if window is None else GPT | {"attention_window": window}
        assert saved(own, **OLD) == pytest.approx(34 * 64 + 5 * 8 * context)


def test_latent_attention_keeps_its_latents_on_every_rank() -> None:
    mla = {"n_heads": 4, "d_kv_latent": 30, "d_q_latent": 50, "d_nope": 12, "d_rope": 6, "d_value": 10}
    own = WIDTHS | mla | {"d_ff": 100}
    queries, values = 2 * (12 + 6), 2 * 10
    core = 2 * (2 * queries + 2 * values + 30 + 6 + 50) + 4 * 2
    assert saved(own, **FLASH, tensor_parallel=2) == pytest.approx(8 * 64 + core + 300)
    plain = {k: v for k, v in own.items() if k != "d_q_latent"}
    assert saved(plain, **FLASH, tensor_parallel=2) == pytest.approx(8 * 64 + core - 100 + 300)
    assert saved(plain, **OLD) == pytest.approx(
        10 * 64 + 2 * (4 * queries + 4 * values + 36) + 600 + 5 * 4 * S
    )


INDEXED = {"n_heads": 4, "d_kv_latent": 30, "d_q_latent": 50, "d_nope": 12, "d_rope": 6, "d_value": 10}
INDEXED |= {"n_index_heads": 3, "d_index": 8}
GROUPED = {"n_heads": 4, "n_kv_heads": 2, "d_head": 24, "d_index": 8, "n_blocks": 5, "d_block": 4}
ENTRIES = {"n_heads": 4, "d_head": 16, "d_q_latent": 10, "d_output_latent": 6, "n_output_groups": 2}
ENTRIES |= {"local_window": 20, "d_index": 8, "n_selected": 3}


def alone(mixer: str, **fields: Any) -> dict[str, Any]:
    """Layers of one mixer alone."""
    return WIDTHS | fields | {"layers": [{"count": 2, "mixer": mixer, "ffn": "no_ffn"}]}


@pytest.mark.parametrize("t", [1, 2])
def test_an_index_keeps_its_queries_its_key_and_its_weights(t: int) -> None:
    """On every rank, as they are made; a layer without an index keeps what latent attention does."""
    latents = {name: INDEXED[name] for name in list(INDEXED)[:6]}
    own = {"tensor_parallel": t} | FLASH
    plain = saved(alone("mla", **latents), **own)
    assert saved(alone("dsa", **INDEXED), **own) == pytest.approx(plain + 2 * (3 * 8 + 8 + 3))
    assert saved(alone("dsa", **INDEXED, own_index=False), **own) == pytest.approx(plain)
    grouped = {name: GROUPED[name] for name in list(GROUPED)[:3]}
    plain = saved(alone("gqa", **grouped), **own)
    assert saved(alone("msa", **GROUPED), **own) == pytest.approx(plain + 2 * (2 / t + 1) * 8)


@pytest.mark.parametrize("t", [1, 2])
def test_compressed_attention_keeps_what_it_makes_of_its_input(t: int) -> None:
    """Queries, output, latent, key, values and gates, index, the groups' latents; four bytes a head."""
    made = 10 + 16 + 2 * 2 * 16 + 4 * 8 + 3
    kept = 2 * (2 * 64 / t + made + 3 * 8 + 2 * 6 / t) + 4 * 4 / t
    picked = alone("csa", **ENTRIES, compression=4, n_index_heads=3)
    assert saved(picked, **FLASH, tensor_parallel=t) == pytest.approx(4 * 64 + kept)
    # Scores that go through memory: 20 tokens of the window and 3 entries, or 48 / 4 where all are met.
    for fields, met in ((picked, 23), (alone("csa", **ENTRIES, compression=16), 20 + 48 / 16)):
        through = saved(fields, **OLD, tensor_parallel=t) - saved(
            fields, **OLD, tensor_parallel=t, recompute="selective"
        )
        assert through == pytest.approx(5 * 4 / t * met)


@pytest.mark.parametrize(
    "fields",
    [
        alone("msa", **GROUPED),
        alone("csa", **ENTRIES),
        alone("csa", **ENTRIES, compression=16),
        alone("csa", **ENTRIES, compression=4, n_index_heads=3),
        alone("short_conv", d_inner=32, d_conv=3),
    ],
)
def test_every_matrix_of_a_mixer_is_met_once(fields: dict[str, Any]) -> None:
    """Twice the elements of its matrices a token."""
    own = model(**fields)
    mixer = own.first.mixer
    assert forward_flops(own, S).layers == pytest.approx(2 * 2 * block(mixer).weights(mixer, 64, 1).matrix)


def test_attention_to_what_an_index_picks() -> None:
    """4 n_heads d_head a pair: tokens meet 20 before them at most; the index 2 x 3 x 8, and all."""
    pairs = sum(min(place, 20) for place in range(1, S + 1))
    everything = S * (S + 1) / 2
    grouped = forward_flops(model(**alone("msa", **GROUPED)), S)
    assert grouped.attention_causal * S == pytest.approx(2 * (4 * 4 * 24 * pairs + 2 * 2 * 8 * everything))
    picked = forward_flops(model(**alone("csa", **ENTRIES, compression=4, n_index_heads=3)), S)
    entries = sum(min(place / 4, 3) for place in range(1, S + 1))
    core = 4 * 4 * 16 * (pairs + entries)
    assert picked.attention_causal * S == pytest.approx(2 * (core + 2 * 3 * 8 * everything / 4))
    latent = forward_flops(model(**alone("dsa", **INDEXED, n_selected=20)), S)
    core = 2 * 4 * (2 * 30 + 6) * pairs
    assert latent.attention_causal * S == pytest.approx(2 * (core + 2 * 3 * 8 * everything))


def test_a_mixture_keeps_a_copy_of_its_input_for_each_expert() -> None:
    """Two of experts 20 wide, with 4 d each; three shared ones 20 or 30 wide."""
    own = WIDTHS | {"n_heads": 8, "n_kv_heads": 8, "d_head": 8, "n_experts": 6, "n_active_experts": 2}
    own |= {"d_expert": 20, "n_shared_experts": 3}
    mixer = 4 * 64 + 2 * 4 * 64 / 2 + 4 * 8 / 2
    for shared, width in ((None, 20), (30, 30)):
        fields = own if shared is None else own | {"d_shared": shared}
        routed = 2 * (6 * 20 / 2 + 4 * 64)
        expected = mixer + 4 * 64 + 6 * 3 * width / 2 + routed
        assert saved(fields, **FLASH, tensor_parallel=2) == pytest.approx(expected)
    split = FLASH | {"sequence_parallel": True, "tensor_parallel": 2}
    assert saved(own, **split) == pytest.approx(
        2 * 64 + 2 * 4 * 64 / 2 + 16 + 2 * 64 + 180 + 2 * (60 + 2 * 64)
    )


def test_experts_on_a_narrower_vector_keep_copies_of_that() -> None:
    """Two of experts 20 wide on 24 of 64 numbers: 4 x 24 each, and 4 x 24 before and behind them."""
    own = WIDTHS | {"n_heads": 8, "n_kv_heads": 8, "d_head": 8, "n_experts": 6, "n_active_experts": 2}
    own |= {"d_expert": 20, "d_latent": 24}
    mixer = 4 * 64 + 2 * 4 * 64 / 2 + 4 * 8 / 2
    routed = 2 * (6 * 20 / 2 + 4 * 24) + 4 * 24
    assert saved(own, **FLASH, tensor_parallel=2) == pytest.approx(mixer + 4 * 64 + routed)
    found = forward_flops(model(**own), S)
    assert found.layers == pytest.approx(2 * 2 * (4 * 64 * 64 + 2 * 3 * 24 * 20 + 6 * 64 + 2 * 24 * 64))


@pytest.mark.parametrize(("dtype", "b"), [("bf16", 2), ("fp8", 1)])
def test_light_recomputation_keeps_latents_and_no_outputs_of_norms(dtype: str, b: int) -> None:
    """What products read is kept in their format; gate and up too, and no output of an expert."""
    mla = {"n_heads": 4, "d_kv_latent": 30, "d_q_latent": 50, "d_nope": 12, "d_rope": 6, "d_value": 10}
    own = WIDTHS | mla | {"n_experts": 6, "n_active_experts": 2, "d_expert": 20, "n_shared_experts": 1}
    at = FLASH | {"tensor_parallel": 2, "dtype": dtype}
    queries, values, scores = 2 * (12 + 6), 2 * 10, 4 * 2
    latents = 2 * (30 + 6 + 50)
    core = 2 * (2 * queries + 2 * values) + latents + scores
    hidden = (4 + b) * 20 / 2
    assert saved(own, **at) == pytest.approx(2 * (2 + b) * 64 + core + 3 * hidden + 2 * (b + 2) * 64)
    light = 2 * 2 * 64 + 2 * values + latents + scores + 3 * 2 * b * 20 / 2 + 2 * b * 64
    assert saved(own, **at, recompute="light") == pytest.approx(light)
    plain = {k: v for k, v in own.items() if k != "d_q_latent"}
    no_latent = light - 2 * 50 + 2 * queries  # queries come from the layer's input: their product is kept
    assert saved(plain, **at, recompute="light") == pytest.approx(no_latent)


LIGHTNING = WIDTHS | {"layers": [{"count": 2, "mixer": "lightning", "ffn": "no_ffn"}], "d_head": 16}


@pytest.mark.parametrize(("heads", "t"), [(3, 1), (4, 1), (6, 2), (8, 2), (16, 4)])
def test_other_mixers_keep_inputs_and_outputs_of_their_products(heads: int, t: int) -> None:
    """In from 64 to four times the heads' width, a scan's output, out from that width to 64.

    The layer's input is counted once, with its norm; also where the heads on a rank are as wide as the layer.
    """
    inner = 16 * heads / t
    kept = 2 * 4 * inner + 2 * inner + 2 * (inner + 64)
    assert saved(LIGHTNING | {"n_heads": heads}, **FLASH, tensor_parallel=t) == pytest.approx(4 * 64 + kept)


def test_a_half_that_is_not_there_keeps_nothing() -> None:
    none = WIDTHS | {"layers": [{"count": 2, "mixer": "no_mixer", "ffn": "dense_ffn"}], "d_ff": 100}
    assert saved(none, **FLASH) == pytest.approx(4 * 64 + 600)
    alone = GPT | {"layers": [{"count": 2, "mixer": "gqa", "ffn": "no_ffn"}]}
    assert saved(alone, **FLASH) == pytest.approx(4 * 64 + 8 * 64 + 32)


def test_bytes_of_a_microbatch() -> None:
    """Three sequences of 48 tokens on two ranks are 72 tokens each; all computed again keeps 2 d."""
    made = model(**GPT)
    at = layout(microbatch=3, context_parallel=2, **FLASH)
    whole = float(saved_per_token(made.first, 64, at))
    assert float(layer_bytes(made.first, 64, at)) == pytest.approx(72 * whole)
    again = layout(microbatch=3, context_parallel=2, recompute="full", **FLASH)
    assert float(layer_bytes(made.first, 64, again)) == 72 * 2 * 64
    halves = [float(half_bytes(part, 64, at)) for part in (made.first.mixer, made.first.ffn)]
    assert halves == [
        pytest.approx(72 * (4 * 64 + 8 * 64 + 32)),
        pytest.approx(72 * (4 * 64 + 4 * 256)),
    ]
    assert [float(half_bytes(p, 64, again)) for p in (made.first.mixer, made.first.ffn)] == [72 * 128, 0]
    split = layout(**FLASH | {"recompute": "full", "tensor_parallel": 4, "sequence_parallel": True})
    assert float(layer_bytes(made.first, 64, split)) == S * 2 * 64 / 4
    assert float(half_bytes(made.first.mixer, 64, split)) == S * 2 * 64 / 4


def test_the_average_layer_is_weighed_by_counts() -> None:
    own = GPT | {"n_layers": 5, "layers": [{"count": 4}, {"count": 1, "d_ff": 1256}]}
    at = layout(**FLASH)
    few, many = (float(layer_bytes(g.block, 64, at)) for g in model(**own).layers)
    assert many - few == pytest.approx(S * 4 * 1000)
    assert float(mean_layer_bytes(model(**own), at)) == pytest.approx((4 * few + many) / 5)


# Arithmetic.


def test_products_of_a_token() -> None:
    """Twice the parameters it meets: 4 d d_head heads for attention of equal heads, 2 d d_ff, the head."""
    found = forward_flops(model(**GPT), S)
    assert found.layers == pytest.approx(2 * 2 * (4 * 64 * 64 + 2 * 64 * 256))
    assert found.head == 2 * 64 * 100
    assert found.attention_full == pytest.approx(2 * 4 * 64 * S)
    assert found.attention_causal == pytest.approx(2 * 4 * 64 * (S + 1) / 2)
    products, causal = found.layers + found.head, found.attention_causal
    assert found.model(causal=True) == pytest.approx(3 * (products + causal))
    assert found.model(causal=False) == pytest.approx(3 * (products + found.attention_full))
    again = {"none": 0.0, "selective": causal, "full": found.layers + causal}
    for how, more in again.items():
        assert found.hardware(how, causal=True) == pytest.approx(3 * (products + causal) + more)
    full = found.attention_full
    assert found.hardware("selective", causal=False) == pytest.approx(3 * (products + full) + full)


def test_megatrons_formula_is_the_case_of_wide_networks() -> None:
    """arXiv 2104.04473: 72 B L s h^2 (1 + s/6h + V/12hL) for a batch, 4 h wide networks, full attention."""
    h, layers, vocabulary = 64, 2, 100
    flops = forward_flops(model(**GPT), S).model(causal=False)
    assert flops == pytest.approx(72 * layers * h**2 * (1 + S / (6 * h) + vocabulary / (12 * h * layers)))


def test_windows_leave_fewer_pairs() -> None:
    """The first 20 tokens see 1, 2 ... 20, each later one 20: 20 x 48 - 190 pairs."""
    found = forward_flops(model(**GPT, attention_window=20), S)
    assert found.attention_full == pytest.approx(2 * 4 * 64 * 20)
    assert found.attention_causal == pytest.approx(2 * 4 * 64 * (20 * S - 190) / S)


def test_a_mixture_meets_its_experts_and_its_router() -> None:
    own = WIDTHS | {"n_heads": 8, "n_kv_heads": 8, "d_head": 8, "n_experts": 6, "n_active_experts": 2}
    own |= {"d_expert": 20}
    attention = 4 * 64 * 64
    for gated, matrices in ((True, 3), (False, 2)):
        found = forward_flops(model(**own, gated_ffn=gated), S)
        experts = 2 * matrices * 64 * 20
        assert found.layers == pytest.approx(2 * 2 * (attention + experts + 6 * 64))
    some = own | {"n_layers": 5, "n_dense_layers": 3, "d_ff": 256}
    found = forward_flops(model(**some), S)
    experts = 2 * 3 * 64 * 20 + 6 * 64
    assert found.layers == pytest.approx(2 * (5 * attention + 3 * 3 * 64 * 256 + 2 * experts))
    assert found.attention_full == pytest.approx(5 * 4 * 64 * S)


# Rules of thumb.


def test_work_that_hides_messages() -> None:
    """1 PFLOP/s and 50 GB/s: 20,000 tokens; keys of 2 bytes for an eighth of the heads: 5,000."""
    assert tokens_hiding_gathers(1e15, 5e10) == 20_000
    assert tokens_hiding_ring(4, 32, 2.0, 1e15, 5e10) == 5_000
    assert widest_tensor_parallel(14336, 1e15, 5e11) == pytest.approx(7.168)
    assert np.allclose(widest_tensor_parallel(np.array([1000, 3000]), 2e15, 4e12), [2.0, 6.0])
