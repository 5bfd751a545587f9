"""All plans near the optimum: the K best, or every plan within a share of it."""

import time

from optimizer.columns.compiled import symbol
from optimizer.columns.space import resolve
from optimizer.errors import InputError
from optimizer.solver.search import Search
from optimizer.spec.plan import Result
from optimizer.spec.problem import Problem
from optimizer.studies.outcome import plan_of
from optimizer.studies.solve import Options, solve

MOST = 20_000
"""Plans listed at most; a wider band should be narrowed, not printed."""
_FIRST_BAND = 1e-4


def enumerate_plans(
    problem: Problem,
    top: int | None = None,
    within: float | None = None,
    options: Options = Options(),
) -> Result:
    """Solve, then list plans, best first: the `top` best, or all within a share of the optimum.

    `within` 0.01 means 1 % of the first objective's optimal value. The listing is complete: every slice
    whose bound lies in the band is enumerated. InputError if the band holds more than MOST plans.
    """
    start = time.monotonic()
    result = solve(problem, options)
    if result.status != "optimal" or result.objective.value is None:
        return result
    space = resolve(problem)
    name, sense = problem.objectives[0]
    best = sense * result.objective.value
    deadline = options.deadline()

    def band(share: float, at_most: int) -> list:  # type: ignore[type-arg]
        search = Search(space, space.rules, symbol(name), sense, deadline=deadline)
        return search.plans_below(best + abs(best) * share + abs(best) * 1e-12, at_most)

    if within is not None:
        found = band(within, MOST)
        if len(found) > MOST:
            raise InputError(f"--within {within:.3%}: more than {MOST} plans; give a smaller share")
        found = found[:top]
    else:
        wanted, share = top or 10, _FIRST_BAND
        found = band(share, max(MOST, wanted))
        while len(found) < wanted and share < 10:
            share *= 4
            found = band(share, max(MOST, wanted))
        found = found[:wanted]
    plans = tuple(plan_of(space, candidate) for candidate in found)
    return result.model_copy(update={"plans": plans, "wall_s": time.monotonic() - start})
