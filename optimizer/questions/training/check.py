"""A training setting recomputed from its setup alone: its metrics, and every rule and limit that it breaks.

Shares no code with the search or its columns: one setup, one job, plain numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.cost.training.job import job, run_of
from optimizer.cost.training.rules import facts_of, kept
from optimizer.metrics import trained
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.long_run import USUAL, LongRun
from optimizer.spec.training import TrainingSetup

_FLOAT_NOISE = 1e-9


@dataclass(frozen=True)
class TrainingCheck:
    """What a setting really is."""

    metrics: dict[str, float]
    broken: tuple[str, ...]
    """Rules of divisibility, `memory_capacity`, `chips`, and bounds on metrics by their names."""


def check_training(
    architecture: Architecture,
    chip: Chip,
    setup: TrainingSetup,
    training_tokens: float,
    limits: Mapping[str, float],
    long_run: LongRun = USUAL,
) -> TrainingCheck:
    """Recompute a setting. `limits`: bytes of `memory_capacity`, `chips`, METRIC_min and METRIC_max."""
    own = job(architecture, chip, setup)
    memory = float(own.memory.total)
    metrics = trained(run_of(own, chip, training_tokens, long_run))
    broken = [
        name for name, holds in kept(facts_of(architecture, chip), own.layout).items() if not _all(holds)
    ]
    for rule, limit in limits.items():
        if rule in ("memory_capacity", "chips"):
            value, side = (memory if rule == "memory_capacity" else float(setup.n_chips)), "max"
        else:
            name, _, side = rule.rpartition("_")
            value = metrics[name]
        over = value - limit if side == "max" else limit - value
        if over > abs(limit) * _FLOAT_NOISE:
            broken.append(rule)
    return TrainingCheck(metrics, tuple(broken))


def _all(holds: Any) -> bool:
    return bool(holds.all()) if hasattr(holds, "all") else bool(holds)
