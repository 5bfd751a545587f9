"""A small problem of every kind of problem, solved in a moment; and one of each that has no plan."""

from typing import Any

import samples

from optimizer import read_problem

CHIP = samples.CHIP | {"name": "made-up", "usd_per_chip_hour": 2.0}
ROWS = [
    {"mode": "aggregated", "chip": "red", "chips": 1, "requests_per_s": 1, "ttft_ms": 100, "tpot_ms": 10},
    {"mode": "aggregated", "chip": "red", "chips": 2, "requests_per_s": 3, "ttft_ms": 50, "tpot_ms": 9},
    {"mode": "aggregated", "chip": "blue", "chips": 1, "requests_per_s": 2, "ttft_ms": 60, "tpot_ms": 6},
    {"mode": "prefill", "chip": "blue", "chips": 1, "requests_per_s": 5, "ttft_ms": 30, "tpot_ms": 0},
    {"mode": "decode", "chip": "red", "chips": 1, "requests_per_s": 4, "ttft_ms": 0, "tpot_ms": 7},
]
OFFERS = [
    {"chip": "red", "usd_per_chip_hour": 1.0, "node": 8, "max_count": 8, "power_w": 500.0},
    {"chip": "blue", "usd_per_chip_hour": 2.5, "node": 4, "max_count": 4, "power_w": 700.0},
]
MODES = {"mode": ["aggregated", "disaggregated"]}
PROBLEMS: dict[str, dict[str, Any]] = {
    "architecture": samples.PROBLEM,
    "deployment": {
        "name": "deployed",
        "performance_table": ROWS,
        "hardware": OFFERS,
        "deployment": MODES,
        "workload": {"input_tokens": 10, "output_tokens": 10, "requests_per_s": 7},
        "minimize": "usd_per_hour",
        "constraints": {"tpot_ms_max": 9.5},
    },
    "fleet": {
        "name": "shared",
        "hardware": OFFERS,
        "deployment": MODES,
        "services": [
            {
                "name": "chat",
                "performance_table": ROWS,
                "traffic": [{"input_tokens": 10, "output_tokens": 10, "requests_per_s": 4}],
                "constraints": {"tpot_ms_max": 9.5},
            },
            {
                "name": "search",
                "performance_table": ROWS,
                "traffic": [{"input_tokens": 20, "output_tokens": 5, "requests_per_s": 2.5}],
            },
        ],
        "minimize": "usd_per_hour",
    },
    "pipeline": {
        "name": "staged",
        "architecture": "meta-llama/Llama-3.2-1B",
        "pipeline": {
            "stages": [
                {"chip": "nvidia-l40s", "chips": 2, "tensor_parallel": [1, 2]},
                {"chip": "nvidia-h100-sxm", "chips": 1},
            ]
        },
        "deployment": {"batch": [1, 8, 32]},
        "workload": {"input_tokens": 512, "output_tokens": 128},
        "maximize": "output_tokens_per_s",
        "constraints": {"tpot_ms_max": 40.0},
    },
    "training": {
        "name": "trained",
        "train_model": "meta-llama/Llama-3.2-1B",
        "hardware": "nvidia-h100-sxm",
        "chips": 4,
        "global_batch": 8,
        "sequence_length": 2048,
        "setup": {
            "microbatch": [1, 2],
            "recompute": ["none", "full"],
            "schedule": "1f1b",
            "zero_stage": [0, 1],
        },
        "maximize": "train_tokens_per_s",
    },
    "training_across": {
        "name": "trained across",
        "train_model": "meta-llama/Llama-3.2-1B",
        "train_on": [
            {"chip": "nvidia-h100-sxm", "chips": 2, "tensor_parallel": [1, 2]},
            {"chip": "nvidia-a100-80-sxm", "chips": 2, "tensor_parallel": 1},
        ],
        "global_batch": 8,
        "sequence_length": 2048,
        "setup": {"microbatch": 1, "data_parallel": [1, 2], "recompute": ["none", "full"], "zero_stage": 1},
        "maximize": "train_tokens_per_s",
    },
}
IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "architecture": {"constraints": {"tpot_ms_max": 1e-6}},
    "deployment": {"constraints": {"tpot_ms_max": 1.0}},
    "fleet": {"constraints": {"usd_per_hour_max": 0.5}},
    "pipeline": {"constraints": {"tpot_ms_max": 1e-6}},
    "training": {"constraints": {"train_days_max": 1e-9}},
    "training_across": {"constraints": {"train_days_max": 1e-9}},
}
"""What to change so that no plan is left."""
OVER: dict[str, dict[str, list[Any]]] = {
    "architecture": {"workload.batch": [4, 8]},
    "deployment": {"workload.requests_per_s": [2, 7, 1000]},
    "fleet": {"constraints.usd_per_hour_max": [0.5, 40]},
    "pipeline": {"workload.input_tokens": [256, 512]},
    "training": {"chips": [2, 4]},
    "training_across": {"global_batch": [4, 8]},
}
"""Fields to sweep, with values."""


def problem(kind: str, **changes: Any) -> Any:
    """The small problem of a kind, with some fields changed."""
    return read_problem(PROBLEMS[kind] | changes)


def impossible(kind: str) -> Any:
    """The same without a plan."""
    return problem(kind, **{k: PROBLEMS[kind].get(k, {}) | v for k, v in IMPOSSIBLE[kind].items()})
