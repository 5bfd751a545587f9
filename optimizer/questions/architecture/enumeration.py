"""Brute force in numpy: every plan of a slice, in floating point, with no help from CP-SAT.

It confirms each slice the solver has answered, and on small spaces it is the whole answer again. It reads
the rules through the same declarations, but as masks on arrays of real metrics.
"""

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from optimizer.columns.rules import Rules
from optimizer.cost.quantities import QUANTITIES
from optimizer.questions.architecture.frame_rules import Compiler, FrameRules, pair_mask, pick
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.table import FrameTable, frame_table
from optimizer.questions.architecture.window import meets
from optimizer.scope import AnyOf, Bound, Relation, Symbol, conjuncts
from optimizer.watch import UNWATCHED, Watch

_PAIRS = 2**22
"""Pairs of kinds evaluated at once."""


@dataclass(frozen=True)
class SlicePlans:
    """The plans of a slice that keep every rule, as flat arrays of equal length."""

    attention: np.ndarray
    """Rows of the table's attention kinds."""
    ffn: np.ndarray
    """Rows of the table's feed-forward kinds."""
    key: np.ndarray
    """sense x objective."""
    enumerated: int
    """Pairs of kinds looked at."""

    @property
    def best(self) -> float:
        """The lowest key, inf if nothing is allowed."""
        return float(self.key.min(initial=np.inf))

    def key_of(self, attention: int, ffn: int) -> float:
        """The key of one pair of kinds; inf if it breaks a rule."""
        found = self.key[(self.attention == attention) & (self.ffn == ffn)]
        return float(found[0]) if len(found) else np.inf


def slice_plans(
    table: FrameTable,
    row: int,
    objective: Symbol,
    sense: int,
    most: float = np.inf,
    watch: Watch = UNWATCHED,
) -> SlicePlans:
    """Evaluate every pair of kinds at depth row `row` of the table; return those with a key up to `most`.

    In floating point, some attention kinds at a time. Raises Stopped.
    """
    n_attention, n_ffn = len(table.rules.attention), len(table.rules.ffn)
    found = []
    for block in blocks(n_attention, n_ffn):
        watch.check()
        pairs = _block_plans(table, row, block)
        key = sense * pairs.value(objective)
        wanted = key <= most
        found.append((pairs.attention[wanted], pairs.ffn[wanted], key[wanted]))
    attention, ffn, key = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return SlicePlans(attention, ffn, key, n_attention * n_ffn)


