"""Predicted against measured: maximum throughput of dense Llama models on NVIDIA chips.

    .venv/bin/python benchmarks/accuracy.py

The points are the dense rows of TensorRT-LLM's performance overview (NVIDIA/TensorRT-LLM @00f37686,
docs/source/performance/perf-overview.md, read 2026-11): FP8 or NVFP4 weights, H100, H200 and B200, ten
mixes of input and output lengths, requests offered without limit. The batch is not published: the largest
that fits is taken, at most 2048. FP8 cache is assumed, as NVIDIA's checkpoints have it.
"""

import csv
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

ROOT = Path(__file__).resolve().parent.parent
POINTS = ROOT / "benchmarks" / "points" / "trtllm_max_throughput_dense.csv"
MOST_SEQUENCES = 2048


def predicted(row: dict[str, str]) -> float | None:
    """Output tokens/s of one row at the largest batch that fits; None if not one sequence does."""
    from optimizer import Problem, catalog
    from optimizer.columns.space import resolve
    from optimizer.cost.memory import GIB
    from optimizer.metrics import evaluate

    problem = Problem.model_validate(
        {
            "name": "point",
            "architecture": row["model"],
            "hardware": row["chip"],
            "deployment": {
                "tensor_parallel": int(row["tensor_parallel"]),
                "weight_dtype": row["weight_dtype"],
                "kv_dtype": row["kv_dtype"],
            },
            "workload": {
                "input_tokens": int(row["input_tokens"]),
                "output_tokens": int(row["output_tokens"]),
            },
            "minimize": "tpot_ms",
        }
    )
    model = catalog.model(row["model"])
    frame = next(resolve(problem).frames())

    def fits(batch: int) -> bool:
        used = evaluate(replace(frame, batch=batch), model)["memory_gib"]
        return used <= frame.chip.hbm_usable / GIB

    low, high = 0, MOST_SEQUENCES + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return evaluate(replace(frame, batch=low), model)["output_tokens_per_s"] if low else None


def main() -> None:
    """Print errors by chip and by model, and over all points."""
    sys.path.insert(0, str(ROOT))
    groups: dict[str, list[float]] = defaultdict(list)
    with POINTS.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value = predicted(row)
            if value is None:
                groups["does not fit"].append(0.0)
                continue
            ratio = value / float(row["measured_output_tokens_per_s"])
            for group in (row["chip"], row["model"], row["weight_dtype"], "all"):
                groups[group].append(ratio)
    print("| points | n | median predicted/measured | mean absolute error | within 25 % |")
    print("|---|---|---|---|---|")
    for name, ratios in groups.items():
        errors = [abs(r - 1) for r in ratios]
        near = sum(e <= 0.25 for e in errors) / len(errors)
        print(f"| {name} | {len(ratios)} | {median(ratios):.2f} | {mean(errors):.1%} | {near:.0%} |")


if __name__ == "__main__":
    main()
