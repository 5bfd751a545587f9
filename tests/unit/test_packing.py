"""Nodes, domains and rows of packing on small cases written out.

Guards the sizes of variables, which no answer shows as long as some row limits them, and domains smaller than
a node beside a last node that is smaller still.
"""

from itertools import product

import pytest
import samples
from test_solver_parts import Fixed

from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.search import packing
from optimizer.search.packing import Part, _Domains, _domains, _steps, pack_nodes
from optimizer.search.programme import Programme, Row


def supply(node: int | None, domain: int | None = None) -> Supply:
    chip = samples.chip(scaleup=samples.CHIP["scaleup"] | {"domain": domain}) if domain else None
    return Supply("red", None, 1.0, 1.0, node, 80.0, chip)


@pytest.mark.parametrize(
    ("node", "domain", "last", "found"),
    [
        (8, 8, 5, [(8, (1, 0)), (5, (0, 1))]),
        (8, 8, 0, [(8, (1, 0))]),
        (8, 4, 4, [(4, (2, 1))]),
        (10, 4, 7, [(4, (2, 1)), (3, (0, 1)), (2, (1, 0))]),
        (10, 4, 6, [(4, (2, 1)), (2, (1, 1))]),
        (10, 4, 0, [(4, (2, 0)), (2, (1, 0))]),
        (4, 72, 3, [(4, (1, 0)), (3, (0, 1))]),  # a domain larger than the node
    ],
)
def test_domains_of_a_full_node_and_of_the_last(
    node: int, domain: int, last: int, found: list[tuple[int, tuple[int, int]]]
) -> None:
    assert _domains(supply(node, domain), last) == [_Domains(size, each) for size, each in found]


def packed(
    sizes: list[tuple[int, int]], top: int, stock: int | None, counted: bool, node: int = 8
) -> tuple[Programme, dict[int, int], list[int]]:
    """The programme of so many blocks of some sizes for each unit of a variable; its nodes; its variables."""
    m = Programme()
    own = [m.variable(0, top) for _ in sizes]
    parts = [Part(v, 0, size, n) for v, (size, n) in zip(own, sizes, strict=True)]
    return m, pack_nodes(Fixed(m, parts, (supply(node),), {"red": stock}), counted), own


@pytest.mark.parametrize(
    ("stock", "counted", "limits"),
    [
        (20, False, [(2, 2), (1, 1)]),  # all there are: two full ones, and one of four
        (16, False, [(2, 2), (0, 0)]),
        (20, True, [(0, 2), (0, 1), (0, 3)]),
        (16, True, [(0, 2), (0, 0), (0, 2)]),
        (None, True, [(0, 6), (0, 0), (0, 6)]),  # a node for each of six blocks
        (800, True, [(0, 6), (0, 0), (0, 6)]),
        (804, True, [(0, 6), (0, 1), (0, 6)]),
    ],
)
def test_no_more_nodes_than_there_are_or_than_blocks(
    stock: int | None, counted: bool, limits: list[tuple[int, int]]
) -> None:
    """Three units of two blocks of four chips."""
    m, found, (own,) = packed([(4, 2)], 3, stock, counted)
    assert list(zip(m.lows, m.highs, strict=True)) == [(0, 3), *limits]
    assert found == ({0: len(m.lows) - 1} if counted else {})
    full, last = own + 1, own + 2
    wanted = [Row({own: 8, full: -8} | ({last: -4} if stock in (20, 804) else {}), None, 0)]
    assert m.rows[:1] == wanted
    assert m.rows[1:] == ([Row({full: 1, last: 1, last + 1: -1}, None, 0)] if counted else [])


def test_a_row_for_each_size_counts_it_and_all_larger_ones() -> None:
    """Nodes of ten: 2 x 4 in fours, 5 x 2 in twos; the last, of seven, one four or three twos."""
    m, _, (two, four) = packed([(2, 3), (4, 1)], 9, 17, False, node=10)
    full, last = 2, 3
    assert m.rows == [
        Row({two: 6, four: 4, full: -10, last: -6}, None, 0),
        Row({four: 4, full: -8, last: -4}, None, 0),
    ]


def test_blocks_that_do_not_divide_each_other_are_steps_through_domains() -> None:
    """Threes and twos in domains of five and, in the last node, of four: what is packed is what fits."""
    m, _, (two, three) = packed([(2, 1), (3, 2)], 3, 9, False, node=5)
    ways = set()
    free = range(4, len(m.lows))
    for a, b in product(range(4), range(2)):
        for counts in product(*(range(m.highs[v] + 1) for v in free)):
            if m.holds([a, b, 1, 1, *counts]):
                ways.add((a, b))
                break
    # a five holds 3 + 2 or 2 + 2, a four 3 or 2 + 2
    assert ways == {(a, 0) for a in range(4)} | {(0, 1), (1, 1)}
    assert {m.highs[v] for v in free} == {1}, "one full domain, one of the last node"
    assert (two, three) == (0, 1)


def test_too_many_ways_are_refused_with_the_first_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ascending, and no more than twelve of them."""
    monkeypatch.setattr(packing, "_MOST_STEPS", 5)
    assert len(_steps([1], 5)) == 5
    with pytest.raises(InputError, match=r"blocks of 2, 3 chips .* a domain of 9 chips"):
        _steps([3, 2], 9)
    many = list(range(40, 20, -1))
    with pytest.raises(InputError, match=r"blocks of 21, .*, 31, 32 chips"):
        _steps(many, 40)


def test_chips_of_a_part() -> None:
    assert Part(0, 0, 3, 4).chips == 12
