"""Replicas in nodes: a tensor-parallel group lies in one node and never straddles two.

Where every group size divides the next larger one (1, 2, 4, 8: nearly always), filling the largest groups
first wastes nothing (Coffman, Garey, Johnson 1987), and packing is one row per size s:

    sum over groups of size >= s of their chips <= nodes x floor(node / s) s      (and the last, smaller node)

Other sizes (3 and 4 in a node of 8) get one variable for each way to fill a node.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.solver.milp import Milp

_MOST_WAYS = 5_000


class Part(NamedTuple):
    """Chips of one kind, in groups of one size, that each unit of a variable stands for."""

    variable: int
    kind: int
    chips: int
    unit: int


class Placed(Protocol):
    """A programme of which some variables stand for chips of one kind, or of several."""

    m: Milp

    @property
    def parts(self) -> Sequence[Part]:
        """All chips that its variables stand for."""

    @property
    def supplies(self) -> tuple[Supply, ...]:
        """The kinds of chips."""

    def inventory(self, chip: str) -> int | None:
        """Chips there are of one kind."""


def pack_nodes(model: Placed, counted: bool) -> dict[int, int]:
    """Add the packing of every kind of chip; return the variable for its number of nodes, if counted."""
    variables: dict[int, int] = {}
    for c, supply in enumerate(model.supplies):
        mine = [part for part in model.parts if part.kind == c]
        limited = model.inventory(supply.name)
        if not mine or (limited is None and not counted):
            continue
        if supply.node is None:
            if counted:
                raise InputError(f"hardware: nodes are asked for, and {supply.name} has none; give node")
            continue
        _pack_kind(model.m, variables if counted else None, c, mine, supply.node, limited)
    return variables


def _pack_kind(
    m: Milp, nodes: dict[int, int] | None, c: int, mine: list[Part], node: int, limited: int | None
) -> None:
    """Packing of one kind: full nodes, and the smaller one that is left of a limited number of chips."""
    full, rest = (None, 0) if limited is None else divmod(limited, node)
    sizes = sorted({part.unit for part in mine})
    if nodes is not None:
        most = sum(m.highs[part.variable] * part.chips // part.unit for part in mine)
        if full is not None:
            most = min(most, full + (rest > 0))
        nodes[c] = m.variable(0, most)
    groups = {s: added((p.variable, p.chips) for p in mine if p.unit >= s) for s in sizes}
    if all(b % a == 0 for a, b in pairwise(sizes)):
        for s, row in groups.items():
            if nodes is not None:
                m.row(row | {nodes[c]: -(node // s) * s}, high=0)
            if full is not None:
                m.row(row, high=full * (node // s) * s + (rest // s) * s)
        return
    _pack_by_ways(m, nodes, c, mine, sizes, node, full, rest)


def _pack_by_ways(
    m: Milp,
    nodes: dict[int, int] | None,
    c: int,
    mine: list[Part],
    sizes: list[int],
    node: int,
    full: int | None,
    rest: int,
) -> None:
    most = m.highs[nodes[c]] if nodes is not None else (full or 0)
    ways = [(w, m.variable(0, most)) for w in fillings(sizes, node)]
    last = [(w, m.variable(0, 1)) for w in fillings(sizes, rest)] if rest >= sizes[0] else []
    for j, s in enumerate(sizes):
        groups = added((p.variable, p.chips // s) for p in mine if p.unit == s)
        m.row(groups | {v: -w[j] for w, v in [*ways, *last]}, high=0)
    if full is not None:
        m.row({v: 1 for _, v in ways}, high=full)
        m.row({v: 1 for _, v in last}, high=1)
    if nodes is not None:
        m.row({v: 1 for _, v in [*ways, *last]} | {nodes[c]: -1}, high=0)


def added(terms: Iterable[tuple[int, int]]) -> dict[int, int]:
    """A row of (variable, coefficient), those of one variable added up."""
    row: dict[int, int] = {}
    for variable, coefficient in terms:
        row[variable] = row.get(variable, 0) + coefficient
    return row


def fillings(sizes: list[int], node: int) -> list[tuple[int, ...]]:
    """The ways to fill a node with groups of these sizes to which no group can be added."""
    found: list[tuple[int, ...]] = []
    stack: list[tuple[int, ...]] = [()]
    while stack:
        way = stack.pop()
        left = node - sum(n * s for n, s in zip(way, sizes, strict=False))
        if len(way) == len(sizes):
            if left < sizes[0]:
                found.append(way)
            continue
        stack += [(*way, n) for n in _counts(left, sizes[len(way)])]
        if len(found) > _MOST_WAYS:
            raise InputError("tensor_parallel: too many sizes that do not divide each other for one node")
    return found


def _counts(left: int, size: int) -> Iterable[int]:
    return range(left // size + 1)
