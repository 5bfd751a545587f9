"""Steps, memory and serving of one small model, each term worked out by hand.

Guards the sums over layers, ranks, stages and chunks: `test_blocks_by_hand` and `test_cost_by_hand` hold the
operators and their seconds, this file what a step, a chip and a client see of them.
"""

import math
from dataclasses import replace
from typing import Any

import kinds
import numpy as np
import pytest
import samples

from optimizer.blocks import block, embedding
from optimizer.blocks.operators import Host, StageTransfer
from optimizer.cost import memory, serving
from optimizer.cost.fleet import chips_needed
from optimizer.cost.frame import Frame, Slice
from optimizer.cost.memory_parts import memory_parts
from optimizer.cost.parameters import parameter_counts
from optimizer.cost.quantities import (
    JOINED,
    QUANTITIES,
    launch_s,
    n_chunks,
    passes,
    roofline,
    shared_operators,
    step_of,
    step_s,
)
from optimizer.cost.training.long_run import effective_share
from optimizer.errors import InputError
from optimizer.metrics import metric, values_of
from optimizer.spec.architecture import Architecture
from optimizer.spec.engine import IDEAL
from optimizer.spec.norms import Norms

GIB = 2**30
GQA = kinds.GroupedQueryAttention(n_heads=8, n_kv_heads=2, d_head=16, qk_norm=True)
STATE = kinds.Lightning(n_heads=8, d_head=16)
DENSE = kinds.DenseFeedForward(d_ff=48)
MOE = kinds.MixtureOfExperts(n_experts=12, n_active_experts=2, d_expert=24, n_shared_experts=1)
MODEL = Architecture(
    name="small",
    d_model=32,
    vocab_size=1000,
    position_embeddings=9,
    layers=(
        {"block": {"mixer": GQA, "ffn": DENSE, "n_norms": 2}, "count": 2},
        {"block": {"mixer": STATE, "ffn": MOE, "n_norms": 3, "norm_bias": True}, "count": 3},
    ),
)
ENGINE = IDEAL.model_copy(
    update={
        "host_ms": 2.0,
        "host_us_per_sequence": 5.0,
        "launch_us_per_layer": 40.0,
        "reserve_gib": 1.5,
        "memory_share": 0.9,
        "cache_share": 0.8,
        "step_tokens": 30,
        "max_sequences": 100,
        "data_parallel_balance": 0.75,
    }
)
SPLIT = {"tensor_parallel": 2, "data_parallel": 3, "pipeline_parallel": 2, "expert_parallel": 3}


def frame(**fields: Any) -> Frame:
    own: dict[str, Any] = {"batch": 48, "weight_dtype": "fp8", "kv_dtype": "fp8", "expert_dtype": "int4"}
    own |= {"input_tokens": 100, "output_tokens": 20, "prefix_tokens": 10, "prefill_batch": 2}
    own |= {"draft_tokens": 2, "draft_acceptance": 0.5, "draft_cost": 0.1, "engine": ENGINE} | SPLIT
    part = samples.chip(
        dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"},
        scaleout_bandwidth="50 GB/s",
        efficiency={"host_speed": 1.25},
    )
    return samples.frame(MODEL, part, **(own | fields))


PLAIN = {
    "draft_tokens": 0,
    "pipeline_parallel": 1,
    "data_parallel": 1,
    "expert_parallel": 1,
    "prefill_batch": 1,
}


def test_what_a_frame_says() -> None:
    at = frame()
    assert at.n_chips == 2 * 3 * 2
    assert at.tokens_per_step == 1 + 0.5 + 0.25
    assert frame(draft_acceptance=1.0).tokens_per_step == 3
    assert frame(draft_acceptance=0.0).tokens_per_step == 1
    assert frame(draft_tokens=0).tokens_per_step == 1
    assert (at.computed_tokens, frame(prefix_tokens=100).computed_tokens) == (90, 1)
    assert at.decode_context == 100 + 20 / 2
    assert at.prompts_per_step == 48 * 1.75 / 20
    assert replace(at, batch=7).identity != at.identity
    assert frame().identity == at.identity


