"""Each block's weights, cache and operators, term by term, from small numbers worked out by hand.

Guards against a term that vanishes, a factor of two, a width that is not split or split once too often.
Widths are small and differ, so that no two terms are alike. The formulas are those of the blocks' docstrings
and their sources; the arithmetic here is done again, not read from the code.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import kinds
import numpy as np
import pytest
from pydantic import ValidationError

from optimizer.blocks import block, embedding, latent_moe, moe, ple, rule_words
from optimizer.blocks.operators import (
    AllReduce,
    DecodeAttention,
    Elementwise,
    ExpertExchange,
    Experts,
    ForSome,
    Gemm,
    LatentAttention,
    Operator,
    PrefillAttention,
    Weights,
)
from optimizer.blocks.step import Step
from optimizer.spec.split import Split

D, T = 7, 4  # d_model, tensor_parallel
# 3 sequences with 2 new tokens each, and 2 prompts of 11 tokens: 28 rows, of which 8 are sampled.
STEP = Step(
    d_model=D,
    split=Split(tensor_parallel=T),
    batch=3,
    context=50,
    prompts=2,
    prompt_tokens=11,
    prefix=5,
    chunks=3,
    queries=2,
)
ROWS, TOKENS = 28, 22
DECODE = replace(STEP, prompts=0)
PROMPTS = replace(STEP, batch=0)


def stored(part: Any) -> tuple[Any, Weights]:
    """Parameters of the whole layer, and elements on one of four ranks."""
    return block(part).n_params(part, D), block(part).weights(part, D, T)


def made(part: Any, step: Step = STEP) -> list[Operator]:
    found: list[Operator] = block(part).operators(part, step)
    return found


def test_a_step_counts_its_rows() -> None:
    assert (STEP.rows, STEP.sampled, STEP.attended) == (3 * 2 + 2 * 11, 3 * 2 + 2, 5 + (11 + 22 + 33) / 3)
    assert (STEP.decodes, STEP.prefills) == (True, True)
    assert (DECODE.decodes, DECODE.prefills, DECODE.rows, DECODE.sampled) == (True, False, 6, 6)
    assert (PROMPTS.decodes, PROMPTS.prefills, PROMPTS.rows, PROMPTS.sampled) == (False, True, 22, 2)
    plain = Step(d_model=D, split=Split(), batch=3, context=50, prompts=2, prompt_tokens=11)
    assert (plain.rows, plain.sampled, plain.attended) == (25, 5, 11)
    several = replace(STEP, batch=np.array([0, 3]), prompts=np.array([0, 0.5]))
    assert (several.decodes, several.prefills) == (True, True)
    assert several.rows.tolist() == [0, 11.5]


@pytest.mark.parametrize("window", [1, 3, 11, 12, 20, 38, 100])
@pytest.mark.parametrize("prefix", [0, 5, 30])
@pytest.mark.parametrize("chunks", [1, 3])
def test_pairs_of_prompts_are_counted_one_by_one(window: int, prefix: int, chunks: int) -> None:
    op = PrefillAttention("", 11, window, 1, 1, 1, 1, prefix, chunks)
    positions = range(prefix + 1, prefix + 11 * chunks + 1)
    assert op.pairs == sum(min(place, window) for place in positions) / chunks
    before = [prefix + 11 * chunk for chunk in range(chunks)]
    assert op.cached == min(sum(before) / chunks, window)


def test_scans_without_norms() -> None:
    """Mamba has none of step sizes, inputs and outputs, Falcon-H1 none behind the scan."""
    one = kinds.Mamba1(d_inner=8, d_state=3, d_dt=2, d_conv=4)
    two = kinds.Mamba2(d_inner=24, d_ssm_head=3, d_state=5, n_groups=6, d_conv=4)
    for part, norms, of_a_rank in ((one, 8, 8), (two, 24, 6)):
        bare = part.model_copy(update={"scan_norm": False})
        assert stored(part)[0] - stored(bare)[0] == norms
        assert stored(part)[1].vector - stored(bare)[1].vector == of_a_rank
        assert part.ordinary and not bare.ordinary


def test_embedding() -> None:
    assert embedding.n_params(D, 1000, tied=True) == 1000 * 7 + 7
    assert embedding.n_params(D, 1000, tied=False) == 2 * 1000 * 7 + 7
    assert embedding.n_params(D, 1000, True, positions=9, norm_bias=True) == 1000 * 7 + 9 * 7 + 2 * 7
    assert [embedding.n_embedding_params(D, 1000, tied) for tied in (True, False)] == [7000, 14000]
    padded = [embedding.padded_vocab(n, t) for n, t in ((1, 1), (64, 1), (65, 1), (1024, 4), (1025, 4))]
    assert padded == [64, 64, 128, 1024, 1280]
    assert embedding.table(D, 1000, T) == 256 * 7
    assert [embedding.beside_tables(D, n) for n in (0, 9)] == [7, 9 * 7 + 7]
    assert embedding.operators(STEP, 1000) == [
        Elementwise("embedding lookup, final norm", (28 + 8) * 2 * 2 * 7),
        Gemm("language-model head", 8, 256, 7, component="head"),
    ]


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_dense_ffn(gated: bool, bias: bool) -> None:
    part = kinds.DenseFeedForward(d_ff=12, gated_ffn=gated, ffn_bias=bias)
    n = 2 if gated else 1
    assert stored(part) == (
        n * 7 * 12 + 12 * 7 + (n * 12 + 7 if bias else 0),
        Weights(n * 7 * 3 + 3 * 7, n * 3 + 7 if bias else 0),
    )
    more = part.model_copy(update={"ffn_norm": True, "ffn_scalars": 2})
    assert stored(more)[0] == stored(part)[0] + 12 + 2
    assert stored(more)[1].vector == stored(part)[1].vector + 3 + 2
    assert part.ordinary and not more.ordinary
    assert made(part) == [
        Elementwise("ffn norm, residual", 28 * 6 * 7),
        Gemm("gate and up projection" if gated else "up projection", 28, n * 3, 7),
        Elementwise("activation", 28 * 5 * 3),
        Gemm("down projection", 28, 7, 3),
        AllReduce("ffn all-reduce", 28 * 2 * 7),
    ]
    extras = {"ffn_norm": False, "ffn_scalars": 0}
    assert (
        rule_words(part) == {"kind": "dense_ffn", "d_ff": 12, "gated_ffn": gated, "ffn_bias": bias} | extras
    )


GQA = {"n_heads": 8, "n_kv_heads": 2, "d_head": 5}  # a rank has 2 query heads and 1 of 2 key-value heads


def test_gqa_weights() -> None:
    part = kinds.GroupedQueryAttention
    assert stored(part(**GQA)) == (7 * (40 + 40 + 2 * 10), Weights(7 * (10 + 10 + 2 * 5), 0))
    qkv, output, norm = ({name: True} for name in ("qkv_bias", "output_bias", "qk_norm"))
    assert stored(part(**GQA, **qkv)) == (700 + 40 + 20, Weights(210, 10 + 10))
    assert stored(part(**GQA, **output)) == (700 + 7, Weights(210, 7))
    assert stored(part(**GQA, **norm)) == (700 + 2 * 5, Weights(210, 2 * 5))
    assert stored(part(**GQA, output_gate=True)) == (700 + 7 * 40, Weights(210 + 7 * 10, 0))
    assert stored(part(**GQA, sinks=True)) == (700 + 8, Weights(210, 2))
    assert stored(part(**GQA, qk_norm_full=True)) == (700 + 40 + 10, Weights(210, 10 + 5))
    assert stored(part(**GQA, qk_norm=True, qk_norm_bias=True)) == (700 + 4 * 5, Weights(210, 4 * 5))
    assert stored(part(**GQA, qk_norm_bias=True)) == (700, Weights(210, 0))
    assert stored(part(**GQA, output_norm=True)) == (700 + 40, Weights(210, 10))
    assert stored(part(**GQA, head_gate=True)) == (700 + 7 * 8, Weights(210 + 7 * 2, 0))
    lattice = SimpleNamespace(kind="gqa", qkv_bias=False, output_bias=False, qk_norm=False, **GQA)
    assert stored(lattice) == stored(part(**GQA))  # kinds of a lattice have no switches for extras


def test_gqa_cache() -> None:
    def elements(tokens: int, t: int, **fields: Any) -> Any:
        part = kinds.GroupedQueryAttention(**(GQA | fields))
        return block(part).kv_elements(part, tokens, t)

    assert elements(100, 1) == 2 * 2 * 5 * 100
    assert elements(100, 2) == elements(100, 4) == elements(100, 8) == 2 * 1 * 5 * 100
    assert elements(100, 3, n_heads=12, n_kv_heads=4) == 2 * 2 * 5 * 100  # the fullest rank has two of four
    assert elements(100, 4, attention_window=30) == 2 * 5 * 30
    assert elements(20, 4, attention_window=30) == 2 * 5 * 20


def test_gqa_operators() -> None:
    part = kinds.GroupedQueryAttention(**GQA)
    before = [
        Elementwise("attention norm, residual", 28 * 6 * 7),
        Gemm("qkv projection", 28, 10 + 2 * 5, 7),
        Elementwise("rotary, cache write", 28 * 2 * 2 * (10 + 2 * 5)),
    ]
    after = [Gemm("output projection", 28, 7, 10), AllReduce("attention all-reduce", 28 * 2 * 7)]
    decode = DecodeAttention("attention", 3, 50, 2, 1, 5, 2)
    prompt = PrefillAttention("prompt attention", 11, 5 + 33, 2, 1, 5, 2, 5, 3)
    assert made(part) == [*before, decode, prompt, *after]
    assert made(part, DECODE)[3:-2] == [decode]
    assert made(part, PROMPTS)[3:-2] == [replace(prompt, name="attention")]
    gated = kinds.GroupedQueryAttention(**GQA, output_gate=True)
    assert made(gated)[1] == Gemm("qkv projection", 28, 2 * 10 + 2 * 5, 7)
    headed = kinds.GroupedQueryAttention(**GQA, head_gate=True)
    assert made(headed)[1] == Gemm("qkv projection", 28, 10 + 2 + 2 * 5, 7)
    narrow, wide = (kinds.GroupedQueryAttention(**GQA, attention_window=n) for n in (30, 45))
    assert made(narrow)[3:5] == [replace(decode, context=30), replace(prompt, window=30)]
    assert made(wide)[3:5] == [replace(decode, context=45), prompt]


def test_gqa_without_projections_of_its_own() -> None:
    """Values that are the keys' projection; a layer that reads the keys and values of an earlier one."""
    keys, earlier = (
        kinds.GroupedQueryAttention(**GQA, qk_norm=True, kv_from=f) for f in ("keys", "earlier_layer")
    )
    plain = kinds.GroupedQueryAttention(**GQA, qk_norm=True)
    assert stored(keys) == (7 * (40 + 40 + 10) + 2 * 5, Weights(7 * (10 + 10 + 5), 2 * 5))
    assert stored(earlier) == (7 * (40 + 40) + 5, Weights(7 * 20, 5))
    assert [block(part).kv_elements(part, 100, T) for part in (keys, earlier)] == [2 * 5 * 100, 0]
    assert made(keys)[1:3] == [Gemm("qkv projection", 28, 10 + 5, 7), *made(plain)[2:3]]
    assert made(earlier)[1:3] == [
        Gemm("qkv projection", 28, 10, 7), Elementwise("rotary, cache write", 28 * 4 * 10)
    ]  # fmt: skip
    assert made(keys)[3:] == made(earlier)[3:] == made(plain)[3:]  # the cache of the other layer is read
    biased = kinds.GroupedQueryAttention(**GQA, qkv_bias=True, kv_from="earlier_layer")
    assert stored(biased)[1].vector == 10


