"""Predicted against measured training steps: errors by group, and the rows not scored, with reasons."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optimizer.cost.training.job import Job, job
from optimizer.errors import InputError
from optimizer.evidence.scores import validation
from optimizer.evidence.train_cells import Row, UnreadableRow
from optimizer.evidence.train_points import TrainingPoint, read_row
from optimizer.spec.validation import Validation
from optimizer.watch import UNWATCHED, Watch

GROUPS = ("source", "model", "chip", "tier", "precision")


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


def validate_training(name: str, rows: list[Row], watch: Watch = UNWATCHED) -> Validation:
    """Score the rows of a file of training points (columns: `optimizer.evidence.train_points`)."""
    scored: list[ScoredStep] = []
    skipped: Counter[str] = Counter()
    done = 0
    for item in scored_rows(rows, watch):
        done += 1
        if isinstance(item, str):
            skipped[item] += 1
        else:
            scored.append(item)
    return validation(Path(name).name, scored, GROUPS, skipped, len(rows), done)


def scored_rows(rows: list[Row], watch: Watch = UNWATCHED) -> Iterator[ScoredStep | str]:
    """Each row predicted, or the reason why not; no more once the watch is over."""
    for line, row in enumerate(rows, 2):
        if watch.over:
            return
        try:
            yield predict_step(read_row(line, row))
        except (UnreadableRow, InputError) as reason:
            yield str(reason)


def predict_step(point: TrainingPoint) -> ScoredStep:
    """The fastest of the settings a row leaves open, of those that fit; where none fits, of the smallest.

    A row that ran did fit: offloading or finer recomputation, which are not modelled, made it so.
    """
    jobs = [job(point.model, point.chip, setup) for setup in point.setups]
    fitting = [j for j in jobs if float(j.memory.total) <= point.chip.hbm_for_programs]
    best = max(fitting or [min(jobs, key=lambda j: float(j.memory.total))], key=lambda j: j.tokens_per_s)
    rate = best.tokens_per_s / best.setup.n_chips
    if point.flops == "full":
        rate *= best.flops.model(causal=False)
    elif point.flops == "hardware":
        rate *= best.flops.hardware(best.setup.recompute, causal=False)
    elif point.flops == "mfu":
        rate = 100 * best.mfu(point.chip.dense_flops["bf16"], causal=False)
    return ScoredStep(point, rate, best)