def test_steps_of_each_phase() -> None:
    """Six lanes of 8 sequences. Two prompts of 90 new tokens come in 6 chunks of 30, 15 of each."""
    at = frame()
    assert (n_chunks(at), passes(at)) == (6, (6 + 2 - 1) / 2)
    assert n_chunks(frame(prefix_tokens=9)) == 7
    assert passes(frame(**PLAIN)) == 3
    decode, mixed, prefill, joined = (step_of(at, p) for p in ("decode", "mixed", "prefill", "joined"))
    assert (decode.batch, mixed.batch, prefill.batch, joined.batch) == (8, 8, 0, 8)
    assert (decode.prompts, mixed.prompts, prefill.prompts, joined.prompts) == (0, 4.2 / 6, 2, 2)
    assert [s.prompt_tokens for s in (decode, mixed, prefill, joined)] == [90, 90, 15, 15]
    assert [s.chunks for s in (decode, mixed, prefill, joined)] == [1, 1, 6, 6]
    assert [s.queries for s in (decode, mixed, prefill, joined)] == [3, 3, 1, 1]
    for step in (decode, mixed, prefill, joined):
        assert (step.context, step.prefix, step.d_model) == (110, 10, 32)
        assert (step.split.tensor_parallel, step.split.data_parallel, step.split.expert_parallel) == (2, 3, 3)
    assert step_of(frame(batch=3), "decode").batch == 1  # a lane has one sequence at least


def test_operators_outside_the_layers() -> None:
    at = frame()
    step = step_of(at, "mixed")
    assert shared_operators(at, "mixed") == [
        *embedding.operators(step, 1000),
        Host("host", 2e-3 + 5e-6 * 8),
        StageTransfer("stage hand-over", (8 * 3 + 0.7 * 90) * 2 * 32, 1),
    ]
    one = shared_operators(frame(pipeline_parallel=1), "decode")
    assert [op.name for op in one][-1] == "host"
    assert launch_s(at) == pytest.approx(20e-6 / 1.25)


def seconds(at: Frame, part: Any, phase: str, least: float = 0.0, **step: Any) -> float:
    own = block(part).operators(part, replace(step_of(at, phase), **step))
    return max(float(roofline(at).seconds(own)), least)


@pytest.mark.parametrize("launch", [0.0, 40.0, 4000.0])
@pytest.mark.parametrize(
    "fields", [{}, PLAIN, {"draft_tokens": 0}, {"pipeline_parallel": 1}, {"data_parallel": 1}]
)
def test_seconds_of_a_model(launch: float, fields: dict[str, Any]) -> None:
    """A round of two stages takes twice the longest, which has 3 of 5 layers, and twice host and logits."""
    at = frame(**fields)
    at = replace(at, engine=at.engine.model_copy(update={"launch_us_per_layer": launch}))
    least, drafts = launch / 2 * 1e-6 / 1.25, at.draft_tokens
    balance = 0.75 if at.split.data_parallel == 3 else 1.0
    stages = 2 * 3 / 5 if at.split.pipeline_parallel == 2 else 1.0
    for phase, quantity in (
        ("decode", QUANTITIES["decode_s"]),
        ("mixed", QUANTITIES["mixed_s"]),
        ("prefill", QUANTITIES["prefill_s"]),
        ("joined", JOINED),
    ):
        layers = 0.0
        for part, count in ((GQA, 2), (DENSE, 2), (STATE, 3), (MOE, 3)):
            own = seconds(at, part, phase, least)
            if phase in ("prefill", "joined"):
                own *= passes(at)
            elif drafts:
                own += drafts * 0.1 * seconds(at, part, phase, queries=1, prompts=0.0)
            layers += count * own / balance
        base = float(roofline(at).seconds(shared_operators(at, phase)))
        turns, plain = at.split.pipeline_parallel, replace(step_of(at, phase), queries=1, prompts=0.0)
        if phase in ("prefill", "joined"):
            base *= passes(at)
        else:
            for share, step in ((turns - 1, step_of(at, phase)), (turns * drafts * 0.1, plain)):
                own = [*embedding.operators(step, 1000), Host("host", 2e-3 + 5e-6 * step.batch)]
                base += share * float(roofline(at).seconds(own))
            if turns == 2:
                sent = StageTransfer("stage hand-over", plain.rows * 2 * 32, 1)
                base += drafts * 0.1 * float(roofline(at).seconds([sent]))
        found = quantity.total(at, MODEL)
        assert isinstance(found, float)
        assert found == pytest.approx(base / balance + layers * stages, rel=1e-12), phase