def test_gqa_with_values_of_another_width() -> None:
    """Keys of 5, values of 3: a core as wide as their mean, an output from the values."""
    part = kinds.GroupedQueryAttention(**GQA, d_head_value=3, output_gate=True)
    assert stored(part) == (7 * (40 + 24 + 10 + 6 + 24), Weights(7 * (10 + 6 + 5 + 3 + 6), 0))
    assert block(part).kv_elements(part, 100, T) == (5 + 3) * 100
    assert made(part)[1:] == [
        Gemm("qkv projection", 28, 10 + 6 + 8, 7),
        Elementwise("rotary, cache write", 28 * 4 * (10 + 8)),
        DecodeAttention("attention", 3, 50, 2, 1, 4, 2),
        PrefillAttention("prompt attention", 11, 38, 2, 1, 4, 2, 5, 3),
        Gemm("output projection", 28, 7, 6),
        AllReduce("attention all-reduce", 28 * 2 * 7),
    ]


@pytest.mark.parametrize(("chunk", "tokens"), [(8, 48), (16, 48), (48, 48), (60, 48)])
def test_gqa_in_chunks_sees_what_its_tokens_see(chunk: int, tokens: int) -> None:
    """Place p of a prompt sees p modulo the chunk and itself: counted one by one, however it is scheduled."""
    part = kinds.GroupedQueryAttention(**GQA, attention_window=chunk, window_kind="chunk")
    for steps in (1, 3):
        own = Step(D, Split(), 0, 0, 2.0, tokens / steps, chunks=steps)
        [core] = [op for op in made(part, own) if isinstance(op, PrefillAttention)]
        seen = sum(place % chunk + 1 for place in range(tokens))
        assert core.prompts * core.pairs * steps == pytest.approx(2 * seen)
    [core] = [op for op in made(part, DECODE) if isinstance(op, DecodeAttention)]
    assert core.context == ((chunk + 1) / 2 if chunk < 50 else 50)
    assert block(part).kv_elements(part, 100, T) == 2 * 5 * chunk
    assert block(part).named(part) == f"gqa with chunks of {chunk}"
    plain = kinds.GroupedQueryAttention(**GQA)
    assert block(part).unwindowed(part) == plain == block(part).widened(plain, 9)
    assert block(part).widened(part, 9).attention_window == chunk + 9


