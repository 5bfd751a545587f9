"""What must hold of pipelines, data and expert parallelism, prefixes, chunks and drafts on any model.

Models are random: dense, mixtures, latents, windows and states, on measured and unmeasured chips.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import samples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kinds import MixtureOfExperts

from optimizer import catalog
from optimizer.blocks import embedding, moe
from optimizer.blocks.operators import DecodeAttention, Experts, Gemm, LatentAttention, PrefillAttention
from optimizer.blocks.step import Step
from optimizer.cost import memory
from optimizer.cost.quantities import QUANTITIES, n_chunks, passes, roofline, step_of
from optimizer.degrees import operators
from optimizer.spec.architecture import Architecture
from optimizer.spec.engine import IDEAL
from optimizer.spec.split import Split

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
CHIPS = ["nvidia-h100-sxm", "nvidia-b200-sxm", "amd-mi300x", "google-tpu-v6e"]
MIXERS = {
    "gqa": {"n_heads": 32, "n_kv_heads": 8, "d_head": 128},
    "window": {"n_heads": 32, "n_kv_heads": 8, "d_head": 64, "attention_window": 500},
    "mla": {
        "n_heads": 32,
        "d_kv_latent": 512,
        "d_q_latent": 1536,
        "d_nope": 128,
        "d_rope": 64,
        "d_value": 128,
    },
    "mamba2": {"d_inner": 4096, "d_ssm_head": 64, "d_state": 128},
}
FFNS = {
    "dense_ffn": {"d_ff": 8192},
    "moe": {"n_experts": 64, "n_active_experts": 6, "d_expert": 1408, "n_shared_experts": 1},
    "moe without shared": {"n_experts": 64, "n_active_experts": 2, "d_expert": 2048},
}


@st.composite
def architectures(draw, ffns=tuple(FFNS)):
    mixer, ffn = draw(st.sampled_from(list(MIXERS))), draw(st.sampled_from(ffns))
    kind = "mla" if mixer == "mla" else "mamba2" if mixer == "mamba2" else "gqa"
    group = {"count": draw(st.integers(1, 70)), "mixer": kind, "ffn": ffn.split()[0]}
    fields = {"name": "random", "d_model": 4096, "vocab_size": 64000, "n_layers": group["count"]}
    return Architecture.model_validate(fields | {"layers": [group]} | MIXERS[mixer] | FFNS[ffn])


@st.composite
def frames(draw, architecture, **fixed):
    engine = IDEAL.model_copy(
        update={
            "step_tokens": draw(st.sampled_from([256, 2048, 8192, 10**6])),
            "expert_exchange": draw(st.sampled_from(["all_to_all", "all_gather"])),
        }
    )
    fields = {
        "tensor_parallel": draw(st.sampled_from([1, 2, 4])),
        "batch": 64 * draw(st.integers(1, 8)),
        "weight_dtype": draw(st.sampled_from(["bf16", "fp8"])),
        "input_tokens": draw(st.integers(1, 20000)),
        "output_tokens": draw(st.integers(1, 2000)),
        "engine": engine,
    }
    return samples.frame(architecture, draw(st.sampled_from(CHIPS)), **(fields | fixed))


@st.composite
def cases(draw, ffns=tuple(FFNS), **fixed):
    own = draw(architectures(ffns))
    return own, draw(frames(own, **fixed))


def total(name, frame, own):
    return QUANTITIES[name].total(frame, own)


def flops(frame, own, phase, kinds):
    """FLOP of one rank in one pass of a phase through all layers."""
    rates, step = roofline(frame), step_of(frame, phase)
    parts = [(g.count, part) for g in own.layers for part in (g.block.mixer, g.block.ffn)]
    return sum(
        count * rates.cost(op).flops
        for count, part in parts
        for op in operators(part, step)
        if isinstance(op, kinds)
    )


# Memory


@PROPERTY
@given(cases(), st.integers(2, 80))
def test_stages_together_hold_at_least_the_whole(case, stages) -> None:
    own, one = case
    many = samples.changed(one, pipeline_parallel=stages)
    assert stages * total("memory_bytes", many, own) >= total("memory_bytes", one, own) * (1 - 1e-12)
    fixed = memory.shared_bytes(one)
    layers = total("memory_bytes", one, own) - fixed
    per_layer = layers / own.n_layers
    longest = total("memory_bytes", many, own) - memory.shared_bytes(many)
    assert longest == pytest.approx(per_layer * -(-own.n_layers // stages))


@PROPERTY
@given(cases(), st.sampled_from(["tensor_parallel", "pipeline_parallel", "data_parallel"]))
def test_more_chips_never_need_more_memory_each(case, axis) -> None:
    own, frame = case
    sizes = [total("memory_bytes", samples.changed(frame, **{axis: n}), own) for n in (1, 2, 4, 8)]
    assert sizes == sorted(sizes, reverse=True)


@PROPERTY
@given(
    st.sampled_from([8, 64, 256]), st.sampled_from([1, 2, 8]), st.sampled_from([1, 4, 8]), st.integers(0, 3)
)
def test_ranks_together_hold_every_expert_once(n_experts, tensor_parallel, data_parallel, shared) -> None:
    ffn = MixtureOfExperts(n_experts=n_experts, n_active_experts=2, d_expert=512, n_shared_experts=shared)
    rank = moe.rank_weights(ffn, 1024, tensor_parallel, data_parallel)
    assert rank.experts * tensor_parallel * data_parallel == 3 * n_experts * 512 * 1024
    assert rank.matrix * tensor_parallel == 3 * shared * 512 * 1024  # on every attention rank


# Experts over ranks


@PROPERTY
@given(cases(["moe", "moe without shared"]), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]))
def test_expert_parallelism_moves_work_and_loses_none(case, data_parallel, expert_parallel) -> None:
    """All ranks together do the same arithmetic on the same pairs; whole experts are touched less often."""
    own, frame = case
    ranks = frame.split.tensor_parallel * data_parallel
    assume(ranks % expert_parallel == 0)
    wide = samples.changed(frame, data_parallel=data_parallel, expert_parallel=expert_parallel)
    one = flops(samples.changed(frame, tensor_parallel=1), own, "decode", Experts)
    assert ranks * flops(wide, own, "decode", Experts) == pytest.approx(one)
    split = samples.changed(wide, expert_parallel=1)
    assert total("memory_bytes", wide, own) == total("memory_bytes", split, own)


def expert_part(frame, own, kind):
    step = step_of(frame, "decode")
    found = memory.block(own.layers[0].block.ffn).operators(own.layers[0].block.ffn, step)
    return roofline(frame).cost(next(op for op in found if op.name == kind))


@PROPERTY
@given(cases(["moe"], tensor_parallel=2), st.sampled_from([2, 4, 8, 16]))
def test_split_experts_are_sent_to_every_rank_that_has_a_part(case, expert_parallel) -> None:
    """Fewer groups, more ranks to send to: experts split over all ranks need the tokens on all of them."""
    own, frame = case
    engine = frame.engine.model_copy(update={"expert_exchange": "all_to_all"})
    frame = samples.changed(frame, data_parallel=8, engine=engine)

    def sent(groups: int) -> float:
        found = expert_part(samples.changed(frame, expert_parallel=groups), own, "expert dispatch")
        return float(found.link_bytes)

    everywhere = samples.changed(
        frame, engine=engine.model_copy(update={"expert_exchange": "all_gather"}), expert_parallel=1
    )
    assert sent(1) == pytest.approx(float(expert_part(everywhere, own, "expert dispatch").link_bytes))
    assert sent(expert_parallel) < sent(expert_parallel // 2)


@PROPERTY
@given(cases(["moe"], tensor_parallel=1), st.sampled_from([1, 2, 8, 64]))
def test_ranks_handle_only_the_tokens_sent_to_them(case, groups) -> None:
    """Gathered, every token is on every rank; sent, only those with an expert there: never slower."""
    own, frame = case
    frame = samples.changed(frame, data_parallel=64, expert_parallel=groups)

    def experts_s(exchange: str, **fields: int) -> float:
        engine = frame.engine.model_copy(update={"expert_exchange": exchange})
        return float(expert_part(samples.changed(frame, engine=engine, **fields), own, "experts").seconds)

    sent, gathered = experts_s("all_to_all"), experts_s("all_gather")
    assert sent < gathered if groups > 1 else sent == gathered
    alone = {"data_parallel": 1, "expert_parallel": 1}
    assert experts_s("all_to_all", **alone) == experts_s("all_gather", **alone)


@PROPERTY
@given(cases())
def test_one_of_everything_is_the_plain_replica(case) -> None:
    """Every layer's operators once, on all sequences and whole prompts: no parallel form is left."""
    own, frame = case
    frame = replace(frame, engine=frame.engine.model_copy(update={"step_tokens": 10**9}))
    context, prompts = frame.input_tokens + frame.output_tokens / 2, frame.batch / frame.output_tokens
    split = (frame.d_model, frame.split)
    steps = {
        "decode_s": Step(*split, frame.batch, context, 0, frame.input_tokens),
        "prefill_s": Step(*split, 0, context, 1, frame.input_tokens),
        "mixed_s": Step(*split, frame.batch, context, prompts, frame.input_tokens),
    }
    for name, step in steps.items():
        halves = [(g.count, part) for g in own.layers for part in (g.block.mixer, g.block.ffn)]
        layers = [(count, memory.block(part).operators(part, step)) for count, part in halves]
        outside = embedding.operators(step, frame.vocab_size)
        seconds = sum(count * roofline(frame).seconds(found) for count, found in layers)
        assert total(name, frame, own) == pytest.approx(seconds + roofline(frame).seconds(outside)), name
        names = {op.name for _, found in layers for op in found}
        assert not {"expert dispatch", "expert combine", "stage hand-over"} & names


