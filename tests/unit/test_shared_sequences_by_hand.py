"""Ranks that share the tokens of a sequence: what each computes, keeps and sends, worked out by hand.

Guards a form of parallelism that is easy to flatter: exchanges left out, or a cache counted twice.
"""

from dataclasses import replace
from typing import Any

import kinds
import pytest
import samples

from optimizer import Setup, catalog, estimate
from optimizer.blocks.operators import (
    AllReduce,
    Collective,
    DecodeAttention,
    Gemm,
    LatentAttention,
    PrefillAttention,
)
from optimizer.blocks.step import Step
from optimizer.cost import disaggregation, memory, serving
from optimizer.cost.collectives import Group, all_gather_s, all_to_all_s
from optimizer.cost.placement import chips_of_a_rank, layouts
from optimizer.cost.quantities import QUANTITIES, n_chunks, roofline
from optimizer.degrees import held_bytes, operators, unsplittable
from optimizer.errors import InputError
from optimizer.spec.split import Split

GQA = kinds.GroupedQueryAttention(n_heads=8, n_kv_heads=4, d_head=16)
MLA = kinds.Mla(n_heads=8, d_q_latent=24, d_kv_latent=32, d_nope=16, d_rope=8, d_value=16)
FOUR = Split(tensor_parallel=2, context_parallel=4)
# 8 sequences with 2 new tokens each; 3 prompts of 2 chunks of 40 tokens behind a prefix of 10: the mean chunk
# has 10 + 20 tokens before it.
STEP = Step(
    d_model=64,
    split=FOUR,
    batch=8,
    context=100,
    prompts=3,
    prompt_tokens=40,
    prefix=10,
    chunks=2,
    queries=2,
)


def named(part: Any, step: Step = STEP) -> dict[str, Any]:
    return {op.name: op for op in operators(part, step)}


def test_a_step_counts_the_tokens_of_one_rank() -> None:
    """A quarter of the sequences and of the prompts; the busiest has one at least, and all ends."""
    assert (STEP.decoded, STEP.prompted, STEP.rows, STEP.sampled) == (2 * 2, 30, 34, 4 + 3)
    assert STEP.attended == 10 + 3 * 40 / 2
    few = replace(STEP, batch=2)
    assert (few.decoded, replace(few, batch=0).decoded, replace(few, batch=0.5).decoded) == (2, 0, 1)
    whole = replace(STEP, split=Split(tensor_parallel=2))
    assert (whole.decoded, whole.prompted, whole.rows, whole.sampled) == (16, 120, 136, 19)


def test_what_a_rank_does_of_grouped_query_attention() -> None:
    found = named(GQA)
    assert list(found) == [
        "attention norm, residual",
        "qkv projection",
        "rotary, cache write",
        "queries gathered",
        "attention",
        "partial results",
        "keys and values gathered",
        "prompt attention",
        "output projection",
        "attention all-reduce",
    ]
    assert found["qkv projection"] == Gemm("qkv projection", 34, 64 + 2 * 32, 64, component="attention")
    assert found["attention all-reduce"] == AllReduce("attention all-reduce", 34 * 2 * 64)
    # Keys and values of 2 heads on a chip, 16 wide: 64 elements a token of 2 bytes; 70 tokens a prompt.
    assert found["keys and values gathered"] == Collective(
        "keys and values gathered", "all_gather", 3 * 70 * 64 * 2, 4, 2
    )
    # 16 new tokens, 4 heads on a chip, 16 wide.
    assert found["queries gathered"] == Collective("queries gathered", "all_gather", 16 * 4 * 16 * 2, 4, 2)
    assert found["partial results"] == Collective(
        "partial results", "all_to_all", 16 * 4 * (16 * 2 + 4), 4, 2
    )
    assert found["attention"] == DecodeAttention("attention", 8, 25, 4, 2, 16, 2)
    core = found["prompt attention"]
    assert isinstance(core, PrefillAttention)
    assert (core.tokens, core.chunks, core.prompts, core.prefix) == (10, 8, 3, 10)
    assert (
        core.pairs * 4 == sum(range(11, 91)) / 2
    )  # a mean chunk's: tokens 11 to 90 see themselves and all before


def test_latents_are_gathered_and_rebuilt_on_each_rank() -> None:
    found = named(MLA)
    assert found["keys and values gathered"].bytes == 3 * 70 * (32 + 8) * 2
    assert found["queries gathered"].bytes == 16 * 4 * (32 + 8) * 2
    assert found["partial results"].bytes == 16 * 4 * (32 * 2 + 4)
    assert found["attention"] == LatentAttention("attention", 8, 25, 4, 32, 8, 2)
    assert (found["query absorption"].m, found["value absorption"].m) == (4, 4)
    assert found["key-value up-projection"].m == 3 * 70


