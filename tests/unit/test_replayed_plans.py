"""Replays of plans and setups: what queues must obey, whatever the cost model says; and the step times."""

from typing import Any

import numpy as np
import pytest
import small_problems
from test_replay import Linear, server

from optimizer import InputError, Replaying, Setup, catalog, load_problem, read_problem, simulate, solve
from optimizer.arrivals import arriving
from optimizer.blocks.step import Step
from optimizer.cost.frame import frame_of
from optimizer.cost.quantities import round_s
from optimizer.report.json import to_json
from optimizer.simulation.alone import alone
from optimizer.simulation.asked import Asked, Size
from optimizer.simulation.highest import highest_rate
from optimizer.simulation.replay import Clients, Station, replay
from optimizer.simulation.requests import requests_of
from optimizer.simulation.seen import seen
from optimizer.simulation.step_times import StepTimes
from optimizer.spec.plan import Pool
from optimizer.spec.split import Formats, Split
from optimizer.studies.simulate import scene_of
from optimizer.watch import Stopped

STEP = 0.01
LLAMA = "meta-llama/Llama-3.1-8B"
CHAT: dict[str, Any] = {
    "name": "chat",
    "architecture": LLAMA,
    "hardware": ["nvidia-h100-sxm", "nvidia-l40s"],
    "deployment": {"tensor_parallel": [1, 2], "batch": [16, 64]},
    "workload": {"input_tokens": 1000, "output_tokens": 100, "requests_per_s": 60},
    "minimize": "chips",
    "constraints": {"ttft_ms_max": 1000, "tpot_ms_max": 60},
}


def every(gap: float, n: int) -> np.ndarray:
    return gap * np.arange(n)


MODELS = {
    LLAMA: (Split(), Formats()),
    "meta-llama/Llama-3.1-70B": (Split(tensor_parallel=4), Formats()),
    "deepseek-ai/DeepSeek-V3": (Split(data_parallel=8, expert_parallel=8), Formats("fp8")),
    "gpt-oss-120b": (Split(), Formats()),
}


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("drafts", [0, 3])
def test_tables_give_the_step_times_of_the_cost_model(name: str, drafts: int) -> None:
    model, (split, formats) = catalog.model(name), MODELS[name]
    setup = Setup(**vars(split), **vars(formats), draft_tokens=drafts)
    own = frame_of(model, catalog.chip("h200"), setup)
    times = StepTimes(own, model, 64 * split.lanes, 9500)
    random, errors = np.random.default_rng(1), list[float]()
    for _ in range(40):
        batch, n = int(random.integers(1, 65)) * split.lanes, int(random.integers(0, 4)) * split.lanes
        context, tokens = float(random.uniform(1, 9000)), int(random.integers(1, 2000))
        prefix = int(random.integers(0, 7000))
        step = Step(
            d_model=own.d_model,
            split=split,
            batch=batch / split.lanes,
            context=context,
            prompts=n / split.lanes,
            prompt_tokens=tokens if n else 0.0,
            prefix=prefix,
            queries=1 + drafts,
        )
        seconds = times.seconds(batch, context, [(tokens, prefix)] * n)
        errors.append(abs(seconds / float(round_s(own, model, step)) - 1))
    assert np.median(errors) < 0.01
    assert max(errors) < 0.06


def test_every_token_is_made_and_none_twice() -> None:
    """Prompts that take no time leave a chain of equal steps: an answer of n tokens takes n - 1 of them."""
    random = np.random.default_rng(2)
    requests = requests_of(
        np.sort(random.uniform(0, 3, 200)), random.integers(1, 50, 200), random.integers(1, 40, 200)
    )
    served = replay([Station(server(Linear(fixed=STEP), slots=400, prompts_alone=True), 2, 1.0)], requests)
    steps = (served.finish_s - served.first_s) / STEP
    assert steps.min() >= -1e-9
    assert (steps >= requests.output_tokens - 1 - 1e-6).all()
    spent = sum(use.busy_s for use in served.use)
    assert steps.max() * STEP <= spent
    assert sum(use.finished for use in served.use) == len(requests)
    lonely = requests_of(every(5.0, 5), 10, [1, 2, 3, 20, 7])
    served = replay([Station(server(Linear(fixed=STEP)), 1, 1.0)], lonely)
    assert (served.finish_s - served.first_s) / STEP == pytest.approx(lonely.output_tokens - 1)