@pytest.mark.parametrize("launch", [40.0, 4000.0])
def test_a_step_of_any_make_up(launch: float) -> None:
    at = frame(engine=ENGINE.model_copy(update={"launch_us_per_layer": launch}))
    least = launch / 2 * 1e-6 / 1.25
    step = replace(step_of(at, "mixed"), batch=3, prompts=1)
    layers = sum(
        count * max(float(roofline(at).seconds(block(part).operators(part, step))), least)
        for part, count in ((GQA, 2), (DENSE, 2), (STATE, 3), (MOE, 3))
    )
    base = [
        *embedding.operators(step, 1000),
        Host("host", 2e-3 + 5e-6 * 3),
        StageTransfer("stage hand-over", (9 + 90) * 64, 1),
    ]
    assert step_s(at, MODEL, step) == pytest.approx(layers + float(roofline(at).seconds(base)))
    alone = {"block": {"mixer": GQA, "ffn": {"kind": "no_ffn"}}, "count": 2}
    half = Architecture(name="m", d_model=32, vocab_size=1000, layers=(alone,))
    own = max(float(roofline(at).seconds(block(GQA).operators(GQA, step))), least)
    assert step_s(at, half, step) == pytest.approx(2 * own + float(roofline(at).seconds(base)))


def test_arrays_of_batches_equal_numbers() -> None:
    many = frame(batch=np.array([6, 48, 300]))
    for quantity in (QUANTITIES["decode_s"], QUANTITIES["memory_bytes"], JOINED):
        found = quantity.total(many, MODEL)
        assert found.tolist() == pytest.approx([quantity.total(frame(batch=n), MODEL) for n in (6, 48, 300)])


# Memory of one chip: 2 ranks of 3 x 2, 48 sequences, 16 of them on each attention rank.

GQA_WEIGHTS = 32 * (64 + 64 + 2 * 16) * 1 + 2 * 16 * 2  # fp8 matrices, 16-bit norms of queries and keys
GQA_CACHE = 2 * 1 * 16 * 120 * 1  # one of two key-value heads, 120 tokens
STATE_WEIGHTS, STATE_BYTES = 5 * 32 * 64 + 64 * 2, 4 * 4 * 16 * 16
DENSE_WEIGHTS = 3 * 32 * 24
MOE_WEIGHTS = 3 * 32 * 24 / 2 + 32 * 12 * 2 + 12 * 3 * 32 * 24 / 6 * (0.5 + 2 / 128)
LOGITS = 4 * 16 * 3 * 1000 / 2
ACTIVATIONS = 2 * 48 * 32 * 6.5 + LOGITS
TABLE = 2 * (512 * 32 + 9 * 32 + 32)


def test_memory_of_layers() -> None:
    at = frame()
    assert memory.kv_bytes(GQA, at) == GQA_CACHE
    assert memory.kv_bytes(GQA, frame(kv_dtype="bf16")) == 2 * GQA_CACHE
    assert memory.sequence_bytes(GQA, at) == 16 * GQA_CACHE
    assert memory.attention_bytes(GQA, at) == GQA_WEIGHTS + 16 * GQA_CACHE / 0.8
    assert (memory.kv_bytes(STATE, at), memory.state_bytes(STATE, at)) == (0, STATE_BYTES)
    assert memory.sequence_bytes(STATE, at) == 16 * STATE_BYTES
    assert memory.state_bytes(GQA, at) == 0
    assert memory.attention_bytes(STATE, at) == STATE_WEIGHTS + 16 * STATE_BYTES / 0.8
    assert memory.ffn_bytes(DENSE, at) == DENSE_WEIGHTS
    assert memory.ffn_bytes(MOE, at) == MOE_WEIGHTS
    plain = memory.ffn_bytes(MOE, frame(expert_dtype=""))
    assert plain == 3 * 32 * 24 / 2 + 32 * 12 * 2 + 12 * 3 * 32 * 24 / 6
    assert memory.norm_bytes(Norms(3, True), frame()) == 2 * 3 * 32 * 2
    assert memory.norm_bytes(Norms(), at) == 2 * 2 * 32
    assert memory.cache_bytes(at, MODEL) == pytest.approx(16 * (2 * GQA_CACHE + 3 * STATE_BYTES) * 3 / 5)


