"""Replicas in nodes: a block of chips that is priced as inside one scale-up domain lies in one.

A node is one domain, or several and a smaller one where it has more chips than a domain. Where every block
size divides the next larger one (1, 2, 4, 8: nearly always), filling the largest blocks first wastes nothing
(Coffman, Garey, Johnson 1987), and packing is one row per size s:

    sum over blocks of size >= s of their chips <= sum over domains of floor(domain / s) s

Other sizes (3 and 4 in a domain of 8) get a variable for each place in a domain where a block may begin
(the arc flow of Valerio de Carvalho 1999).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.search.programme import Programme

_MOST_STEPS = 20_000


class Part(NamedTuple):
    """Blocks of chips of one kind and size that each unit of a variable stands for."""

    variable: int
    kind: int
    size: int
    blocks: int

    @property
    def chips(self) -> int:
        """Chips of all blocks."""
        return self.size * self.blocks


class Placed(Protocol):
    """A programme of which some variables stand for chips of one kind, or of several."""

    m: Programme

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
        nodes = _pack_kind(model.m, mine, supply, limited, counted)
        if nodes is not None:
            variables[c] = nodes
    return variables


@dataclass(frozen=True)
class _Domains:
    """Domains of one size: so many in each full node, and in the smaller node that is left."""

    size: int
    each: tuple[int, int]


def _domains(supply: Supply, last: int) -> list[_Domains]:
    """The domains of a full node, and of a node of `last` chips."""
    node, domain = supply.node or 0, supply.domain or 0
    found = {size: [0, 0] for size in {domain, node % domain, last % domain} if size}
    for at, chips in enumerate((node, last)):
        found[domain][at] = chips // domain
        if chips % domain:
            found[chips % domain][at] += 1
    return [_Domains(size, (full, rest)) for size, (full, rest) in sorted(found.items(), reverse=True)]


def _pack_kind(
    m: Programme, mine: list[Part], supply: Supply, limited: int | None, counted: bool
) -> int | None:
    """Packing of one kind, the smaller node that is left included; the variable for its nodes, if counted."""
    node = supply.node or 0
    most = sum(m.highs[part.variable] * part.blocks for part in mine)
    full, last = (most, 0) if limited is None else divmod(limited, node)
    tops = (min(most, full), 1 if last else 0)
    used = [m.variable(0 if counted else top, top) for top in tops]
    domains = _domains(supply, last)
    sizes = sorted({part.size for part in mine})
    if all(b % a == 0 for a, b in pairwise(sizes)):
        for s in sizes:
            chips = added((part.variable, part.chips) for part in mine if part.size >= s)
            held = [-sum(d.each[at] * (d.size // s) * s for d in domains) for at in (0, 1)]
            m.row(chips | dict(zip(used, held, strict=True)), high=0)
    else:
        _pack_by_flow(m, used, mine, sizes, domains)
    if not counted:
        return None
    nodes = m.variable(0, min(most, sum(tops)))
    m.row(dict.fromkeys(used, 1) | {nodes: -1}, high=0)
    return nodes


def _pack_by_flow(
    m: Programme, used: list[int], mine: list[Part], sizes: list[int], domains: list[_Domains]
) -> None:
    """Each domain is a way from 0 to its size, and each of its blocks a step; larger blocks come first."""
    steps: dict[int, list[int]] = {s: [] for s in sizes}
    for d in domains:
        most = sum(n * m.highs[v] for n, v in zip(d.each, used, strict=True))
        balance: dict[int, dict[int, int]] = {0: dict(zip(used, d.each, strict=True))}
        for at, s in _steps(sizes[::-1], d.size):
            step = m.variable(0, most)
            balance.setdefault(at, {})[step] = -1
            balance.setdefault(at + s, {})[step] = 1
            steps[s].append(step)
        for row in balance.values():
            m.row(row, low=0)
    for s in sizes:
        blocks = added((part.variable, part.blocks) for part in mine if part.size == s)
        m.row(blocks | dict.fromkeys(steps[s], -1), high=0)


def _steps(sizes: list[int], domain: int) -> list[tuple[int, int]]:
    """Where in a domain a block of each size may begin, the sizes in falling order."""
    found: list[tuple[int, int]] = []
    reached = {0}
    for s in sizes:
        for at in range(domain - s + 1):
            if at in reached:
                found.append((at, s))
                reached.add(at + s)
        if len(found) > _MOST_STEPS:
            blocks = ", ".join(map(str, sizes[::-1][:12]))
            raise InputError(
                f"tensor_parallel: blocks of {blocks} chips do not divide each other, and there are too many "
                f"ways to fill a domain of {domain} chips; allow fewer sizes"
            )
    return found


def added(terms: Iterable[tuple[int, int]]) -> dict[int, int]:
    """A row of (variable, coefficient), those of one variable added up."""
    row: dict[int, int] = {}
    for variable, coefficient in terms:
        row[variable] = row.get(variable, 0) + coefficient
    return row