def test_drafts_that_are_accepted_shorten_answers() -> None:
    """Gaining 2.5 tokens a step, 26 tokens take 1 step of the prompt and 10 of decoding."""
    own = server(Linear(fixed=STEP), gained=2.5, queries=4)
    served = replay([Station(own, 1, 1.0)], requests_of([0.0], 10, 26))
    assert served.finish_s == pytest.approx([11 * STEP])


def test_a_prompt_is_handed_over_before_its_first_token_is_seen() -> None:
    prefill = server(Linear(prompt=1e-3), role="prefill")
    decode = server(Linear(fixed=STEP), role="decode")
    stations = [Station(prefill, 1, 1.0, handover_s_per_token=1e-4), Station(decode, 1, 1.0)]
    served = replay(stations, requests_of([0.0, 100.0], 200, [6, 1]))
    assert served.first_s == pytest.approx([0.2 + 0.02, 100.2])
    assert served.finish_s == pytest.approx([0.22 + 5 * STEP, 100.2])
    assert served.replica.tolist() == [1, 0]


def test_requests_are_spread_over_replicas_by_their_rates() -> None:
    quick, slow = server(Linear(prompt=1e-3), slots=1), server(Linear(prompt=3e-3), slots=1)
    served = replay([Station(quick, 3, 3.0), Station(slow, 1, 1.0)], requests_of(every(0.01, 4000), 100, 1))
    shares = np.bincount(served.replica) / 4000
    assert shares == pytest.approx([0.3, 0.3, 0.3, 0.1], abs=0.02)
    assert all(use.busy_s == pytest.approx(served.span_s, rel=0.02) for use in served.use)


def test_a_kind_goes_only_where_it_is_served() -> None:
    each = [server(Linear(prompt=1e-3)) for _ in range(3)]
    serves = [frozenset({0}), frozenset({0, 1}), frozenset({1})]
    stations = [Station(own, 1, 1.0, serves=kinds) for own, kinds in zip(each, serves, strict=True)]
    kind = np.random.default_rng(0).integers(0, 2, 500)
    served = replay(stations, requests_of(every(0.05, 500), 100, 1, kind=kind))
    assert set(served.replica[kind == 0].tolist()) == {0, 1}
    assert set(served.replica[kind == 1].tolist()) == {1, 2}


def test_a_closed_loop_obeys_littles_law_with_thinking() -> None:
    """N = X (R + Z) but for the ends of the run."""
    requests = requests_of(np.full(20_000, np.nan), 100, 20)
    own = server(Linear(fixed=STEP, prompt=1e-4), slots=5)
    served = replay([Station(own, 1, 1.0)], requests, Clients(np.zeros(12), 0.7))
    rate = len(requests) / served.span_s
    whole = float(np.mean(served.finish_s - served.arrival_s))
    assert rate * (whole + 0.7) == pytest.approx(12, rel=2e-3)
    assert served.area / served.span_s == pytest.approx(rate * whole, rel=1e-9)


def test_the_cache_in_use_is_that_of_the_requests_in_it() -> None:
    """One request alone holds 3 blocks of 10 tokens, then 4 and 5, evenly: 25 tokens grow to 45."""
    own = server(Linear(fixed=STEP), block_tokens=10, blocks=10)
    [use] = replay([Station(own, 1, 1.0)], requests_of([0.0], 24, 21)).use
    assert use.held_most == 5
    assert use.held_s / use.busy_s == pytest.approx(4, rel=0.05)
    assert use.busy_s == pytest.approx(21 * STEP)


def test_a_request_that_fits_no_cache_is_named() -> None:
    small = server(Linear(fixed=STEP), blocks=8, ranks=2)
    with pytest.raises(InputError, match=r"number 2 has 65 tokens.*holds 64"):
        replay([Station(small, 1, 1.0)], requests_of([0.0, 1.0], [10, 60], 5))


def test_gamma_of_variation_one_is_poisson() -> None:
    waits = {}
    for text in ("poisson:0.7", "gamma:0.7:1", "gamma:0.7:0.1", "gamma:0.7:2"):
        come = arriving(text, Asked(1000, 1, requests=25_000))
        served = replay([Station(server(Linear(prompt=1e-3), slots=1), 1, 1.0)], come.requests)
        waits[text] = float(np.mean(served.admitted_s - served.arrival_s))
    assert waits["gamma:0.7:1"] == pytest.approx(waits["poisson:0.7"], rel=0.1)
    assert waits["gamma:0.7:0.1"] < 0.1 * waits["poisson:0.7"]
    assert waits["gamma:0.7:2"] > 2 * waits["poisson:0.7"]