MLA = {"n_heads": 8, "d_kv_latent": 6, "d_nope": 5, "d_rope": 3, "d_value": 4}  # a rank has 2 heads


def test_mla_weights() -> None:
    direct, latent = (
        kinds.Mla(**MLA),
        kinds.Mla(**MLA, d_q_latent=9),
    )
    shared = 7 * (6 + 3) + 6 + 6 * 8 * (5 + 4) + 8 * 4 * 7
    assert stored(direct) == (7 * 8 * 8 + shared, Weights(7 * 16 + 7 * 9 + 6 * 2 * 9 + 2 * 4 * 7, 6))
    assert stored(latent) == (
        7 * 9 + 9 + 9 * 8 * 8 + shared,
        Weights(7 * 9 + 9 * 16 + 7 * 9 + 6 * 2 * 9 + 2 * 4 * 7, 6 + 9),
    )
    assert [block(direct).kv_elements(direct, 100, t) for t in (1, 8)] == [900, 900]
    own = rule_words(direct)
    assert (own["n_heads"], own["n_kv_heads"], own["d_head"]) == (8, 8, 5 + 3)


def test_mla_operators() -> None:
    direct, latent = (
        kinds.Mla(**MLA),
        kinds.Mla(**MLA, d_q_latent=9),
    )
    decode = [
        Gemm("query absorption", 6, 2 * 6, 5),
        LatentAttention("attention", 3, 50, 2, 6, 3, 2),
        Gemm("value absorption", 6, 2 * 4, 6),
    ]
    prompts = [
        Gemm("key-value up-projection", 2 * 27, 2 * (5 + 4), 6),
        PrefillAttention("prompt attention", 11, 38, 2, 2, (8 + 4) / 2, 2, 5, 3),
    ]
    after = [Gemm("output projection", 28, 7, 8), AllReduce("attention all-reduce", 28 * 2 * 7)]
    assert made(direct) == [
        Elementwise("attention norm, residual", 28 * 6 * 7),
        Gemm("latent down-projection", 28, 6 + 3 + 16, 7),
        Elementwise("rotary, cache write", 28 * 2 * 2 * (16 + 6 + 3)),
        *decode,
        *prompts,
        *after,
    ]
    assert made(latent)[1:4] == [
        Gemm("latent down-projection", 28, 6 + 3 + 9, 7),
        Gemm("query up-projection", 28, 16, 9),
        Elementwise("rotary, cache write", 28 * 2 * 2 * (16 + 6 + 3)),
    ]
    assert made(latent)[4:] == [*decode, *prompts, *after]
    gated = kinds.Mla(**MLA, output_gate=True)  # 2 heads of 4 on a rank
    assert stored(gated)[0] - stored(direct)[0] == 7 * 8 * 4
    assert stored(gated)[1].matrix - stored(direct)[1].matrix == 7 * 2 * 4
    assert made(gated)[1] == Gemm("latent down-projection", 28, 6 + 3 + 16 + 2 * 4, 7)
    assert made(direct, DECODE)[3:-2] == decode
    assert made(direct, PROMPTS)[3:-2] == [prompts[0], replace(prompts[1], name="attention")]


