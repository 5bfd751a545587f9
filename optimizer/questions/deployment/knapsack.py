"""Dynamic programming over chips: an exact witness that uses neither engine.

For one kind of chips with small totals, the best capacity of each pool on exactly so many chips is a table
filled one replica at a time; joining the three tables gives the most traffic for every number of chips. It is
numpy and whole numbers only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_MOST_STATES = 6_000


@dataclass(frozen=True)
class Knapsack:
    """Replicas that any number may be taken of: the pool, the chips and the capacity of each."""

    mode: Sequence[str]
    chips: Sequence[int]
    capacity: Sequence[int]
    spares: int = 0
    """Replicas that any plan must do without, of whichever pool; 0 where both kinds are mixed."""

    def serves_no_more(self, stock: int | None, most: int) -> bool:
        """Whether so many chips serve at most so much traffic; False where that is not known."""
        if stock is None or stock > _MOST_STATES:
            return False
        return int(self.most_traffic(stock)[stock]) <= most

    def costs_no_less(self, each: int, demand: int | None, cost: int) -> bool:
        """Whether no chips at `each` serve the demand for less than a cost; False where that is not known."""
        if each == 0:
            return False
        fewer = cost // each - (cost % each == 0)
        if demand is None or fewer > _MOST_STATES:
            return False
        return fewer < 0 or int(self.most_traffic(fewer)[fewer]) < demand

    def most_traffic(self, total: int) -> Any:
        """The most traffic on at most 0, 1 ... `total` chips, in the unit of `capacity`."""
        pools = {mode: self._pool(mode, total) for mode in ("aggregated", "prefill", "decode")}
        paired = np.array(
            [np.minimum(pools["prefill"][: n + 1], pools["decode"][n::-1]).max() for n in range(total + 1)]
        )
        return np.array([(paired[: n + 1] + pools["aggregated"][n::-1]).max() for n in range(total + 1)])

    def _pool(self, mode: str, total: int) -> Any:
        """The most capacity of one pool on at most so many chips, the spares lost (levels.py)."""
        rows = [(g, c) for m, g, c in zip(self.mode, self.chips, self.capacity, strict=True) if m == mode]
        if not self.spares:
            return self._filled(rows, total)
        levels = sorted({c for _, c in rows})
        none = np.zeros(total + 1, dtype=np.int64)
        held = [self._filled(_capped(rows, t), total) - self.spares * t for t in levels]
        return np.max([none, *held], axis=0)

    def _filled(self, rows: Sequence[tuple[int, int]], total: int) -> Any:
        """An unbounded knapsack: the most of some rows' capacity on at most 0, 1 ... `total` chips."""
        best = np.zeros(total + 1, dtype=np.int64)
        for n in range(1, total + 1):
            best[n] = max([best[n - 1], *(best[n - g] + c for g, c in rows if g <= n)])
        return best


def _capped(rows: Sequence[tuple[int, int]], level: int) -> list[tuple[int, int]]:
    """Chips and capacity of rows, of which none counts for more than a level; of those alike the smallest."""
    chips: dict[int, int] = {}
    for g, c in rows:
        chips[min(c, level)] = min(g, chips.get(min(c, level), g))
    return [(g, c) for c, g in chips.items()]