def test_an_index_and_its_core_gather_once() -> None:
    """Keys of the index, 12 numbers, come with the latents; its scores are shared as attention is."""
    part = kinds.Dsa(
        **MLA.model_dump(exclude={"kind"}) | {"d_q_latent": 24, "n_index_heads": 6, "d_index": 12}
    )
    found = named(part)
    gathers = [name for name in found if name.startswith("keys and values gathered")]
    assert gathers == ["keys and values gathered"]
    assert found["keys and values gathered"].bytes == 3 * 70 * (32 + 8 + 12) * 2
    assert found["index scores"] == DecodeAttention("index scores", 8, 25, 6, 1, 6, 2)
    assert found["queries gathered, index scores"].bytes == 16 * 6 * 6 * 2
    prompts = found["prompt index scores"]
    assert isinstance(prompts, PrefillAttention)
    assert (prompts.tokens, prompts.chunks, prompts.window) == (10, 8, 90)
    assert found["prompt index selection"].bytes == pytest.approx(8 / 4 * 3 * sum(range(11, 91)) / 2)


def test_a_window_is_shared_too() -> None:
    windowed = GQA.model_copy(update={"attention_window": 20})
    found = named(windowed)
    assert found["attention"].context == 20 / 4
    assert found["keys and values gathered"].bytes == 3 * (20 + 40) * 64 * 2


def test_one_rank_is_the_plain_layer() -> None:
    step = replace(STEP, split=Split(tensor_parallel=2))
    assert not any(isinstance(op, Collective) for op in operators(GQA, step))
    assert (FOUR.sequence_ranks, Split().sequence_ranks) == (4, 1)


def test_chips_and_lanes() -> None:
    """Ranks that share sequences are no lanes: what is in one is in all."""
    split = Split(2, 3, 1, 5, 4)
    assert (split.chips, split.rank, split.lanes) == (2 * 3 * 5 * 4, 8, 15)
    assert split.mentioned()["context_parallel"] == 4
    assert "context_parallel" not in Split().mentioned()


def test_what_is_kept_on_a_chip() -> None:
    """A quarter of the cache; all weights; one layer's keys and values of a whole prompt, gathered."""
    own = catalog.model("llama-3.1-8b")
    fields = {"batch": 8, "input_tokens": 30_000, "output_tokens": 2_000}
    one, four = (samples.frame(own, context_parallel=n, **fields) for n in (1, 4))
    assert memory.kv_bytes(own.first.mixer, one) == 32_000 * 2 * 8 * 128 * 2
    assert memory.kv_bytes(own.first.mixer, four) == 8_000 * 2 * 8 * 128 * 2
    assert memory.ffn_bytes(own.first.ffn, four) == memory.ffn_bytes(own.first.ffn, one)
    assert memory.embedding_bytes(four) == memory.embedding_bytes(one)
    assert (
        memory.working_bytes(four) == 2 * 7_500 * 4096 * 11
    )  # 30,000 tokens of a prompt on 4 ranks, room for 8192
    assert memory.logits_bytes(four) == memory.logits_bytes(one) / 4
    held = 2 * 8 * 128 * 30_000 * 2
    assert (memory.held_bytes(one, own), memory.held_bytes(four, own)) == (0, held)
    total = QUANTITIES["memory_bytes"].total
    saved = 8 * 32 * 24_000 * 2 * 8 * 128 * 2 + memory.activation_bytes(one) - memory.activation_bytes(four)
    assert total(one, own) - total(four, own) == pytest.approx(saved - held)


def test_gathered_keys_of_several_prompts_are_those_of_one_step() -> None:
    own = catalog.model("llama-3.1-8b")
    two = samples.frame(own, context_parallel=2, input_tokens=1_000, prefill_batch=50)
    room = two.engine.step_tokens * 2
    assert memory.held_bytes(two, own) == 2 * 8 * 128 * 2 * min(50_000, room)
    assert held_bytes(own.first.mixer, Split(), 7) == 0


def test_a_step_has_room_on_every_rank() -> None:
    own = catalog.model("llama-3.1-8b")
    engine = catalog.engine("trtllm")
    fields = {"engine": engine, "input_tokens": 100_000, "output_tokens": 100}
    one, four = (samples.frame(own, context_parallel=n, **fields) for n in (1, 4))
    assert (n_chunks(one), n_chunks(four)) == (13, 4)  # of 8192 and of 32,768 tokens
    assert (serving.most_scheduled(one), serving.most_scheduled(four)) == (8, 32)