def scan(
    state: float, fixed: float, read: float, out: float, flops: float, chunk: float, tokens: float = 11
) -> list[Operator]:
    """Decode reads and writes all that 3 sequences keep; a prompt its 4-byte state once a chunk."""
    kept = 2 * 4 * state / min(chunk, tokens)
    return [
        Elementwise("state update", 2 * 3 * fixed),
        Elementwise("prompt scan, traffic", 2 * tokens * (2 * read + kept)),
        Gemm("prompt scan", 2 * tokens, out, pytest.approx(flops / (2 * out)), "bf16"),
    ]


# Kind, parameters, elements a rank, bytes of a state a rank, words, operators before the scan, and the scan.
STATES: dict[str, tuple[Any, int, Weights, float, dict[str, int], list[Operator], dict[str, float]]] = {
    "lightning": (
        kinds.Lightning(n_heads=8, d_head=5),  # D = 40, 10 of it on a rank
        5 * 7 * 40 + 40,
        Weights(5 * 7 * 10, 10),
        4 * 2 * 5 * 5,
        {"n_heads": 8, "n_kv_heads": 8, "d_head": 5},
        [Gemm("state input projection", 28, 4 * 10, 7), Elementwise("activation, gate, norm", 28 * 14 * 10)],
        {"state": 2 * 25, "read": 3 * 10, "out": 10, "flops": 2 * (4 * 25 + 2 * 256 * 5), "chunk": 256},
    ),
    "mamba1": (
        kinds.Mamba1(d_inner=8, d_state=3, d_dt=2, d_conv=4),  # 2 channels on a rank; R + 2 N = 8
        2 * 7 * 8 + 8 * 5 + 8 * 8 + 2 * 8 + 8 + 8 * 3 + 8 + 8 + 8 * 7,
        Weights(2 * 7 * 2 + 2 * 8 + 2 * 2 + 2 * 7, 2 * (4 + 1) + 2 + 2 * 3 + 2 + 8),
        2 * (4 * 3 + 2 * 4),
        {"n_heads": 8, "n_kv_heads": 8, "d_head": 1, "d_ff": 8},
        [
            Gemm("state input projection", 28, 2 * 2, 7),
            Elementwise("convolution, gate, norm", 28 * 10 * 2),
            Gemm("selection projection", 28, 8, 2),
            AllReduce("selection all-reduce", 28 * 2 * 8),
            Gemm("step projection", 28, 2, 2),
        ],
        {"state": 2 * 3, "read": 3 * 2 + 2 * 3, "out": 2, "flops": 16 * 9 * 2 * 3, "chunk": 2048},
    ),
    "mamba2": (
        kinds.Mamba2(d_inner=24, d_ssm_head=3, d_state=5, n_groups=6, d_conv=4),  # 2 of 8 heads, 2 groups
        7 * (48 + 2 * 6 * 5 + 8) + (24 + 60) * (4 + 1) + 3 * 8 + 24 + 24 * 7,
        Weights(7 * (12 + 2 * 2 * 5 + 2) + 6 * 7, (6 + 20) * (4 + 1) + 3 * 2 + 6),
        4 * 6 * 5 + 2 * (6 + 20) * 4,
        {"n_heads": 8, "n_kv_heads": 8, "d_head": 3, "d_ff": 24},
        [
            Gemm("state input projection", 28, 12 + 20 + 2, 7),
            Elementwise("convolution, gate, norm", 28 * (4 * (6 + 20) + 6 * 6)),
        ],
        {
            "state": 6 * 5,
            "read": 6 + 20 + 2,
            "out": 6,
            "flops": 4 * 6 * 5 + 128 * (2 * 5 + 6),
            "chunk": 128,
        },
    ),
    "gated_deltanet": (
        # 3 of 12 value heads and 2 of 6 key heads on a rank: widths 9 and 10
        kinds.GatedDeltaNet(n_key_heads=6, n_value_heads=12, d_key=5, d_value=3, d_conv=4),
        7 * (2 * 30 + 2 * 36) + 2 * 7 * 12 + (60 + 36) * 4 + 2 * 12 + 3 + 36 * 7,
        Weights(7 * (2 * 10 + 2 * 9 + 2 * 3) + 9 * 7, (20 + 9) * 4 + 2 * 3 + 3),
        4 * 9 * 5 + 2 * (20 + 9) * 4,
        {"n_heads": 12, "n_kv_heads": 6, "d_head": 3},
        [
            Gemm("state input projection", 28, 2 * 10 + 2 * 9 + 2 * 3, 7),
            Elementwise("convolution, gate, norm", 28 * (4 * (20 + 9) + 6 * 9)),
        ],
        {
            "state": 9 * 5,
            "read": 2 * 10 + 9 + 2 * 3,
            "out": 9,
            "flops": 3 * (6 * 15 + 64 * (3 * 5 + 2 * 3)),
            "chunk": 64,
        },
    ),
    "kda": (
        kinds.Kda(n_linear_heads=8, d_linear_head=5),  # 2 heads on a rank, 10 of 40 channels
        3 * 7 * 40 + 3 * 40 * 4 + 7 * 8 + 7 * 5 + 5 * 40 + 40 + 8 + 7 * 5 + 5 * 40 + 5 + 40 * 7,
        Weights(4 * 7 * 10 + 7 * 2 + 2 * (7 * 5 + 5 * 10), 3 * 10 * 4 + 10 + 2 + 5),
        4 * 2 * 25 + 2 * 3 * 10 * 4,
        {"n_heads": 8, "n_kv_heads": 8, "d_head": 5},
        [
            Gemm("state input projection", 28, 3 * 10 + 2 + 2 * 5, 7),
            Gemm("decay projection", 28, 10, 5),
            Gemm("gate projection", 28, 10, 5),
            Elementwise("convolution, gates, norm", 28 * (4 * 30 + 10 * 10)),
        ],
        {
            "state": 2 * 25,
            "read": 4 * 10 + 2,
            "out": 10,
            "flops": 2 * (6 * 25 + 3 * 64 * 5 + 64 * 64),
            "chunk": 64,
        },
    ),
}


