"""Rows predicted at a few values of each constant, once; every fit of a part of the rows then costs nothing.

In between, and for several constants together, logarithms of predictions are interpolated and added up: a fit
finds values on that, and what was left out is predicted with them by the cost model itself.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from constants import NEUTRAL, Parameter
from predicting import Serving, Steps

from optimizer.evidence.fitting import Array, Constant, descend

Places = dict[str, float]
_NONE = 1e-9
_PENALTY = 0.14
"""Log error that a constant pays for a way of one from where it starts, where a prior holds it."""


class Surrogate:
    """Log errors of all rows, for any place of each constant."""

    def __init__(self, world: Serving | Steps, shipped: Mapping[str, float], prior: float = 0.0) -> None:
        self.world, self.prior = world, prior
        self.parameters: list[Parameter] = world.parameters
        every = list(range(len(world.rows)))
        self.base = world.predict(shipped, every)
        self.measured = np.log([row.measured for row in world.rows])
        self.shipped = np.log([self.base[i] for i in every]) - self.measured
        self._own: dict[str, Array] = {}
        self._effects: dict[str, Any] = {}
        for p in self.parameters:
            rows = [i for i in every if world.meets(p, world.rows[i])]
            curves = []
            for value in p.values:
                if abs(value - shipped[p.name]) < _NONE:
                    curves.append([0.0] * len(rows))
                    continue
                found = world.predict({**shipped, p.name: value}, rows)
                curves.append([float(np.log(found[i] / self.base[i])) for i in rows])
            table = np.array(curves).reshape(len(p.values), len(rows))
            told = np.abs(table).max(axis=0, initial=0.0) > _NONE
            self._own[p.name] = np.array(rows, dtype=int)[told]
            self._effects[p.name] = table[:, told]

    def tells(self, name: str, mask: Array) -> bool:
        """Whether any of these rows depends on a constant."""
        return bool(mask[self._own[name]].any())

    def rows_of(self, name: str) -> Array:
        """The rows that depend on a constant."""
        found: Array = np.zeros(len(self.measured), dtype=bool)
        found[self._own[name]] = True
        return found

    def errors(self, places: Mapping[str, float]) -> Array:
        """Log errors of all rows."""
        found = self.shipped.copy()
        for p in self.parameters:
            x = places[p.name]
            j = min(max(int(np.searchsorted(p.places, x)) - 1, 0), len(p.places) - 2)
            share = (x - p.places[j]) / (p.places[j + 1] - p.places[j])
            curves = self._effects[p.name]
            found[self._own[p.name]] += (1 - share) * curves[j] + share * curves[j + 1]
        return found

    def fit(self, mask: Array, fixed: Mapping[str, float] = {}, start: Places | None = None) -> Places:
        """Places of all constants from some rows; those that no row tells are as `untold` says."""
        told = [p for p in self.parameters if p.name not in fixed and self.tells(p.name, mask)]
        free = [Constant(p.name, "", 0.0, p.places[0], p.places[-1], 0.5) for p in told]
        begin = {p.name: p.start for p in self.parameters} | dict(start or {}) | dict(fixed)

        def residuals(places: Mapping[str, float]) -> Array:
            found = self.errors(places)[mask]
            held = [_PENALTY * self.prior * (places[p.name] - p.start) for p in told]
            return np.concatenate([found, held]) if self.prior else found

        found = descend(free, begin, residuals) if free else begin
        return self._untold(dict(found), {p.name for p in told} | set(fixed))

    def _untold(self, places: Places, told: Sequence[str] | set[str]) -> Places:
        """Constants without rows: the median of others of the figure, else as if there were none."""
        for p in self.parameters:
            if p.name in told:
                continue
            others = [
                value_of(q, places[q.name])
                for q in self.parameters
                if q.figure == p.figure and q.name in told
            ]
            neutral = 0.0 if p.figure not in NEUTRAL or not others else place_of(p, median(others))
            places[p.name] = neutral
        return places


def value_of(p: Parameter, place: float) -> float:
    """A constant's value at a place."""
    return float(np.interp(place, p.places, p.values))


def place_of(p: Parameter, value: float) -> float:
    """The place of a value, within what was looked at."""
    order = np.argsort(p.values)
    return float(np.interp(value, np.array(p.values)[order], np.array(p.places)[order]))
