"""How far a constant may be wrong before the plan changes: tried on a widening grid, then bisected.

The plan need not change only once on the way, so what is found is a change, not surely the first: the
answer says up to where every change tried left the plan as it is.
"""

from optimizer.questions.question import Ask
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Critical
from optimizer.studies.resolves import Resolves

GRID = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Relative changes tried, the smallest first."""
FINE = 0.001
"""The bisection ends when the two sides are this close."""


def critical_changes(
    resolves: Resolves, aims: tuple[Aim, ...], base: Plan, paths: list[str]
) -> list[Critical]:
    """For each constant, either way."""
    return [
        _critical(resolves, aims, base, path, way) for path in dict.fromkeys(paths) for way in (1.0, -1.0)
    ]


def _critical(resolves: Resolves, aims: tuple[Aim, ...], base: Plan, path: str, way: float) -> Critical:
    own = resolves.question.choices(base)

    def other(sizes: list[float]) -> list[dict[str, tuple[object, object]] | None]:
        """What differs in the plan at some changes; None: nothing does."""
        asks = [Ask(aims=aims, scaled={path: 1 + way * size}, start=own) for size in sizes]
        found: list[dict[str, tuple[object, object]] | None] = []
        for answer in resolves.all(asks):
            if answer.plan is None:
                found.append({"plan": ("feasible", "none")})
                continue
            new = resolves.question.choices(answer.plan)
            found.append({n: (own[n], new[n]) for n in own if own[n] != new[n]} or None)
        return found

    tried = other(list(GRID))
    first = next((i for i, difference in enumerate(tried) if difference), None)
    direction = "up" if way > 0 else "down"
    if first is None:
        return Critical(name=path, direction=direction, same_until=way * GRID[-1], changes_at=None, plan={})
    same, changed, difference = (GRID[first - 1] if first else 0.0), GRID[first], tried[first]
    while changed - same > FINE:
        middle = round((same + changed) / 2, 6)
        here = other([middle])[0]
        if here is None:
            same = middle
        else:
            changed, difference = middle, here
    return Critical(
        name=path,
        direction=direction,
        same_until=way * same,
        changes_at=way * changed,
        plan=difference or {},
    )
