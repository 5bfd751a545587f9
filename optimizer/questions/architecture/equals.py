"""Which of several plans with the same optimal objective is the answer: one rule, whatever the search order.

Studies that solve one space many times compare answers with each other. So the plan of an answer must
follow from the question alone: among all plans whose objective is equal (within float noise), the one that
is best in the later objectives, counted in whole steps of their resolution, then exactly; then the one
with the best tile efficiency, then the smallest dimensions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.errors import InternalMismatch
from optimizer.questions.architecture.cells import SliceCell
from optimizer.questions.architecture.enumeration import SlicePlans, metric_of, slice_plans
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.slice_search import Candidate, tile_efficiency
from optimizer.scope import Symbol

_CLOSE = 1e-12
_ON_A_STEP = 1e-9


@dataclass(frozen=True)
class Aim:
    """A metric with its direction (+1 to minimise) and the step it is resolved to."""

    symbol: Symbol
    sense: int
    step: float

    def steps(self, value: Any) -> Any:
        """sense x value in whole steps, rounded to the worse side."""
        return np.ceil(self.sense * np.asarray(value, dtype=float) / self.step - _ON_A_STEP)

    def at_most(self, steps: float) -> float:
        """The bound on the metric that a number of steps means."""
        return self.sense * steps * self.step


def chosen_among_equals(search: Search, later: tuple[Aim, ...]) -> Candidate | None:
    """The answer of a finished search. Every slice that may hold an equal plan is enumerated."""
    if search.hunt.best is None:
        return None
    limit = search.hunt.best.key + abs(search.hunt.best.key) * _CLOSE
    slices = list(search.solved)
    while (cell := search.cells.pop(np.nextafter(limit, np.inf))) is not None:
        table, row = cell.table, cell.row
        plans = slice_plans(table, row, search.objective, search.sense, limit, search.watch)
        slices.append((cell, plans))
    found = [row for cell, plans in slices for row in _equals(search, cell, plans, limit, later)]
    if not found:
        raise InternalMismatch(
            f"the plan that the search began with, {search.hunt.best}, is in no slice; no answer is given"
        )
    return min(found, key=lambda row: row[0])[1]


def _equals(
    search: Search, cell: SliceCell, plans: SlicePlans, limit: float, later: tuple[Aim, ...]
) -> list[tuple[tuple[Any, ...], Candidate]]:
    """(order, plan) of the best equal plans of a slice."""
    equal = np.flatnonzero(plans.key <= limit)
    if not len(equal):
        return []
    table, rules = cell.table, cell.table.rules
    plans = SlicePlans(plans.attention[equal], plans.ffn[equal], plans.key[equal], 0)
    attention = search.space.attention.take(rules.attention[plans.attention])
    ffn = search.space.ffn.take(rules.ffn[plans.ffn])
    values = [(aim, metric_of(table, cell.row, plans, aim.symbol)) for aim in later]
    order = [
        *(aim.steps(value) for aim, value in values),
        *(aim.sense * value for aim, value in values),
        -np.round(np.broadcast_to(tile_efficiency(table.frame, attention, ffn), equal.shape), 9),
        *(*attention.smallest_first, *ffn.smallest_first),
    ]
    first = np.lexsort(order[::-1])[0]
    a, f = int(plans.attention[first]), int(plans.ffn[first])
    candidate = search.slices.candidate(table, cell.n_layers, a, f, float(plans.key[first]))
    rank = (*(float(column[first]) for column in order), cell.n_layers, repr(table.frame.identity))
    return [(rank, candidate)]
