"""The K best plans of a space, or all plans up to a limit: listed by enumeration, slice after slice.

CP-SAT lists a few thousand solutions a second, numpy millions. The queue hands out slices in the order of
their bounds, and listing stops when the next bound is above the worst plan still wanted: complete.
"""

import numpy as np

from optimizer.columns.rules import Rules
from optimizer.columns.space import Space
from optimizer.scope import Symbol
from optimizer.solver.oracle import slice_plans
from optimizer.solver.queue import SliceQueue
from optimizer.solver.search import Candidate


def best_plans(
    space: Space,
    rules: Rules,
    objective: Symbol,
    sense: int,
    at_most: int,
    limit: float = np.inf,
    deadline: float | None = None,
) -> list[Candidate]:
    """The `at_most` plans with the lowest sense x objective, none above `limit`, best first.

    Raises OutOfTime at the deadline: an incomplete list is no answer.
    """
    queue = SliceQueue(space, rules, objective, sense, deadline=deadline)
    found: list[Candidate] = []
    while (queued := queue.pop(np.nextafter(limit, np.inf))) is not None:
        table, kinds = queued.table, queued.table.rules
        plans = slice_plans(table, queued.row, objective, sense)
        wanted = np.flatnonzero(plans.key <= min(limit, np.finfo(float).max))
        order = wanted[np.argsort(plans.key[wanted], kind="stable")[:at_most]]
        found += [
            Candidate(
                objective.name,
                sense,
                float(plans.key[i]),
                table.frame,
                queued.n_layers,
                int(kinds.attention[plans.attention[i]]),
                int(kinds.ffn[plans.ffn[i]]),
            )
            for i in order
        ]
        found = sorted(found, key=_order)[:at_most]
        if len(found) == at_most:
            limit = found[-1].key
    return found


def _order(plan: Candidate) -> tuple[float, int, int, int, int]:
    return plan.key, plan.frame.d_model, plan.n_layers, plan.attention, plan.ffn
