"""Every kind of layer half: what is stored is what is counted, and every step of it takes time.

Guards the contract of `optimizer.blocks`: a kind that forgets a tensor in `weights`, an operator without a
cost, or a cache that does not follow its heads over the ranks.
"""

import inspect
import math
from types import SimpleNamespace
from typing import Any

import kinds
import pytest
import samples
from pydantic import ValidationError

from optimizer.blocks import block
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import QUANTITIES, layer_operators, passes, roofline
from optimizer.plugins import plugins
from optimizer.spec.architecture import Architecture

D_MODEL = 2048
GQA = {"n_heads": 16, "n_kv_heads": 8, "d_head": 128}
MLA = {"n_heads": 16, "d_kv_latent": 512, "d_nope": 128, "d_rope": 64, "d_value": 128}
MOE = {"n_experts": 32, "n_active_experts": 4, "d_expert": 512}
CSA = {"n_heads": 16, "d_head": 256, "d_q_latent": 512, "d_output_latent": 256, "local_window": 64}
PARTS: dict[str, Any] = {
    "gqa": kinds.GroupedQueryAttention(**GQA),
    "gqa with biases": kinds.GroupedQueryAttention(**GQA, qkv_bias=True, output_bias=True, qk_norm=True),
    "gqa with extras": kinds.GroupedQueryAttention(**GQA, qk_norm_full=True, output_gate=True, sinks=True),
    "gqa with a window": kinds.GroupedQueryAttention(**GQA, attention_window=256),
    "gqa in chunks": kinds.GroupedQueryAttention(**GQA, attention_window=256, window_kind="chunk"),
    "gqa of keys alone": kinds.GroupedQueryAttention(**GQA, qk_norm=True, kv_from="keys"),
    "gqa with narrow values": kinds.GroupedQueryAttention(**GQA, d_head_value=64),
    "gqa on an earlier layer": kinds.GroupedQueryAttention(**GQA, kv_from="earlier_layer"),
    "mla": kinds.Mla(**MLA),
    "mla with a query latent": kinds.Mla(**MLA, d_q_latent=768),
    "mla with a gate": kinds.Mla(**MLA, output_gate=True),
    "dsa": kinds.Dsa(**MLA, d_q_latent=768, n_index_heads=8, d_index=64, n_selected=128),
    "dsa without an index": kinds.Dsa(**MLA, d_q_latent=768, n_index_heads=8, d_index=64, own_index=False),
    "msa": kinds.Msa(**GQA, qk_norm=True, d_index=64, n_blocks=4, d_block=32),
    "csa": kinds.Csa(**CSA),
    "csa with entries": kinds.Csa(**CSA, compression=128),
    "csa with an index": kinds.Csa(**CSA, compression=4, n_index_heads=8, n_selected=64),
    "mamba2": kinds.Mamba2(d_inner=4096, d_ssm_head=64, d_state=128, n_groups=8),
    "mamba1": kinds.Mamba1(d_inner=4096, d_state=16, d_dt=128),
    "gated_deltanet": kinds.GatedDeltaNet(n_key_heads=16, n_value_heads=32, d_key=128, d_value=128),
    "lightning": kinds.Lightning(n_heads=16, d_head=128),
    "kda": kinds.Kda(n_linear_heads=16, d_linear_head=128),
    "kda with a full gate": kinds.Kda(n_linear_heads=16, d_linear_head=128, full_rank_gate=True),
    "short_conv": kinds.ShortConvolution(d_inner=2048, d_conv=3),
    "no_mixer": kinds.NoMixer(),
    "dense_ffn": kinds.DenseFeedForward(d_ff=8192),
    "dense_ffn ungated": kinds.DenseFeedForward(d_ff=8192, gated_ffn=False, ffn_bias=True),
    "moe": kinds.MixtureOfExperts(**MOE),
    "moe with biases": kinds.MixtureOfExperts(
        **MOE, expert_bias=True, router_bias=True, n_shared_experts=1, shared_gate=True
    ),
    "latent_moe": kinds.LatentMoe(**MOE, d_latent=1024),
    "latent_moe with a norm": kinds.LatentMoe(**MOE, d_latent=1024, latent_norm=True, n_shared_experts=1),
    "ple": kinds.PerLayerEmbedding(d_ple=256, n_table_rows=32000),
    "no_ffn": kinds.NoFeedForward(),
}
WHOLE = {"ple"}
"""Whose products every rank does."""
EMPTY = {"no_mixer", "no_ffn"}
STATES = {"mamba2", "mamba1", "gated_deltanet", "lightning", "kda"}
KINDS = {name for name, module in plugins("blocks").items() if hasattr(module, "ROLE")}


