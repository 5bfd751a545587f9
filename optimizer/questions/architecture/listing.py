"""The K best plans of a space, or all plans up to a limit: listed by enumeration, slice after slice.

CP-SAT lists a few thousand solutions a second, numpy millions. The cells hand out slices in the order of
their bounds, and listing stops when the next bound is above the worst plan still wanted: complete.
"""

import numpy as np

from optimizer.columns.rules import Rules
from optimizer.questions.architecture.cells import SliceCell, SliceCells
from optimizer.questions.architecture.enumeration import SlicePlans, slice_plans
from optimizer.questions.architecture.slice_search import Candidate
from optimizer.questions.architecture.space import Space
from optimizer.scope import Symbol
from optimizer.watch import UNWATCHED, Stopped, Watch


class Unfinished(Stopped):
    """The listing was stopped; `plans` are the best there are, in order, as far as it came."""

    def __init__(self, plans: list[Candidate]) -> None:
        self.plans = plans


def best_plans(
    space: Space,
    rules: Rules,
    objective: Symbol,
    sense: int,
    at_most: int,
    limit: float = np.inf,
    watch: Watch = UNWATCHED,
    distinct: tuple[str, ...] = (),
) -> list[Candidate]:
    """The `at_most` plans with the lowest sense x objective, none above `limit`, best first.

    With `distinct`, names of dimensions or of the frame, only the best plan of each combination of them.
    Raises Unfinished once the watch is over, with what no plan that is still to be found can come before.
    """
    cells = SliceCells(space, rules, objective, sense, watch=watch)
    found: list[Candidate] = []
    try:
        _list(cells, found, at_most, limit, distinct)
    except Stopped:
        raise Unfinished([plan for plan in found if plan.key < cells.waiting.passed]) from None
    return found


def _list(
    cells: SliceCells, found: list[Candidate], at_most: int, limit: float, distinct: tuple[str, ...]
) -> None:
    """Fill `found`."""
    space, objective, sense = cells.space, cells.objective, cells.sense
    while (cell := cells.pop(np.nextafter(limit, np.inf))) is not None:
        table, kinds = cell.table, cell.table.rules
        plans = slice_plans(table, cell.row, objective, sense, limit, cells.watch)
        wanted = np.flatnonzero(plans.key < np.inf)  # none is above the limit
        order = wanted[np.argsort(plans.key[wanted], kind="stable")]
        order = order[_first_of_each(space, cell, plans, order, distinct)][:at_most]
        more = [
            Candidate(
                objective.name,
                sense,
                float(plans.key[i]),
                table.frame,
                cell.n_layers,
                int(kinds.attention[plans.attention[i]]),
                int(kinds.ffn[plans.ffn[i]]),
            )
            for i in order
        ]
        merged = sorted([*found, *more], key=_order)
        if distinct:
            best = {_identity(space, plan, distinct): plan for plan in reversed(merged)}
            merged = sorted(best.values(), key=_order)
        found[:] = merged[:at_most]
        if len(found) == at_most:
            limit = found[-1].key


def _order(plan: Candidate) -> tuple[float, int, int, int, int]:
    return plan.key, plan.frame.d_model, plan.n_layers, plan.attention, plan.ffn


def _first_of_each(
    space: Space, cell: SliceCell, plans: SlicePlans, order: np.ndarray, distinct: tuple[str, ...]
) -> np.ndarray:
    """Positions in `order`, ascending, of the first plan of each combination of the distinct dimensions."""
    kinds = cell.table.rules
    own = {
        **vars(space.attention.take(kinds.attention[plans.attention[order]])),
        **vars(space.ffn.take(kinds.ffn[plans.ffn[order]])),
    }
    columns = [own[name] for name in distinct if isinstance(own.get(name), np.ndarray)]
    if not distinct:
        return np.arange(len(order))
    if not columns:
        return np.arange(min(1, len(order)))
    return np.sort(np.unique(np.stack(columns, axis=1), axis=0, return_index=True)[1])


def _identity(space: Space, plan: Candidate, distinct: tuple[str, ...]) -> tuple[object, ...]:
    kinds = (space.attention.take(plan.attention), space.ffn.take(plan.ffn))
    own: dict[str, object] = {"n_layers": plan.n_layers, "hardware": plan.frame.chip.name}
    for kind in kinds:
        own |= {name: int(v) for name, v in vars(kind).items() if isinstance(v, np.integer)}
    return tuple(own[name] if name in own else getattr(plan.frame, name) for name in distinct)
