"""Plans that the cost model cannot tell from the optimum, and the most conventional of them.

The order of convention, the first that differs decides:

1. `d_head` is 128; else another power of two; else anything.
2. `n_kv_heads` is a power of two.
3. The group, n_heads / n_kv_heads, is one that at least three models of the catalogue have.
4. `d_model` is a width of a model of the catalogue.
5. `d_ff` is a multiple of 1,024; else of 512; else of 256; else anything.
6. The heads fill the width: n_heads x d_head = d_model.
7. The objective.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.columns.rules import Rules
from optimizer.questions.architecture.cells import SliceCells
from optimizer.questions.architecture.enumeration import slice_plans
from optimizer.questions.architecture.slice_search import Candidate
from optimizer.questions.architecture.space import Space
from optimizer.scope import Symbol
from optimizer.watch import UNWATCHED, Stopped, Watch

GROUPS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)
"""Query heads to a key-value head in at least three models of the catalogue."""
WIDTHS = (
    *(
        576,
        640,
        896,
        960,
        1024,
        1152,
        1536,
        2048,
        2304,
        2560,
        2688,
        2816,
        2880,
        3072,
        3584,
    ),
    *(
        3840,
        4096,
        4480,
        4544,
        4608,
        5120,
        5376,
        6144,
        6656,
        7168,
        8192,
        9216,
        12288,
        14336,
        14848,
    ),
    *(
        16384,
        18432,
        20480,
    ),
)
"""Widths of the models of the catalogue."""
_MOST_SLICES = 2_000
"""Slices looked through at most, a second or so; beyond, the count is of those seen."""


@dataclass(frozen=True)
class NearTies:
    """The plans within a share of the optimum."""

    count: int
    complete: bool
    """Whether all were counted; else there are at least so many."""
    conventional: Candidate
    """The most conventional of those counted."""


def near_ties(
    space: Space,
    rules: Rules,
    objective: Symbol,
    sense: int,
    best: Candidate,
    within: float,
    watch: Watch = UNWATCHED,
) -> NearTies:
    """Count the plans whose objective is within a share of that of `best`, the optimum."""
    limit = best.key + abs(best.key) * within
    count, complete, found = 0, True, [(oddity_of(space, best), best)]
    try:
        cells = SliceCells(space, rules, objective, sense, watch=watch)
        for _ in range(_MOST_SLICES):
            cell = cells.pop(np.nextafter(limit, np.inf))
            if cell is None:
                break
            table, kinds = cell.table, cell.table.rules
            plans = slice_plans(table, cell.row, objective, sense)
            near = np.flatnonzero(plans.key <= limit)
            count += len(near)
            if not len(near):
                continue
            attention, ffn = kinds.attention[plans.attention[near]], kinds.ffn[plans.ffn[near]]
            odd = oddities(space, table.frame.d_model, attention, ffn)
            first = np.lexsort((plans.key[near], *odd[::-1]))[0]
            own = int(attention[first]), int(ffn[first])
            key = float(plans.key[near[first]])
            plan = Candidate(objective.name, sense, key, table.frame, cell.n_layers, *own)
            found.append((tuple(int(column[first]) for column in odd), plan))
        else:
            complete = False
    except Stopped:
        complete = False
    conventional = min(found, key=lambda row: (row[0], row[1].key))[1]
    return NearTies(max(count, 1), complete, conventional)


def oddity_of(space: Space, plan: Candidate) -> tuple[int, ...]:
    """How unconventional one plan is, by the order of this file; the lower the more conventional."""
    rows = np.array([plan.attention]), np.array([plan.ffn])
    return tuple(int(column[0]) for column in oddities(space, plan.frame.d_model, *rows))


def oddities(space: Space, d_model: int, attention: np.ndarray, ffn: np.ndarray) -> list[np.ndarray]:
    """The same for many plans of one width: a column for each of the first six points, shape (K,)."""
    a, f = space.attention.take(attention), space.ffn.take(ffn)
    wide = np.full(len(attention), d_model)
    return [
        np.where(a.d_head == 128, 0, np.where(_power_of_two(a.d_head), 1, 2)),
        np.where(_power_of_two(a.n_kv_heads), 0, 1),
        np.where(np.isin(a.n_heads // a.n_kv_heads, GROUPS), 0, 1),
        np.where(np.isin(wide, WIDTHS), 0, 1),
        np.where(f.d_ff[:, None] % np.array([1024, 512, 256]) == 0, 0, 1).sum(axis=1),
        np.where(a.n_heads * a.d_head == wide, 0, 1),
    ]


def _power_of_two(n: np.ndarray) -> np.ndarray:
    return np.asarray(n & (n - 1) == 0)
