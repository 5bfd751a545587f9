"""Predicted against measured training steps: errors by group, and the rows not scored, with reasons."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from optimizer.cost.training.job import Job, job
from optimizer.errors import InputError
from optimizer.spec.plan import Validation, ValidationGroup
from optimizer.studies.train_cells import Row, UnreadableRow
from optimizer.studies.train_points import TrainingPoint, read_row

GROUPS = ("source", "model", "chip", "tier", "precision")
_NEAR = 0.25


@dataclass(frozen=True)
class ScoredStep:
    """A measured step and what the cost model says of it."""

    point: TrainingPoint
    predicted: float
    job: Job
    """The setting that was predicted, of those the row leaves open."""

    @property
    def error(self) -> float:
        """Relative error; positive if the prediction is too fast."""
        return self.predicted / self.point.measured - 1


def validate_training(name: str, rows: list[Row]) -> Validation:
    """Score the rows of a file of training points (columns: `optimizer.studies.train_points`)."""
    scored: list[ScoredStep] = []
    skipped: Counter[str] = Counter()
    for item in scored_rows(rows):
        if isinstance(item, str):
            skipped[item] += 1
        else:
            scored.append(item)
    groups = [_group("all", "all", scored)] if scored else []
    for group in GROUPS:
        by_value: dict[str, list[ScoredStep]] = defaultdict(list)
        for step in scored:
            by_value[_value(step.point, group)].append(step)
        groups += [_group(group, value, items) for value, items in sorted(by_value.items())]
    return Validation(
        file=Path(name).name, scored=len(scored), groups=tuple(groups), unscored=dict(skipped.most_common())
    )


def scored_rows(rows: list[Row]) -> Iterator[ScoredStep | str]:
    """Each row predicted, or the reason why not."""
    for line, row in enumerate(rows, 2):
        try:
            yield predict_step(read_row(line, row))
        except (UnreadableRow, InputError) as reason:
            yield str(reason)


def predict_step(point: TrainingPoint) -> ScoredStep:
    """The fastest of the settings a row leaves open, of those that fit; where none fits, of the smallest.

    A row that ran did fit: offloading or finer recomputation, which are not modelled, made it so.
    """
    jobs = [job(point.model, point.chip, setup) for setup in point.setups]
    fitting = [j for j in jobs if float(j.memory.total) <= point.chip.hbm_usable]
    best = max(fitting or [min(jobs, key=lambda j: float(j.memory.total))], key=lambda j: j.tokens_per_s)
    rate = best.tokens_per_s / best.setup.n_chips
    if point.flops == "full":
        rate *= best.flops.model(causal=False)
    elif point.flops == "hardware":
        rate *= best.flops.hardware(best.setup.recompute, causal=False)
    return ScoredStep(point, rate, best)


def _value(point: TrainingPoint, group: str) -> str:
    value = getattr(point, group)
    return value if isinstance(value, str) else str(value.name)


def _group(name: str, value: str, items: list[ScoredStep]) -> ValidationGroup:
    errors = [item.error for item in items]
    return ValidationGroup(
        group=name,
        value=value,
        n=len(items),
        median_ratio=1 + median(errors),
        mean_abs_error=mean(abs(e) for e in errors),
        median_abs_error=median(abs(e) for e in errors),
        within_25_percent=sum(abs(e) <= _NEAR for e in errors) / len(errors),
    )
