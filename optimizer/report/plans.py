"""A plan of any kind in a few words, for a table, a hover or a line."""

from itertools import groupby
from typing import Any

from optimizer.plugins import plugins
from optimizer.report.numbers import count
from optimizer.report.replicas import replicas_of
from optimizer.spec.plan import Plan
from optimizer.spec.training import TrainingSetup

STAGES = "stages: layers"
_WHERE = {
    "chip": "chip",
    "TP": "tensor_parallel",
    "batch": "batch",
    "weights": "weight_dtype",
    "cache": "kv_dtype",
}


def _halves() -> list[list[str]]:
    """How columns call the dimensions of each kind of half, the most telling first; the usual kinds first."""
    kinds = [m for m in plugins("blocks").values() if hasattr(m, "FIELDS")]
    kinds.sort(key=lambda module: (not hasattr(module, "USUAL"), module.ROLE != "mixer"))
    return [[own.short for own in module.FIELDS.dimensions().values()] for module in kinds]


TELLING = tuple(dict.fromkeys(short for own in _halves() for short in own[:1]))
"""Columns of the first dimension of each kind of half."""
MORE = tuple(dict.fromkeys(short for own in _halves() for short in own[1:]))
"""Columns of their other dimensions."""
DIMENSIONS = ("layers", "d_model", *dict.fromkeys(short for own in _halves() for short in own))


def _shape(plan: Plan) -> dict[str, str]:
    """The dimensions of an architecture: depth, width, those of its halves."""
    a = plan.dimensions
    found = {"params": count(a.n_params), "layers": str(a.n_layers), "d_model": str(a.d_model)}
    for kind in (a.mixer, a.ffn):
        said = plugins("blocks")[kind].FIELDS.dimensions()
        found |= {own.short: str(getattr(a, name)) for name, own in said.items()}
    return found


def names_of(plan: Plan) -> dict[str, str]:
    """What a plan decides, as text, for a table or a hover."""
    if plan.designed:
        return _shape(plan) | {head: str(getattr(plan.pools[0], name)) for head, name in _WHERE.items()}
    if plan.setup is not None:
        return _setup(plan.setup)
    if any(pool.recompute for pool in plan.pools):
        first = plan.pools[0]
        said = {"DP": str(first.split.data_parallel), "microbatch": str(first.batch)}
        return said | {STAGES: _stages(plan)}
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
            f"{pool.chip.partition('-')[2] or pool.chip} tp{pool.split.tensor_parallel}"
            + (f" {pool.recompute} ZeRO {pool.zero_stage}" if pool.recompute else ""),
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
    if name == "order":
        return " > ".join(dict.fromkeys(pool.chip for pool in plan.pools))
    field = {"hardware": "chip", "mode": "phase", "microbatch": "batch"}.get(name, name)
    if name.startswith("clusters."):
        return _of_cluster(plan, *name.split(".")[1:])
    group = int(name.partition(".")[2]) if name.startswith("stages.") else None
    if group is not None:
        own = [pool for pool in plan.pools if pool.group == group]
        return f"{len(own)} x tp{own[0].split.tensor_parallel}" if own else "idle"
    values = sorted({getattr(pool, field) for pool in plan.pools})
    return values[0] if len(values) == 1 else " and ".join(map(str, values))


def _of_cluster(plan: Plan, number: str, what: str) -> Any:
    """A choice of one cluster of a training run."""
    own = [pool for pool in plan.pools if pool.group == int(number)]
    if not own:
        return "idle"
    first = own[0]
    stages = f"{len(own)} x tp{first.split.tensor_parallel}"
    return {"stages": stages, "zero_stage": f"ZeRO {first.zero_stage}"}.get(what, first.recompute)
