"""Bounds of many settings at once, before anything is known of what the rules leave at each width.

Widths and depths are taken in boxes. A box is bounded by the least that any plan of it can be: the narrowest
of all layer kinds at its smallest width and depth, with the parameters that the rules ask for less the most
that may lie outside matrices at its largest. Every quantity rises with widths, depth and parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.blocks import least
from optimizer.cost.frame import Frame, Slice
from optimizer.cost.least import Least
from optimizer.cost.quantities import QUANTITIES
from optimizer.metrics import quantity as quantity_of
from optimizer.questions.architecture.frame_rules import Compiler
from optimizer.questions.architecture.shapes import outside_matrices
from optimizer.questions.architecture.space import Space
from optimizer.scope import Symbol

_WIDTHS, _DEPTHS = 8, 8
"""Boxes that a run of widths, and the depths, are cut into."""


@dataclass(frozen=True)
class _Boxes:
    """Ends of widths and depths, and the parameters of layers that any kinds reach; all of shape (K,)."""

    run: np.ndarray
    """The run of widths that the box is part of."""
    narrow: np.ndarray
    wide: np.ndarray
    shallow: np.ndarray
    deep: np.ndarray
    fewest: np.ndarray
    """Parameters of one layer at the narrow end, at least."""
    most: np.ndarray
    """At the wide end, at most."""
    outside: np.ndarray
    """Parameters of one layer outside matrices, at most."""
    unmet: np.ndarray
    """In matrices or experts that are no product's, at most."""


