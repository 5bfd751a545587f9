"""Dynamic programming over chips: an exact witness that uses neither engine.

For one or a few kinds of chips with small totals, the best capacity of each pool on exactly so many chips is
a table filled one replica at a time; joining the three tables gives the most traffic for every number of
chips. It is numpy and whole numbers only.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optimizer.questions.deployment.programme import _Model

_MOST_STATES = 6_000


class Curves:
    """The most requests for each number of chips of each kind."""

    @staticmethod
    def witness(model: "_Model", name: str, sense: int) -> Callable[[int], bool] | None:
        """A check that nothing is better, or None where the question is not one of chips and rate alone."""
        others = {"nodes_max", "nodes"} & {*model.limits, *model.wanted}
        if (
            model.columns.same
            or model.columns.used
            or others
            or len(model.columns.supplies) > 1
            or len(model.formats) > 1
        ):
            return None
        return lambda best: _nothing_below(model, name, sense, best)


def _nothing_below(model: "_Model", name: str, sense: int, best: int) -> bool:
    stock = model.stock[0]
    if name == "requests_per_s":
        if stock is None or stock > _MOST_STATES:
            return False
        return int(most_traffic(model.mode, model.chips, model.capacity, stock)[stock]) <= sense * best
    each = next(iter({model.goal(name)[i] // g for i, g in zip(model.n, model.chips, strict=True)}), 1)
    if each == 0:
        return False
    fewer = best // each - (best % each == 0)
    if model.demand is None or fewer > _MOST_STATES:
        return False
    return (
        fewer < 0 or int(most_traffic(model.mode, model.chips, model.capacity, fewer)[fewer]) < model.demand
    )


def most_traffic(mode: list[str], chips: list[int], capacity: list[int], total: int) -> Any:
    """The most traffic on at most 0, 1 ... `total` chips, in the unit of `capacity`."""
    pools = {
        own: _pool([(g, c) for m, g, c in zip(mode, chips, capacity, strict=True) if m == own], total)
        for own in ("aggregated", "prefill", "decode")
    }
    paired = np.array(
        [np.minimum(pools["prefill"][: n + 1], pools["decode"][n::-1]).max() for n in range(total + 1)]
    )
    return np.array([(paired[: n + 1] + pools["aggregated"][n::-1]).max() for n in range(total + 1)])


def _pool(rows: list[tuple[int, int]], total: int) -> Any:
    """The most capacity of one pool on at most so many chips: an unbounded knapsack."""
    best = np.zeros(total + 1, dtype=np.int64)
    for n in range(1, total + 1):
        best[n] = max([best[n - 1], *(best[n - g] + c for g, c in rows if g <= n)])
    return best