def test_tokens_are_seen_so_many_at_a_time() -> None:
    requests = requests_of([0.0, 0.0], 10, [41, 4])
    served = replay([Station(server(Linear(fixed=STEP)), 1, 1.0)], requests)
    plain, bundled = (seen(served, requests, edges=False, stream_interval=n) for n in (1, 11))
    assert plain.ttft_s == pytest.approx([STEP, 2 * STEP])
    assert bundled.ttft_s == pytest.approx([11 * STEP, 5 * STEP])  # the short answer is seen when it ends
    assert bundled.tpot_s == pytest.approx([30 * STEP / 40, 0.0])
    assert bundled.whole_s == pytest.approx(plain.whole_s)


def test_open_arrivals_leave_the_ends_out_and_others_do_not() -> None:
    requests = requests_of(every(1.0, 100), 10, 2)
    served = replay([Station(server(Linear(fixed=STEP)), 1, 1.0)], requests)
    inner = seen(served, requests, edges=True)
    assert inner.arrival_s.tolist() == list(range(10, 90))
    assert inner.requests_per_s == pytest.approx(1.0, rel=0.02)
    assert len(seen(served, requests, edges=False).arrival_s) == 100
    assert not inner.grows
    rushed = requests_of(every(0.001, 1000), 10, 5)
    one = replay([Station(server(Linear(fixed=STEP), slots=1), 1, 1.0)], rushed)
    crowd = seen(one, rushed, edges=True)
    assert crowd.grows
    assert crowd.requests_per_s == pytest.approx(1 / (5 * STEP))  # as fast as answers of five steps end
    assert crowd.tokens_per_s == pytest.approx(1 / STEP)


@pytest.mark.parametrize("start", [0.3, 7.0, 5000.0])
def test_the_highest_rate_lies_between_the_two_tried(start: float) -> None:
    found = highest_rate(lambda rate: rate <= 41.7, start)
    assert found is not None
    low, high, n = found
    assert high is not None
    assert low <= 41.7 < high <= 1.01 * low
    assert n < 30


def test_no_rate_holds_where_one_request_is_late_and_none_is_known_when_stopped() -> None:
    assert highest_rate(lambda rate: False, 5.0) == (0.0, 0.005, 2)

    def stopped(rate: float) -> bool:
        raise Stopped

    assert highest_rate(stopped, 5.0) is None


def test_a_mix_of_sizes_comes_at_its_rates() -> None:
    mix = (Size(100, 10, 3.0), Size(1000, 20, 1.0))
    requests = arriving("poisson:4", Asked(1, 1, mix=mix, requests=20_000, range_ratio=0.5)).requests
    assert np.mean(requests.kind) == pytest.approx(0.25, abs=0.02)
    long = requests.input_tokens[requests.kind == 1]
    assert (long.min(), long.max()) == (500, 1000)
    with pytest.raises(InputError, match="does not say which of 2 kinds"):
        arriving("trace:x.csv", Asked(1, 1, mix=mix))


@pytest.fixture(scope="module")
def setup() -> Any:
    return alone(catalog.model(LLAMA), catalog.chip("h100"), Setup(batch=64, output_tokens=64), replicas=2)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(setup: Any) -> None:
    def told(seed: int) -> str:
        how = Replaying("gamma:10:2", requests=400, range_ratio=0.5, seed=seed)
        return to_json(simulate(setup, how).changed(wall_s=0.0))

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_what_holds_is_kept_at_that_rate_and_not_above(setup: Any) -> None:
    limits = {"ttft_ms_max": 100.0, "tpot_ms_max": 30.0}
    found = simulate(setup, Replaying("poisson:20", requests=500, limits=limits, percentile=90))
    held = found.holds
    assert held is not None
    assert held.fails_at is not None
    at, above = (
        simulate(setup, Replaying(f"poisson:{rate!r}", requests=500, limits=limits))
        for rate in (held.requests_per_s, held.fails_at)
    )
    assert at.ttft_ms.p90.value <= 100 * (1 + 1e-6)
    assert above.ttft_ms.p90.value > 100 or above.tpot_ms is None or above.tpot_ms.p90.value > 30
    shares = {row.bound: row.share for row in at.within}
    assert shares["ttft_ms_max"] >= 0.9
    assert shares["all of them"] <= min(shares["ttft_ms_max"], shares["tpot_ms_max"])


