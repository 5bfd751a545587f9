"""Layers over the stages of a pipeline: counts of each kind on each stage, the slowest stage least.

    minimise  max over stages s of  sum over kinds k of time_ks n_ks
    sum over s of n_ks = count_k,   sum over k of memory_ks n_ks <= capacity_s,   sum over k of n_ks >= 1
    the slowest stage <= most,   half the slowest stage + sum over k of prompt_ks n_ks <= path for each s

Counts, not one variable for each layer: equal layers are not told apart. Kinds may be free (no `counts`):
then their total is given, and rows that they must keep.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.search.programme import Programme, Proved
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.solver.proving import prove
from optimizer.watch import UNWATCHED, Watch

Matrix = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Cut:
    """The question in whole numbers; matrices are kinds by stages."""

    time: Matrix
    memory: Matrix
    capacity: Sequence[int]
    """Memory left for layers on each stage."""
    counts: Sequence[int] | None
    """Layers of each kind; None if kinds are free."""
    total: int
    most: int | None = None
    """A limit on the slowest stage."""
    path: tuple[Matrix, int] | None = None
    """Another time of every layer on every stage: of each stage, it and half the slowest have a limit."""
    budgets: tuple[tuple[Sequence[int], int, int], ...] = ()
    """For free kinds: a figure of each kind, and the least and most of its sum over all layers."""


def slowest_stage(
    question: Cut, settings: SolveSettings = SolveSettings(), watch: Watch = UNWATCHED
) -> tuple[Proved, list[list[int]]]:
    """The least time of the slowest stage, with its proof, and the counts, kinds by stages."""
    stages, kinds = range(len(question.capacity)), range(len(question.time))
    m = Programme()
    most = question.counts or [question.total] * len(question.time)
    n = [[m.variable(0, most[k]) for _ in stages] for k in kinds]
    if question.counts is None:
        m.row({v: 1 for row in n for v in row}, low=question.total, high=question.total)
    else:
        for k, count in enumerate(question.counts):
            m.row(dict.fromkeys(n[k], 1), low=count, high=count)
    for s in stages:
        m.row({n[k][s]: question.memory[k][s] for k in kinds}, high=question.capacity[s])
        m.row({n[k][s]: 1 for k in kinds}, low=1)
    for figure, low, high in question.budgets:
        m.row({v: figure[k] for k in kinds for v in n[k]}, low=low, high=high)
    sums = [({n[k][s]: -question.time[k][s] for k in kinds}, 0) for s in stages]
    worst = sum(max(row) for row in question.time) * question.total
    slack = m.least_of(sums, -worst if question.most is None else -min(worst, question.most), 0)
    m.objective = {slack: -1}
    if question.path is not None:
        path, limit = question.path
        for s in stages:
            m.row({n[k][s]: 2 * path[k][s] for k in kinds} | {slack: -1}, high=2 * limit)
    proved = prove(m, settings, watch, lambda best: _nothing_faster(question, best))
    counts = [[proved.values[v] for v in row] for row in n] if proved.values else []
    return proved, counts


def _nothing_faster(question: Cut, best: int) -> bool:
    """With one kind of layer, the most layers all stages can do in less time is a sum: an exact witness.

    Limits on times are left out, so that it may say no without need, never yes.
    """
    if len(question.time) > 1:
        return False
    [times], [memories] = question.time, question.memory
    most = [
        min((best - 1) // t, room // size if size else question.total)
        for t, size, room in zip(times, memories, question.capacity, strict=True)
    ]
    return min(most) < 1 or sum(most) < question.total
