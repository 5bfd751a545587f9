"""Fits the figures of an engine profile to end-to-end points: throughput, first token, time per token."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.serving import largest_batch
from optimizer.errors import InputError, nearest
from optimizer.evidence.calibrate_chip import described
from optimizer.evidence.fitting import Array, Constant, Fit, Values, fit, loss
from optimizer.evidence.held_out import HoldOut, errors_of
from optimizer.evidence.names import same_engine, same_name
from optimizer.evidence.points import Point, Unscored, points_of
from optimizer.evidence.validate import metric_of, steps_of, unpredictable
from optimizer.spec.calibration import CalibratedPart, Errors, Rows
from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine
from optimizer.watch import UNWATCHED, Stopped, Watch

_TIME = (True, False)
_BOUNDS: dict[str, tuple[str, float, float, float, tuple[bool, bool]]] = {
    "host_ms": ("ms", 0, 100, 0.2, _TIME),
    "host_us_per_sequence": ("us", 0, 5000, 5, _TIME),
    "host_us_per_expert_layer": ("us", 0, 5000, 20, _TIME),
    "launch_us_per_layer": ("us", 0, 5000, 20, _TIME),
    "cache_share": ("", 0.2, 1, 0.5, (False, True)),
    "compute": ("", 0.2, 1.6, 0.5, (False, False)),
    "attention_decode": ("", 0.1, 1.6, 0.5, (False, False)),
    "all_reduce": ("", 0.05, 1.6, 0.5, (False, False)),
    "request_ms": ("ms", 0, 1000, 5, _TIME),
}
"""Unit, limits, the scale of a step, and whether the limits are values of their own."""
FIGURES = tuple(_BOUNDS)
_CLIENTS = ("request_ms",)
_MEMORY = ("cache_share", "cache_fill")


def engine_constants(engine: Engine, names: tuple[str, ...] = ()) -> list[Constant]:
    """What may be fitted, all or by name; launches only where the engine is eager already."""
    for name in names:
        if name not in _BOUNDS:
            raise InputError(
                f"fit {name[:40]}: is not fitted.{nearest(name, list(FIGURES))} {', '.join(FIGURES)} are"
            )
    wanted = names or tuple(n for n in FIGURES if n != "launch_us_per_layer" or engine.launch_us_per_layer)
    found = []
    for name in wanted:
        unit, low, high, scale, ends = _BOUNDS[name]
        found.append(Constant(name, unit, getattr(engine, name), low, high, scale, ends))
    return found


@dataclass
class Predictor:
    """Predictions of points by an engine's figures; what some figures do not change is not computed again."""

    points: list[Point]
    engine: Engine
    watch: Watch = UNWATCHED
    """Looked at before each prediction that is not known yet."""
    frames: list[Frame] = field(init=False)
    _slots: dict[tuple[object, ...], int] = field(default_factory=dict)
    _steps: dict[tuple[object, ...], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_row: dict[tuple[int, str], Frame] = {}
        for p in self.points:
            if (p.row, p.regime) not in by_row:
                by_row[p.row, p.regime] = replace(frame_of(p.model, p.chip, p.setup), engine=self.engine)
        self.frames = [by_row[p.row, p.regime] for p in self.points]

    def __call__(self, values: Values) -> list[float]:
        """Predictions in the order of the points."""
        engine = self.engine.changed(**values)
        memory = tuple(v for k, v in values.items() if k in _MEMORY)
        speed = tuple(v for k, v in values.items() if k not in (*_MEMORY, *_CLIENTS))
        found = []
        for point, frame in zip(self.points, self.frames, strict=True):
            frame = replace(frame, engine=engine)
            row = (point.row, *memory)
            slots = self._slots.get(row)
            if slots is None:
                slots = self._slots[row] = largest_batch(frame, point.model)
            key = (point.row, slots, *speed)
            steps = self._steps.get(key)
            if steps is None:
                self.watch.check()
                steps = self._steps[key] = steps_of(point, frame, slots)
            found.append(metric_of(point, frame, slots, steps))
        return found


@dataclass(frozen=True)
class EngineFit:
    """An engine with fitted figures, and what was found."""

    engine: Engine
    part: CalibratedPart
    unscored: dict[str, int]
    complete: bool = True


def calibrate_engine(
    path: Path,
    rows: list[dict[str, str]],
    engine: Engine,
    chip: Chip | None,
    held: HoldOut,
    names: tuple[str, ...] = (),
    watch: Watch = UNWATCHED,
) -> EngineFit:
    """The engine with the figures that the rows tell, and the errors by metric.

    When the watch is over during the fit, the best values met; Stopped if it is over before.
    """
    points, unscored = _points(path, engine, chip, watch)
    unseen_rows = held.of([p.row for p in points], rows)
    seen = [p for p in points if p.row not in unseen_rows]
    unseen = [p for p in points if p.row in unseen_rows]
    constants = engine_constants(engine, names)
    if not points:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in unscored.most_common(3))
        raise InputError(f"{path}: no row can be scored for engine {engine.name} ({reasons})")
    if len(seen) < len(constants):
        least = len(constants) * (1 if held.column else 2)
        raise InputError(
            f"{path}: {len(seen)} points are left to fit {len(constants)} figures with {held} held out; "
            f"at least {least} scorable points are needed, or fewer figures (fit NAME,NAME)"
        )
    predict = Predictor(seen, engine, watch)
    measured = np.log([p.measured for p in seen])
    met: list[tuple[float, Values]] = []

    def residuals(values: Values) -> Array:
        found = np.asarray(np.log(predict(values)) - measured)
        if not met or loss(found) < met[0][0]:
            met[:] = [(loss(found), dict(values))]
        return found

    try:
        fitted = fit(constants, residuals)
    except Stopped:
        return _interrupted(engine, constants, met, predict, unscored)
    changed = {c.name: fitted.values[c.name] for c in constants if c.name not in fitted.left}
    new = engine.changed(**changed)
    errors = [*_errors("fitted", seen, engine, new), *_errors("held out", unseen, engine, new)]
    part = CalibratedPart(name=engine.name, constants=described(constants, fitted), errors=tuple(errors))
    return EngineFit(new, part, dict(unscored.most_common()))