def test_a_handed_over_cache_comes_from_all_ranks() -> None:
    own = catalog.model("llama-3.1-8b")
    prefill = samples.frame(own, tensor_parallel=2, context_parallel=4, input_tokens=8_000)
    decode = samples.frame(own, tensor_parallel=2, input_tokens=8_000)
    assert disaggregation.cache_on_a_chip(prefill, own) == disaggregation.cache_on_a_chip(decode, own) / 4
    handed = disaggregation.hand_over(prefill, decode, own)
    assert handed.received_bytes == 4 * handed.sent_bytes
    assert disaggregation.prompt_cache_bytes(prefill, own) == disaggregation.prompt_cache_bytes(decode, own)


@pytest.mark.parametrize(
    ("t", "n", "domain", "together", "rank"),
    [(2, 4, 8, 4, 8), (2, 4, 4, 2, 4), (4, 3, 8, 1, 4), (8, 2, 4, 1, 4)],
)
def test_exchanges_and_placements_lie_alike(t: int, n: int, domain: int, together: int, rank: int) -> None:
    """Whole tensor-parallel groups beside each other, as many as fit and divide the ranks."""
    split = Split(tensor_parallel=t, context_parallel=n)
    link = {"topology": "switch", "domain": domain, "bandwidth": "450 GB/s"}
    chip = samples.chip(scaleup=link, scaleout_bandwidth="50 GB/s")
    assert chips_of_a_rank(split, domain) == rank
    [layout] = layouts(split, domain)
    assert layout.blocks(split, domain) == {rank: t * n // rank}
    own = catalog.model("llama-3.1-8b")
    rates = roofline(samples.frame(own, chip, tensor_parallel=t, context_parallel=n))
    for how, seconds in (("all_gather", all_gather_s), ("all_to_all", all_to_all_s)):
        found = rates.cost(Collective("x", how, 1e6, n, t))  # type: ignore[arg-type]
        assert found.seconds == pytest.approx(seconds(1e6, Group(n, together), chip)[0])
        assert found.link_bytes == (n - 1) / n * 1e6


def test_without_a_network_ranks_stay_in_their_domain() -> None:
    chip = samples.chip(scaleout_bandwidth=None)
    setup = Setup(tensor_parallel=8, context_parallel=2)
    with pytest.raises(InputError, match="scaleout_bandwidth"):
        estimate(catalog.model("llama-3.1-8b"), chip, setup)


@pytest.mark.parametrize(
    ("model", "ranks", "tokens", "why"),
    [
        ("llama-3.1-8b", 4, 8, ""),
        ("llama-3.1-8b", 4, 7, "7 tokens of a prompt are fewer than 2 pieces for each rank"),
        ("llama-3.1-8b", 1, 1, ""),
        ("deepseek-ai/DeepSeek-V3", 8, 1000, ""),
        ("ai21labs/Jamba-v0.1", 2, 1000, "mamba1 passes a state from token to token"),
        ("ai21labs/Jamba-v0.1", 1, 1000, ""),
    ],
)
def test_who_cannot_share_a_sequence(model: str, ranks: int, tokens: int, why: str) -> None:
    found = unsplittable(catalog.model(model), Split(context_parallel=ranks), tokens)
    assert list(found) == (["context_parallel"] if why else [])
    assert found.get("context_parallel", "").startswith(why)


def test_an_estimate_says_the_degree_where_there_is_one() -> None:
    own, chip = catalog.model("llama-3.1-8b"), catalog.chip("h100")
    one, four = (estimate(own, chip, Setup(context_parallel=n, input_tokens=100_000)) for n in (1, 4))
    assert "context_parallel" not in one.model_dump(mode="json")["deployment"]["pools"][0]
    pool = four.model_dump(mode="json")["deployment"]["pools"][0]
    assert (pool["context_parallel"], pool["chips"]) == (4, 4)
    assert one.metrics["ttft_ms"] / 4 < four.metrics["ttft_ms"] < one.metrics["ttft_ms"] / 3
    assert four.memory_gib["weights"] == pytest.approx(one.memory_gib["weights"])
    assert four.memory_gib["cache"] == pytest.approx(one.memory_gib["cache"] / 4)
    assert sum(four.memory_gib.values()) == pytest.approx(four.metrics["memory_gib"])
    refused = estimate(
        catalog.model("ai21labs/Jamba-v0.1"), chip, Setup(context_parallel=2, weight_dtype="fp8")
    )
    assert refused.breaks[0] == "context_parallel" and "attention alone" in refused.why["context_parallel"]