@pytest.mark.parametrize("kind", STATES)
def test_layers_with_a_state(kind: str) -> None:
    part, n_params, weights, fixed, words, before, own = STATES[kind]
    assert part.kind == kind
    assert stored(part) == (n_params, weights)
    assert block(part).state_bytes(part, T) == fixed
    assert block(part).kv_elements(part, 100, T) == 0
    assert {k: v for k, v in rule_words(part).items() if k in words} == words
    norm = Elementwise("mixer norm, residual", 28 * 6 * 7)
    after = [Gemm("state output projection", 28, 7, own["out"]), AllReduce("mixer all-reduce", 28 * 2 * 7)]
    passed = scan(fixed=fixed, **own)
    assert made(part) == [norm, *before, *passed, *after]
    n = len(before) + 1
    assert made(part, DECODE)[n:-2] == passed[:1]
    assert made(part, PROMPTS)[n:-2] == passed[1:]
    long = replace(STEP, prompt_tokens=5000)
    assert made(part, long)[n:-2] == scan(fixed=fixed, **own, tokens=5000)


def test_the_output_gate_of_kda_is_one_matrix_or_two() -> None:
    narrow, full = (kinds.Kda(n_linear_heads=8, d_linear_head=5, full_rank_gate=f) for f in (False, True))
    assert stored(full)[0] - stored(narrow)[0] == 7 * 40 - (7 * 5 + 5 * 40)
    assert made(full)[1:3] == [
        Gemm("state input projection", 28, 3 * 10 + 2 + 5 + 10, 7),
        Gemm("decay projection", 28, 10, 5),
    ]
    assert "gate projection" not in [op.name for op in made(full)]


def test_short_convolution() -> None:
    part = kinds.ShortConvolution(d_inner=8, d_conv=3)  # 2 channels on a rank
    assert stored(part) == (4 * 7 * 8 + 8 * 3, Weights(4 * 7 * 2, 2 * 3))
    assert block(part).kv_elements(part, 100, T) == 0
    assert block(part).state_bytes(part, T) == 2 * 2 * 3
    words = rule_words(part)
    assert (words["n_heads"], words["n_kv_heads"], words["d_head"]) == (8, 8, 1)
    assert made(part) == [
        Elementwise("mixer norm, residual", 28 * 6 * 7),
        Gemm("convolution input projection", 28, 3 * 2, 7),
        Elementwise("gates, convolution", 28 * 2 * (8 + 2 * 3)),
        Gemm("convolution output projection", 28, 7, 2),
        AllReduce("mixer all-reduce", 28 * 2 * 7),
    ]
    assert [op.name for op in made(part, DECODE)] == [op.name for op in made(part, PROMPTS)]


@pytest.mark.parametrize(
    ("part", "words"), [(kinds.NoMixer(), "no_mixer"), (kinds.NoFeedForward(), "no_ffn")]
)
def test_half_a_layer_is_empty(part: Any, words: str) -> None:
    assert stored(part) == (0, Weights(0, 0))
    assert made(part) == []
    assert rule_words(part) == {"kind": words}
    assert getattr(block(part), "kv_elements", lambda *_: 0)(part, 100, T) == 0


MOE = {"n_experts": 8, "n_active_experts": 2, "d_expert": 6}
EXPERT = 3 * 7 * 6


def test_moe_weights() -> None:
    plain = kinds.MixtureOfExperts(**MOE)
    assert stored(plain) == (7 * 8 + 8 * EXPERT, Weights(0, 7 * 8, 8 * EXPERT / 4))
    assert moe.n_active_params(plain, D) == 7 * 8 + 2 * EXPERT
    full = kinds.MixtureOfExperts(
        **MOE, n_shared_experts=3, d_shared=5, expert_bias=True, router_bias=True, shared_gate=True
    )
    one, shared = EXPERT + 2 * 6 + 7, 3 * (3 * 7 * 5) + 7
    assert stored(full) == (
        7 * 8 + 8 + 8 * one + shared,
        Weights(shared / 4, (7 + 1) * 8, 8 * one / 4),
    )
    assert moe.n_active_params(full, D) == 7 * 8 + 2 * one + shared
    assert moe.rank_weights(full, D, T, 3) == Weights(shared / 4, (7 + 1) * 8, 8 * one / 12)
    ungated = kinds.MixtureOfExperts(**MOE, gated_ffn=False, expert_bias=True, n_shared_experts=1)
    one, shared = 2 * 7 * 6 + 6 + 7, 2 * 7 * 6  # shared experts are as wide as the others unless given
    assert stored(ungated) == (7 * 8 + 8 * one + shared, Weights(shared / 4, 7 * 8, 8 * one / 4))
    assert rule_words(full)["d_ff"] == 6