def test_a_window_is_kept_where_the_engine_keeps_it() -> None:
    windowed = GQA.model_copy(update={"attention_window": 50})
    assert memory.kv_bytes(windowed, frame()) == 2 * 16 * 50
    whole = ENGINE.model_copy(update={"window_cache": False})
    assert memory.kv_bytes(windowed, frame(engine=whole)) == 2 * 16 * 120
    assert memory.kv_bytes(GQA, frame(engine=whole)) == 2 * 16 * 120


@pytest.mark.parametrize(
    ("stages", "layers", "longest"), [(1, 5, 5), (2, 5, 3), (3, 5, 2), (4, 8, 2), (5, 5, 1)]
)
def test_the_longest_stage(stages: int, layers: int, longest: int) -> None:
    assert memory.stage_share(stages, layers) == longest / layers


def test_memory_outside_the_layers() -> None:
    at = frame()
    assert memory.embedding_bytes(at) == TABLE  # no stage of several holds both tables
    assert memory.embedding_bytes(frame(pipeline_parallel=1)) == 2 * (2 * 512 * 32 + 9 * 32 + 32)
    assert memory.embedding_bytes(frame(pipeline_parallel=1, tied_embeddings=True)) == TABLE
    assert memory.activation_bytes(at) == ACTIVATIONS
    assert memory.activation_bytes(frame(tensor_parallel=1)) == 2 * 48 * 32 * 11 + 2 * LOGITS
    assert memory.activation_bytes(frame(tensor_parallel=4)) == 2 * 48 * 32 * 5 + LOGITS / 2
    few = frame(batch=6, draft_tokens=0)  # a chunk of 30 prompt tokens is more than 2 sequences
    assert memory.activation_bytes(few) == 2 * 30 * 32 * 6.5 + 4 * 2 * 1000 / 2
    assert memory.activation_bytes(replace(few, input_tokens=20)) == 2 * 20 * 32 * 6.5 + 4 * 2 * 1000 / 2
    assert memory.shared_bytes(at) == TABLE + ACTIVATIONS + 1.5 * GIB


def test_memory_of_a_chip_and_its_parts() -> None:
    """The longest of two stages has 3 of 5 layers of the mean kind."""
    weights = 2 * (GQA_WEIGHTS + DENSE_WEIGHTS + 2 * 2 * 32) + 3 * (STATE_WEIGHTS + MOE_WEIGHTS + 2 * 3 * 64)
    cache, state = 16 * 2 * GQA_CACHE, 16 * 3 * STATE_BYTES
    shared = TABLE + ACTIVATIONS + 1.5 * GIB
    at = frame()
    assert QUANTITIES["memory_bytes"].total(at, MODEL) == pytest.approx(
        shared + 0.6 * (weights + (cache + state) / 0.8)
    )
    parts = memory_parts(at, MODEL)
    assert parts == pytest.approx(
        {
            "weights": (TABLE + 0.6 * weights) / GIB,
            "cache": 0.6 * cache / GIB,
            "state": 0.6 * state / GIB,
            "activations": ACTIVATIONS / GIB,
            "reserve": 1.5,
            "kept free": 0.6 * (cache + state) / 4 / GIB,  # a fifth of what is free: a quarter of the rest
        }
    )
    dense = MODEL.model_copy(update={"layers": MODEL.layers[:1]})
    assert set(memory_parts(at, dense)) == set(parts) - {"state"}


# Parameters.

GQA_PARAMS = 32 * (128 + 128 + 2 * 32) + 2 * 16
STATE_PARAMS = 5 * 32 * 128 + 128
EXPERT = 3 * 32 * 24
LAYERS = 2 * (GQA_PARAMS + 3 * 32 * 48 + 2 * 32) + 3 * (STATE_PARAMS + 32 * 12 + 13 * EXPERT + 3 * 64)
ACTIVE = LAYERS - 3 * 10 * EXPERT


