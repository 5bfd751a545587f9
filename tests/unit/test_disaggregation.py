"""Prefill and decode apart: the hand-over against a simulation, its bytes, rates and ratios."""

from dataclasses import replace

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.cost import disaggregation as d
from optimizer.cost import memory
from optimizer.cost.quantities import QUANTITIES, n_chunks

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
LLAMA = "meta-llama/Llama-3.1-70B"


def frame(model=LLAMA, chip="h100", **fields):
    return samples.frame(model, chip, **({"weight_dtype": "fp8", "input_tokens": 8192} | fields))


@PROPERTY
@given(st.integers(1, 200), st.floats(0.01, 10), st.floats(0.01, 10))
def test_layer_by_layer(n_layers: int, prefill_s: float, transfer_s: float) -> None:
    """A layer is sent once it is computed and the one before is sent."""
    sent = 0.0
    for layer in range(1, n_layers + 1):
        sent = max(sent, layer * prefill_s / n_layers) + transfer_s / n_layers
    handed = d.HandOver(1.0, 1.0, transfer_s, n_layers)
    assert handed.exposed_s(prefill_s) == pytest.approx(sent - prefill_s)


def test_a_short_transfer_shows_its_last_layer_only() -> None:
    handed = d.HandOver(1.0, 1.0, 0.08, 80)
    assert handed.exposed_s(1.0) == pytest.approx(0.001)
    assert handed.exposed_s(0.0) == pytest.approx(0.08)


def test_bytes_of_a_prompt() -> None:
    """2 x 80 layers x 8 heads x 128 x 2 bytes a token; the answer is not part of it."""
    assert d.prompt_cache_bytes(frame(output_tokens=500), catalog.model(LLAMA)) == 8192 * 327_680
    state = catalog.model("mamba2-2.7b")
    assert d.prompt_cache_bytes(frame("mamba2-2.7b"), state) == 170_524_672


@pytest.mark.parametrize(("senders", "receivers"), [(1, 1), (4, 4), (2, 8), (8, 2), (8, 4)])
def test_nothing_is_lost_on_the_way(senders: int, receivers: int) -> None:
    own, whole = catalog.model(LLAMA), 8192 * 327_680
    handed = d.hand_over(frame(tensor_parallel=senders), frame(tensor_parallel=receivers), own)
    assert handed.received_bytes * receivers == whole
    assert handed.sent_bytes * senders == whole
    slowest = max(handed.received_bytes, handed.sent_bytes) / (0.9 * 50e9)
    messages = max(senders, receivers) // min(senders, receivers)
    assert handed.transfer_s == pytest.approx(slowest + 10e-6 * messages, rel=1e-6)


def test_replicated_heads_and_latents_are_sent_to_each_rank() -> None:
    """Eight key-value heads on sixteen ranks; DeepSeek's latent on eight."""
    wide = d.hand_over(frame(tensor_parallel=8), frame(tensor_parallel=16), catalog.model(LLAMA))
    assert wide.received_bytes * 16 == 2 * 8192 * 327_680
    own = catalog.model("deepseek-v3")
    latent = d.hand_over(frame(own, tensor_parallel=8), frame(own, tensor_parallel=8), own)
    assert latent.received_bytes == d.prompt_cache_bytes(frame(own), own)


def test_a_faster_link_inside_the_domain_and_the_slower_end_counts() -> None:
    own = catalog.model(LLAMA)
    one = frame(tensor_parallel=4)
    inside, outside = (d.hand_over(one, one, own, same_domain=s).transfer_s for s in (True, False))
    assert outside > 5 * inside
    wide = catalog.chip("h100").model_copy(update={"scaleout_bandwidth": 100e9})
    other = frame(chip=wide, tensor_parallel=4)
    assert d.hand_over(one, other, own) == d.hand_over(other, one, own)
    assert d.hand_over(one, other, own).transfer_s == outside
    assert d.hand_over(other, other, own).transfer_s < outside


def test_pipelines_share_the_layers() -> None:
    own = catalog.model(LLAMA)
    staged = frame(tensor_parallel=2, pipeline_parallel=4)
    assert d.hand_over(staged, staged, own).received_bytes == 8192 * 327_680 / 8


@PROPERTY
@given(st.integers(1, 16), st.integers(1, 8), st.integers(1, 30000))
def test_a_pipeline_never_waits_for_the_next_prompt(stages: int, ranks: int, tokens: int) -> None:
    """Sustained, the stages work all the time: a prompt costs its chunks' time over the stages."""
    engine = catalog.engine("trtllm")
    f = frame(input_tokens=tokens, pipeline_parallel=stages, data_parallel=ranks, engine=engine)
    chunk_s = 0.1
    alone = chunk_s * (n_chunks(f) + stages - 1) / stages
    rate = d.prefill_worker_rate(f, alone)
    assert rate == pytest.approx(ranks * stages / (chunk_s * n_chunks(f)))
    assert rate >= ranks / alone * (1 - 1e-12)


def test_rates_of_real_workers_balance_at_the_ratio() -> None:
    own = catalog.model(LLAMA)
    prefill = frame(tensor_parallel=4, batch=1)
    decode = frame(tensor_parallel=4, batch=64, output_tokens=512)
    p = d.prefill_worker_rate(prefill, QUANTITIES["prefill_s"].total(prefill, own))
    r = d.decode_worker_rate(decode, QUANTITIES["decode_s"].total(decode, own))
    ratio = float(d.pool_ratio(p, r))
    at = float(d.pools_rate(ratio, p, 1, r))
    assert at == pytest.approx(r * d.DECODE_SHARE)
    assert d.pools_rate(ratio * 1.1, p, 1, r) == pytest.approx(at)
    assert d.pools_rate(ratio, p, 0.9, r) < at
    drafted = replace(decode, draft_tokens=3)
    assert d.decode_worker_rate(drafted, 1.0) > d.decode_worker_rate(decode, 1.0)


def test_first_token_after_queue_prefill_and_hand_over() -> None:
    own = catalog.model(LLAMA)
    f = frame(tensor_parallel=4)
    handed = d.hand_over(f, f, own)
    alone = float(d.ttft_s(handed, 0.4))
    assert alone == pytest.approx(0.4 + float(handed.exposed_s(0.4)))
    assert d.ttft_s(handed, 0.4, rate=8.0, workers=4) > alone
    p99 = d.ttft_s(handed, 0.4, rate=8.0, workers=4, quantile=0.99)
    assert p99 > d.ttft_s(handed, 0.4, rate=8.0, workers=4)


def test_a_window_is_handed_over_as_long_as_it_is_kept() -> None:
    own = catalog.model("gpt-oss-120b")
    kept = frame(own, input_tokens=8192)
    assert d.prompt_cache_bytes(kept, own) == 306_708_480
    longer = replace(kept, engine=catalog.engine("trtllm"))
    assert not longer.engine.window_cache
    assert d.prompt_cache_bytes(longer, own) > 1.9 * 306_708_480
    assert memory.cache_bytes(replace(kept, output_tokens=0), own) == 306_708_480
