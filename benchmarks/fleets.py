"""Fleets of the kind of arXiv 2604.07472: services x models x chips x splits, with a quality to keep.

    python benchmarks/fleets.py [SERVICES MODELS CHIPS [FIRST [SEEDS]]] [--limit S] [--gap SHARE] [--scarce] \
        [--percentile P]

Without sizes, 10 x 6 x 6 and 50 x 20 x 10, three seeds each. Drawn by seed: the lengths of each service's
requests (log-normal about those of Azure's conversations and code of 2023), counted on a grid that services
share as in Melange; its traffic, log-normal; the quality of each model for it, which rises with the model's
size on the whole; the quality it asks for, and the time per token. Chips are the cheapest of the catalogue by
what their memory reads for a dollar, with `--scarce` a few of each for every service; money is bounded. The
least dollars an hour are asked for, of replicas that are always full, as the paper's are, or at a percentile.
A line a problem: what was proven, in how many seconds, of which so many were pricing.
"""

import argparse
import random
import sys
import time
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MODELS = (
    "meta-llama/Llama-3.2-1B",
    "Qwen/Qwen2.5-1.5B",
    "meta-llama/Llama-3.2-3B",
    "Qwen/Qwen3-4B",
    "Qwen/Qwen2.5-7B",
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen3-8B",
    "google/gemma-2-9b",
    "Qwen/Qwen3-14B",
    "openai/gpt-oss-20b",
    "mistralai/Mistral-Small-24B-Instruct-2501",
    "google/gemma-3-27b-it",
    "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-32B",
    "mistralai/Mixtral-8x7B-v0.1",
    "meta-llama/Llama-3.3-70B-Instruct",
    "Qwen/Qwen2.5-72B",
    "zai-org/GLM-4.5-Air",
    "openai/gpt-oss-120b",
    "Qwen/Qwen3-235B-A22B",
)
"""From the smallest to the largest."""
INPUTS, OUTPUTS = (512, 2048, 8192), (64, 384)
"""The grid: lengths are rounded up to it."""
KINDS = ((1020, 1.1, 130, 0.9), (1930, 0.8, 28, 0.8))
"""Median and spread of tokens in and out: conversations, code."""
SIZES = ((10, 6, 6), (50, 20, 10))


def chips(n: int) -> list[str]:
    """The chips with a price whose memory reads most for a dollar."""
    from optimizer import catalog

    priced = [catalog.chip(name) for name in catalog.chips() if catalog.chip(name).usd_per_chip_hour]
    return [c.name for c in sorted(priced, key=lambda c: c.usd_per_chip_hour / c.hbm_bandwidth)[:n]]


def traffic(draw: random.Random) -> list[dict[str, Any]]:
    """Sizes of request of one service with their rates: what is rare is left out."""
    inward, spread, outward, wide = draw.choice(KINDS)
    drawn = Counter[tuple[int, int]]()
    for _ in range(400):
        lengths = inward * draw.lognormvariate(0, spread), outward * draw.lognormvariate(0, wide)
        at = [min(bisect_left(g, x), len(g) - 1) for g, x in zip((INPUTS, OUTPUTS), lengths, strict=True)]
        drawn[INPUTS[at[0]], OUTPUTS[at[1]]] += 1
    rate = 10 * draw.lognormvariate(0, 1)
    return [
        {"input_tokens": i, "output_tokens": o, "requests_per_s": round(rate * n / 400, 4)}
        for (i, o), n in sorted(drawn.items())
        if n >= 20
    ]


def service(draw: random.Random, number: int, models: tuple[str, ...]) -> dict[str, Any]:
    """One service: models, traffic, quality."""
    best = max(1, len(models) - 1)
    quality = [round(min(1.0, 0.5 + 0.4 * m / best + draw.gauss(0, 0.04)), 3) for m in range(len(models))]
    low, high = min(quality), max(quality)
    return {
        "name": f"service {number}",
        "models": [{"architecture": m, "quality": q} for m, q in zip(models, quality, strict=True)],
        "traffic": traffic(draw),
        "constraints": {
            "tpot_ms_max": draw.choice([30, 50, 100]),
            "quality_min": round(low + draw.uniform(0.3, 0.9) * (high - low), 3),
        },
    }


def problem(
    services: int, models: int, n_chips: int, seed: int, scarce: bool = False, percentile: Any = "none"
) -> dict[str, Any]:
    """A fleet, as a file would say it; `scarce`: with few chips of each kind for every service."""
    draw = random.Random(seed)
    step = (len(MODELS) - 1) / max(1, models - 1)
    some = tuple(dict.fromkeys(MODELS[round(step * m)] for m in range(models)))
    return {
        "name": f"{services} x {models} x {n_chips}, seed {seed}",
        "hardware": [
            {"chip": c} | ({"max_count": draw.randint(1, 4) * services} if scarce else {})
            for c in chips(n_chips)
        ],
        "deployment": {"tensor_parallel": [1, 2, 4, 8], "weight_dtype": "fp8"},
        "services": [service(draw, n, some) | {"percentile": percentile} for n in range(1, services + 1)],
        "minimize": "usd_per_hour",
        "constraints": {"usd_per_hour_max": 500.0 * services},
    }


def run(document: dict[str, Any], limit_s: float, gap: float) -> str:
    """What came of one problem."""
    from optimizer.questions.fleet.question import FleetQuestion
    from optimizer.questions.problems import read
    from optimizer.solver.cp_sat_twice import SolveSettings
    from optimizer.watch import Watch

    start, own = time.monotonic(), time.process_time()
    question = FleetQuestion(read(document), Watch.within(limit_s), SolveSettings(tolerance=gap))
    setups = sum(len(item.setups) for item in question.columns.items)
    priced = time.monotonic() - start
    best = question.best()
    shown = question.objective(best)
    took = time.monotonic() - start
    mean = [pool.model for pool in best.plan.pools] if best.plan else []
    far = "none" if shown.gap is None else f"{100 * shown.gap:.3f} %"
    value = "none" if shown.value is None else f"{shown.value:.2f}"
    return (
        f"{document['name']}: {best.status} {value} USD/h, gap {far}, {took:.1f} s, "
        f"{priced:.1f} of them pricing, {time.process_time() - own:.1f} s of processor; "
        f"{setups} setups, {question.solves} solves, {len(set(mean))} models used"
    )


def parse_percentile(text: str) -> float | str:
    """A number, or none."""
    return text if text == "none" else float(text)


def main() -> None:
    """Print a line a problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int)
    parser.add_argument("--limit", type=float, default=30.0)
    parser.add_argument("--gap", type=float, default=0.001)
    parser.add_argument("--scarce", action="store_true")
    parser.add_argument(
        "--percentile", type=parse_percentile, default="none", help="from 50 to 99.9, or none"
    )
    given = parser.parse_args()
    *_, first, seeds = (0, 3) if len(given.sizes) < 4 else (*given.sizes[3:], 1)[:2]
    for sizes in (tuple(given.sizes[:3]),) if given.sizes else SIZES:
        for seed in range(first, first + seeds):
            print(
                run(problem(*sizes, seed, given.scarce, given.percentile), given.limit, given.gap), flush=True
            )


if __name__ == "__main__":
    main()
