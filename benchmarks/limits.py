"""Are limits held, with a plan and a bound? Wide problems, made at random, each stopped after two seconds.

    python benchmarks/limits.py [N] [FIRST]      (200 problems from seed FIRST on; 3 seconds or so each)

The limit is on the processor's time, so that a busy machine measures the same. A line for each problem that
is not as it should be; at the end how many were, the longest overrun and the peak memory.
"""

import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LIMIT_S, OVER_S = 2.0, 1.0
METRICS = ["tpot_ms", "ttft_ms", "loss", "memory_gib", "n_params", "usd_per_hour", "usd_per_million_tokens"]
HIGHER = ["output_tokens_per_s", "output_tokens_per_s_per_chip", "n_params"]
BATCHES = {"min": 8, "max": 2048, "multiple_of": 8}
STUDIES = ["solve", "solve", "solve", "enumerate", "frontier", "perturb", "explain"]


def problem(draw: random.Random) -> dict[str, Any]:
    """A problem of 10^13 to 10^20 points, as a file would say it."""
    from optimizer import catalog

    chips = [name for name in catalog.chips() if catalog.chip(name).usd_per_chip_hour]
    step = draw.choice([1, 1, 2, 8, 16, 32, 64])
    higher = draw.random() < 0.3
    size = draw.choice([1e9, 3e9, 8e9, 13e9, 34e9, 70e9, 200e9])
    found: dict[str, Any] = {
        "name": "wide",
        "architecture": {
            "vocab_size": draw.choice([32000, 128256, 151936]),
            "d_model": {"min": 512, "max": draw.choice([8192, 16384]), "multiple_of": step},
            "d_ff": {"min": 1024, "max": 65536, "multiple_of": draw.choice([1, 8, 64])},
            "n_heads": {"min": 1, "max": draw.choice([64, 256])},
            "d_head": draw.choice([[64, 128, 256], {"min": 32, "max": 256, "multiple_of": 16}]),
        },
        "hardware": draw.sample(chips, draw.randint(1, 7)),
        "deployment": {
            "tensor_parallel": draw.choice([1, [1, 2, 4, 8], [1, 2, 3, 4, 5, 6, 7, 8], [8, 16]]),
            "weight_dtype": draw.choice(["bf16", ["bf16", "fp8"], ["bf16", "fp8", "int4"]]),
            "kv_dtype": draw.choice(["bf16", ["bf16", "fp8"]]),
            "batch": draw.choice(
                [1, [1, 8, 64], {"min": 1, "max": 512}, {"min": 8, "max": 2048, "multiple_of": 8}]
            ),
        },
        "workload": {
            "input_tokens": draw.choice([128, 2048, 32768]),
            "output_tokens": draw.choice([32, 512]),
            "requests_per_s": 50.0,
        },
        "baseline": "meta-llama/Llama-3.1-8B",
        ("maximize" if higher else "minimize"): draw.choice(HIGHER if higher else METRICS),
        "constraints": {},
    }
    if draw.random() < 0.7:
        found["architecture"] |= {"n_params": size, "n_params_tolerance": draw.choice([0.001, 0.01, 0.2])}
    limits = {
        "tpot_ms_max": draw.choice([2.0, 10.0, 50.0]),
        "ttft_ms_max": draw.choice([100.0, 1000.0]),
        "loss_increase_max": draw.choice([0.0, 0.02, 0.1]),
        "memory_gib_max": draw.choice([10.0, 60.0]),
    }
    for name in draw.sample(sorted(limits), draw.randint(0, 2)):
        found["constraints"][name] = limits[name]
    for rule in ("tile_alignment", "aspect_ratio", "ffn_ratio", "attention_ratio"):
        if draw.random() < 0.15:
            found["constraints"][rule] = False
    return found


def run(study: str, asked: Any) -> tuple[str, bool, bool, float]:
    """(status, whether there is a plan, whether there is a bound, seconds of processor)."""
    import optimizer
    from optimizer import Options

    start = time.process_time()
    options = Options(cancelled=lambda: time.process_time() - start >= LIMIT_S)
    if study in ("solve", "enumerate"):
        answer = (optimizer.solve if study == "solve" else optimizer.enumerate_plans)(asked, options=options)
        plan, bound = bool(answer.metrics), answer.objective.bound is not None
    elif study == "explain":
        answer = optimizer.explain(asked, options=options)
        plan = bound = answer.status != "unknown"
    else:
        answer = getattr(optimizer, study)(asked, options=options)
        plan = bool(answer.points if study == "frontier" else answer.plan) or answer.at_hand is not None
        bound = plan
    return answer.status, plan, bound, time.process_time() - start


def main() -> None:
    """Print what is amiss, and the totals."""
    from optimizer import InputError, Problem
    from optimizer.solver.cp_sat import helper

    helper()
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    held = plans = bounds = refused = ended = infeasible = solves = 0
    longest = 0.0
    for seed in range(first, first + n):
        draw = random.Random(seed)
        asked, study = Problem.model_validate(problem(draw)), draw.choice(STUDIES)
        try:
            status, plan, bound, seconds = run(study, asked)
        except InputError as error:
            refused += 1
            print(seed, study, "refused:", str(error)[:150], flush=True)
            continue
        longest = max(longest, seconds)
        held += seconds <= LIMIT_S + OVER_S
        infeasible += status == "infeasible"
        ended += status in ("optimal", "complete", "infeasible")
        solves += study in ("solve", "enumerate")
        plans += plan
        proven = bound or status == "infeasible"
        bounds += proven and study in ("solve", "enumerate")
        if seconds > LIMIT_S + OVER_S or not (plan or status == "infeasible") or (plan and not proven):
            print(f"{seed} {study} {status}, plan {plan}, bound {bound}, {seconds:.2f} s", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{held} of {n - refused} within {LIMIT_S + OVER_S:g} s of processor, longest {longest:.2f} s; "
        f"{plans} with a plan and {infeasible} infeasible, {ended} proven; "
        f"{bounds} of {solves} solves with a bound or proven infeasible; {refused} refused; "
        f"peak {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
