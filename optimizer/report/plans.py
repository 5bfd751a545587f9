"""A plan of any kind in a few words, for a table, a hover or a line."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

from optimizer.report.numbers import count
from optimizer.report.replicas import replicas_of
from optimizer.spec.plan import Plan
from optimizer.spec.training import TrainingSetup


def _dimension(name: str) -> Callable[[Plan], str]:
    return lambda plan: str(getattr(plan.dimensions, name))


def _split(name: str) -> Callable[[Plan], str]:
    return lambda plan: str(getattr(plan.pools[0], name))


STAGES = "stages: layers"
DIMENSIONS = ("layers", "d_model", "heads", "kv", "d_head", "d_ff")
_WHERE: dict[str, Callable[[Plan], str]] = {
    "params": lambda plan: count(plan.dimensions.n_params),
    "layers": _dimension("n_layers"),
    "d_model": _dimension("d_model"),
    "heads": _dimension("n_heads"),
    "kv": _dimension("n_kv_heads"),
    "d_head": _dimension("d_head"),
    "d_ff": _dimension("d_ff"),
    "chip": _split("chip"),
    "TP": _split("tensor_parallel"),
    "batch": _split("batch"),
    "weights": _split("weight_dtype"),
    "cache": _split("kv_dtype"),
}


def names_of(plan: Plan) -> dict[str, str]:
    """What a plan decides, as text, for a table or a hover."""
    if plan.designed:
        return {name: read(plan) for name, read in _WHERE.items()}
    if plan.setup is not None:
        return _setup(plan.setup)
    if any(pool.layers for pool in plan.pools):
        return {"batch": str(plan.batch), STAGES: _stages(plan)}
    return replicas_of(plan)


def _setup(s: TrainingSetup) -> dict[str, str]:
    """A training setting: its degrees, and what they leave to choose."""
    found = {
        "TP": s.tensor_parallel,
        "PP": s.pipeline_parallel,
        "DP": s.data_parallel,
        "CP": s.context_parallel,
        "EP": s.expert_parallel,
        "chunks": s.pipeline_interleave,
        "microbatch": s.microbatch,
        "recompute": s.recompute,
        "ZeRO": s.zero_stage,
    }
    return {name: str(value) for name, value in found.items()}


def _stages(plan: Plan) -> str:
    """The stages of a pipeline, equal neighbours together."""
    words = [
        (
            f"{pool.chip.partition('-')[2] or pool.chip} tp{pool.split.tensor_parallel}",
            "+".join(map(str, pool.layers)),
        )
        for pool in plan.pools
    ]
    lines = []
    for where, own in groupby(words, key=lambda word: word[0]):
        lines.append(f"{where}: {' '.join(layers for _, layers in own)}")
    return "\n".join(lines)


def value_at(plan: Plan, name: str) -> Any:
    """The value of a choice in a plan: one, or all that its pools have."""
    for part in (plan.dimensions if plan.designed else None, plan.setup):
        if part is not None and hasattr(part, name):
            return getattr(part, name)
    if name == "batch" and plan.batch is not None:
        return plan.batch
    field = {"hardware": "chip", "mode": "phase"}.get(name, name)
    group = int(name.partition(".")[2]) if name.startswith("stages.") else None
    if group is not None:
        own = [pool for pool in plan.pools if pool.group == group]
        return f"{len(own)} x tp{own[0].split.tensor_parallel}" if own else "idle"
    values = sorted({getattr(pool, field) for pool in plan.pools})
    return values[0] if len(values) == 1 else " and ".join(map(str, values))
