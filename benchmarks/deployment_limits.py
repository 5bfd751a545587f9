"""Are limits held by deployments and fleets, with a plan and a bound? Wide ones, stopped after two seconds.

    python benchmarks/deployment_limits.py [N] [FIRST]      (40 problems from seed FIRST on; 3 seconds each)

The limit is on the processor's time, so that a busy machine measures the same. A line for each problem; at
the end how many were held, the longest overrun by study, and the peak memory.
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
STUDIES = ["solve", "frontier", "perturb", "explain", "fleet"]
MODELS = [
    "deepseek-ai/DeepSeek-V3",
    "Qwen/Qwen3-30B-A3B",
    "meta-llama/Llama-3.3-70B-Instruct",
    "openai/gpt-oss-120b",
]


def space(draw: random.Random) -> dict[str, Any]:
    """Setups by the thousand."""
    return {
        "mode": draw.choice([["aggregated"], ["aggregated", "disaggregated"], ["disaggregated"]]),
        "tensor_parallel": draw.choice([[1, 2, 4, 8], [1, 2, 3, 4, 6, 8, 16]]),
        "pipeline_parallel": draw.choice([1, [1, 2, 3, 4]]),
        "data_parallel": draw.choice([1, [1, 2, 4, 8]]),
        "expert_parallel": 1,
        "weight_dtype": ["bf16", "fp8"],
        "kv_dtype": draw.choice(["bf16", ["bf16", "fp8"]]),
    }


def hardware(draw: random.Random) -> list[dict[str, Any]]:
    """Two to six kinds of chips with a price."""
    from optimizer import catalog

    chips = [name for name in catalog.chips() if catalog.chip(name).usd_per_chip_hour]
    some = draw.sample(chips, draw.randint(2, 6))
    return [{"chip": name, "max_count": draw.choice([64, 512])} for name in some]


def deployment(draw: random.Random, conflict: bool) -> dict[str, Any]:
    """A deployment, as a file would say it; with a bound that nothing keeps where a conflict is wanted."""
    most = draw.random() < 0.3
    workload = {"input_tokens": draw.choice([500, 4000]), "output_tokens": draw.choice([100, 1000])}
    return {
        "name": "wide",
        "architecture": draw.choice(MODELS),
        "hardware": hardware(draw),
        "deployment": space(draw),
        "workload": workload | ({} if most else {"requests_per_s": draw.choice([2.0, 50.0])}),
        "constraints": {"tpot_ms_max": 1e-3} if conflict else {"tpot_ms_max": 100.0},
        **(
            {"maximize": "output_tokens_per_s"}
            if most
            else {"minimize": draw.choice(["chips", "usd_per_hour"])}
        ),
    }


def fleet(draw: random.Random) -> dict[str, Any]:
    """Some services of some sizes of requests."""
    sizes = [
        {
            "input_tokens": n,
            "output_tokens": draw.choice([100, 500]),
            "requests_per_s": draw.choice([1.0, 8.0]),
        }
        for n in (500, 4000, 16000)
    ]
    return {
        "name": "wide",
        "hardware": hardware(draw),
        "deployment": space(draw),
        "services": [
            {"name": model, "architecture": model, "traffic": sizes[: draw.randint(1, 3)]}
            for model in draw.sample(MODELS, draw.randint(2, 4))
        ],
        "minimize": draw.choice(["chips", "usd_per_hour"]),
    }


def run(study: str, seed: int) -> tuple[str, bool, bool, str, float]:
    """(status, whether there is a plan, a bound, what was said of the stop, seconds of processor)."""
    import optimizer
    from optimizer import Options
    from optimizer.questions.deployment.problem import DeploymentProblem
    from optimizer.questions.fleet.problem import FleetProblem

    draw = random.Random(seed)
    asked: Any = (
        FleetProblem.model_validate(fleet(draw))
        if study == "fleet"
        else DeploymentProblem.model_validate(deployment(draw, study == "explain"))
    )
    start = time.process_time()
    options = Options(cancelled=lambda: time.process_time() - start >= LIMIT_S)
    if study in ("solve", "fleet"):
        answer = optimizer.solve(asked, options)
        plan, bound = bool(answer.metrics), answer.objective.bound is not None
    else:
        answer = getattr(optimizer, study)(asked, options=options)
        found = {"frontier": "points", "perturb": "plan", "explain": "witness"}[study]
        plan = bool(getattr(answer, found) or getattr(answer, "at_hand", None))
        bound = bool(getattr(answer, found))
    return answer.status, plan, bound, answer.stopped, time.process_time() - start


def main() -> None:
    """Print a line a problem, and the totals."""
    from optimizer import InputError
    from optimizer.solver.cp_sat import helper

    helper()
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    over = dict.fromkeys(STUDIES, -LIMIT_S)
    held = refused = 0
    for seed in range(first, first + n):
        study = STUDIES[seed % len(STUDIES)]
        try:
            status, plan, bound, stopped, seconds = run(study, seed)
        except InputError as error:
            refused += 1
            print(seed, study, "refused:", str(error)[:150], flush=True)
            continue
        over[study] = max(over[study], seconds - LIMIT_S)
        held += seconds <= LIMIT_S + OVER_S
        print(f"{seed} {study} {status}, plan {plan}, bound {bound}, {seconds:.2f} s; {stopped}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    longest = ", ".join(f"{study} {seconds:+.2f} s" for study, seconds in over.items())
    print(
        f"{held} of {n - refused} within {LIMIT_S + OVER_S:g} s of processor; past the limit of "
        f"{LIMIT_S:g} s at most: {longest}; {refused} refused; peak {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