def test_moe_of_one_attention_rank() -> None:
    """All tokens are on the rank, so nothing is exchanged and one all-reduce sums up."""
    part = kinds.MixtureOfExperts(**MOE)
    norm, total = Elementwise("ffn norm, residual", 28 * 6 * 7), AllReduce("ffn all-reduce", 28 * 2 * 7)
    split = Experts("experts", 28, 7, 6 / 4, 8, 2, 8, True, 1.0, 1.0)
    assert made(part) == [norm, split, total]
    whole = replace(STEP, split=replace(STEP.split, expert_parallel=2))
    assert made(part, whole) == [norm, replace(split, d_expert=6 * 2 / 4, n_local=4), total]
    assert made(part, replace(STEP, prompts=0.25))[1] == replace(split, rows=6 + 2.75, launched=0.25)
    ungated = kinds.MixtureOfExperts(**MOE, gated_ffn=False, n_shared_experts=2, d_shared=10)
    assert made(ungated) == [
        norm,
        replace(split, gated=False),
        Gemm("shared experts, up", 28, 20 / 4, 7),
        Elementwise("shared experts, activation", 28 * 5 * 20 / 4),
        Gemm("shared experts, down", 28, 7, 20 / 4),
        total,
    ]


def test_moe_of_several_attention_ranks() -> None:
    """Three ranks of four chips, experts in two groups of six. Only shared experts need an all-reduce."""
    step = replace(STEP, split=replace(STEP.split, data_parallel=3, expert_parallel=2))
    norm, total = Elementwise("ffn norm, residual", 28 * 6 * 7), AllReduce("ffn all-reduce", 28 * 2 * 7)
    out = ExpertExchange("expert dispatch", 28 / 4, 7, 8, 2, 12, 2, True)
    back = replace(out, name="expert combine", outward=False)
    experts = Experts("experts", 3 * 28, 7, 6 * 2 / 12, 8, 2, 4, True, 1.0, 1 - (1 / 2) ** 2)
    assert made(kinds.MixtureOfExperts(**MOE), step) == [norm, out, experts, back]
    shared = [
        Gemm("shared experts, up", 28, 2 * 6 / 4, 7),
        Elementwise("shared experts, activation", 28 * 5 * 6 / 4),
        Gemm("shared experts, down", 28, 7, 6 / 4),
    ]
    part = kinds.MixtureOfExperts(**MOE, n_shared_experts=1)
    assert made(part, step) == [norm, out, experts, back, *shared, total]


def test_shared_experts_of_some_kinds_of_a_lattice() -> None:
    fields = dict.fromkeys(("gated_ffn", "expert_bias", "router_bias", "shared_gate"), False)
    kinds = SimpleNamespace(kind="moe", **MOE, **fields, d_shared=None, n_shared_experts=np.array([0, 2]))
    step = replace(STEP, split=replace(STEP.split, data_parallel=3))
    own = [op for op in made(kinds, step) if isinstance(op, ForSome)]
    names = ["shared experts, up", "shared experts, activation", "shared experts, down", "ffn all-reduce"]
    assert [op.name for op in own] == names
    assert all(np.asarray(op.present).tolist() == [False, True] for op in own)
    assert own[0].operator.n.tolist() == [0, 2 * 6 / 4]
    kinds.n_shared_experts = np.array([0, 0])
    assert not any("shared" in op.name or "reduce" in op.name for op in made(kinds, step))
    kinds.n_shared_experts = np.array([1, 2])
    assert not any(isinstance(op, ForSome) for op in made(kinds, step))


def test_per_layer_embedding() -> None:
    """A table of 11 rows of 3 numbers, shared out; gate, projection and the way back on every rank."""
    part = kinds.PerLayerEmbedding(d_ple=3, n_table_rows=11)
    assert stored(part) == (11 * 3 + 3 * 7 * 3, Weights(3 * 7 * 3, 11 * 3 / 4))
    assert ple.n_active_params(part, D) == 3 + 3 * 7 * 3
    assert made(part) == [
        Elementwise("per-layer norm, residual", 28 * 6 * 7),
        Gemm("per-layer gate and projection", 28, 2 * 3, 7),
        Elementwise("per-layer look-up, gate", 28 * 12 * 3),
        Gemm("per-layer projection back", 28, 7, 3),
    ]


LATENT = 3 * 5 * 6  # an expert on vectors of 5 numbers


def test_latent_moe_weights() -> None:
    """Router and shared experts see the model's 7 numbers; both projections are whole on every rank."""
    plain, projections = kinds.LatentMoe(**MOE, d_latent=5), 2 * 7 * 5
    assert stored(plain) == (
        7 * 8 + 8 * LATENT + projections,
        Weights(projections, 7 * 8, 8 * LATENT / 4),
    )
    assert latent_moe.n_active_params(plain, D) == 7 * 8 + 2 * LATENT + projections
    full = kinds.LatentMoe(
        **MOE, d_latent=5, latent_norm=True, n_shared_experts=2, d_shared=4, router_bias=True
    )
    shared = 2 * 3 * 7 * 4
    assert stored(full) == (
        7 * 8 + 8 + 8 * LATENT + shared + projections + 5,
        Weights(projections + shared / 4, (7 + 1) * 8 + 5, 8 * LATENT / 4),
    )
    assert latent_moe.n_active_params(full, D) == 7 * 8 + 2 * LATENT + shared + projections + 5
    assert latent_moe.rank_weights(full, D, T, 3).experts == 8 * LATENT / 12
    assert latent_moe.unmet(full, D) == 8 * LATENT
    assert rule_words(full)["d_ff"] == 6


