"""archsat against aiconfigurator's own answers over its own predictions, and the figures of deployments.

    python benchmarks/deployments.py            (about a minute; prints tables)

The tables in benchmarks/tables are predictions of that tool; its answers and the exact ones, found
independently of archsat, are in answers.csv. Every answer here must equal the exact one, or the script fails.
The other parts are generated instances, described where they are made.
"""

import csv
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from optimizer.columns.deployment import DeploymentColumns  # noqa: E402
from optimizer.columns.replicas import Replicas  # noqa: E402
from optimizer.columns.supply import Supply  # noqa: E402
from optimizer.questions.deployment.columns import all_bounds, prepare  # noqa: E402
from optimizer.questions.deployment.explain import explain_deployment  # noqa: E402
from optimizer.questions.deployment.optimum import Packed, optimum  # noqa: E402
from optimizer.questions.deployment.problem import DeploymentProblem  # noqa: E402
from optimizer.questions.fleet.columns import FleetColumns, Item  # noqa: E402
from optimizer.questions.fleet.rounds import FleetPlan  # noqa: E402
from optimizer.questions.fleet.whole import plan_fleet  # noqa: E402
from optimizer.questions.pipeline.programme import Cut, slowest_stage  # noqa: E402
from optimizer.watch import Watch  # noqa: E402

TABLES = ROOT / "benchmarks" / "tables"
PRICES = {"nvidia-h100-sxm": 1.3, "nvidia-h200-sxm": 1.6, "nvidia-b200-sxm": 2.9}
"""USD per chip and hour that the two-chip case was solved with."""
SLO = {"qwen3-32b-fp8": (600, 50), "deepseek-v3": (2000, 50)}
"""TTFT and TPOT bounds in ms by the case's beginning; 1000 and 40 for the others."""


def question(case: str, mix: str) -> DeploymentProblem:
    """A case as a problem; objective and limits are added by the caller."""
    *model, sizes = case.rsplit("-4000-", 1)
    chips = [f"nvidia-{name}-sxm" for name in ("h100", "h200", "b200") if name in model[0]]
    files = [str(TABLES / f"{case}.csv")]
    if "+" in case:
        files = [str(TABLES / f"{case.replace('h100+h200', name)}.csv") for name in ("h100", "h200")]
    ttft, tpot = next((slo for key, slo in SLO.items() if case.startswith(key)), (1000, 40))
    return DeploymentProblem.model_validate(
        {
            "name": case,
            "hardware": [{"chip": chip, "usd_per_chip_hour": PRICES[chip]} for chip in chips],
            "performance_table": files,
            "performance_table_rows": {} if mix == "any, all rows" else {"aic_space": 1},
            "deployment": {
                "mode": ["aggregated", "disaggregated"],
                "mix": "same" if mix == "same" else "any",
                "prefill_utilisation": 0.90,
                "decode_utilisation": 0.92,
                "prefill_ttft_factor": 1.8,
            },
            "workload": {"input_tokens": 4000, "output_tokens": int(sizes), "requests_per_s": 1},
            "minimize": "chips",
            "constraints": {"ttft_ms_max": ttft, "tpot_ms_max": tpot},
        }
    )


def asked(row: dict[str, str]) -> dict[str, float]:
    """The limits of one row of answers.csv, by the names of bounds."""
    found: dict[str, float] = {}
    if row["target_requests_per_s"]:
        found["requests_per_s"] = float(row["target_requests_per_s"])
    if "+" in row["chips"]:
        h100, h200 = row["chips"].split("+")
        found |= {"inventory:nvidia-h100-sxm": float(h100), "inventory:nvidia-h200-sxm": float(h200)}
    elif row["chips"]:
        found["chips_max"] = float(row["chips"])
    return found


