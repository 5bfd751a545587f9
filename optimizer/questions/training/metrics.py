"""Metrics of a training setting: functions of its step time, its chips and its memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from optimizer.cost.training.flops import forward_flops
from optimizer.cost.training.long_run import effective_share
from optimizer.cost.training.run import Run
from optimizer.errors import InputError, nearest
from optimizer.metrics import listed, metric
from optimizer.questions.training.lattice import Measure
from optimizer.questions.training.problem import TrainingProblem
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip


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
    """The metrics that a problem may optimise or bound; those that lack a fact (a price) are left out."""
    tokens = problem.global_batch * problem.sequence_length
    flops = forward_flops(architecture, problem.sequence_length).model(causal=True)

    def run(step_s: Any, chips: Any, memory: Any) -> Run:
        share = effective_share(problem.long_run, chips)
        return Run(step_s, chips, memory, tokens, problem.training_tokens, flops, chip, share)

    found = {}
    for name in listed("trained"):
        own = metric(name, "trained")
        if own.trained(run(1.0, 1, 1.0)) is not None:
            value = partial(_value, own.trained, run)
            found[name] = TrainingMetric(own.UNIT, own.BETTER == "higher", value)
    return found


def _value(trained: Callable[[Run], Any], run: Callable[..., Run], *figures: Any) -> Any:
    return trained(run(*figures))


def wanted(problem: TrainingProblem, metrics: dict[str, TrainingMetric]) -> str:
    """The metric to optimise; InputError if it is unknown or asked for in the wrong direction."""
    name = problem.minimize or problem.maximize or ""
    metric = _known(name, metrics, "minimize" if problem.minimize else "maximize")
    if metric.more != (problem.maximize is not None):
        better = "maximize" if metric.more else "minimize"
        raise InputError(f"{problem.name}: {name} gets better the other way; {better} it")
    return name


def metric_of_rule(rule: str) -> str:
    """The metric that a rule limits."""
    return {"memory_capacity": "memory_gib", "chips": "chips"}.get(rule, rule.rpartition("_")[0])


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
