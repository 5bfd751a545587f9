"""Best first, for every kind of problem: cells in the order of their bounds, each opened when its turn comes.

A cell is a part of what is searched, with a rank that no plan inside it is below. Opened, it becomes finer
cells; one that has nothing finer inside is whole, and is looked through by whoever knows the kind of problem.
What is popped ranks below all that waits, so the first whole cell that cannot improve on the best plan ends
the search, and the best plan is the optimum.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

from optimizer.watch import UNWATCHED, Stopped, Watch, never

Rank = tuple[float, ...]
"""The lower the better, place by place; the first is of the objective."""
NOTHING: Rank = (float("inf"),)
"""Every plan ranks below this."""

T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Cell(Generic[T]):
    """A part of what is searched."""

    rank: Rank
    """No plan inside ranks below this."""
    order: tuple[int, ...]
    """Which of two that rank the same comes first."""
    what: T


@dataclass(frozen=True, slots=True)
class InOrder(Generic[T]):
    """Cells by rank, of which one waits at a time: for many that are ranked at once."""

    cells: Iterator[Cell[T]]


Finer = Iterable[Cell[T]] | InOrder[T]
Opened = Callable[[Cell[T], Rank], Finer[T] | None]
"""What is inside a cell and may rank below a limit; None if the cell is whole. May raise Stopped."""


def whole(cell: Cell[Any], limit: Rank) -> None:
    """Nothing finer is inside any cell."""


class Cells(Generic[T]):
    """The cells that wait."""

    def __init__(self, opened: Opened[T] = whole, watch: Watch = UNWATCHED) -> None:
        self._opened, self.watch = opened, watch
        self._heap: list[tuple[Rank, tuple[int, ...], int, Cell[T], Iterator[Cell[T]] | None]] = []
        self._numbers = count()
        self.passed = -NOTHING[0]
        """No plan that waits, or is at hand, has a key below this: the key of what was popped last."""

    def add(self, cells: Finer[T]) -> None:
        """Let more cells wait, which may be below all that was popped."""
        self._add(cells)
        self.passed = min(self.passed, self.rank[0])

    def _add(self, cells: Finer[T]) -> None:
        if isinstance(cells, InOrder):
            self._push(next(cells.cells, None), cells.cells)
            return
        for cell in cells:
            self._push(cell)

    def _push(self, cell: Cell[T] | None, rest: Iterator[Cell[T]] | None = None) -> None:
        if cell is not None:
            heapq.heappush(self._heap, (cell.rank, cell.order, next(self._numbers), cell, rest))

    def __iter__(self) -> Iterator[Cell[T]]:
        """What waits, in no order; of cells in order only the next."""
        return (cell for *_, cell, _ in self._heap)

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def rank(self) -> Rank:
        """No plan in what waits ranks below this."""
        return self._heap[0][0] if self._heap else NOTHING

    def pop(self, limit: Rank) -> Cell[T] | None:
        """The first whole cell that ranks below `limit`; None if there is none. Raises Stopped."""
        while self._heap and self._heap[0][0] < limit:
            self.watch.check()
            *_, cell, rest = self._heap[0]
            self.passed = max(self.passed, cell.rank[0])
            finer = self._opened(cell, limit)
            heapq.heappop(self._heap)  # only now: until it is replaced, its rank is that of what is inside
            if rest is not None:
                self._push(next(rest, None), rest)
            if finer is None:
                return cell
            self._add(finer)
        return None


@dataclass
class BestFirst(Generic[T, P]):
    """The best plan of some cells: what waits, the best so far, and the bound on both."""

    cells: Cells[T]
    rank: Callable[[P], Rank]
    """Of a plan."""
    improves: Callable[[Rank], Rank] = lambda rank: rank
    """What a better plan than one of some rank ranks below: not itself, where the last digits are noise."""
    tell: Callable[[P, float], None] = lambda plan, bound: None
    """Told of each better plan, with the bound."""
    beat: Rank = NOTHING
    """Only plans that rank below this are wanted."""
    best: P | None = None
    at_hand: float = NOTHING[0]
    """The key of the cell that is looked through."""
    apart: float = NOTHING[0]
    """A bound on what is not among the cells (yet), or was left undecided."""
    looked: int = 0
    """Whole cells looked through."""

    @property
    def key(self) -> float:
        """Of the best plan; inf while there is none."""
        return NOTHING[0] if self.best is None else self.rank(self.best)[0]

    @property
    def limit(self) -> Rank:
        """Plans at or above this are no better than the best, or not wanted."""
        return self.improves(self.beat if self.best is None else min(self.rank(self.best), self.beat))

    @property
    def bound(self) -> float:
        """No plan, found or not, has a key below this."""
        ahead = max(self.cells.passed, min(self.cells.rank[0], self.at_hand))
        return min(ahead, self.apart, self.key)

    def take(self, plan: P) -> None:
        """A better plan."""
        self.best = plan
        self.tell(plan, self.bound)

    def run(self, look: Callable[[Cell[T]], None], enough: Callable[[], bool] = never) -> bool:
        """Look through whole cells until none can improve, or it is enough; False if the watch ended it.

        `look` takes the plans that it finds.
        """
        try:
            while not enough():
                self.at_hand = NOTHING[0]
                cell = self.cells.pop(self.limit)
                if cell is None:
                    break
                self.at_hand = cell.rank[0]
                look(cell)
                self.looked += 1
        except Stopped:
            return False
        self.at_hand = NOTHING[0]
        return True
