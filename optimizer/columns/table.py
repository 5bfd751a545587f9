"""Columns of one frame: every additive quantity in use, as a base and arrays over layer kinds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optimizer.columns.compiled import FrameRules
from optimizer.columns.space import Space
from optimizer.cost.frame import Frame, Slice
from optimizer.cost.quantities import QUANTITIES


@dataclass(frozen=True)
class Column:
    """q = base + n_layers x (attention[a] + ffn[f])."""

    base: float
    attention: np.ndarray
    ffn: np.ndarray


@dataclass(frozen=True)
class FrameTable:
    """The columns of the kinds that the rules left in a frame. Row i is kind `rules.attention[i]`."""

    frame: Frame
    rules: FrameRules
    depths: np.ndarray
    """Layer counts left, ascending."""
    columns: dict[str, Column]
    grids: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What `columns.bounds` keeps of the frame between questions."""

    def at(self, n_layers: Any) -> Slice:
        """The slice at one depth, or at an array of them."""
        return Slice(self.frame, n_layers)


def frame_table(space: Space, frame: Frame, rules: FrameRules, quantities: list[str]) -> FrameTable:
    """Evaluate the cost model on the kinds left."""
    attention, ffn = space.attention.take(rules.attention), space.ffn.take(rules.ffn)
    columns = {
        name: Column(
            float(QUANTITIES[name].base(frame)),
            np.asarray(QUANTITIES[name].mixer(frame, attention), dtype=float),
            np.asarray(QUANTITIES[name].ffn(frame, ffn), dtype=float),
        )
        for name in quantities
    }
    return FrameTable(frame, rules, space.depths[rules.depths], columns)
