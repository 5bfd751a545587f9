"""Metrics of a training setting: functions of its step time, its chips and its memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optimizer.cost.memory import GIB
from optimizer.cost.training.flops import forward_flops
from optimizer.errors import InputError, nearest
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.search import Measure
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip

_DAY = 86400.0


@dataclass(frozen=True)
class TrainingMetric:
    """One metric: its unit, whether more is better, its value from (step seconds, chips, bytes on a chip)."""

    unit: str
    more: bool
    value: Callable[[Any, Any, Any], Any]

    @property
    def measure(self) -> Measure:
        """The metric as something to make small."""
        value = self.value
        return (lambda s, n, m: -value(s, n, m)) if self.more else value


def metrics_for(
    problem: TrainingProblem, architecture: Architecture, chip: Chip
) -> dict[str, TrainingMetric]:
    """The metrics that a problem may optimise or bound; USD only where the chip has a price."""
    tokens = problem.global_batch * problem.sequence_length
    flops = forward_flops(architecture, problem.sequence_length).model(causal=True)
    peak, steps = chip.dense_flops["bf16"], problem.training_tokens / tokens
    price = chip.usd_per_chip_hour
    found = {
        "step_s": TrainingMetric("s", False, lambda s, n, m: s),
        "train_tokens_per_s": TrainingMetric("tokens/s", True, lambda s, n, m: tokens / s),
        "train_tokens_per_s_per_chip": TrainingMetric("tokens/s", True, lambda s, n, m: tokens / s / n),
        "mfu": TrainingMetric("", True, lambda s, n, m: tokens / s / n * flops / peak),
        "train_days": TrainingMetric("days", False, lambda s, n, m: s * steps / _DAY),
        "chips": TrainingMetric("chips", False, lambda s, n, m: n),
        "memory_gib": TrainingMetric("GiB", False, lambda s, n, m: m / GIB),
    }
    if price is not None:
        rate = steps / 3600 * price
        found["train_usd"] = TrainingMetric("USD", False, lambda s, n, m: s * n * rate)
    return found


def wanted(problem: TrainingProblem, metrics: dict[str, TrainingMetric]) -> str:
    """The metric to optimise; InputError if it is unknown or asked for in the wrong direction."""
    name = problem.minimize or problem.maximize or ""
    metric = _known(name, metrics, "minimize" if problem.minimize else "maximize")
    if metric.more != (problem.maximize is not None):
        better = "maximize" if metric.more else "minimize"
        raise InputError(f"{problem.name}: {name} gets better the other way; {better} it")
    return name


def limits_of(
    problem: TrainingProblem, metrics: dict[str, TrainingMetric]
) -> dict[str, tuple[TrainingMetric, float]]:
    """Rule name to (metric, bound) of every bound the problem asks for."""
    found = {}
    for rule, bound in problem.constraints.items():
        name, _, side = rule.rpartition("_")
        metric = _known(name, metrics, f"constraints.{rule}")
        right = "min" if metric.more else "max"
        if side != right:
            raise InputError(f"{problem.name}: constraints.{rule}: write {name}_{right}")
        found[rule] = (metric, bound)
    return found


def _known(name: str, metrics: dict[str, TrainingMetric], where: str) -> TrainingMetric:
    if name not in metrics:
        hint = nearest(name, list(metrics)) or f" Accepted: {', '.join(metrics)}."
        raise InputError(f"{where}: '{name[:40]}' is no metric of training here.{hint}")
    return metrics[name]
