"""How near the closed forms of latencies under load are to the replay, over setups and protocols at random.

python benchmarks/closed_form.py [--setups 300] [--seed 1]

Closed loops (`cost.closed_loop`): clients, requests of each, ranges of lengths, the time of a request
outside steps. Open arrivals (`cost.open_loop`): Poisson, 10 to 90 % of what the replica sustains. Models,
chips, splits and engines are drawn too. Errors are closed form over replay, minus one.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from optimizer import catalog  # noqa: E402
from optimizer.arrivals import arriving  # noqa: E402
from optimizer.cost.closed_loop import closed_loop, loop_steps  # noqa: E402
from optimizer.cost.frame import Frame, frame_of  # noqa: E402
from optimizer.cost.memory_tokens import kv_cache_tokens  # noqa: E402
from optimizer.cost.open_loop import open_loop  # noqa: E402
from optimizer.simulation.asked import Asked  # noqa: E402
from optimizer.simulation.replay import replay  # noqa: E402
from optimizer.simulation.stations import station  # noqa: E402
from optimizer.spec.architecture import Architecture  # noqa: E402
from optimizer.spec.protocol import Protocol  # noqa: E402
from optimizer.spec.setup import Setup  # noqa: E402

SETUPS = (
    ("meta-llama/Llama-3.1-8B", "h100", {}),
    ("meta-llama/Llama-3.1-8B", "l4", {"weight_dtype": "fp8"}),
    ("Qwen/Qwen3-32B", "h200", {"tensor_parallel": 2}),
    ("meta-llama/Llama-3.1-70B", "h100", {"tensor_parallel": 8}),
    ("meta-llama/Llama-3.1-70B", "b200", {"tensor_parallel": 2, "weight_dtype": "fp8"}),
    ("meta-llama/Llama-3.1-70B", "h100", {"tensor_parallel": 2, "pipeline_parallel": 2}),
    ("openai/gpt-oss-120b", "b200", {}),
    ("Qwen/Qwen3-30B-A3B", "l40s", {"tensor_parallel": 2}),
    ("deepseek-ai/DeepSeek-V3", "h200", {"tensor_parallel": 8}),
    ("deepseek-ai/DeepSeek-V3", "h200", {"data_parallel": 8, "expert_parallel": 8}),
)
ENGINES = ("vllm", "sglang", "trtllm-serve")
MOST_IN_FLIGHT = 512
MOST_REQUESTS = 4000
"""Of one replay of a closed loop."""
OPEN_REQUESTS = 6000


@dataclass(frozen=True)
class Drawn:
    """A replica and lengths, with the cache it has."""

    frame: Frame
    model: Architecture
    engine: str
    tokens: float


def drawn(random: np.random.Generator, longest_answer: int) -> Drawn:
    """A setup, prompts of 64 to 16,000 tokens and answers from 16, even in their logarithms."""
    model, chip, split = SETUPS[random.integers(len(SETUPS))]
    engine = ENGINES[random.integers(len(ENGINES))]
    lengths = np.exp(random.uniform(np.log([64, 16]), np.log([16_000, longest_answer]))).astype(int)
    own = catalog.model(model)
    setup = Setup(engine=engine, input_tokens=int(lengths[0]), output_tokens=int(lengths[1]), **split)
    frame = frame_of(own, catalog.chip(chip), setup)
    frame = replace(frame, batch=frame.split.lanes)
    return Drawn(frame, own, engine, kv_cache_tokens(frame, own))


def closed(random: np.random.Generator) -> tuple[str, np.ndarray] | None:
    """Errors of TTFT and TPOT of a closed loop; None for one that is too long to replay, or out of cache."""
    at = drawn(random, 4000)
    clients = int(np.exp(random.uniform(0, np.log(300))))
    each = float(random.choice([1, 2, 3, 5, 10, 10, 10, 20]))
    protocol = Protocol(clients, each, float(random.choice([0.5, 0.8, 0.8, 0.9, 1.0])))
    front = float(random.choice([0, 0.01, 0.04]))
    n, longest = int(clients * each), at.frame.input_tokens + at.frame.output_tokens
    if n > MOST_REQUESTS or at.tokens < clients * longest:
        return None
    asked = Asked(
        at.frame.input_tokens,
        at.frame.output_tokens,
        requests=n,
        range_ratio=protocol.range_ratio,
        seed=int(random.integers(2**31)),
    )
    coming = arriving(f"clients:{clients}", asked)
    frame = replace(at.frame, batch=clients)
    own = replace(station("a replica", frame, at.model, coming.requests), front_s=front)
    found = replay([own], coming.requests, coming.clients)
    answers = coming.requests.output_tokens
    later = answers > 1
    tpot = (found.finish_s - found.first_s)[later] / (answers[later] - 1)
    steps = loop_steps(frame, at.model, clients, protocol)
    form = closed_loop(steps, protocol, front)
    ttft = float((found.first_s - found.arrival_s).mean())
    return at.engine, np.array([form.ttft_s / ttft, form.tpot_s / tpot.mean()]) - 1


def opened(random: np.random.Generator) -> tuple[str, np.ndarray] | None:
    """Errors of mean and 95th percentile of TTFT and TPOT of open arrivals."""
    at = drawn(random, 2000)
    lanes = at.frame.split.lanes
    places = min(MOST_IN_FLIGHT, int(at.tokens // (at.frame.input_tokens + at.frame.output_tokens)))
    if places < max(8, 2 * lanes):
        return None
    batches = np.unique(np.geomspace(lanes, places, 60))
    form = open_loop(replace(at.frame, batch=batches), at.model)
    rates = np.broadcast_to(form.requests_per_s, batches.shape)
    rate = float(random.uniform(0.1, 0.9) * rates[-1])
    flying = float(np.interp(rate, rates, batches))
    if rate < rates[0] or flying + 1.645 * flying**0.5 > places:
        return None
    mean, high = form.served(), form.served(95)
    said = [
        float(np.interp(flying, batches, np.broadcast_to(own, batches.shape)))
        for own in (mean.ttft_s, high.ttft_s, mean.tpot_s, high.tpot_s)
    ]
    if not np.all(np.isfinite(said)):
        return None
    asked = Asked(
        at.frame.input_tokens,
        at.frame.output_tokens,
        requests=OPEN_REQUESTS,
        seed=int(random.integers(2**31)),
    )
    coming = arriving(f"poisson:{rate}", asked)
    whole = station("a replica", replace(at.frame, batch=places), at.model, coming.requests)
    found = replay([replace(whole, front_s=0.0)], coming.requests)
    settled = slice(OPEN_REQUESTS // 10, None)
    ttft = (found.first_s - found.arrival_s)[settled]
    tpot = (found.finish_s - found.first_s)[settled] / (at.frame.output_tokens - 1)
    seen = [ttft.mean(), np.percentile(ttft, 95), tpot.mean(), np.percentile(tpot, 95)]
    return at.engine, np.array(said) / np.array(seen) - 1


def table(title: str, columns: tuple[str, ...], rows: list[tuple[str, np.ndarray]]) -> None:
    """Median and 95th percentile of the errors, all and by engine."""
    print(f"\n{title}\n| setups | n | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for name in ("all", *ENGINES):
        errors = np.abs([error for engine, error in rows if name in ("all", engine)])
        if len(errors):
            both = zip(np.median(errors, axis=0), np.percentile(errors, 95, axis=0), strict=True)
            cells = " | ".join(f"{middle:.1%}, {high:.1%}" for middle, high in both)
            print(f"| {name} | {len(errors)} | {cells} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--setups", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for title, columns, one in (
        ("Closed loops: error of the mean, median and 95th percentile", ("TTFT", "TPOT"), closed),
        (
            "Open arrivals: the same",
            ("TTFT mean", "TTFT p95", "TPOT mean", "TPOT p95"),
            opened,
        ),
    ):
        random, rows = np.random.default_rng(asked.seed), list[tuple[str, np.ndarray]]()
        while len(rows) < asked.setups:
            if (found := one(random)) is not None:
                rows.append(found)
        table(title, columns, rows)


if __name__ == "__main__":
    main()