@PROPERTY
@given(cases(["dense_ffn"]), st.sampled_from([2, 4, 8]))
def test_attention_ranks_of_a_dense_model_are_replicas(case, n) -> None:
    """With nothing to share, n ranks with n times the sequences take the time of one."""
    own, frame = case
    many = samples.changed(frame, batch=frame.batch * n, data_parallel=n)
    for name in ("decode_s", "prefill_s", "mixed_s", "memory_bytes"):
        assert total(name, many, own) == pytest.approx(total(name, frame, own))


# Pipelines


@PROPERTY
@given(cases(), st.sampled_from([2, 4]))
def test_stages_share_the_sequences_of_a_batch(case, stages) -> None:
    """Each microbatch goes through all layers: never faster than the layers on its share, plus hand-overs."""
    own, frame = case
    staged = samples.changed(frame, pipeline_parallel=stages)
    smaller = replace(frame, batch=frame.batch // stages)
    assert total("decode_s", staged, own) > total("decode_s", smaller, own)


@PROPERTY
@given(cases(), st.integers(2, 8))
def test_a_prompt_fills_a_pipeline_only_by_its_chunks(case, stages) -> None:
    own, frame = case
    staged = samples.changed(frame, pipeline_parallel=stages)
    chunks = n_chunks(frame)
    assert passes(frame) == chunks
    assert chunks / stages < passes(staged) <= chunks
    assert total("prefill_s", staged, own) >= total("prefill_s", frame, own) / stages


# Shared sequences


@PROPERTY
@given(cases(), st.sampled_from([2, 3, 8]))
def test_ranks_that_share_sequences_do_the_work_of_one(case, n) -> None:
    """All together do the same arithmetic; each keeps an n-th of the cache, and all of the weights."""
    own, frame = case
    frame = replace(frame, batch=frame.batch * n)
    many = samples.changed(frame, context_parallel=n)
    if own.first.mixer.kind == "mamba2":
        return
    kinds = (DecodeAttention, LatentAttention, PrefillAttention)
    whole = replace(frame, engine=many.engine.model_copy(update={"step_tokens": many.step_tokens}))
    for phase in ("decode", "prefill", "mixed"):
        assert n * flops(many, own, phase, kinds) == pytest.approx(flops(whole, own, phase, kinds))
    dense = Gemm if own.first.ffn.kind == "dense_ffn" and own.first.mixer.kind == "gqa" else ()
    assert n * flops(many, own, "decode", dense) == pytest.approx(flops(whole, own, "decode", dense))
    for group in own.layers:
        cached = memory.kv_bytes(group.block.mixer, frame)
        assert n * memory.kv_bytes(group.block.mixer, many) == pytest.approx(cached)
    assert memory.embedding_bytes(many) == memory.embedding_bytes(frame)


@PROPERTY
@given(cases(), st.sampled_from([2, 8]))
def test_a_shared_prompt_is_sooner_by_less_than_the_ranks(case, n) -> None:
    """Never n times as fast as the same steps on one rank of n times the room, for what is sent is paid."""
    own, frame = case
    if own.first.mixer.kind == "mamba2":
        return
    many = samples.changed(frame, context_parallel=n)
    one = replace(frame, engine=many.engine.model_copy(update={"step_tokens": many.step_tokens}))
    assert total("prefill_s", many, own) > total("prefill_s", one, own) / n


# Prefixes and chunks


@PROPERTY
@given(cases(), st.floats(0, 1), st.floats(0, 1))
def test_a_longer_prefix_is_never_slower(case, a, b) -> None:
    """The work that is left out can only save time; what is left in reads the cache."""
    own, frame = case
    frame = replace(frame, engine=frame.engine.model_copy(update={"step_tokens": 10**6}))
    few, many = sorted(int(share * frame.input_tokens) for share in (a, b))
    less, more = (replace(frame, prefix_tokens=n) for n in (few, many))
    work = (Gemm, PrefillAttention, Experts)
    assert flops(more, own, "prefill", work) <= flops(less, own, "prefill", work) * (1 + 1e-12)
    assert total("prefill_s", more, own) <= total("prefill_s", less, own) * (1 + 1e-9)


@PROPERTY
@given(cases(), st.integers(1, 4000), st.floats(0, 0.99))
def test_chunks_count_every_pair_once(case, step_tokens, prefix) -> None:
    """Windows included: pairs of all chunks are those of one pass, and products do the same arithmetic."""
    own, frame = case
    frame = replace(frame, prefix_tokens=int(prefix * frame.input_tokens))
    whole, chunked = (
        replace(frame, engine=frame.engine.model_copy(update={"step_tokens": n}))
        for n in (10**9, step_tokens)
    )
    n = n_chunks(chunked)
    core = flops(whole, own, "prefill", PrefillAttention)
    assert n * flops(chunked, own, "prefill", PrefillAttention) == pytest.approx(core)
    every = (Gemm, PrefillAttention, Experts)
    assert n * flops(chunked, own, "prefill", every) >= flops(whole, own, "prefill", every) * (1 - 1e-9)


@PROPERTY
@given(st.integers(0, 3000), st.integers(1, 700), st.integers(1, 9), st.integers(1, 4000))
def test_pairs_by_counting(prefix, tokens, chunks, window) -> None:
    op = PrefillAttention("", tokens, window, 1, 1, 64, 1, prefix, chunks)
    counted = sum(min(prefix + i + 1, window) for i in range(chunks * tokens))
    assert op.pairs * chunks == pytest.approx(counted)


@PROPERTY
@given(cases(), st.integers(2, 16))
def test_chunks_are_never_faster(case, n) -> None:
    own, frame = case
    frame = replace(frame, input_tokens=n * 512)
    one, many = (
        replace(frame, engine=frame.engine.model_copy(update={"step_tokens": s})) for s in (10**9, 512)
    )
    assert n_chunks(many) == n
    # Mixtures pad each expert's rows to tiles; whatever the padding, weights are read once a chunk.
    assert total("prefill_s", many, own) >= total("prefill_s", one, own) * (1 - 1e-9)


# Drafts


@PROPERTY
@given(cases(), st.integers(1, 8))
def test_drafts_that_are_never_accepted_only_cost(case, drafts) -> None:
    own, frame = case
    vain = replace(frame, draft_tokens=drafts, draft_acceptance=0.0)
    assert vain.tokens_per_step == 1
    assert total("decode_s", vain, own) > total("decode_s", frame, own)
    assert total("mixed_s", vain, own) > total("mixed_s", frame, own)


@PROPERTY
@given(st.integers(0, 12), st.floats(0, 1))
def test_drafted_tokens_by_their_chances(drafts, acceptance) -> None:
    f = samples.frame("meta-llama/Llama-3.1-8B", draft_tokens=drafts, draft_acceptance=acceptance)
    by_chance = sum(acceptance**k for k in range(drafts + 1))
    assert f.tokens_per_step == pytest.approx(by_chance)
    assert 1 <= f.tokens_per_step <= drafts + 1


@PROPERTY
@given(cases(), st.integers(1, 5))
def test_verification_is_priced_at_all_its_tokens(case, drafts) -> None:
    """B (g + 1) rows in products, attention and experts; the cache is read once."""
    own, frame = case
    drafted = replace(frame, draft_tokens=drafts)
    kinds = (Gemm, DecodeAttention, LatentAttention, Experts)
    once = flops(frame, own, "decode", kinds)
    assert flops(drafted, own, "decode", kinds) == pytest.approx((drafts + 1) * once)


def test_verification_touches_more_experts() -> None:
    """DeepSeek-V3's 256 experts, 8 a token: 8 sequences touch 57, with three drafted tokens 163."""
    own = catalog.model("deepseek-v3")

    def read(drafts: int) -> float:
        frame = samples.frame(own, batch=8, weight_dtype="fp8", draft_tokens=drafts)
        ffn = own.layers[1].block.ffn
        op = next(op for op in moe.operators(ffn, step_of(frame, "decode")) if isinstance(op, Experts))
        return float(memory_of(frame, op))

    assert read(3) / read(0) == pytest.approx(163.31 / 57.42, rel=0.001)


def memory_of(frame, op):
    """Seconds of reading the touched experts, without their arithmetic."""
    big = frame.chip.model_copy(update={"dense_flops": {"bf16": 1e30, "fp8": 1e30}})
    return roofline(replace(frame, chip=big)).cost(op).memory_s


def test_drafts_pay_while_memory_binds_and_cost_when_arithmetic_does() -> None:
    """Llama-3.1-8B on one H100: faster alone, slower once the batch is past the ridge of its products."""
    own = catalog.model("meta-llama/Llama-3.1-8B")

    def speedup(batch: int) -> float:
        plain = samples.frame(own, batch=batch, input_tokens=64, output_tokens=64)
        drafted = replace(plain, draft_tokens=4, draft_acceptance=0.7)
        return total("decode_s", plain, own) * drafted.tokens_per_step / total("decode_s", drafted, own)

    assert speedup(1) > 2
    assert speedup(1024) < 1
    rates = [speedup(batch) for batch in (1, 16, 64, 256, 1024)]
    assert rates == sorted(rates, reverse=True)


# Arrays


@PROPERTY
@given(
    st.lists(
        st.tuples(st.sampled_from([8, 60, 256]), st.integers(1, 8), st.integers(1, 40), st.integers(0, 2)),
        min_size=2,
        max_size=6,
    ),
    st.sampled_from([1, 4]),
    st.sampled_from([1, 4]),
)
def test_mixtures_as_arrays_cost_what_each_costs(kinds, data_parallel, tensor_parallel) -> None:
    """Kinds with and without shared experts in one array included."""
    experts, active, width, shared = (np.array(column) for column in zip(*kinds, strict=True))
    many = SimpleNamespace(
        kind="moe",
        n_experts=experts,
        n_active_experts=active,
        d_expert=128 * width,
        n_shared_experts=shared,
        d_shared=None,
        gated_ffn=True,
        expert_bias=False,
        router_bias=False,
        shared_gate=False,
        n_expert_groups=None,
        n_active_expert_groups=None,
    )
    frame = samples.frame(
        "deepseek-v3",
        batch=64,
        data_parallel=data_parallel,
        tensor_parallel=tensor_parallel,
        expert_parallel=data_parallel,
        draft_tokens=1,
    )
    one = [
        MixtureOfExperts(n_experts=e, n_active_experts=k, d_expert=128 * w, n_shared_experts=s)
        for e, k, w, s in kinds
    ]
    for name, quantity in QUANTITIES.items():
        each = [float(quantity.ffn(frame, ffn)) for ffn in one]
        assert quantity.ffn(frame, many) == pytest.approx(each, rel=1e-12), name


def test_a_step_of_any_make_up_knows_its_tokens() -> None:
    step = Step(1024, Split(), 8, 100, 2, 300, prefix=50, queries=3, chunks=2)
    assert (step.rows, step.sampled, step.attended) == (24 + 600, 24 + 2, 50 + 450)


def test_without_shared_experts_there_are_no_operators_of_theirs() -> None:
    step = Step(1024, Split(2, data_parallel=4, expert_parallel=8), 8, 100, 0, 0)
    ffn = MixtureOfExperts(n_experts=64, n_active_experts=2, d_expert=512)
    names = [op.name for op in moe.operators(ffn, step)]
    assert names == ["ffn norm, residual", "expert dispatch", "experts", "expert combine"]
