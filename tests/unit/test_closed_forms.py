"""Latencies under load in closed form: by hand where nobody waits, beside the replay where many do."""

from dataclasses import replace

import numpy as np
import pytest

from optimizer import catalog
from optimizer.arrivals import arriving
from optimizer.cost.closed_loop import closed_loop
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.loop_steps import LoopSteps, loop_steps
from optimizer.cost.open_loop import open_loop
from optimizer.cost.quantities import JOINED, QUANTITIES
from optimizer.simulation.asked import Asked
from optimizer.simulation.replay import replay
from optimizer.simulation.stations import station
from optimizer.spec.protocol import Protocol
from optimizer.spec.setup import Setup

LLAMA = catalog.model("meta-llama/Llama-3.1-8B")
STEPS = LoopSteps(
    places=8,
    answer=101,
    spread=20.0,
    decode_s=0.01,
    prompts=(1.0, 4.0),
    alone_s=(0.05, 0.17),
    joined_s=(0.055, 0.175),
    chunks=(1, 1),
    mixes=True,
    served_share=0.0,
)


def frame(engine: str, **own) -> Frame:
    usual = {"input_tokens": 1000, "output_tokens": 300, "batch": 32, "engine": engine}
    return frame_of(LLAMA, catalog.chip("h100"), Setup(**(usual | own)))


def test_one_client_waits_for_nobody() -> None:
    alone = replace(STEPS, places=1, mixes=False, joined_s=STEPS.alone_s)
    found = closed_loop(alone, Protocol(1), 0.02)
    assert found.ttft_s == pytest.approx(0.02 + 0.05)
    assert found.tpot_s == pytest.approx(0.01)
    assert found.requests_per_s == pytest.approx(1 / (0.07 + 100 * 0.01))


def test_the_first_requests_queue_as_they_come() -> None:
    """One alone, then four, one eighth of the places decoding by then, then three; nobody after them."""
    found = closed_loop(STEPS, Protocol(8, per_client=1))
    four = 0.05 + 0.17 + 0.005 / 8
    three = four + 0.05 + 2 / 3 * 0.12 + 5 / 8 * 0.005
    assert found.ttft_s == pytest.approx((0.05 + 4 * four + 3 * three) / 8)
    added = (0.175 - 0.01, 0.05 + 0.005 + 2 / 3 * 0.12 - 0.01)
    held = (1 * sum(added) + 4 * added[1]) / 8
    assert found.tpot_s == pytest.approx(0.01 + held / 100)


def test_prompts_of_several_ranks_cost_as_one_while_each_has_one() -> None:
    """Two ranks: a pair takes as long as one, so that eight clients in step wait as four do on one rank."""
    pair = replace(STEPS, prompts=(1.0, 2.0), alone_s=(0.05, 0.05), joined_s=(0.055, 0.055), ranks=2)
    found = closed_loop(pair, Protocol(8, per_client=1))
    rounds = [0.05 + 0.005 * n / 8 for n in (0, 1, 3, 5, 7)]
    ends = np.cumsum(rounds)
    assert found.ttft_s == pytest.approx((ends[0] + 2 * ends[1] + 2 * ends[2] + 2 * ends[3] + ends[4]) / 8)


def test_a_first_token_leaves_a_pipeline_after_its_round() -> None:
    """What it takes longer is not waited for between tokens: the others follow it round by round."""
    plain, late = (closed_loop(replace(STEPS, lag_s=lag), Protocol(8)) for lag in (0.0, 0.02))
    assert late.ttft_s - plain.ttft_s == pytest.approx(0.02)
    assert plain.tpot_s - late.tpot_s == pytest.approx(0.02 / 100)


def test_tokens_that_are_sent_together_are_seen_with_the_last() -> None:
    one, ten = (closed_loop(STEPS, Protocol(8, stream_interval=n)) for n in (1, 10))
    assert ten.ttft_s - one.ttft_s == pytest.approx(9 * one.tpot_s)
    assert ten.requests_per_s == one.requests_per_s
    assert ten.ttft_s + 100 * ten.tpot_s == pytest.approx(one.ttft_s + 100 * one.tpot_s)


def test_clients_beyond_the_places_wait_for_one() -> None:
    """Places are never empty, so that twice the clients are served at the same rate."""
    full, over = (closed_loop(STEPS, Protocol(n, per_client=100)) for n in (8, 16))
    assert over.requests_per_s == pytest.approx(full.requests_per_s, rel=0.02)
    assert over.ttft_s > 0.9 * (full.ttft_s + 100 * full.tpot_s)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm-serve"])
@pytest.mark.parametrize("ratio", [0.8, 1.0])
def test_a_closed_loop_is_the_replays(engine: str, ratio: float) -> None:
    clients = 24
    at = frame(engine, batch=clients)
    coming = arriving(f"clients:{clients}", Asked(1000, 300, requests=240, range_ratio=ratio))
    found = replay([station("one", at, LLAMA, coming.requests)], coming.requests, coming.clients)
    protocol = Protocol(clients, range_ratio=ratio)
    steps = loop_steps(at, LLAMA, clients, protocol)
    form = closed_loop(steps, protocol, at.engine.request_ms * 1e-3)
    answers = coming.requests.output_tokens
    tpot = ((found.finish_s - found.first_s) / (answers - 1)).mean()
    assert form.tpot_s == pytest.approx(tpot, rel=0.05)
    assert form.ttft_s == pytest.approx((found.first_s - found.arrival_s).mean(), rel=0.2)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("flying", [4.0, 40.0])
def test_open_arrivals_are_the_replays(engine: str, flying: float) -> None:
    at = replace(frame(engine), batch=flying)
    form = open_loop(at, LLAMA)
    coming = arriving(f"poisson:{float(form.requests_per_s)}", Asked(1000, 300, requests=5000))
    own = replace(station("one", replace(at, batch=256), LLAMA, coming.requests), front_s=0.0)
    found = replay([own], coming.requests)
    ttft, tpot = (found.first_s - found.arrival_s)[500:], (found.finish_s - found.first_s)[500:] / 299
    mean, high = form.served(), form.served(95)
    assert float(mean.ttft_s) == pytest.approx(ttft.mean(), rel=0.1)
    assert float(mean.tpot_s) == pytest.approx(tpot.mean(), rel=0.05)
    assert float(high.ttft_s) == pytest.approx(np.percentile(ttft, 95), rel=0.2)
    assert float(high.tpot_s) == pytest.approx(np.percentile(tpot, 95), rel=0.1)


def test_open_arrivals_that_are_rare_meet_a_decode_step() -> None:
    at = replace(frame("vllm"), batch=8.0)
    form = open_loop(replace(at, output_tokens=100_000), LLAMA)
    whole = replace(at, output_tokens=100_000)
    decode, joined = QUANTITIES["decode_s"].total(whole, LLAMA), JOINED.total(whole, LLAMA)
    assert float(form.served().ttft_s) == pytest.approx(decode / 2 + joined, rel=0.01)
    with_it = QUANTITIES["decode_s"].total(replace(whole, batch=9.0), LLAMA)
    assert float(form.served().tpot_s) == pytest.approx(with_it, rel=0.01)


def test_a_rate_of_prompts_alone_has_no_first_token() -> None:
    """Answers of one token: no number in flight keeps up with prompts that take all the time."""
    form = open_loop(replace(frame("vllm"), input_tokens=30_000, output_tokens=1, batch=64.0), LLAMA)
    assert np.isinf(float(form.ttft_s))
