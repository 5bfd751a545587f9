"""The one search loop on random trees of cells: it finds the least plan, and a stop leaves the truth.

Guards what every kind of problem rests on: a cell that is dropped with a better plan inside, a bound that is
above what is left, cells in order that are passed over, work that was not needed.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.search.cells import NOTHING, BestFirst, Cell, Cells, InOrder, Rank
from optimizer.watch import Stopped, Watch

SETTINGS = settings(deadline=None, derandomize=True, max_examples=200)
INF = NOTHING[0]


@dataclass
class Tree:
    """A cell of some plans, given by their keys, and of finer cells; looked through when it is whole."""

    slack: float
    """How far its bound is below the best inside."""
    plans: list[float] = field(default_factory=list)
    finer: "list[Tree]" = field(default_factory=list)
    in_order: bool = False
    opened: int = 0
    looked: int = 0

    @property
    def least(self) -> float:
        return min([*self.plans, *(tree.least for tree in self.finer)], default=INF)

    @property
    def bound(self) -> float:
        return self.least - self.slack

    def every(self) -> "list[Tree]":
        return [self, *(each for tree in self.finer for each in tree.every())]


LEAVES = st.builds(Tree, st.floats(0, 5), st.lists(st.integers(0, 30).map(float), max_size=4))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Tree,
        slack=st.floats(0, 5),
        finer=st.lists(inner, min_size=1, max_size=4),
        in_order=st.booleans(),
    ),
    max_leaves=20,
)


def cell(tree: Tree) -> Cell[Tree]:
    return Cell((tree.bound,), (), tree)


def opened(own: Cell[Tree], limit: Rank) -> Any:
    tree = own.what
    tree.opened += 1
    if not tree.finer:
        return None
    if tree.in_order:
        return InOrder(map(cell, sorted(tree.finer, key=lambda each: each.bound)))
    return [cell(each) for each in tree.finer if each.bound < limit[0]]


def hunt(trees: list[Tree], watch: Watch | None = None, beat: float = INF) -> BestFirst[Tree, float]:
    cells: Cells[Tree] = Cells(opened) if watch is None else Cells(opened, watch)
    cells.add([cell(tree) for tree in trees])
    return BestFirst(cells, lambda key: (key,), beat=(beat,))


def looking(own: BestFirst[Tree, float]) -> Any:
    def look(at: Cell[Tree]) -> None:
        at.what.looked += 1
        for key in at.what.plans:
            if (key,) < own.limit:
                own.take(key)

    return look


@SETTINGS
@given(st.lists(TREES, min_size=1, max_size=3), st.one_of(st.just(INF), st.integers(0, 30).map(float)))
def test_the_least_plan_is_found_and_no_cell_above_it_is_opened(trees: list[Tree], beat: float) -> None:
    own = hunt(trees, beat=beat)
    assert own.run(looking(own))
    truth = min(tree.least for tree in trees)
    assert own.best == (truth if truth < beat else None)
    edge = min(truth, beat)
    assert own.bound == truth if truth < beat else own.bound >= beat
    for tree in (each for top in trees for each in top.every()):
        assert tree.opened <= 1 and tree.looked <= 1
        assert not tree.opened or tree.bound <= edge


@SETTINGS
@given(st.lists(TREES, min_size=1, max_size=3), st.integers(0, 40))
def test_a_search_that_is_stopped_has_a_bound_that_is_true_and_goes_on_from_there(
    trees: list[Tree], most: int
) -> None:
    looks = iter(range(10**6))
    own = hunt(trees, Watch(cancelled=lambda: next(looks) >= most))
    finished = own.run(looking(own))
    truth = min(tree.least for tree in trees)
    assert own.bound <= truth
    assert own.best is None or own.best >= truth
    if not finished:
        before = own.bound
        own.cells.watch = Watch()
        assert own.run(looking(own))
        assert own.bound >= before
    assert own.key == truth


def test_what_is_added_late_lowers_the_bound() -> None:
    own = hunt([Tree(0.0, [5.0]), Tree(0.0, [9.0])])
    assert own.run(looking(own), lambda: own.best is not None)
    assert (own.best, own.bound, own.looked) == (5.0, 5.0, 1)
    own.cells.add([cell(Tree(1.0, [3.0]))])
    assert own.bound == 2.0
    own.apart = 1.5  # and something that is no cell yet
    assert own.bound == 1.5
    assert own.run(looking(own))
    assert (own.best, own.bound) == (3.0, 1.5)
    own.apart = INF
    assert own.bound == 3.0


def test_a_cell_at_hand_counts_until_it_is_looked_through() -> None:
    own = hunt([Tree(1.0, [5.0]), Tree(0.0, [9.0])])

    def stopped(at: Cell[Tree]) -> None:
        own.take(5.0)
        raise Stopped

    assert not own.run(stopped)
    assert (own.bound, own.looked) == (4.0, 0)


def test_a_cell_that_cannot_be_opened_in_time_still_waits() -> None:
    def never(own: Cell[str], limit: Rank) -> Any:
        raise Stopped

    cells: Cells[str] = Cells(never)
    cells.add([Cell((2.0,), (), "a")])
    with pytest.raises(Stopped):
        cells.pop(NOTHING)
    assert [each.what for each in cells] == ["a"] and cells.rank == (2.0,) and cells.passed == 2.0


def test_of_cells_in_order_one_waits_at_a_time() -> None:
    made: list[int] = []

    def ranked() -> Any:
        for i in range(5):
            made.append(i)
            yield Cell((float(i), 0.5), (), i)

    cells: Cells[int] = Cells()
    cells.add(InOrder(ranked()))
    assert (made, len(cells)) == ([0], 1)
    assert [cells.pop((2.0, 0.5)).what for _ in range(2)] == [0, 1]  # type: ignore[union-attr]
    assert made == [0, 1, 2] and cells.pop((2.0, 0.5)) is None
    assert cells.pop((2.0, 0.6)) is not None  # ranks are compared place by place
    cells.add(InOrder(iter(())))
    assert len(cells) == 1


def test_of_equals_the_order_decides_and_then_who_came_first() -> None:
    cells: Cells[str] = Cells()
    cells.add([Cell((1.0,), (2, 0), "c"), Cell((1.0,), (1, 5), "a"), Cell((1.0,), (1, 5), "b")])
    assert [cells.pop(NOTHING).what for _ in range(3)] == ["a", "b", "c"]  # type: ignore[union-attr]
    assert cells.pop(NOTHING) is None and cells.rank == NOTHING
