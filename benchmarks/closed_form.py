"""How near the closed forms of latencies under load are to the replay, over setups and protocols at random.

python benchmarks/closed_form.py [--setups 300] [--seed 1] [--of closed|open]

Closed loops (`cost.closed_loop`): clients, requests of each, ranges of lengths, the time of a request
outside steps. Open arrivals (`cost.open_loop`): Poisson, 10 to 90 % of what the replica sustains, where all
but one in a hundred numbers in flight have places. Models, chips, splits and engines are drawn too. Errors
are closed form over replay, minus one. Every tenth setup is replayed with a second seed: how far two replays
lie apart, over the root of two, is the error that no form can be below.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from optimizer import catalog  # noqa: E402
from optimizer.arrivals import arriving  # noqa: E402
from optimizer.cost.closed_loop import closed_loop  # noqa: E402
from optimizer.cost.frame import Frame, frame_of  # noqa: E402
from optimizer.cost.loop_steps import loop_steps  # noqa: E402
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
    ("deepseek-ai/DeepSeek-V3", "h200", {"tensor_parallel": 8, "weight_dtype": "fp8"}),
    ("deepseek-ai/DeepSeek-V3", "h200", {"data_parallel": 8, "expert_parallel": 8, "weight_dtype": "fp8"}),
)
ENGINES = ("vllm", "sglang", "trtllm-serve")
MOST_IN_FLIGHT = 512
MOST_REQUESTS = 4000
"""Of one replay of a closed loop."""
OPEN_REQUESTS = 6000
ROOM = 2.33
"""Deviations of the number in flight that there is room for."""
AGAIN = 10
"""One setup of so many is replayed twice."""


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


@dataclass(frozen=True)
class Compared:
    """What a form says of one setup, and what replays of it see."""

    engine: str
    said: list[float]
    replayed: Callable[[int], list[float]]
    """By their seed."""
    seed: int

    def errors(self, again: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Of the form beside one replay, and of a second beside it."""
        seen = np.array(self.replayed(self.seed))
        second = (np.array(self.replayed(self.seed + 1)) / seen - 1) / 2**0.5 if again else None
        return np.array(self.said) / seen - 1, second


def closed(random: np.random.Generator) -> Compared | None:
    """TTFT and TPOT of a closed loop; None for one that is too long to replay, or out of cache."""
    at = drawn(random, 4000)
    clients = int(np.exp(random.uniform(0, np.log(300))))
    each = float(random.choice([1, 2, 3, 5, 10, 10, 10, 20]))
    protocol = Protocol(clients, each, float(random.choice([0.5, 0.8, 0.8, 0.9, 1.0])))
    front = float(random.choice([0, 0.01, 0.04]))
    n, longest = int(clients * each), at.frame.input_tokens + at.frame.output_tokens
    if n > MOST_REQUESTS or at.tokens < clients * longest:
        return None
    frame = replace(at.frame, batch=clients)

    def replayed(seed: int) -> list[float]:
        lengths = at.frame.input_tokens, at.frame.output_tokens
        asked = Asked(*lengths, requests=n, range_ratio=protocol.range_ratio, seed=seed)
        coming = arriving(f"clients:{clients}", asked)
        own = replace(station("a replica", frame, at.model, coming.requests), front_s=front)
        found = replay([own], coming.requests, coming.clients)
        answers = coming.requests.output_tokens
        later = answers > 1
        tpot = (found.finish_s - found.first_s)[later] / (answers[later] - 1)
        return [float((found.first_s - found.arrival_s).mean()), float(tpot.mean())]

    form = closed_loop(loop_steps(frame, at.model, clients, protocol), protocol, front)
    return Compared(at.engine, [form.ttft_s, form.tpot_s], replayed, int(random.integers(2**31)))


def opened(random: np.random.Generator) -> Compared | None:
    """Mean and 95th percentile of TTFT and TPOT of open arrivals; None where a place must be waited for."""
    at = drawn(random, 2000)
    lanes = at.frame.split.lanes
    places = min(MOST_IN_FLIGHT, int(at.tokens // (at.frame.input_tokens + at.frame.output_tokens)))
    if places < max(8, 2 * lanes):
        return None
    batches = np.unique(np.geomspace(lanes, places, 60))
    form = open_loop(replace(at.frame, batch=batches), at.model)
    rate = float(random.uniform(0.1, 0.9) * form.requests_per_s[-1])

    def said(values: np.ndarray) -> float:
        return float(np.interp(rate, form.requests_per_s, values))

    if rate < form.requests_per_s[0] or said(batches) + ROOM * said(form.flying_deviation) > places:
        return None

    def replayed(seed: int) -> list[float]:
        asked = Asked(at.frame.input_tokens, at.frame.output_tokens, requests=OPEN_REQUESTS, seed=seed)
        coming = arriving(f"poisson:{rate}", asked)
        whole = station("a replica", replace(at.frame, batch=places), at.model, coming.requests)
        found = replay([replace(whole, front_s=0.0)], coming.requests)
        settled = slice(OPEN_REQUESTS // 10, None)
        ttft = (found.first_s - found.arrival_s)[settled]
        tpot = (found.finish_s - found.first_s)[settled] / (at.frame.output_tokens - 1)
        return [float(of) for v in (ttft, tpot) for of in (v.mean(), np.percentile(v, 95))]

    mean, high = form.served(), form.served(95)
    own = [said(v) for v in (mean.ttft_s, high.ttft_s, mean.tpot_s, high.tpot_s)]
    return Compared(at.engine, own, replayed, int(random.integers(2**31)))


def table(title: str, columns: tuple[str, ...], rows: list[tuple[str, np.ndarray]]) -> None:
    """Median and 95th percentile of the errors, all and by engine."""
    print(f"\n{title}\n| setups | n | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for name in ("all", *ENGINES, "replay beside replay"):
        wanted = ENGINES if name == "all" else (name,)
        errors = np.abs([error for engine, error in rows if engine in wanted])
        if len(errors):
            both = zip(np.median(errors, axis=0), np.percentile(errors, 95, axis=0), strict=True)
            cells = " | ".join(f"{middle:.1%}, {high:.1%}" for middle, high in both)
            print(f"| {name} | {len(errors)} | {cells} |")


KINDS = {
    "closed": (closed, "Closed loops: error of the mean, median and 95th percentile", ("TTFT", "TPOT")),
    "open": (opened, "Open arrivals: the same", ("TTFT mean", "TTFT p95", "TPOT mean", "TPOT p95")),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--setups", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--of", choices=KINDS)
    asked = parser.parse_args()
    for name, (one, title, columns) in KINDS.items():
        if asked.of not in (None, name):
            continue
        random, rows, n = np.random.default_rng(asked.seed), list[tuple[str, np.ndarray]](), 0
        while n < asked.setups:
            if (own := one(random)) is not None:
                n += 1
                errors, second = own.errors(n % AGAIN == 0)
                rows.append((own.engine, errors))
                rows += [] if second is None else [("replay beside replay", second)]
        table(title, columns, rows)


if __name__ == "__main__":
    main()
