"""All plans near the optimum: the K best, or every plan within a share of it."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from optimizer.errors import InputError, nearest
from optimizer.questions.architecture.answer import ArchitectureAnswer
from optimizer.questions.architecture.compiled import symbol
from optimizer.questions.architecture.listing import Unfinished, best_plans
from optimizer.questions.architecture.outcome import plan_of
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.solve import solve
from optimizer.questions.architecture.space import resolve
from optimizer.questions.options import Options

MOST = 20_000
"""Plans listed at most; a wider band should be narrowed, not printed."""
_TOP = 10
DISTINCT = (
    *("n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_ff"),
    *("hardware", "tensor_parallel", "weight_dtype", "kv_dtype", "batch"),
)


def enumerate_plans(
    problem: Problem,
    top: int | None = None,
    within: float | None = None,
    options: Options = Options(),
    distinct: Sequence[str] = (),
) -> ArchitectureAnswer:
    """Solve, then list plans, best first: the `top` best, or all within a share of the optimum.

    `within` 0.01 means 1 % of the first objective's optimal value. The listing is complete: every slice
    whose bound lies in the band is enumerated. `distinct` lists only the best plan of each combination of
    these dimensions or deployment choices. InputError if the band holds more than MOST plans. Stopped, the
    status is 'feasible', and `plans` are the best there are as far as the listing came.
    """
    start = time.monotonic()
    watch = options.watch()
    for name in distinct:
        if name not in DISTINCT:
            hint = nearest(name, list(DISTINCT)) or f" Accepted: {', '.join(DISTINCT)}."
            raise InputError(f"distinct {name[:60]}: is no choice of a plan.{hint}")
    result = solve(problem, replace(options, time_limit_s=watch.left()))
    if result.status != "optimal" or result.objective.bound is None:
        return result
    space = resolve(problem)
    complete = True
    name, sense = problem.objectives[0]
    best = sense * result.objective.bound
    limit = np.inf if within is None else best + abs(best) * (within + 1e-12)
    most = top or (_TOP if within is None else MOST + 1)
    try:
        found = best_plans(space, space.rules, symbol(name), sense, most, limit, watch, tuple(distinct))
    except Unfinished as stopped:
        found, complete = stopped.plans, False
    if len(found) > MOST:
        raise InputError(f"more than {MOST} plans; ask for fewer, or a narrower band")
    plans = tuple(plan_of(space, candidate) for candidate in found)
    update = {"plans": plans, "plans_complete": complete, "wall_s": time.monotonic() - start}
    return result.model_copy(update=update if complete else update | {"status": "feasible"})