def test_latent_moe_operators() -> None:
    """The experts and what is exchanged are as wide as the projection; the rest as the model."""
    norm, total = Elementwise("ffn norm, residual", 28 * 6 * 7), AllReduce("ffn all-reduce", 28 * 2 * 7)
    inward, back = Gemm("latent projection", 28, 5, 7), Gemm("projection back", 28, 7, 5)
    experts = Experts("experts", 28, 5, 6 / 4, 8, 2, 8, True, 1.0, 1.0)
    assert made(kinds.LatentMoe(**MOE, d_latent=5)) == [norm, inward, experts, back, total]
    normed = kinds.LatentMoe(**MOE, d_latent=5, latent_norm=True)
    sums = [AllReduce("latent all-reduce", 28 * 2 * 5), Elementwise("latent norm", 28 * 4 * 5)]
    assert made(normed) == [norm, inward, experts, *sums, back, total]
    step = replace(STEP, split=replace(STEP.split, data_parallel=3, expert_parallel=2))
    out = ExpertExchange("expert dispatch", 28 / 4, 5, 8, 2, 12, 2, True)
    spread = Experts("experts", 3 * 28, 5, 6 * 2 / 12, 8, 2, 4, True, 1.0, 1 - (1 / 2) ** 2)
    combine = replace(out, name="expert combine", outward=False)
    assert made(normed, step) == [norm, inward, out, spread, combine, sums[1], back]


# An index: three sequences with two new tokens each on 50 cached ones, and two prompts of 11 of three chunks.
PAIRS = sum(range(5 + 1, 5 + 33 + 1)) / 3  # of a mean chunk of one prompt


def index_of(heads: float, width: int, stride: int = 1, pooled: float = 1) -> list[Operator]:
    return [
        DecodeAttention("index scores", 3, 50 / stride, heads, 1, width / 2, 2),
        Elementwise("index selection", pytest.approx(8 / pooled * 6 * 50 / stride)),
        PrefillAttention("prompt index scores", 11, 38, heads, 1, width / 2, 2 / stride, 5, 3, "fp8"),
        Elementwise("prompt index selection", pytest.approx(8 / pooled * 2 / stride * PAIRS)),
    ]


DSA = MLA | {"d_q_latent": 9, "n_index_heads": 6, "d_index": 10}


def test_dsa_weights() -> None:
    """Latent attention, and an index that is whole on every rank: queries, key, its norm, heads' weights."""
    latent, own = kinds.Mla(**MLA, d_q_latent=9), kinds.Dsa(**DSA)
    index = 9 * 6 * 10 + 7 * 10 + 7 * 6
    (n_params, base), (all_params, found) = stored(latent), stored(own)
    assert all_params == n_params + index + 2 * 10
    assert found == Weights(base.matrix + index, base.vector + 2 * 10)
    assert [block(own).kv_elements(own, 100, t) for t in (1, 8)] == [(6 + 3 + 10) * 100] * 2
    without = kinds.Dsa(**DSA, own_index=False)
    assert stored(without) == stored(latent)
    assert block(without).kv_elements(without, 100, 1) == 900
    words = rule_words(own)
    assert (words["n_heads"], words["n_kv_heads"], words["d_head"]) == (8, 8, 8)


def test_dsa_operators() -> None:
    """The core meets 20 tokens of 50, and prompts longer than that on latents; a short one as in mla."""
    latent, own = kinds.Mla(**MLA, d_q_latent=9), kinds.Dsa(**DSA, n_selected=20)
    before, after = made(latent)[:4], made(latent)[-2:]
    index = [
        Gemm("index projection", 28, 10 + 6, 7),
        Gemm("index queries", 28, 60, 9),
        Elementwise("index rotary, cache write", 28 * 4 * 70),
        *index_of(6, 10),
    ]
    decode = [
        Gemm("query absorption", 6, 2 * 6, 5),
        LatentAttention("attention", 3, 20, 2, 6, 3, 2),
        Gemm("value absorption", 6, 2 * 4, 6),
    ]
    prompts = [
        Gemm("query absorption, prompt attention", 22, 2 * 6, 5),
        PrefillAttention("prompt attention", 11, 20, 2, 1, 6 + 3 / 2, 2, 5, 3),
        Gemm("value absorption, prompt attention", 22, 2 * 4, 6),
    ]
    assert made(own) == [*before, *index, *decode, *prompts, *after]
    assert made(own, DECODE)[4:-2] == [
        *(replace(op, m=6) for op in index[:2]), Elementwise("index rotary, cache write", 6 * 4 * 70),
        *index[3:5], *decode,
    ]  # fmt: skip
    alone = made(own, PROMPTS)
    assert [op.name for op in alone[-5:-2]] == ["query absorption", "attention", "value absorption"]
    short = kinds.Dsa(**DSA, n_selected=38)
    assert made(short)[-4:-2] == made(latent)[-4:-2]
    assert made(kinds.Dsa(**DSA, n_selected=38, own_index=False))[4:7] == [
        decode[0], replace(decode[1], context=38), decode[2]
    ]  # fmt: skip


MSA = GQA | {
    "d_index": 10,
    "n_blocks": 3,
    "d_block": 4,
}  # twelve tokens; a rank has one key-value head of two


