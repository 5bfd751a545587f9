"""Brute force in numpy: every plan of a slice, in floating point, with no help from CP-SAT.

It confirms each slice the solver has answered, and on small spaces it is the whole answer again. It reads
the rules through the same declarations, but as masks on arrays of real metrics.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from optimizer.columns.compiled import Compiler, FrameRules, pair_mask, pick
from optimizer.columns.rules import Rules
from optimizer.columns.space import Space
from optimizer.columns.table import FrameTable, frame_table
from optimizer.columns.window import meets
from optimizer.cost.quantities import QUANTITIES
from optimizer.scope import AnyOf, Bound, Relation, Symbol, conjuncts


@dataclass(frozen=True)
class SlicePlans:
    """All plans of a slice: objective key (inf where not allowed) for attention x feed-forward kinds."""

    key: np.ndarray

    @property
    def best(self) -> float:
        """The lowest key, inf if nothing is allowed."""
        return float(self.key.min(initial=np.inf))


def slice_plans(table: FrameTable, row: int, objective: Symbol, sense: int) -> SlicePlans:
    """Evaluate every pair of kinds at depth row `row` of the table."""
    n_layers = int(table.depths[row])
    rules = table.rules
    allowed = pair_mask(rules, int(rules.depths[row]), rules.attention, rules.ffn)
    totals: dict[str, np.ndarray] = {}

    def metric_value(symbol: Symbol) -> np.ndarray:
        name = symbol.quantity
        if name not in totals:
            c = table.columns[name]
            totals[name] = c.base + n_layers * (c.attention[:, None] + c.ffn[None, :])
        return np.asarray(symbol.value(table.at(n_layers), totals[name]), dtype=float)

    def mask(relation: Relation) -> Any:
        if isinstance(relation, Bound):
            return meets(metric_value(relation.symbol), relation.low, relation.high)
        if isinstance(relation, AnyOf):
            return np.logical_or.reduce(
                [
                    np.broadcast_to(reduce(np.logical_and, map(mask, conjuncts(option))), allowed.shape)
                    for option in relation.parts
                ]
            )
        return pick(np.asarray(relation), int(rules.depths[row]), rules.attention, rules.ffn)

    left: list[Relation] = [r for _, r in rules.bounds]
    left += [r for _, r in rules.choices]
    for relation in left:
        allowed &= mask(relation)
    key = np.where(allowed, sense * metric_value(objective), np.inf)
    return SlicePlans(key)


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
    return [name for name in QUANTITIES if name in names]


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
