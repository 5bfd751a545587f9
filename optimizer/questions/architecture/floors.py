"""Bounds of all frames of a setting at once: widths x depths, before any layer kind is priced.

A setting is a chip, split, formats and batch. What kinds are left at each width decides how many
parameters a depth can reach and how narrow layers can be: the `Least` of a plan, which the quantities price.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.cost.frame import Frame, Slice
from optimizer.cost.least import Least
from optimizer.cost.quantities import QUANTITIES
from optimizer.metrics import quantity
from optimizer.questions.architecture.frame_rules import Compiler
from optimizer.questions.architecture.shapes import Shapes
from optimizer.questions.architecture.shapes import shapes as all_shapes
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.window import Grid, lowest, meets
from optimizer.scope import Bound, Symbol
from optimizer.spec.norms import Norms

_WINDOWS_KEPT = 256
"""Parameter windows kept for later searches; one takes up to half a megabyte."""


_GRIDS_KEPT = 8
"""Grids of a metric kept for later searches; one takes up to eight megabytes."""


@dataclass(frozen=True)
class _Cells:
    """Pairs of a width and a depth, by row, with the parameter counts they may have; all of shape (K,)."""

    width: np.ndarray
    depth: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Floors:
    """Bounds settings; shapes and parameter windows are shared between settings that allow the same kinds."""

    def __init__(self, space: Space, compiler: Compiler, objective: Symbol, sense: int) -> None:
        self.space, self.compiler = space, compiler
        self.objective, self.sense = objective, sense
        self._shapes: dict[Any, Shapes] = space.memo["shapes"]
        self._grids: dict[Any, Grid] = space.memo["grids"]
        self._windows: dict[Any, _Cells] = space.memo["windows"]

    def key(self, setting: Frame) -> np.ndarray:
        """Lower bound of sense x objective at each width, shape (D,); inf where nothing is feasible."""
        rules = self.compiler.compile(replace(setting, d_model=int(setting.d_model[0])))
        shape_key = (setting.split.tensor_parallel, self.compiler.static_key(setting))
        if shape_key not in self._shapes:
            self._shapes[shape_key] = all_shapes(self.space, self.compiler, setting)
        shapes = self._shapes[shape_key]
        bounds = [b for name, b in rules.bounds if self.compiler.holds_at_every_width(name)]
        cells = self._window(setting, bounds, shapes, shape_key)
        at = Slice(replace(setting, d_model=setting.d_model[cells.width]), self.space.depths[cells.depth])
        outside, norms = QUANTITIES["n_params"].base(at.frame), self.space.architecture.norms
        layers = _least(shapes, cells, at.n_layers, outside, norms)
        ends = [b for b in bounds if b.symbol.rises is not None and b.symbol.quantity != "n_params"]
        wanted = {self.objective.quantity, *(bound.symbol.quantity for bound in ends)}
        least = {name: quantity(name).floor(at.frame, layers) for name in wanted}
        alive = np.ones(len(cells.low), dtype=bool)
        for bound in ends:
            s = bound.symbol
            end = np.asarray(s.value(at, least[s.quantity]), dtype=float)
            alive &= meets(end, -np.inf, bound.high) if s.rises else meets(end, bound.low, np.inf)
        best = np.where(alive, self._objective(setting, at, least, cells), np.inf)
        key = np.full(len(setting.d_model), np.inf)
        np.minimum.at(key, cells.width, best)
        return key

    def _objective(self, setting: Frame, at: Slice, least: dict[str, Any], cells: "_Cells") -> Any:
        objective, sense = self.objective, self.sense
        if objective.quantity == "n_params":
            return lowest(objective, sense, self._columns(setting, cells), cells.low, cells.high)
        if objective.rises == (sense > 0):
            return sense * np.asarray(objective.value(at, least[objective.quantity]), dtype=float)
        return -np.inf

    def _columns(self, setting: Frame, cells: "_Cells") -> Slice:
        """The cells as a column, to broadcast against a grid of quantities."""
        frame = replace(setting, d_model=setting.d_model[cells.width][:, None])
        return Slice(frame, self.space.depths[cells.depth][:, None])

    def _window(self, setting: Frame, bounds: list[Bound], shapes: Shapes, shape_key: Any) -> "_Cells":
        """The widths and depths that some parameter count within every bound can have, and the counts."""
        own = [b for b in bounds if b.symbol.quantity == "n_params"]
        key = (shape_key, setting.formats.weight_dtype, *((b.symbol.name, b.low, b.high) for b in own))
        known = self._windows.get(key)
        if known is None:
            width, depth = np.nonzero(shapes.depths)
            cells = _Cells(width, depth, shapes.low[width, depth], shapes.high[width, depth])
            for bound in sorted(own, key=lambda b: b.symbol.rises is None):
                cells = self._cut(setting, bound, cells, shape_key)
            if len(self._windows) >= _WINDOWS_KEPT:
                self._windows.clear()
            self._windows[key] = known = cells
        return known

    def _cut(self, setting: Frame, bound: Bound, cells: "_Cells", shape_key: Any) -> "_Cells":
        if bound.symbol.name == "n_params":
            low, high = np.maximum(cells.low, bound.low), np.minimum(cells.high, bound.high)
        else:
            low, high = self._grid(setting, bound.symbol, cells, shape_key).hull(bound)
        left = low <= high
        return _Cells(cells.width[left], cells.depth[left], low[left], high[left])

    def _grid(self, setting: Frame, symbol: Symbol, cells: "_Cells", shape_key: Any) -> Grid:
        """The metric over the cells' windows; the last ones are kept: questions differ in the bound on it."""
        key = (
            shape_key,
            setting.formats.weight_dtype,
            symbol.name,
            cells.low.tobytes(),
            cells.high.tobytes(),
        )
        known = self._grids.get(key)
        if known is None:
            if len(self._grids) >= _GRIDS_KEPT:
                self._grids.clear()
            self._grids[key] = known = Grid.of(symbol, self._columns(setting, cells), cells.low, cells.high)
        return known


def _least(shapes: Shapes, cells: _Cells, n_layers: np.ndarray, outside: Any, norms: Norms) -> Least:
    """What is known of the layers of each cell; `outside` of them are so many parameters."""
    return Least(
        n_layers,
        cells.low - outside,
        shapes.vector[cells.width],
        shapes.mixers.take((slice(None), cells.width)),
        shapes.ffn.take(cells.width),
        norms,
        shapes.unmet[cells.width],
    )