def test_msa() -> None:
    """Grouped-query attention to the tokens of three blocks; an index query a group, one key for all."""
    plain, own = kinds.GroupedQueryAttention(**GQA), kinds.Msa(**MSA)
    (n_params, base), (all_params, found) = stored(plain), stored(own)
    assert all_params == n_params + 7 * 10 * (2 + 1) + 2 * 10
    assert found == Weights(base.matrix + 7 * 10 * (1 + 1), 2 * 10)
    assert block(own).kv_elements(own, 100, 1) == 2 * 2 * 5 * 100 + 10 * 100
    assert block(own).kv_elements(own, 100, 8) == 2 * 5 * 100 + 10 * 100
    index = [
        Gemm("index projection", 28, 2 * 10, 7),
        Elementwise("index rotary, cache write", 28 * 4 * 2 * 10),
        *index_of(1, 10, pooled=4),
    ]
    cores = [replace(made(plain)[3], context=12), replace(made(plain)[4], window=12)]
    assert made(own) == [*made(plain)[:3], *index, *cores, *made(plain)[5:]]
    assert made(own, DECODE)[5:-2] == [*index_of(1, 10, pooled=4)[:2], cores[0]]
    with pytest.raises(ValidationError, match="attention_window 5 with blocks"):
        kinds.Msa(**MSA, attention_window=5)


CSA = {"n_heads": 8, "d_head": 6, "d_q_latent": 9, "d_output_latent": 3, "n_output_groups": 4}
CSA |= {"local_window": 20, "d_index": 10}


def test_csa_weights() -> None:
    """A window, entries of 16 tokens, entries of 4 that an index picks: each adds what it is made of."""
    plain, dense = kinds.Csa(**CSA), kinds.Csa(**CSA, compression=16)
    picked = kinds.Csa(**CSA, compression=4, n_index_heads=5)
    attention = 7 * 9 + 9 + 9 * 48 + 7 * 6 + 6 + 48 * 3 + 12 * 7 + 8
    assert stored(plain) == (
        attention,
        Weights(7 * (9 + 6) + 9 * 12 + 12 * 3 + 3 * 7, 9 + 6 + 2),
    )
    assert stored(dense)[0] == attention + 2 * 7 * 6 + 16 * 6 + 6
    entries = 2 * 7 * 12 + 4 * 12 + 6
    assert stored(picked)[0] == attention + entries + 2 * 7 * 20 + 2 * 4 * 10 + 10 + 9 * 50 + 7 * 5
    assert stored(picked)[1] == Weights(
        7 * (9 + 6 + 24 + 40 + 5) + 9 * (12 + 50) + 12 * 3 + 3 * 7, 9 + 6 + 2 + 4 * 12 + 6 + 80 + 10
    )
    kept = [[block(part).kv_elements(part, n, T) for n in (16, 160)] for part in (plain, dense, picked)]
    assert kept == [[16 * 6, 20 * 6], [16 * 6 + 6, 20 * 6 + 60], [16 * 6 + 4 * 16, 20 * 6 + 40 * 16]]
    words = rule_words(picked)
    assert (words["n_heads"], words["n_kv_heads"], words["d_head"]) == (8, 8, 6)


def test_csa_operators() -> None:
    """Two heads of six on a rank, one output group: 20 tokens, and 50 / 16 entries or 3 of 50 / 4."""
    plain, dense = kinds.Csa(**CSA), kinds.Csa(**CSA, compression=16)
    picked = kinds.Csa(**CSA, compression=4, n_index_heads=5, n_selected=3)
    norm, after = (
        Elementwise("attention norm, residual", 28 * 6 * 7),
        [
            Gemm("output down-projection", 28, 3, 12),
            Gemm("output projection", 28, 7, 3),
            AllReduce("attention all-reduce", 28 * 2 * 7),
        ],
    )
    query = Gemm("query up-projection", 28, 12, 9)
    local = PrefillAttention("prompt attention", 11, 20, 2, 1, 6, 2, 5, 3)
    assert made(plain) == [
        norm,
        Gemm("latent down-projection", 28, 15, 7),
        query,
        Elementwise("rotary, compression, cache write", 28 * (4 * 24 + 6 * 15)),
        LatentAttention("attention", 3, 20, 2, 6, 0, 2),
        local,
        *after,
    ]
    entries = replace(local, name="prompt attention to entries", prompts=2 / 16, window=38)
    assert made(dense)[4:-3] == [
        LatentAttention("attention", 3, 20 + 50 / 16, 2, 6, 0, 2), local, entries
    ]  # fmt: skip
    assert made(picked)[1:] == [
        Gemm("latent down-projection", 28, 15 + 24 + 45, 7),
        query,
        Gemm("index queries", 28, 50, 9),
        Elementwise("rotary, compression, cache write", 28 * (4 * (24 + 50) + 6 * 84)),
        *index_of(5, 10, stride=4),
        LatentAttention("attention", 3, 23, 2, 6, 0, 2),
        local,
        replace(entries, prompts=2 / 4, window=12),
        *after,
    ]
    assert made(dense, DECODE)[4:-3] == made(dense)[4:5]
    assert [op.name for op in made(dense, PROMPTS)[4:-3]] == ["attention", "attention to entries"]


@pytest.mark.parametrize("n", [3, 11, 47])
def test_entries_are_met_by_as_many_pairs_as_there_are(n: int) -> None:
    """Tokens of a prompt meet t / m entries each, at most k: counted one by one, as fractions of entries."""
    part = kinds.Csa(**CSA, compression=4, n_index_heads=5, n_selected=3)
    found = made(part, Step(D, Split(), 0, 0, 1.0, n))
    [entries] = [op for op in found if op.name == "attention to entries"]
    assert entries.prompts * entries.pairs == pytest.approx(sum(min(t / 4, 3) for t in range(1, n + 1)))
    [index] = [op for op in found if op.name == "index scores"]
    assert index.prompts * index.pairs == pytest.approx(sum(t / 4 for t in range(1, n + 1)))