class CoarseBounds:
    """Bounds of the settings of a family: one chip, split and formats, in several batches."""

    def __init__(self, space: Space, compiler: Compiler, objective: Symbol, sense: int) -> None:
        self.space, self.compiler = space, compiler
        self.objective, self.sense = objective, sense
        self._cuts: dict[tuple[range, ...], _Boxes] = {}
        self._known: dict[Any, np.ndarray] = space.memo["coarse"]
        self.least = 0.0 if sense > 0 else -np.inf
        """What no plan is below: no metric is negative."""

    @cached_property
    def bounds_times(self) -> bool:
        """Whether there is more to say than `least`: the objective gets worse as its quantity rises."""
        return self.objective.quantity != "n_params" and self.objective.rises == (self.sense > 0)

    def keys(self, settings: range, runs: Sequence[range]) -> np.ndarray:
        """Lower bounds of sense x objective, shape (settings, runs of widths), for settings of one family."""
        first = self.space.setting(settings.start)
        counts = self.objective.name == "n_params"
        if not counts and not self.bounds_times:
            return np.full((len(settings), len(runs)), self.least)
        window = self._window(first)
        key = (self.objective.name, self.sense, settings, tuple(runs), window)
        if key not in self._known:
            found = (self._counted if counts else self._priced)(settings, tuple(runs), *window)
            self._known[key] = found
        return self._known[key]

    def _counted(self, settings: range, runs: tuple[range, ...], low: float, high: float) -> np.ndarray:
        """The bounds of the parameter count itself: the same in every setting."""
        first = self.space.setting(settings.start)
        boxes = self._boxes(first, runs)
        floor, roof = self._reach(first, boxes)
        key = np.maximum(floor, low) if self.sense > 0 else -np.minimum(roof, high)
        key = np.where(_meets(floor, roof, low, high), np.maximum(key, self.least), np.inf)
        return np.repeat(_best(boxes, key[None, :], len(runs)), len(settings), axis=0)

    def _priced(self, settings: range, runs: tuple[range, ...], low: float, high: float) -> np.ndarray:
        """The bounds, from the least layers with as many parameters as are allowed."""
        first = self.space.setting(settings.start)
        boxes = self._boxes(first, runs)
        box, alive = self._least(first, boxes, low, high)
        batches = np.array([self.space.setting(i).batch for i in settings])
        n = len(batches)
        at = replace(first, d_model=np.tile(boxes.narrow, n), batch=np.repeat(batches, len(boxes.run)))
        layers = _tiled(box, n)
        quantity = quantity_of(self.objective.quantity).floor(at, layers)
        value = np.asarray(self.objective.value(Slice(at, layers.n_layers), quantity), dtype=float)
        value = np.broadcast_to(self.sense * value, at.d_model.shape).reshape(n, -1)
        value = np.where(alive, np.maximum(value, self.least), np.inf)
        return _best(boxes, value, len(runs))

    def _boxes(self, setting: Frame, runs: tuple[range, ...]) -> _Boxes:
        """The boxes of some runs of widths: the same in every setting."""
        if runs not in self._cuts:
            self._cuts[runs] = self._cut(setting, runs)
        return self._cuts[runs]

    def _cut(self, setting: Frame, runs: tuple[range, ...]) -> _Boxes:
        widths, depths = np.array(self.space.architecture.d_model, float), self.space.depths.astype(float)
        corners = []
        for i, run in enumerate(runs):
            for part in np.array_split(widths[run.start : run.stop], min(_WIDTHS, len(run))):
                for layer in np.array_split(depths, min(_DEPTHS, len(depths))):
                    corners.append((i, part[0], part[-1], layer[0], layer[-1]))
        run_of, narrow, wide, shallow, deep = np.array(corners).T
        fewest = self._halves(setting, narrow)[0]
        return _Boxes(
            run_of.astype(int), narrow, wide, shallow, deep, fewest, *self._halves(setting, wide)[1:]
        )

    def _window(self, setting: Frame) -> tuple[float, float]:
        """Parameter counts that the rules allow at every width."""
        rules = self.compiler.compile(replace(setting, d_model=int(setting.d_model[0])))
        own = [
            b
            for name, b in rules.bounds
            if b.symbol.name == "n_params" and self.compiler.holds_at_every_width(name)
        ]
        return max([0.0, *(b.low for b in own)]), min([np.inf, *(b.high for b in own)])

    def _least(self, setting: Frame, boxes: _Boxes, low: float, high: float) -> tuple[Least, np.ndarray]:
        """The least layers of each box, and whether any plan of it has as many parameters as are allowed."""
        space = self.space
        floor, roof = self._reach(setting, boxes)
        alive = _meets(floor, roof, low, high)
        outside = QUANTITIES["n_params"].base(replace(setting, d_model=boxes.wide))
        in_layers = np.maximum(floor, low) - outside - (boxes.deep - boxes.shallow) * boxes.outside
        mixers, ffn = (
            replace(half, **least(half, np.ones((1, len(half)), bool)))
            for half in (space.attention, space.ffn)
        )
        norms = space.architecture.norms
        known = Least(
            boxes.shallow, in_layers, boxes.outside, mixers, ffn.take(0), norms, unmet_params=boxes.unmet
        )
        return known, alive

    def _reach(self, setting: Frame, boxes: _Boxes) -> tuple[np.ndarray, np.ndarray]:
        """Fewest and most parameters of any plan of each box, whatever the rules."""
        n = QUANTITIES["n_params"]
        narrow, wide = (replace(setting, d_model=width) for width in (boxes.narrow, boxes.wide))
        floor = n.base(narrow) + boxes.shallow * boxes.fewest
        return np.asarray(floor), np.asarray(n.base(wide) + boxes.deep * boxes.most)

    def _halves(self, setting: Frame, width: np.ndarray) -> np.ndarray:
        """Of a layer at each width: fewest, most parameters, most outside matrices, in no product; (4, K)."""
        distinct, back = np.unique(width, return_inverse=True)
        found = [self._half(setting, float(w)) for w in distinct]
        return np.array(found).T[:, back]

    def _half(self, setting: Frame, width: float) -> tuple[float, ...]:
        known: dict[float, tuple[float, ...]] = self.space.memo["halves"]
        if width not in known:
            frame, n = replace(setting, d_model=width), QUANTITIES["n_params"]
            a = n.mixer(frame, self.space.attention, self.space.architecture.norms)
            f = n.ffn(frame, self.space.ffn)
            most = zip(
                outside_matrices(a, self.space.attention, width),
                outside_matrices(f, self.space.ffn, width),
                strict=True,
            )
            ends = float(np.min(a) + np.min(f)), float(np.max(a) + np.max(f))
            known[width] = (*ends, *(of_a + of_f for of_a, of_f in most))
        return known[width]


_SLACK = 1e-9


def _meets(floor: np.ndarray, roof: np.ndarray, low: float, high: float) -> np.ndarray:
    """Whether some count from floor to roof is one from low to high."""
    return np.asarray((floor <= high * (1 + _SLACK)) & (roof >= low * (1 - _SLACK)))


def _best(boxes: _Boxes, keys: np.ndarray, n_runs: int) -> np.ndarray:
    """The least key of each run's boxes: from shape (n, boxes) to (n, runs)."""
    return np.stack([keys[:, boxes.run == i].min(axis=1) for i in range(n_runs)], axis=1)


def _tiled(box: Least, n: int) -> Least:
    def each(values: Any) -> np.ndarray:
        return np.tile(values, n)

    return Least(
        each(box.n_layers),
        each(box.n_params),
        each(box.vector_params),
        box.mixers,
        box.ffn,
        box.norms,
        each(box.unmet_params),
    )