def answers() -> Iterator[dict[str, str]]:
    """The rows of answers.csv."""
    with (TABLES / "answers.csv").open(encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def solve_row(columns: DeploymentColumns, slo: dict[str, float], row: dict[str, str]) -> tuple[Packed, float]:
    """One question, and the seconds of its solve."""
    sense = -1 if row["objective"] == "requests_per_s" else 1
    start = time.perf_counter()
    found = optimum(columns, ((row["objective"], sense),), slo | asked(row))
    return found, time.perf_counter() - start


def equal(found: Packed, row: dict[str, str]) -> bool:
    """Whether an answer is the exact one, proven."""
    if row["exact"] == "infeasible":
        return found.status == "infeasible"
    value = found.values.get(row["objective"], -1.0)
    return found.status == "optimal" and abs(value - float(row["exact"])) < 1e-6


def tables() -> bool:
    """All rows of answers.csv; prints a summary by case and the fewest chips by target."""
    columns: dict[tuple[str, str], DeploymentColumns] = {}
    results: dict[str, list[tuple[dict[str, str], Packed, float]]] = {}
    for row in answers():
        key = row["case"], row["mix"]
        if key not in columns:
            columns[key] = prepare(question(*key))
        slo = question(*key).constraints.given()
        if not results:
            solve_row(columns[key], slo, row)  # the first solve pays for importing the engines
        results.setdefault(row["case"], []).append((row, *solve_row(columns[key], slo, row)))
    print("| case | questions | equal to the exact answer | solve, median ms | solve, most ms |")
    print("|---|---|---|---|---|")
    wrong = 0
    for case, rows in results.items():
        same = sum(equal(found, row) for row, found, _ in rows)
        wrong += len(rows) - same
        ms = [1e3 * s for _, _, s in rows]
        print(f"| {case} | {len(rows)} | {same} | {statistics.median(ms):.0f} | {max(ms):.0f} |")
    print()
    _fewest(results)
    return not wrong


def _fewest(results: dict[str, list[tuple[dict[str, str], Packed, float]]]) -> None:
    print("| case | requests/s: aiconfigurator -> archsat, one setup per phase -> any mix |")
    print("|---|---|")
    excess = []
    for case, rows in results.items():
        cells: dict[str, list[str]] = {}
        for row, found, _ in rows:
            if row["objective"] == "requests_per_s" or row["mix"] == "any, all rows" or row["chips"]:
                continue
            value = found.values[row["objective"]]
            target = row["target_requests_per_s"]
            cells.setdefault(target, [row["aic"] or "none"]).append(f"{value:g}")
            if row["aic"] and row["mix"] == "any" and row["objective"] == "chips":
                excess.append(1 - value / float(row["aic"]))
        text = "; ".join(f"{t}: {' -> '.join(values)}" for t, values in cells.items())
        print(f"| {case}{', USD/h' if '+' in case else ', chips'} | {text} |")
    above = sum(e > 1e-9 for e in excess)
    print(
        f"\nIts minimum of chips is above the exact one in {above} of {len(excess)} questions, "
        f"by {statistics.mean(excess):.0%} of its chips on average and {max(excess):.0%} at most.\n"
    )


def setups(rows: list[tuple[str, str, int]]) -> Replicas:
    """Setups of (phase, chip, chips) for generated instances; their rates are given apart."""
    fixed = {"pipeline_parallel": 1, "expert_parallel": 1, "data_parallel": 1, "batch": 1, "label": ""}
    plain = {"weight_dtype": "bf16", "kv_dtype": "bf16", "requests_per_s": 1.0, "ttft_ms": 1.0}
    return Replicas.of(
        [
            fixed
            | plain
            | {"mode": m, "chip": c, "tensor_parallel": t, "chips": t, "tpot_ms": 1.0, "memory_gib": 0.0}
            for m, c, t in rows
        ]
    )


def kinds_of_chips(names: list[str], prices: list[float], node: int | None) -> tuple[Supply, ...]:
    """As many chips of every kind as wanted, at these prices."""
    return tuple(Supply(n, None, p, 1.0, node, None, None) for n, p in zip(names, prices, strict=True))


def melange(kinds: int, sizes: int, seed: int) -> FleetColumns:
    """One model, `sizes` x `sizes` buckets, rates that fall with request size and differ by chip.

    The size of the instance on which Melange's own solver (Griggs et al., arXiv 2404.14527; tyler-griggs/
    melange-release @d46ab438) does not finish in 40 s; the numbers are of this generator.
    """
    rng = np.random.default_rng(seed)
    price = np.round(rng.uniform(0.5, 8, kinds), 2)
    base = rng.uniform(1, 4, kinds) * price
    rates = np.array(
        [
            base / (1 + 0.3 * i + 0.2 * j) * rng.uniform(0.6, 1.4, kinds)
            for i in range(sizes)
            for j in range(sizes)
        ]
    )
    demand = rng.dirichlet(np.ones(sizes**2)) * 30
    names = [f"gpu-{c}" for c in range(kinds)]
    supplies = kinds_of_chips(names, price.tolist(), None)
    item = Item(0, "aggregated", setups([("aggregated", n, 1) for n in names]), rates, None)
    return FleetColumns(supplies, ("model",), (tuple(demand.tolist()),), (item,), (False,), {})


def many_models(models: int, kinds: int, seed: int) -> FleetColumns:
    """Models with a prefill and a decode phase each, one setup on each kind of chip."""
    rng = np.random.default_rng(seed)
    price = np.round(rng.uniform(1, 6, kinds), 2)
    names = [f"chip-{c}" for c in range(kinds)]
    items, demands = [], []
    for model in range(models):
        demands.append((round(float(rng.uniform(5, 200)), 2),))
        for phase in ("prefill", "decode"):
            groups = rng.choice([1, 2, 4, 8], kinds)
            rates = np.round(rng.lognormal(1, 0.6, kinds) * groups * price / 3, 6)
            rows = [(phase, n, int(g)) for n, g in zip(names, groups, strict=True)]
            items.append(Item(model, phase, setups(rows), rates[None, :], None))
    supplies = kinds_of_chips(names, price.tolist(), 8)
    names = tuple(map(str, range(models)))
    return FleetColumns(supplies, names, tuple(demands), tuple(items), (True,) * models, {})


def scarce(columns: FleetColumns, plan: FleetPlan) -> dict[str, float]:
    """Half of what a free plan takes of the four kinds it uses most."""
    used: dict[str, int] = {}
    for (j, k), n in plan.replicas.items():
        setup = columns.items[j].setups
        name = str(setup.chip[k])
        used[name] = used.get(name, 0) + n * int(setup.chips[k])
    most = sorted(used, key=lambda name: -used[name])[:4]
    return {f"inventory:{name}": float(used[name] // 2) for name in most}


def timed(what: str, run: Any) -> Any:
    """Print one row: what, status, value, bound, seconds."""
    start = time.perf_counter()
    proved = run()
    seconds = time.perf_counter() - start
    gap = "" if proved.objective == proved.bound else f", bound {proved.bound}"
    said = ", ".join(proved.confirmed_by)
    print(f"| {what} | {proved.status} {proved.objective}{gap} | {seconds:.2f} | {said} |")
    return proved


def fleets() -> None:
    """Fleet and Melange figures; money in 1e-6 USD per hour."""
    print("| fleet | answer | s | confirmed by |\n|---|---|---|---|")
    goal = ("usd_per_hour", 1)
    for seed in range(3):
        columns = melange(5, 10, seed)
        timed(
            f"Melange's size: 5 chips, 100 buckets, seed {seed}",
            lambda columns=columns: plan_fleet(columns, goal, {}).proved,
        )
    for seed in range(3):
        columns = many_models(100, 8, seed)
        limits = scarce(columns, plan_fleet(columns, goal, {}))
        timed(
            f"100 models x 2 phases x 8 chips, scarce, seed {seed}",
            lambda columns=columns, limits=limits: plan_fleet(columns, goal, limits).proved,
        )
    print()


def pipelines() -> None:
    """Stage figures: free kinds with a parameter window and a quality budget; times in ns."""
    print("| pipeline | answer | s | confirmed by |\n|---|---|---|---|")
    for kinds, layers, stages, seed in ((1, 126, 8, 0), (20, 48, 4, 0), (50, 80, 8, 0), (50, 80, 8, 1)):
        rng = np.random.default_rng(seed)
        base, speed = rng.integers(20_000, 80_000, kinds), rng.uniform(0.4, 1, stages)
        size, params = rng.integers(200, 900, kinds), rng.integers(50, 200, kinds)
        quality, target = rng.integers(1, 1000, kinds), int(params.mean() * layers)
        window = (params.tolist(), int(target * 0.99), int(target * 1.01))
        budget = (quality.tolist(), 0, int(quality.mean() * layers * 0.8))
        split = Cut(
            time=(base[:, None] / speed).astype(int).tolist(),
            memory=np.repeat(size[:, None], stages, 1).tolist(),
            capacity=[int(np.median(size) * layers / stages * 1.3)] * stages,
            counts=[layers] if kinds == 1 else None,
            total=layers,
            budgets=(window, budget) if kinds > 1 else (),
        )
        watch = Watch.within(10)
        timed(
            f"{kinds} kinds x {layers} layers x {stages} stages, seed {seed}",
            lambda split=split, watch=watch: slowest_stage(split, watch=watch)[0],
        )
    print()


def conflicts() -> None:
    """The conflict and every relaxation of an infeasible question, at 400 and 20,000 configurations."""
    print("| infeasible, explained | conflict | s |\n|---|---|---|")
    rng = np.random.default_rng(0)
    for n in (400, 20_000):
        problem = question("llama-70b-h100-4000-500", "any")
        base = prepare(problem)
        rows = base.replicas.take(rng.integers(0, len(base.replicas), n))
        noise = rng.uniform(0.9, 1.1, n)
        rows = replace(
            rows, requests_per_s=np.round(rows.requests_per_s * noise, 6), ttft_ms=rows.ttft_ms * noise
        )
        columns = DeploymentColumns(**{**vars(base), "replicas": rows})
        bounds = all_bounds(problem, columns.supplies)
        bounds |= {
            "requests_per_s": 40.0,
            "chips_max": 20.0,
            "usd_per_hour_max": 200.0,
            "utilisation_max": 0.9,
        }
        start = time.perf_counter()
        found = explain_deployment(problem, columns, bounds, prepare)
        seconds = time.perf_counter() - start
        print(f"| {n} configurations | {'; '.join(r.sentence for r in found.relaxations)} | {seconds:.2f} |")
    print()


if __name__ == "__main__":
    right = tables()
    fleets()
    pipelines()
    conflicts()
    sys.exit(0 if right else 1)