def test_parameters() -> None:
    assert QUANTITIES["n_params"].total(frame(), MODEL) == 2 * 32000 + 9 * 32 + 32 + LAYERS
    counts = parameter_counts(MODEL)
    assert counts.total == 64000 + 288 + 32 + LAYERS
    assert counts.active == 64000 + 288 + 32 + ACTIVE
    assert counts.active_by("all") == counts.active
    assert counts.active_by("no_input_embedding") == counts.active - 32000
    assert counts.active_by("no_embeddings") == counts.active - 64000
    tied = parameter_counts(MODEL.model_copy(update={"tied_embeddings": True}))
    assert (tied.total, tied.active) == (counts.total - 32000, counts.active - 32000)
    assert tied.active_by("no_input_embedding") == tied.active  # the head's table is the same
    assert tied.active_by("no_embeddings") == tied.active - 32000
    biased = MODEL.model_copy(update={"layers": MODEL.layers[1:]})
    assert parameter_counts(biased).total == 64000 + 288 + 64 + LAYERS - 2 * (GQA_PARAMS + 4608 + 64)


# Serving.


def test_the_schedule_of_an_engine() -> None:
    """A sequence takes 1.75 tokens a step and 1.75 x 90 / 20 of new prompts; 30 fit on each of two stages."""
    assert pytest.approx(6.23, abs=0.01) == 60 / (1.75 * (1 + 90 / 20))
    assert serving.most_scheduled(frame()) == 6 * 3
    assert serving.most_scheduled(frame(pipeline_parallel=1)) == 3 * 3
    few = ENGINE.model_copy(update={"max_sequences": 2})
    assert serving.most_scheduled(frame(engine=few)) == 2 * 3
    assert serving.most_scheduled(frame(input_tokens=10**6)) == 3


LEAST = {"mixed_s": 5.0, "joined_s": 6.0, "prefill_s": 7.0, "decode_s": 8.0}


def test_a_replica_that_does_both() -> None:
    at = frame()
    mixed, joined = QUANTITIES["mixed_s"].total(at, MODEL), JOINED.total(at, MODEL)
    for least, (m, j) in (({}, (mixed, joined)), (LEAST, (5.0, 6.0))):
        found = serving.aggregated(at, MODEL, least)
        assert found.ttft_s == pytest.approx(m / 2 + j)
        assert found.tpot_s == pytest.approx(m / 1.75)
        assert found.requests_per_s == pytest.approx(48 * 1.75 / m / 20)


def test_replicas_that_do_one() -> None:
    at = frame()
    busy = QUANTITIES["prefill_s"].total(at, MODEL)
    for least, p in (({}, busy), (LEAST, 7.0)):
        found = serving.prefill(at, MODEL, least)
        assert (found.ttft_s, found.tpot_s) == (pytest.approx(p), 0)
        # Six chunks go through two stages in seven half-steps: the next prompts follow after six of them.
        assert found.requests_per_s == pytest.approx(2 * 3 / (p * 6 / 7))
    step = QUANTITIES["decode_s"].total(at, MODEL)
    for least, d in (({}, step), (LEAST, 8.0)):
        found = serving.decode(at, MODEL, least)
        assert (found.ttft_s, found.tpot_s) == (0, pytest.approx(d / 1.75))
        assert found.requests_per_s == pytest.approx(48 * 1.75 / d / 20)


@pytest.mark.parametrize("usable", [1.88, 1.885, 1.89, 1.9, 4.0])
@pytest.mark.parametrize("cache_share", [1.0, 0.5])
def test_the_largest_batch_is_the_last_that_fits(usable: float, cache_share: float) -> None:
    own = ENGINE.model_copy(update={"step_tokens": 4000, "memory_share": 0.8, "cache_share": cache_share})
    at = frame(engine=own, input_tokens=4000, prefix_tokens=3990, **PLAIN)
    at = replace(at, chip=at.chip.model_copy(update={"hbm_usable": usable * GIB}))

    def fits(batch: int) -> bool:
        one = replace(at, batch=batch)
        cache = memory.cache_bytes(one, MODEL)
        rest = QUANTITIES["memory_bytes"].total(one, MODEL) - cache / cache_share
        return bool(cache <= cache_share * (0.8 * usable * GIB - rest))

    most = serving.most_scheduled(at)
    expected = max((n for n in range(1, most + 1) if fits(n)), default=1)
    assert serving.largest_batch(at, MODEL) == expected
    if usable == 4.0:
        assert expected == most == 100
    elif usable == 1.89:
        assert 1 < expected < most


