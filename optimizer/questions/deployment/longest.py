"""The plan whose replicas all have room for the longest request: by halving, in whole tokens.

No plan has more room than each of its replicas, so that what one configuration has room for is tried first.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from optimizer.columns.deployment import DeploymentColumns
from optimizer.cost.memory_tokens import LONGEST
from optimizer.questions.deployment.optimum import UNPROVEN, Packed, optimum
from optimizer.search.most_tokens import most_reached
from optimizer.watch import Stopped


def longest(
    metric: str, least: int, left: Callable[[int], bool], plan_at: Callable[[int], Packed | None]
) -> Packed | None:
    """A plan with room for the most tokens, its value proven; None if there is no plan.

    `least`: tokens that there must be room for in any case; `left`: whether a configuration has room for so
    many; `plan_at`: any plan whose replicas have, None proven. Stopped on the way, it is the best plan met.
    """
    found = plan_at(least)
    if found is None:
        return None
    most = bound = most_reached(LONGEST + 1, left, least) or 0.0

    def holds(tokens: int) -> bool:
        nonlocal found, bound
        trial = plan_at(tokens)
        found, bound = (found, min(bound, tokens - 1.0)) if trial is None else (trial, bound)
        return trial is not None

    try:
        alone = most <= least or holds(int(most))
        value = most if alone else most_reached(most, holds, least) or 0.0
    except Stopped:
        return replace(found, status="feasible", values={}, bounds={metric: bound})
    return replace(found, status="optimal", values={metric: value}, bounds={metric: value})


class Longest(Protocol):
    """A search for such a plan among configurations within bounds."""

    columns: DeploymentColumns
    bounds: dict[str, float]
    solves: int

    def longest(self, metric: str) -> Packed | None:
        """The plan; None if there is none. Raises Stopped before the first."""


def longest_or_any(metric: str, search: Longest) -> Packed:
    """What a search finds, as an answer in any case: any plan where it was stopped before the first."""
    columns, bounds, chips = search.columns, search.bounds, (("chips", 1),)
    try:
        found = search.longest(metric)
    except Stopped:
        found = optimum(columns, chips, bounds, confirm=False)
        return replace(found, status=UNPROVEN[found.status], values={}, bounds={})
    return replace(found or optimum(columns, chips, bounds), solves=search.solves)
