"""Predicted against measured: every point that can be predicted, errors by group, the rest with reasons."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optimizer.anatomy.estimate import estimate
from optimizer.cost.closed_loop import closed_loop
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.loop_steps import loop_steps
from optimizer.cost.quantities import QUANTITIES, step_of, step_s
from optimizer.cost.serving import fits, largest_batch
from optimizer.evidence.points import Point, Unscored, points_of
from optimizer.evidence.scores import validation
from optimizer.evidence.train_points import training_rows
from optimizer.evidence.train_validate import validate_training
from optimizer.spec.architecture import Architecture
from optimizer.spec.validation import Validation
from optimizer.watch import UNWATCHED, Watch

_FIRST = 2
"""The line of a file's first row."""
GROUPS = ("source", "model", "chip", "metric", "regime")


@dataclass(frozen=True)
class Scored:
    """A point and what the cost model says of it."""

    point: Point
    predicted: float

    @property
    def error(self) -> float:
        """Relative error; positive if the prediction is too high."""
        return self.predicted / self.point.measured - 1


def validate_points(path: Path, watch: Watch = UNWATCHED) -> Validation:
    """Score a CSV of measured points (columns: `optimizer.evidence.points`, for training `.train_points`).

    When the watch is over, the errors of the rows that were looked at by then.
    """
    steps = training_rows(path)
    if steps is not None:
        return validate_training(path.name, steps, watch)
    scored: list[Scored] = []
    skipped: Counter[str] = Counter()
    rows, points = points_of(path)
    done = rows
    for point in points:
        if watch.over:
            done = point.row - _FIRST
            break
        if isinstance(point, Unscored):
            skipped[point.reason] += 1
            continue
        predicted = predict(point)
        if isinstance(predicted, str):
            skipped[predicted] += 1
        else:
            scored.append(Scored(point, predicted))
    return validation(path.name, scored, GROUPS, skipped, rows, done)


def predict(point: Point) -> float | str:
    """The metric of a point, or the reason why it has no prediction."""
    if point.unknown_engine:
        return f"engine '{point.unknown_engine[:30]}' has no profile"
    frame = frame_of(point.model, point.chip, point.setup)
    if reason := unpredictable(point, frame):
        return reason
    slots = largest_batch(frame, point.model)
    return metric_of(point, frame, slots, steps_of(point, frame, slots))


def unpredictable(point: Point, frame: Frame) -> str:
    """Why a point has no prediction, or ''."""
    broken = estimate(point.model, point.chip, replace(point.setup, batch=1)).breaks
    if broken:
        return f"the setup breaks {', '.join(broken)}"
    if point.regime == "fixed_batch" and not fits(frame, point.model):
        return "the setup breaks memory_capacity"
    if point.regime == "saturation" and point.metric == "ttft_ms":
        return "the first token of a saturated replica waits for a queue of unknown length"
    return ""


def steps_of(point: Point, frame: Frame, slots: int) -> Any:
    """The steps that a prediction is made of, whatever requests wait for: kernels, links and host."""
    if point.regime == "fixed_batch":  # all prompts together, then all answers step by step
        stages = frame.split.pipeline_parallel
        parts = min(stages, frame.batch)  # each stage works on another part of the batch
        each = frame.batch / (parts * frame.split.data_parallel)
        prefill = _seconds(frame, point.model, batch=0, prompts=each) * (parts + stages - 1) / stages
        return prefill, _seconds(frame, point.model, batch=each, prompts=0)
    if point.regime == "saturation":
        return QUANTITIES["mixed_s"].total(replace(frame, batch=slots), point.model)
    return loop_steps(frame, point.model, slots, point.setup.protocol)


def metric_of(point: Point, frame: Frame, slots: int, steps: Any) -> float:
    """The metric of a point from `steps_of` it."""
    return _METRIC[point.regime](point, frame, slots, steps)[point.metric]


def _fixed_batch(point: Point, frame: Frame, slots: int, steps: Any) -> dict[str, float]:
    """All prompts prefilled together, then all answers step by step."""
    prefill, decode = steps
    whole = prefill + (frame.output_tokens - 1) * decode
    return _metrics(frame.input_tokens, frame.output_tokens, prefill, decode, frame.batch / whole)


def _saturated(point: Point, frame: Frame, slots: int, steps: Any) -> dict[str, float]:
    """As many sequences as fit, always full; a rate has no latency of its own."""
    requests = slots / steps / frame.output_tokens
    return _metrics(frame.input_tokens, frame.output_tokens, float("nan"), steps, requests)


def _closed_loop(point: Point, frame: Frame, slots: int, steps: Any) -> dict[str, float]:
    """A fixed number of clients, each sending its next request when the last is answered."""
    protocol = point.setup.protocol
    served = closed_loop(steps, protocol, frame.engine.request_ms * 1e-3)
    lengths = (protocol.mean(frame.input_tokens), protocol.mean(frame.output_tokens))
    return _metrics(*lengths, float(served.ttft_s), float(served.tpot_s), float(served.requests_per_s))


def _metrics(
    prompt: int, answer: int, ttft_s: float, tpot_s: float, requests_per_s: float
) -> dict[str, float]:
    return {
        "ttft_ms": 1e3 * ttft_s,
        "tpot_ms": 1e3 * tpot_s,
        "output_tok_s_total": requests_per_s * answer,
        "total_tok_s": requests_per_s * (prompt + answer),
    }


_METRIC = {"fixed_batch": _fixed_batch, "saturation": _saturated, "concurrency": _closed_loop}


def _seconds(frame: Frame, model: Architecture, batch: float, prompts: float) -> float:
    """Seconds of a step that decodes `batch` sequences and prefills `prompts` whole prompts."""
    return float(step_s(frame, model, replace(step_of(frame, "mixed"), batch=batch, prompts=prompts)))


def scored_points(path: Path, watch: Watch = UNWATCHED) -> list[Scored]:
    """The points of a file that have a prediction, for a picture of them. Raises Stopped."""
    found = []
    for point in points_of(path)[1]:
        watch.check()
        if isinstance(point, Point) and not isinstance(value := predict(point), str):
            found.append(Scored(point, value))
    return found