def frame(tensor_parallel: int = 1, **fields: Any) -> Frame:
    own = Architecture(name="own", d_model=D_MODEL, vocab_size=32000, n_layers=1, **GQA, d_ff=8192)
    values = {"tensor_parallel": tensor_parallel, "batch": 8, "output_tokens": 64}
    return samples.frame(own, "nvidia-b200", **(values | fields))


def seconds(part: Any, at: Frame, phase: str) -> float:
    """Of one layer; a long prompt is prefilled in chunks."""
    times = passes(at) if phase == "prefill" else 1
    return float(times * roofline(at).seconds(layer_operators(at, part, phase)))


def test_every_kind_is_tried() -> None:
    assert {part.kind for part in PARTS.values()} == KINDS


@pytest.mark.parametrize("name", PARTS)
def test_stored_elements_are_the_parameters(name: str) -> None:
    stored = block(PARTS[name]).weights(PARTS[name], D_MODEL, 1)
    assert stored.matrix + stored.vector + stored.experts == block(PARTS[name]).n_params(PARTS[name], D_MODEL)


@pytest.mark.parametrize("name", sorted(set(PARTS) - EMPTY - WHOLE))
def test_ranks_share_the_weights_and_miss_none(name: str) -> None:
    one, four = (block(PARTS[name]).weights(PARTS[name], D_MODEL, t) for t in (1, 4))
    whole, share = (stored.matrix + stored.experts for stored in (one, four))
    assert whole / 4 <= share < whole


@pytest.mark.parametrize("name", sorted(set(PARTS) - EMPTY))
@pytest.mark.parametrize("phase", ["decode", "prefill", "mixed"])
@pytest.mark.parametrize("tensor_parallel", [1, 8])
def test_every_operator_takes_time(name: str, phase: str, tensor_parallel: int) -> None:
    at = frame(tensor_parallel)
    operators = layer_operators(at, PARTS[name], phase)
    assert operators
    for operator in operators:
        cost = float(roofline(at).cost(operator).seconds)
        assert math.isfinite(cost), operator
        assert cost > 0 or type(operator).__name__ == "AllReduce", operator
    assert len({operator.name for operator in operators}) == len(operators)


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_half_a_layer_costs_nothing(name: str) -> None:
    assert seconds(PARTS[name], frame(), "mixed") == 0
    assert QUANTITIES["decode_s"].ffn(frame(), PARTS[name]) == 0


@pytest.mark.parametrize("name", sorted(set(PARTS) - EMPTY))
def test_the_mixed_step_is_the_longest_of_decode_and_more(name: str) -> None:
    assert seconds(PARTS[name], frame(), "mixed") > seconds(PARTS[name], frame(), "decode")


def test_cache_follows_the_heads_of_gqa_and_not_of_mla() -> None:
    gqa, mla = ([memory.kv_bytes(PARTS[name], frame(t)) for t in (1, 2, 8, 16)] for name in ("gqa", "mla"))
    assert [gqa[0] / value for value in gqa] == [1, 2, 8, 8]  # beyond eight heads they are replicated
    assert len(set(mla)) == 1


@pytest.mark.parametrize("name", sorted(STATES))
def test_a_state_does_not_grow_with_the_sequence(name: str) -> None:
    part = PARTS[name]
    short, long = frame(input_tokens=128), frame(input_tokens=65536)
    assert memory.kv_bytes(part, long) == 0
    assert memory.attention_bytes(part, long) == memory.attention_bytes(part, short)
    assert seconds(part, long, "decode") == seconds(part, short, "decode")
    assert memory.state_bytes(part, frame(8)) == pytest.approx(memory.state_bytes(part, frame(1)) / 8)


@pytest.mark.parametrize("name", sorted(STATES))
def test_decode_reads_and_writes_every_state_once(name: str) -> None:
    at = frame(2, batch=32)
    [update] = [op for op in layer_operators(at, PARTS[name], "decode") if op.name == "state update"]
    assert update.bytes == 2 * 32 * memory.state_bytes(PARTS[name], at)


