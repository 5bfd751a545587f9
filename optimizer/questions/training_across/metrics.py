"""Metrics of a plan over clusters: functions of its step, its chips of each kind and its fullest chip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optimizer.cost.training.flops import forward_flops
from optimizer.cost.training.long_run import effective_share
from optimizer.cost.training.run import Run, mean_chip
from optimizer.errors import InputError, nearest
from optimizer.metrics import listed, metric
from optimizer.questions.training_across.problem import AcrossProblem
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip

MEMORY = "memory_gib"
"""The one metric of memory; no other looks at it."""


@dataclass(frozen=True)
class Runs:
    """The runs of a problem, whatever their plans."""

    tokens: int
    training_tokens: float
    flops_per_token: float
    problem: AcrossProblem

    @classmethod
    def of(cls, problem: AcrossProblem, architecture: Architecture) -> "Runs":
        """Those of a problem."""
        flops = forward_flops(architecture, problem.sequence_length).model(causal=True)
        tokens = problem.global_batch * problem.sequence_length
        return cls(tokens, problem.training_tokens, flops, problem)

    def run(self, step_s: Any, chips: Any, memory: Any, chip: Chip) -> Run:
        """One of so many chips that are on average like this one."""
        share = effective_share(self.problem.long_run, chips)
        own = self.training_tokens, self.flops_per_token
        return Run(step_s, chips, memory, self.tokens, *own, chip, share)


@dataclass(frozen=True)
class AcrossMetric:
    """One metric."""

    name: str
    unit: str
    more: bool
    """Whether more is better."""
    module: Any
    runs: Runs

    def value(self, step_s: Any, chips: Any, memory: Any, chip: Chip) -> Any:
        """Of a step in seconds, so many chips, on average like this one, and bytes on the fullest."""
        return self.module.trained(self.runs.run(step_s, chips, memory, chip))

    def measure(self, step_s: Any, chips: Any, memory: Any, chip: Chip) -> Any:
        """The same as something to make small."""
        value = self.value(step_s, chips, memory, chip)
        return -value if self.more else value


def metrics_for(
    problem: AcrossProblem, architecture: Architecture, chips: Sequence[Chip]
) -> dict[str, AcrossMetric]:
    """The metrics that a problem may optimise or bound; those that lack a fact (a price) are left out."""
    runs, found = Runs.of(problem, architecture), {}
    chip = mean_chip([(own, 1) for own in chips])
    for name in listed("trained"):
        own = metric(name, "trained")
        few, many = (own.trained(runs.run(1.0, 1, memory, chip)) for memory in (1.0, 2.0))
        if few is not None and (name == MEMORY or few == many):
            found[name] = AcrossMetric(name, own.UNIT, own.BETTER == "higher", own, runs)
    return found


def optimistic(chips: Sequence[Chip]) -> Chip:
    """A chip that costs and can do as little as any of these: of metrics what no mixture is better in."""
    prices = [chip.usd_per_chip_hour for chip in chips]
    shared = set.intersection(*(set(chip.dense_flops) for chip in chips))
    return chips[0].supposed(
        usd_per_chip_hour=None if None in prices else min(p for p in prices if p is not None),
        dense_flops={name: min(chip.dense_flops[name] for chip in chips) for name in sorted(shared)},
    )


def wanted(problem: AcrossProblem, metrics: Mapping[str, AcrossMetric]) -> str:
    """The metric to optimise; InputError if it is unknown or asked for in the wrong direction."""
    name = problem.minimize or problem.maximize or ""
    own = known(name, metrics, "minimize" if problem.minimize else "maximize")
    if own.more != (problem.maximize is not None):
        better = "maximize" if own.more else "minimize"
        raise InputError(f"{problem.name}: {name} gets better the other way; {better} it")
    return name


def bounds_of(problem: AcrossProblem, metrics: Mapping[str, AcrossMetric]) -> dict[str, float]:
    """Every bound the problem asks for, by its rule."""
    for rule in problem.constraints:
        name, _, side = rule.rpartition("_")
        own = known(name, metrics, f"constraints.{rule}")
        right = "min" if own.more else "max"
        if side != right:
            raise InputError(f"{problem.name}: constraints.{rule}: write {name}_{right}")
    return dict(problem.constraints)


def known(name: str, metrics: Mapping[str, AcrossMetric], where: str) -> AcrossMetric:
    """A metric by name; InputError where there is none."""
    if name not in metrics:
        hint = nearest(name, list(metrics)) or f" Accepted: {', '.join(metrics)}."
        raise InputError(f"{where}: '{name[:40]}' is no metric of training here.{hint}")
    return metrics[name]