def _interrupted(
    engine: Engine,
    constants: list[Constant],
    met: list[tuple[float, Values]],
    predict: "Predictor",
    unscored: Counter[str],
) -> EngineFit:
    """The best values met on the rows of the fit. Raises Stopped if none was tried."""
    if not met:
        raise Stopped
    best = {c.name: met[0][1].get(c.name, c.old) for c in constants}
    predict.watch = UNWATCHED  # what was met is known: nothing is predicted again
    before, after = predict({c.name: c.old for c in constants}), predict(best)
    part = CalibratedPart(
        name=engine.name,
        constants=described(constants, Fit(best, {})),
        errors=tuple(_by_metric("fitted", predict.points, before, after)),
    )
    return EngineFit(engine.changed(**best), part, dict(unscored.most_common()), complete=False)


def _points(path: Path, engine: Engine, chip: Chip | None, watch: Watch) -> tuple[list[Point], Counter[str]]:
    """Points of this engine, on this chip if one is named, that can be predicted. Raises Stopped."""
    unscored: Counter[str] = Counter()
    found = []
    points = _of_engine(_read(path, watch), engine, unscored)
    for point in points:
        watch.check()
        if chip is not None and not same_name(point.chip.name, chip):
            unscored[f"on {point.chip.name}, not {chip.name}"] += 1
            continue
        own = replace(point, chip=chip or point.chip)
        frame = replace(frame_of(own.model, own.chip, own.setup), engine=engine)
        if reason := unpredictable(own, frame):
            unscored[reason] += 1
        else:
            found.append(own)
    return found, unscored


def _read(path: Path, watch: Watch) -> list[Point | Unscored]:
    found = []
    for point in points_of(path)[1]:
        watch.check()
        found.append(point)
    return found


def _of_engine(read: list[Point | Unscored], engine: Engine, unscored: Counter[str]) -> list[Point]:
    """Points whose row names this engine; if there are none, those that name no engine we know."""
    points = [point for point in read if isinstance(point, Point)]
    unscored.update(point.reason for point in read if isinstance(point, Unscored))
    named = any(same_engine(str(point.setup.engine), engine) for point in points)
    found = []
    for point in points:
        profile = str(point.setup.engine)
        if same_engine(profile, engine) if named else profile == "ideal":
            found.append(point)
        else:
            other = "of an engine without a profile" if profile == "ideal" else f"of engine {profile}"
            unscored[f"{other}, not {engine.name}"] += 1
    return found


def _errors(rows: Rows, points: list[Point], old: Engine, new: Engine) -> list[Errors]:
    """Errors of all points, then by metric where there are several."""
    if not points:
        return []
    return _by_metric(rows, points, Predictor(points, old)({}), Predictor(points, new)({}))


def _by_metric(rows: Rows, points: list[Point], before: list[float], after: list[float]) -> list[Errors]:
    by_metric: dict[str, list[int]] = defaultdict(list)
    for i, point in enumerate(points):
        by_metric[point.metric].append(i)
    groups = {"all": list(range(len(points)))} | (
        dict(sorted(by_metric.items())) if len(by_metric) > 1 else {}
    )
    return [
        error
        for name, where in groups.items()
        for error in errors_of(
            name,
            rows,
            [before[i] / points[i].measured - 1 for i in where],
            [after[i] / points[i].measured - 1 for i in where],
        )
    ]