@pytest.mark.parametrize("name", sorted(STATES))
def test_scan_of_a_long_prompt_is_linear(name: str) -> None:
    one, two = (seconds(PARTS[name], frame(input_tokens=n), "prefill") for n in (32768, 65536))
    assert two == pytest.approx(2 * one, rel=0.05)


def test_scan_of_mamba2_has_the_arithmetic_of_its_paper() -> None:
    """4 H P N + Q (G N + H P) FLOP a token, here with H P = 4096, N = 128, G = 8 and Q = 128."""
    at = frame(input_tokens=1024)
    [scan] = [op for op in layer_operators(at, PARTS["mamba2"], "prefill") if op.name == "prompt scan"]
    flops = 4 * 4096 * 128 + 128 * (8 * 128 + 4096)
    assert roofline(at).cost(scan).flops == pytest.approx(1024 * flops)


def test_extras_of_attention_are_counted() -> None:
    plain, extra = (block(PARTS[n]).n_params(PARTS[n], D_MODEL) for n in ("gqa", "gqa with extras"))
    assert extra - plain == D_MODEL * 16 * 128 + 16 + (16 + 8) * 128


def test_a_model_with_extras_is_no_point_of_the_dense_lattice() -> None:
    flat = {"name": "own", "d_model": D_MODEL, "vocab_size": 32000, "n_layers": 2, "d_ff": 8192, **GQA}
    assert Architecture.model_validate(flat).plain
    unusual = ({"sinks": True}, {"kv_from": "keys"}, {"d_head_value": 64}, {"qk_norm_bias": True})
    assert not any(Architecture.model_validate(flat | extra).plain for extra in unusual)
    assert not Architecture.model_validate(flat | {"layers": [{"count": 2, "mixer": "no_mixer"}]}).plain


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (kinds.Mamba2, {"d_inner": 100, "d_ssm_head": 64, "d_state": 16}, "does not divide"),
        (
            kinds.GatedDeltaNet,
            {"n_key_heads": 3, "n_value_heads": 32, "d_key": 8, "d_value": 8},
            "does not divide",
        ),
        (kinds.GroupedQueryAttention, GQA | {"qk_norm": True, "qk_norm_full": True}, "exclude each other"),
        (kinds.GroupedQueryAttention, GQA | {"window_kind": "chunk"}, "give the tokens of a chunk"),
    ],
)
def test_impossible_shapes_are_refused(kind: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(**fields)


ROLES = ("mixer", "ffn")
FILES = {name: m for name, m in plugins("blocks").items() if hasattr(m, "ROLE")}


@pytest.mark.parametrize("kind", sorted(FILES))
def test_a_block_file_has_all_there_is_to_a_kind(kind: str) -> None:
    """Its name, its fields, costs and words; what is searched says its shape, and how values go together."""
    module = FILES[kind]
    fields, dimensions = module.FIELDS, module.FIELDS.dimensions()
    assert fields.model_fields["kind"].default == kind and module.ROLE in ("mixer", "ffn")
    made = {*("n_params", "weights", "operators"), *(["kv_elements"] if module.ROLE == "mixer" else [])}
    assert not {name for name in made if not callable(getattr(module, name, None))}
    assert set(inspect.signature(getattr(module, "legal", lambda: True)).parameters) <= set(dimensions)
    assert not set(getattr(module, "OUTSIDE", {})) - set(plugins("constraints"))
    if dimensions or hasattr(module, "in_words"):
        assert module.in_words(SimpleNamespace(**dict.fromkeys(dimensions, 8)))
        assert all(own.title and own.short for own in dimensions.values())
    if module.ROLE == "ffn":  # bounds take one narrowest network, and one mixer of each choice of these
        assert not [name for name, own in dimensions.items() if own.rises is None]


def test_halves_of_a_layer_share_no_dimension() -> None:
    """A lattice has both flat beside each other; one kind of each half is the usual one."""
    names = {
        role: {n for m in FILES.values() if role == m.ROLE for n in m.FIELDS.dimensions()} for role in ROLES
    }
    assert not names["mixer"] & names["ffn"]
    usual = [m.ROLE for m in FILES.values() if hasattr(m, "USUAL")]
    assert sorted(usual) == sorted(ROLES)