def test_chips_for_a_rate() -> None:
    at = frame(requests_per_s=50.0)
    per_replica = 48 * 1.75 / 20  # requests of a step
    assert chips_needed(at, 1.0) == 12 * math.ceil(50 / per_replica)
    assert chips_needed(at, per_replica / 10) == 12 * 5  # exactly five replicas
    assert chips_needed(at, per_replica / 9.99) == 12 * 6
    assert chips_needed(at, 1e-9) == 12
    assert chips_needed(at, np.array([1.0, 1e-9])).tolist() == [12 * 12, 12]
    with pytest.raises(InputError, match=r"workload\.requests_per_s"):
        chips_needed(frame(), 1.0)


# Metrics of a slice, each by its formula.


def test_metrics_by_hand() -> None:
    own = frame(requests_per_s=50.0)
    part = own.chip.model_copy(update={"power": 900.0, "usd_per_chip_hour": 3.5})
    trained = own.training.chip.model_copy(update={"usd_per_chip_hour": 2.0})
    own = replace(own, chip=part, training=replace(own.training, chip=trained))
    at, setup = Slice(own, 5), own.training.setup
    tokens = setup.global_batch * setup.sequence_length
    share = effective_share(own.training.long_run, setup.n_chips)
    expected = {
        "chips": (4.2, 12 * 50),
        "memory_gib": (3 * GIB, 3.0),
        "n_params": (123.0, 123.0),
        "output_tokens_per_s": (0.5, 48 * 1.75 / 0.5),
        "output_tokens_per_s_per_chip": (0.5, 48 * 1.75 / 0.5 / 12),
        "power_w": (4.2, 600 * 900.0),
        "tpot_ms": (0.5, 500 / 1.75),
        "tpot_steady_ms": (0.5, 500 / 1.75),
        "train_memory_gib": (3 * GIB, 3.0),
        "train_tokens_per_s_per_chip": (0.5, tokens / 0.5 / setup.n_chips),
        "train_usd": (0.5, 15e12 / tokens * 0.5 * setup.n_chips / 3600 * 2.0 / share),
        "ttft_ms": (0.5, 500.0),
        "usd_per_hour": (4.2, 600 * 3.5),
        "usd_per_million_tokens": (0.5, 3.5 * 12 / 3600 / (48 * 1.75 / 0.5) * 1e6),
    }
    for name, (quantity, value) in expected.items():
        assert float(metric(name).value(at, quantity)) == pytest.approx(value), name
    assert set(values_of(at.frame, 5, dict.fromkeys(QUANTITIES, 0.5))) == {*expected, "loss"}
    bare = {"power": None, "tdp": 700.0, "usd_per_chip_hour": None}
    unpriced = replace(own, chip=part.model_copy(update=bare))
    assert float(metric("power_w").value(Slice(unpriced, 5), 4.2)) == pytest.approx(600 * 700)
    unknown = replace(unpriced, chip=part.model_copy(update=bare | {"tdp": None}))
    left = values_of(unknown, 5, dict.fromkeys(QUANTITIES, 0.5))
    assert set(expected) - set(left) == {"power_w", "usd_per_hour", "usd_per_million_tokens"}


def test_half_a_layer_is_not_launched() -> None:
    slow = frame(engine=ENGINE.model_copy(update={"launch_us_per_layer": 4000.0}))
    for quantity in ("decode_s", "prefill_s", "mixed_s"):
        assert QUANTITIES[quantity].ffn(slow, kinds.NoFeedForward()) == 0
        assert QUANTITIES[quantity].mixer(slow, kinds.NoMixer(), Norms()) == 0
