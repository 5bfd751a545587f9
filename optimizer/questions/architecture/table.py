"""Columns of one frame: every additive quantity in use, as a base and arrays over layer kinds."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optimizer.cost.frame import Frame, Slice
from optimizer.cost.quantities import Quantity
from optimizer.metrics import quantity
from optimizer.questions.architecture.frame_rules import FrameRules
from optimizer.questions.architecture.kinds import Kinds
from optimizer.questions.architecture.space import Space
from optimizer.spec.norms import Norms

BLOCK = 3072
"""Kinds priced at once. Larger arrays leave the cache, and the allocator returns them to the system after
each operation: 20 000 at once took three to ten times as long a kind (benchmarks/columns.py)."""

_CELLS = 2**21
"""Depths x attention kinds bounded at once."""


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

    @property
    def size(self) -> int:
        """Prices in all columns."""
        return sum(c.attention.size + c.ffn.size for c in self.columns.values())

    def parts(self) -> "list[FrameTable]":
        """The table in runs of depths, each small enough to bound at once: depths x attention kinds."""
        most = max(1, _CELLS // max(1, len(self.rules.attention)))
        if len(self.depths) <= most:
            return [self]
        return [self._at_depths(slice(i, i + most)) for i in range(0, len(self.depths), most)]

    def _at_depths(self, run: slice) -> "FrameTable":
        rules = replace(self.rules, depths=self.rules.depths[run])
        return replace(self, rules=rules, depths=self.depths[run], grids={})

    def at(self, n_layers: Any) -> Slice:
        """The slice at one depth, or at an array of them."""
        return Slice(self.frame, n_layers)


def frame_table(space: Space, frame: Frame, rules: FrameRules, quantities: list[str]) -> FrameTable:
    """Evaluate the cost model on the kinds left."""
    attention, ffn = space.attention.take(rules.attention), space.ffn.take(rules.ffn)
    norms = space.architecture.norms
    columns = {name: _column(quantity(name), frame, attention, ffn, norms) for name in quantities}
    return FrameTable(frame, rules, space.depths[rules.depths], columns)


def kept_table(space: Space, frame: Frame, rules: FrameRules, quantities: list[str]) -> FrameTable:
    """The same, kept for later searches over the same space, which pay for the quantities they add."""
    known: dict[Any, FrameTable] = space.memo["tables"]
    key = (*frame.identity, rules.kinds)
    old = known.get(key)
    lacking = [name for name in quantities if old is None or name not in old.columns]
    table = frame_table(space, frame, rules, lacking)
    if old is not None:
        table = replace(table, columns=old.columns | table.columns, grids=old.grids)
    if lacking:
        known[key] = table
    return table


def _column(quantity: Quantity, frame: Frame, attention: Kinds, ffn: Kinds, norms: Norms) -> Column:
    def mixer(at: Frame, kinds: Kinds) -> Any:
        return quantity.mixer(at, kinds, norms)

    return Column(
        float(quantity.base(frame)), priced(mixer, frame, attention), priced(quantity.ffn, frame, ffn)
    )


def priced(price: Callable[[Frame, Any], Any], frame: Frame, kinds: Kinds) -> np.ndarray:
    """A layer part of a quantity, block by block: a block's arrays stay in the cache and the heap."""
    if len(kinds) <= BLOCK:
        return np.asarray(np.broadcast_to(price(frame, kinds), (len(kinds),)), dtype=float)
    starts = range(0, len(kinds), BLOCK)
    return np.concatenate([price(frame, kinds.take(slice(at, at + BLOCK))) for at in starts]).astype(float)