def blocks(n_attention: int, n_ffn: int) -> list[slice]:
    """Runs of attention kinds whose pairs with all feed-forward kinds fit in memory; at least one."""
    step = max(1, _PAIRS // max(1, n_ffn))
    return [slice(i, i + step) for i in range(0, max(1, n_attention), step)]


def _block_plans(table: FrameTable, row: int, block: slice) -> "_Pairs":
    """The plans with some attention kinds.

    Rules are applied one after another, the cheap ones first, each to the pairs that the others left.
    """
    pairs = _Pairs.all_of(table, row, block)
    bounds: list[Relation] = [b for _, b in table.rules.bounds if b.symbol.name != "n_params"]
    for relation in (*bounds, *(choice for _, choice in table.rules.choices)):
        pairs = pairs.where(pairs.mask(relation))
    return pairs


def in_parameter_window(table: FrameTable) -> np.ndarray:
    """Depths at which some kinds have as many parameters as the rules ask for, shape (D,)."""
    c, depths = table.columns["n_params"], table.depths.astype(float)
    least = c.base + depths * (c.attention.min() + c.ffn.min())
    most = c.base + depths * (c.attention.max() + c.ffn.max())
    found = np.ones(len(depths), dtype=bool)
    for _, bound in table.rules.bounds:
        if bound.symbol.name == "n_params":
            found &= meets(most, bound.low, np.inf) & meets(least, -np.inf, bound.high)
    return found


def metric_of(table: FrameTable, row: int, plans: SlicePlans, symbol: Symbol) -> np.ndarray:
    """Another metric of the plans of a slice."""
    return _Pairs(table, row, plans.attention, plans.ffn).value(symbol)


@dataclass(frozen=True)
class _Pairs:
    """Some pairs of kinds of one slice."""

    table: FrameTable
    row: int
    attention: np.ndarray
    ffn: np.ndarray

    @classmethod
    def all_of(cls, table: FrameTable, row: int, block: slice) -> "_Pairs":
        """Every pair of a block that the rules on dimensions and on the parameter count allow."""
        rules, n_layers = table.rules, int(table.depths[row])
        allowed = pair_mask(rules, int(rules.depths[row]), rules.attention[block], rules.ffn)
        counts = [b for _, b in rules.bounds if b.symbol.name == "n_params"]
        if counts:
            c = table.columns["n_params"]
            total = c.base + n_layers * (c.attention[block][:, None] + c.ffn[None, :])
            for bound in counts:
                allowed &= meets(total, bound.low, bound.high)
        attention, ffn = np.nonzero(allowed)
        return cls(table, row, attention + block.start, ffn)

    def where(self, keep: Any) -> "_Pairs":
        """The pairs that a mask keeps."""
        keep = np.broadcast_to(keep, self.attention.shape)
        return replace(self, attention=self.attention[keep], ffn=self.ffn[keep])

    def value(self, symbol: Symbol) -> np.ndarray:
        """A metric of each pair."""
        n_layers = int(self.table.depths[self.row])
        c = self.table.columns[symbol.quantity]
        total = c.base + n_layers * (c.attention[self.attention] + c.ffn[self.ffn])
        value = np.asarray(symbol.value(self.table.at(n_layers), total), dtype=float)
        return np.broadcast_to(value, total.shape)

    def mask(self, relation: Relation) -> Any:
        """Which pairs keep a relation."""
        if isinstance(relation, Bound):
            return meets(self.value(relation.symbol), relation.low, relation.high)
        if isinstance(relation, AnyOf):
            options = [reduce(np.logical_and, map(self.mask, conjuncts(o))) for o in relation.parts]
            return reduce(np.logical_or, options)
        rules = self.table.rules
        depth = int(rules.depths[self.row])
        part = np.atleast_2d(pick(np.asarray(relation), depth, rules.attention, rules.ffn))
        return part[self.attention if part.shape[0] > 1 else 0, self.ffn if part.shape[1] > 1 else 0]


def quantities_in_use(objective: Symbol, rules: FrameRules) -> list[str]:
    """Quantities that the objective and the rules name, n_params always among them."""
    names = {"n_params", objective.quantity}
    names |= {b.symbol.quantity for _, b in rules.bounds}
    stack: list[Relation] = [choice for _, choice in rules.choices]
    while stack:
        part = stack.pop()
        if isinstance(part, AnyOf):
            stack.extend(p for option in part.parts for p in conjuncts(option))
        elif isinstance(part, Bound):
            names.add(part.symbol.quantity)
    return [*(name for name in QUANTITIES if name in names), *sorted(names - QUANTITIES.keys())]


def brute_force(space: Space, rules: Rules, objective: Symbol, sense: int) -> float:
    """The optimum of a whole space by full enumeration; inf if nothing is feasible."""
    compiler = Compiler(space, rules)
    best = np.inf
    for frame in space.frames():
        compiled = compiler.compile(frame)
        if not compiled.alive:
            continue
        table = frame_table(space, frame, compiled, quantities_in_use(objective, compiled))
        for row in range(len(table.depths)):
            best = min(best, slice_plans(table, row, objective, sense).best)
    return float(best)


def all_values(space: Space, rules: Rules, symbols: tuple[Symbol, ...]) -> np.ndarray:
    """Metrics of every plan of a whole space, by full enumeration; shape (plans, metrics)."""
    compiler = Compiler(space, rules)
    rows = [np.empty((0, len(symbols)))]
    for frame in space.frames():
        compiled = compiler.compile(frame)
        if not compiled.alive:
            continue
        quantities = {q for s in symbols for q in quantities_in_use(s, compiled)}
        table = frame_table(space, frame, compiled, sorted(quantities))
        for row in range(len(table.depths)):
            plans = slice_plans(table, row, symbols[0], 1)
            rows.append(np.stack([metric_of(table, row, plans, s) for s in symbols], axis=1))
    return np.concatenate(rows)
