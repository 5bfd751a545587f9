"""Fits a few bounded constants to measurements: least absolute log error, by Gauss and Newton's method.

The residual r of a row is log(predicted / measured). What is minimised is the mean of sqrt(r^2 + 0.02^2):
nearly |r|, so that a few wild rows do not move the fit, and smooth, so that exact rows are met exactly. Each
round weighs the rows by 1 / sqrt(r^2 + 0.02^2), takes a damped Gauss-Newton step (Levenberg 1944, Marquardt
1963) with slopes by differences, and clips it to the bounds. Nothing is random.

Not every set of rows tells every constant. `fit` gives up constants, the least telling one first, until each
that remains lies inside its bounds and lowers the mean error by at least 0.1 percentage points against its
old value; those given up keep the old value, with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SMOOTH = 0.02
_MATTERS = 0.001
_ROUNDS = 40
_STEP = 0.01
_DIGITS = 4

Array = NDArray[np.float64]
Values = dict[str, float]
Residuals = Callable[[Values], Array]
"""Log errors of all rows for some values of the constants."""


@dataclass(frozen=True)
class Constant:
    """One constant: its old value, and where a fit may look. Steps are even below `scale`, relative above."""

    name: str
    unit: str
    old: float
    low: float
    high: float
    scale: float
    ends: tuple[bool, bool] = (False, False)
    """Whether low and high are values it can have (no time at all, a whole share) and no mere limits."""

    def place(self, value: float) -> float:
        """Where a value lies between the bounds, as 0 to 1."""
        inside = min(max(value, self.low), self.high) - self.low
        return float(np.log1p(inside / self.scale) / np.log1p((self.high - self.low) / self.scale))

    def value(self, place: float) -> float:
        """The value at a place, in four digits."""
        most = np.log1p((self.high - self.low) / self.scale)
        return float(f"{self.low + self.scale * np.expm1(place * most):.{_DIGITS}g}")

    def stuck(self, value: float) -> str:
        """Why a value on a bound is no answer, or ''."""
        for bound, real in zip((self.low, self.high), self.ends, strict=True):
            if not real and abs(self.place(value) - self.place(bound)) < 1e-3:
                return f"its fit runs to the limit {bound:g}"
        return ""


@dataclass(frozen=True)
class Fit:
    """Values of all constants, fitted or old, and why some were left alone."""

    values: Values
    left: dict[str, str]


def fit(constants: list[Constant], residuals: Residuals, starts: int = 1) -> Fit:
    """Fit constants to rows, and give up those that the rows do not tell.

    `starts` is the number of places the search begins at: the old values, and points spread over the bounds.
    """
    values = {c.name: c.old for c in constants}
    middle = {c.name: c.value(0.5) for c in constants}
    left: dict[str, str] = {}
    for c in constants:  # twice, since one constant may hide another
        if all(_without_effect(c, others, residuals) for others in (values, middle)):
            left[c.name] = "no row depends on it"
    while free := [c for c in constants if c.name not in left]:
        values |= {c.name: c.old for c in constants if c.name in left}
        values = min(
            (descend(free, start, residuals) for start in _starts(free, values, starts)),
            key=lambda found: loss(residuals(found)),
        )
        given_up = _least_telling(free, values, residuals)
        if given_up is None:
            break
        left |= given_up
        starts = 1
    return Fit(values | {c.name: c.old for c in constants if c.name in left}, left)


def _without_effect(c: Constant, values: Values, residuals: Residuals) -> bool:
    same = residuals(values)
    return all(np.allclose(residuals(values | {c.name: end}), same, 0, 1e-12) for end in (c.low, c.high))


def _least_telling(free: list[Constant], values: Values, residuals: Residuals) -> dict[str, str] | None:
    """The constant whose old value does best in place of the fitted, if it does about as well."""
    best = float(np.abs(residuals(values)).mean())
    rises = {c.name: float(np.abs(residuals(values | {c.name: c.old})).mean()) - best for c in free}
    stuck = {c.name: c.stuck(values[c.name]) for c in free}
    weak = [name for name in rises if rises[name] < _MATTERS or stuck[name]]
    if not weak:
        return None
    name = min(weak, key=lambda name: rises[name])
    return {name: stuck[name] or "its old value does as well"}


def _starts(free: list[Constant], values: Values, count: int) -> list[Values]:
    """The values at hand, then points spread evenly by additive recurrence."""
    found = [dict(values)]
    ratio = float(np.roots([1, *[0] * (len(free) - 1), -1, -1]).real.max())  # golden for one, plastic for two
    for i in range(1, count):
        places = [(0.5 + i / ratio ** (j + 1)) % 1 for j in range(len(free))]
        found.append(values | {c.name: c.value(p) for c, p in zip(free, places, strict=True)})
    return found


def descend(free: list[Constant], start: Values, residuals: Residuals) -> Values:
    """Damped Gauss-Newton steps until none helps."""
    places = np.array([c.place(start[c.name]) for c in free])
    damping = 1e-3

    def at(point: Array) -> Values:
        return start | {c.name: c.value(float(p)) for c, p in zip(free, point, strict=True)}

    here = residuals(at(places))
    for _ in range(_ROUNDS):
        slopes = np.stack([_slope(at, places, here, i, residuals) for i in range(len(free))], axis=1)
        weights = 1 / np.sqrt(here**2 + _SMOOTH**2)
        curvature = slopes.T @ (weights[:, None] * slopes)
        gradient = slopes.T @ (weights * here)
        moved = False
        while damping < 1e4 and not moved:
            there = np.clip(places + _newton(places, curvature, gradient, damping), 0, 1)
            tried = residuals(at(there))
            moved = loss(tried) < loss(here) * (1 - 1e-6)
            damping = damping / 10 if moved else damping * 10
        if not moved:
            break
        places, here, damping = there, tried, max(damping, 1e-6)
    return at(places)


def _slope(at: Callable[[Array], Values], places: Array, here: Array, i: int, residuals: Residuals) -> Array:
    step = _STEP if places[i] <= 1 - _STEP else -_STEP
    moved = places.copy()
    moved[i] += step
    slope: Array = (residuals(at(moved)) - here) / step
    return slope


def _newton(places: Array, curvature: Array, gradient: Array, damping: float) -> Array:
    """The damped step of those constants that the gradient does not push through a bound."""
    blocked = ((places <= 0) & (gradient > 0)) | ((places >= 1) & (gradient < 0))
    free = np.flatnonzero(~blocked)
    step = np.zeros_like(places)
    if free.size:
        own = curvature[np.ix_(free, free)]
        ridge = np.diag(damping * np.diag(own) + 1e-9)
        step[free] = np.linalg.solve(own + ridge, -gradient[free])
    return step


def loss(errors: Array) -> float:
    """What a fit minimises: the mean absolute log error, smooth near 0."""
    return float(np.sqrt(errors**2 + _SMOOTH**2).mean() - _SMOOTH)
