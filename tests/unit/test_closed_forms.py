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
from optimizer.cost.rounds import Rounds, grid
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


@pytest.mark.parametrize(("engine", "ratio"), [("vllm", 0.8), ("sglang", 1.0)])
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


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_one_token_a_request_is_a_queue_of_one_server(engine: str) -> None:
    """M/D/1 (Pollaczek and Khinchine): prompts that fill a step, and nobody decodes."""
    at = frame(engine, input_tokens=8000, output_tokens=1)
    service = float(QUANTITIES["prefill_s"].total(replace(at, batch=1.0), LLAMA))
    form = open_loop(replace(at, batch=np.geomspace(0.01, 8, 60)), LLAMA)
    for busy in (0.1, 0.5, 0.7):
        ttft = np.interp(busy / service, form.requests_per_s, form.ttft_s)
        assert ttft / service == pytest.approx(1 + busy / (1 - busy) / 2, rel=0.09)


def test_nobody_in_flight_is_a_prompt_alone() -> None:
    for engine, own in (
        ("vllm", {}),
        ("sglang", {}),
        ("vllm", {"pipeline_parallel": 2, "input_tokens": 4000}),
    ):
        at = replace(frame(engine, **own), batch=1e-4)
        form = open_loop(at, LLAMA)
        alone = float(QUANTITIES["prefill_s"].total(replace(at, batch=1.0), LLAMA))
        assert float(form.ttft_s) == pytest.approx(alone, rel=0.02)
        assert float(form.served(95).ttft_s) == pytest.approx(alone, rel=0.03)


def test_ranks_wait_for_the_one_that_has_a_prompt() -> None:
    """Prompts on several ranks take as long as one: what each adds to a token falls as more come."""
    batch = np.array([8.0, 32.0, 128.0])
    for ranks, falls in ((1, False), (8, True)):
        at = frame("vllm", data_parallel=ranks, output_tokens=50)
        form = open_loop(replace(at, batch=batch), LLAMA)
        each = (form.tpot_s - form.decode_s) * 50 / batch
        assert (each[1] < 0.8 * each[0] and each[2] < 0.6 * each[1]) == falls


def test_the_sum_of_rounds_is_that_of_the_chain() -> None:
    """Poisson's equation and runs until none waits, beside the powers of the matrix."""
    states = grid(4.0, 20.0)
    served = np.minimum(states, 4.0)[None]
    own = Rounds(states, served, 0.01 + 0.02 * served, np.array([30.0]))
    moves, mean = own.moves[0], float(own.mean(own.seconds)[0])
    assert np.allclose(moves.sum(axis=1), 1)
    assert np.allclose(own.share[0] @ moves, own.share[0], atol=1e-9)
    assert float(own.mean(served)[0]) == pytest.approx(30 * mean, rel=1e-4)  # as many as come
    summed, at = np.zeros(len(states)), np.eye(len(states))
    for _ in range(400):
        summed, at = summed + at @ (own.seconds[0] - mean), at @ moves
    assert np.allclose(own.excess(own.seconds)[0], summed, atol=1e-6)
