"""The replay: its processor seconds on a trace, and its distance from queues that theory knows.

    python benchmarks/replay.py                    the shipped excerpt of a trace, 600 requests
    python benchmarks/replay.py TRACE.csv          a whole trace, such as Azure's conversations of 2023

The trace is served by two replicas of Llama-3.1-70B on four H100s each. The queues are M/D/1 and M/M/1 on one
server that takes prompts of one token's answer one by one: mean waits against Pollaczek and Khinchine.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from optimizer import Replaying, Setup, catalog, simulate  # noqa: E402
from optimizer.simulation.alone import alone  # noqa: E402
from optimizer.simulation.replay import Station, replay  # noqa: E402
from optimizer.simulation.requests import requests_of  # noqa: E402
from optimizer.simulation.server import Server  # noqa: E402

EXCERPT = ROOT / "benchmarks" / "traces" / "azure-2023-conv-excerpt.csv"
REQUESTS = 200_000


@dataclass(frozen=True)
class OneByOne:
    """A millisecond a token of the prompt."""

    def seconds(self, batch: int, context: float, chunks: list[tuple[int, int]]) -> float:
        """Of a step."""
        return 1e-3 * sum(tokens for tokens, _ in chunks)

    def lag(self, batch: int, tokens: int) -> float:
        """There is no pipeline."""
        return 0.0


def trace(path: str) -> None:
    """Processor seconds of a whole replay, tables and all."""
    model, chip = catalog.model("llama-3.1-70b"), catalog.chip("h100")
    start = time.process_time()
    scene = alone(model, chip, Setup(tensor_parallel=4), replicas=2, most=True)
    found = simulate(scene, Replaying(f"trace:{path}"))
    spent = time.process_time() - start
    print(f"| {Path(path).name} | {found.requests:,} requests on 2 replicas | {spent:.2f} s of CPU |")
    print(f"| of it the replay | {1e6 * spent / found.requests:.0f} us a request with all | |")


def waits(prompts: Any, rate: float) -> float:
    """Mean seconds in the queue of one server."""
    gaps = np.random.default_rng(7).exponential(1 / rate, len(prompts))
    times: Any = OneByOne()
    own = Server("one", "aggregated", times, 1, 10**6, 16, 10**6, 10**6)
    served = replay([Station(own, 1, 1.0)], requests_of(gaps.cumsum(), prompts, 1))
    return float(np.mean(served.admitted_s - served.arrival_s))


def queues() -> None:
    """Replayed waits over those of theory."""
    alike = np.full(REQUESTS, 1000)
    drawn = np.maximum(1, np.random.default_rng(3).exponential(1000, REQUESTS)).astype(int)
    for name, prompts in (("M/D/1", alike), ("M/M/1", drawn)):
        for rho in (0.3, 0.6, 0.8):
            service = 1e-3 * prompts
            rate = rho / service.mean()
            theory = rate * np.mean(service**2) / (2 * (1 - rho))
            error = waits(prompts, rate) / theory - 1
            print(f"| {name} at {rho:.0%} | {REQUESTS:,} requests | {error:+.2%} off in the mean wait |")


if __name__ == "__main__":
    trace(sys.argv[1] if len(sys.argv) > 1 else str(EXCERPT))
    queues()
