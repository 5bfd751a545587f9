"""Predicted against measured: every point that can be predicted, errors by group, the rest with reasons."""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median

from optimizer.cost.frame import Frame
from optimizer.cost.quantities import QUANTITIES, step_of, step_s
from optimizer.spec.architecture import Architecture
from optimizer.spec.plan import Validation, ValidationGroup
from optimizer.studies.estimate import Setup, estimate, frame_of
from optimizer.studies.points import Point, Unscored, read_points

GROUPS = ("source", "model", "chip", "metric", "regime")
MOST_SEQUENCES = 2048
"""Sequences an engine runs together at most, where a source does not say."""
_NEAR = 0.25


@dataclass(frozen=True)
class Scored:
    """A point and what the cost model says of it."""

    point: Point
    predicted: float

    @property
    def error(self) -> float:
        """Relative error; positive if the prediction is too high."""
        return self.predicted / self.point.measured - 1


def validate_points(path: Path) -> Validation:
    """Score a CSV of measured points (columns: `optimizer.studies.points`)."""
    scored: list[Scored] = []
    skipped: Counter[str] = Counter()
    for point in read_points(path):
        if isinstance(point, Unscored):
            skipped[point.reason] += 1
            continue
        predicted = predict(point)
        if isinstance(predicted, str):
            skipped[predicted] += 1
        else:
            scored.append(Scored(point, predicted))
    groups = [_group("all", "all", scored)] if scored else []
    for name in GROUPS:
        by_value: dict[str, list[Scored]] = defaultdict(list)
        for item in scored:
            by_value[_value(item.point, name)].append(item)
        groups += [_group(name, value, items) for value, items in sorted(by_value.items())]
    return Validation(
        file=path.name, scored=len(scored), groups=tuple(groups), unscored=dict(skipped.most_common())
    )


def predict(point: Point) -> float | str:
    """The metric of a point, or the reason why it has no prediction."""
    setup = Setup(
        tensor_parallel=point.tensor_parallel,
        weight_dtype=point.weight_dtype,
        kv_dtype=point.kv_dtype,
        batch=point.batch or 1,
        input_tokens=point.input_tokens,
        output_tokens=point.output_tokens,
    )
    broken = estimate(point.model, point.chip, setup).breaks
    if broken:
        return f"the setup breaks {', '.join(broken)}"
    frame = frame_of(point.model, point.chip, setup)
    if point.regime == "saturation":
        frame = replace(frame, batch=_largest_batch(frame, point.model))
    return _METRIC[point.regime](point, frame)


def _fixed_batch(point: Point, frame: Frame) -> float:
    """All prompts prefilled together, then all answers step by step."""
    prefill = _seconds(frame, point.model, batch=0, prompts=frame.batch)
    decode = _seconds(frame, point.model, batch=frame.batch, prompts=0)
    whole = prefill + (frame.output_tokens - 1) * decode
    tokens = frame.batch * frame.output_tokens
    return {
        "ttft_ms": 1e3 * prefill,
        "tpot_ms": 1e3 * decode,
        "output_tok_s_total": tokens / whole,
        "total_tok_s": (tokens + frame.batch * frame.input_tokens) / whole,
    }[point.metric]


def _steady(point: Point, frame: Frame) -> float:
    """Continuous batching: users see steps that carry prompts; a prompt waits half a step for its own.

    No queue: a closed loop of many users waits several prefills more, which is not predicted.
    """
    mixed = QUANTITIES["mixed_s"].total(frame, point.model)
    first = _seconds(frame, point.model, batch=frame.batch, prompts=1) + mixed / 2
    rate = frame.batch / mixed
    return {
        "ttft_ms": 1e3 * first,
        "tpot_ms": 1e3 * mixed,
        "output_tok_s_total": rate,
        "total_tok_s": rate * (1 + frame.input_tokens / frame.output_tokens),
    }[point.metric]


_METRIC = {"fixed_batch": _fixed_batch, "saturation": _steady, "concurrency": _steady}


def _seconds(frame: Frame, model: Architecture, batch: int, prompts: int) -> float:
    """Seconds of a step that decodes `batch` sequences and prefills `prompts` whole prompts."""
    return step_s(frame, model, replace(step_of(frame, "mixed"), batch=batch, prompts=prompts))


def _largest_batch(frame: Frame, model: Architecture) -> int:
    """The most sequences whose full-length cache fits beside the weights."""
    low, high = 1, MOST_SEQUENCES + 1
    while high - low > 1:
        middle = (low + high) // 2
        used = QUANTITIES["memory_bytes"].total(replace(frame, batch=middle), model)
        low, high = (middle, high) if used <= frame.chip.hbm_usable else (low, middle)
    return low


def _value(point: Point, group: str) -> str:
    value = getattr(point, group)
    return value if isinstance(value, str) else str(value.name)


def _group(name: str, value: str, items: list[Scored]) -> ValidationGroup:
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


def scored_points(path: Path) -> list[Scored]:
    """The points of a file that have a prediction, for a picture of them."""
    points = [point for point in read_points(path) if isinstance(point, Point)]
    predicted = [predict(point) for point in points]
    return [
        Scored(p, value) for p, value in zip(points, predicted, strict=True) if not isinstance(value, str)
    ]