def test_a_plan_of_unlike_chips_and_engines_is_replayed_pool_by_pool() -> None:
    """Two pools of unlike chips, made by hand; each takes requests by its rate."""
    space = {"tensor_parallel": [1, 2], "batch": [16, 64], "engine": ["trtllm", "vllm"]}
    problem = chat(deployment=space)
    plan = solve(problem)
    assert plan.deployment is not None
    [first, *_] = plan.deployment.pools
    assert first.engine in ("trtllm", "vllm")
    other = first.changed(
        chip="nvidia-l40s", engine="vllm", batch=16, requests_per_s=first.requests_per_s / 6
    )
    scene = scene_of(problem, (first, other.changed(replicas=first.replicas)), plan.metrics)
    found = simulate(scene, Replaying("poisson:20", requests=600))
    fast, slow = found.pools
    assert (fast.slots, slow.slots) == (first.batch, 16)
    assert fast.requests > 3 * slow.requests > 0
    assert {row.name for row in found.claims} >= {"ttft_ms", "tpot_ms"}


def chat(**fields: Any) -> Any:
    return read_problem(CHAT | fields)


def test_prefill_and_decode_pools_answer_together() -> None:
    modes = CHAT["deployment"] | {"mode": "disaggregated"}
    answer = solve(chat(deployment=modes, hardware="nvidia-h100-sxm"))
    found = simulate(answer, Replaying(requests=800))
    assert [pool.phase for pool in found.pools] == ["prefill", "decode"]
    assert [pool.requests for pool in found.pools] == [800, 800]
    assert found.arrivals == "poisson:60"
    assert any("crossed the network" in note for note in found.notes)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"expert_chip": "nvidia-h100-sxm"}, "experts apart"),
        ({"second_tier_gib": 3.0}, "second tier"),
        ({"chip": "nvidia-b200-sxm"}, "hardware offers nvidia-h100-sxm"),
        ({"phase": "prefill"}, "no decode pool"),
        ({"phase": "decode"}, "no prefill pool"),
    ],
)
def test_pools_that_cannot_be_replayed_are_named(fields: dict[str, Any], named: str) -> None:
    problem = chat()
    pool = {"chip": "nvidia-h100-sxm", "batch": 16, "chips": 1, "requests_per_s": 10.0} | fields
    with pytest.raises(InputError, match=named):
        scene_of(problem, (Pool.model_validate(pool),), {})


def test_kinds_of_problem_and_tables_without_requests_are_refused() -> None:
    with pytest.raises(InputError, match=r"kind architecture.*accepted: deployment, fleet"):
        simulate(load_problem("dense-1b-b200"))
    for name in ("deployment", "fleet"):
        with pytest.raises(InputError, match=r"performance_table.*no step times"):
            simulate(read_problem(small_problems.PROBLEMS[name]))


FLEET: dict[str, Any] = {
    "name": "two",
    "hardware": "nvidia-h100-sxm",
    "deployment": {"tensor_parallel": 1, "batch": [8, 32]},
    "services": [
        {
            "name": "chat",
            "architecture": LLAMA,
            "traffic": [
                {"input_tokens": 200, "output_tokens": 50, "requests_per_s": 9},
                {"input_tokens": 2000, "output_tokens": 100, "requests_per_s": 1},
            ],
            "constraints": {"ttft_ms_max": 500, "tpot_ms_max": 40},
        },
        {
            "name": "code",
            "architecture": "meta-llama/Llama-3.2-1B",
            "traffic": [{"input_tokens": 500, "output_tokens": 20, "requests_per_s": 5}],
        },
    ],
    "minimize": "chips",
}


def test_a_fleet_serves_each_size_of_each_service_on_its_pools() -> None:
    found = simulate(read_problem(FLEET), Replaying(requests=1500, percentile=95))
    assert [kind.name for kind in found.kinds] == ["chat 200/50", "chat 2000/100", "code 500/20"]
    counted = {kind.name: kind.requests for kind in found.kinds}
    assert counted["chat 200/50"] == pytest.approx(0.6 * 1200, rel=0.1)
    assert found.offered_requests_per_s == 15
    assert {pool.service for pool in found.pools} == {"chat", "code"}
    code = sum(pool.requests for pool in found.pools if pool.service == "code")
    assert code == pytest.approx(500, rel=0.15)
    assert found.holds is not None
    assert found.holds.requests_per_s > 0
    chat, code_kind = found.kinds[0], found.kinds[2]
    assert {row.bound for row in chat.within} == {"ttft_ms_max", "tpot_ms_max", "all of them"}
    assert not code_kind.within
    assert {row.name for row in chat.claims} == {"ttft_ms", "tpot_ms"}
    [most] = [row.claimed for row in found.claims if row.name == "requests_per_s"]
    assert most > 15  # of the same mix, until the first pool is full
