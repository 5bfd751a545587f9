"""The region of a frontier that is still to be searched: split, pruned, implied."""

from itertools import product
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.studies.boxes import Box, Solved, maximal


def test_a_box_inside_another_is_redundant() -> None:
    boxes = [Box((3.0, 4.0)), Box((5.0, 4.0)), Box((2.0, 9.0)), Box((5.0, 4.0))]
    assert maximal(boxes) == [Box((5.0, 4.0)), Box((2.0, 9.0))]


def test_a_part_between_two_floors_is_not_inside_its_neighbour() -> None:
    assert len(maximal([Box((9.0,), 5.0), Box((5.0,), 1.0)])) == 2


def test_an_answer_follows_from_a_larger_box() -> None:
    solved = Solved()
    solved.add(Box((inf, inf)), (3.0, 4.0))
    solved.add(Box((2.0, inf)), None)
    assert solved.implied(Box((3.0, 9.0))) == (True, (3.0, 4.0))
    assert solved.implied(Box((1.0, 9.0))) == (True, None)
    assert solved.implied(Box((9.0, 3.0))) == (False, None)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=25, unique=True),
    st.sampled_from([1, 2]),
)
def test_splitting_until_nothing_is_left_finds_every_point(plans, later: int) -> None:
    """The walk of `studies.frontier` on a list of plans, against dominance compared one by one."""
    plans = [plan[: later + 1] for plan in plans]
    solved, found, left = Solved(), set(), [Box((inf,) * later)]
    while left:
        box = left.pop(0)
        implied, steps = solved.implied(box)
        if not implied:
            inside = [p for p in plans if all(a <= b for a, b in zip(p[1:], box.corner, strict=True))]
            best = min(inside, default=None)
            steps = None if best is None else tuple(map(float, best[1:]))
            solved.add(box, steps)
            found |= {best} - {None}
        if steps is not None:
            left = maximal([*left, *box.split(steps)])
    dominated = {
        b for a, b in product(plans, plans) if a != b and all(x <= y for x, y in zip(a, b, strict=True))
    }
    assert found == set(plans) - dominated


@pytest.mark.parametrize("corner", [(3.0,), (2.0,)])
def test_nothing_is_left_at_the_floor(corner) -> None:
    assert Box(corner, 3.0).empty
