"""The links of a scale-up domain as a graph: hops, bisection and rings, counted instead of assumed.

Nodes are chips, numbered from 0, and what stands between them ('switch', 'bridge 0', 'root'). Edges carry the
bandwidth of the link one way. A switch is a star; a mesh is a complete graph whose links share the chip's
bandwidth; a torus is the box of `optimizer.cost.torus`; PCIe is a tree of two bridges under one root.

Prices use closed forms (`collectives`, `torus`); tests hold those against these graphs.
"""

from collections.abc import Hashable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

from optimizer.cost.torus import sides
from optimizer.spec.chip import ScaleUp

if TYPE_CHECKING:  # networkx is slow to import: each function that needs it does so itself
    import networkx as nx


def domain_graph(link: ScaleUp, n_chips: int | None = None) -> "nx.Graph[Hashable]":
    """The graph of a group of n chips of the domain; of all its chips if no number is given."""
    import networkx as nx

    n = n_chips or link.domain
    graph: nx.Graph[Hashable] = nx.Graph()
    graph.add_nodes_from(range(n), place=())
    if link.topology == "switch":
        graph.add_edges_from(((chip, "switch") for chip in range(n)), bandwidth=link.bandwidth)
    elif link.topology == "mesh":
        share = link.bandwidth / max(1, link.domain - 1)
        graph.add_edges_from(((a, b) for a, b in product(range(n), repeat=2) if a < b), bandwidth=share)
    elif link.topology == "pcie":
        graph.add_edges_from(_tree(n), bandwidth=link.bandwidth)
    else:
        _torus(graph, n, link)
    return graph


def chips(graph: "nx.Graph[Hashable]") -> list[int]:
    """The chips of a graph, without the switches between them."""
    return [node for node in graph if isinstance(node, int)]


def diameter(graph: "nx.Graph[Hashable]") -> int:
    """Links on the way between the two chips that are farthest apart.

    Chip 0 is one of them: it is a corner of a box, and elsewhere all chips are alike.
    """
    import networkx as nx

    far = nx.single_source_shortest_path_length(graph, 0)
    return int(max(far[chip] for chip in chips(graph)))


def bisection_bandwidth(graph: "nx.Graph[Hashable]") -> float:
    """Bytes a second one way between two halves of the chips, cut where the links carry least.

    Halves are taken along each side of a box, and in order elsewhere; switches stand on the better side.
    """
    return min((_cut(graph, half) for half in _halves(graph)), default=0.0)


def ring(graph: "nx.Graph[Hashable]") -> list[int] | None:
    """Chips in the order of a ring that uses no link twice in one direction, or None if there is none."""
    found = chips(graph)
    places = {graph.nodes[chip]["place"]: chip for chip in found}
    if len(found) < 3:
        return None
    if len(places) == 1:  # not a box: neighbours in the order of the numbers are linked, or share a switch
        return found
    order = _box_ring(tuple(graph.graph["sides"]))
    return [places[place] for place in order] if order else None


def wiring(link: ScaleUp) -> dict[str, Any]:
    """The figures of a domain's graph; none for a chip that is alone.

    Links between the farthest chips, GB/s one way between two halves, and whether a ring runs through all.
    """
    if link.domain == 1:
        return {}
    graph = domain_graph(link)
    return {
        "diameter_links": diameter(graph),
        "bisection_gb_per_s": round(bisection_bandwidth(graph) / 1e9, 3),
        "ring": ring(graph) is not None,
    }


def _tree(n: int) -> Iterator[tuple[Hashable, Hashable]]:
    for chip in range(n):
        yield chip, f"bridge {2 * chip // n}"
    for bridge in sorted({2 * chip // n for chip in range(n)}):
        yield f"bridge {bridge}", "root"


def _torus(graph: "nx.Graph[Hashable]", n: int, link: ScaleUp) -> None:
    shape = sides(n, link)
    places = list(product(*(range(side) for side, _ in shape)))
    number = {place: i for i, place in enumerate(places)}
    graph.graph["sides"] = shape
    graph.add_nodes_from((number[place], {"place": place}) for place in places)
    for place, axis in product(places, range(len(shape))):
        side, ways = shape[axis]
        step = (place[axis] + 1) % side
        if step or (ways == 2 and side > 2):
            graph.add_edge(
                number[place],
                number[(*place[:axis], step, *place[axis + 1 :])],
                bandwidth=link.bandwidth * (2 if side == 2 and ways == 2 else 1),
            )


def _halves(graph: "nx.Graph[Hashable]") -> Iterator[set[Hashable]]:
    found = chips(graph)
    half = len(found) // 2
    for axis in range(max(1, len(graph.graph.get("sides", ())))):
        yield set(sorted(found, key=lambda chip: (*graph.nodes[chip]["place"][axis:], chip))[:half])


def _cut(graph: "nx.Graph[Hashable]", half: set[Hashable]) -> float:
    """Least bandwidth of links whose removal parts one half of the chips from the other."""
    import networkx as nx

    found = chips(graph)
    if len(found) == len(graph):
        return float(nx.cut_size(graph, half, weight="bandwidth"))
    ends = graph.copy()
    ends.add_edges_from(("here", chip) if chip in half else (chip, "there") for chip in found)
    return float(nx.minimum_cut_value(ends, "here", "there", capacity="bandwidth"))


def _box_ring(shape: tuple[tuple[int, int], ...]) -> list[tuple[int, ...]] | None:
    """A ring through a box: to and fro over all but the first column of a grid, back along that column."""
    if len(shape) == 1:
        return [(i,) for i in range(shape[0][0])] if shape[0][1] == 2 else None
    axis = _even_or_closed(shape)
    if axis is None:
        return None
    others = [side for i, (side, _) in enumerate(shape) if i != axis]
    across, along = list(_snake(others)), shape[axis][0]
    rows: list[list[tuple[int, ...]]] = [
        [(*place[:axis], i, *place[axis:]) for place in across] for i in range(along)
    ]
    if along % 2:  # the side closes to a ring: run around it instead, row by row of the others
        rows = [list(row) for row in zip(*rows, strict=True)]
    found: list[tuple[int, ...]] = []
    for i, row in enumerate(rows):
        found += row[1:] if i % 2 == 0 else row[:0:-1]
    return found + [row[0] for row in reversed(rows)]


def _even_or_closed(shape: tuple[tuple[int, int], ...]) -> int | None:
    """A side of even length, else one that closes to a ring."""
    even = [i for i, (side, _) in enumerate(shape) if side % 2 == 0]
    closed = [i for i, (_, ways) in enumerate(shape) if ways == 2]
    return next(iter(even + closed), None)


def _snake(lengths: list[int]) -> Iterator[tuple[int, ...]]:
    """All places of a box, each next to the one before."""
    if not lengths:
        yield ()
        return
    for i in range(lengths[0]):
        rest = list(_snake(lengths[1:]))
        for place in rest if i % 2 == 0 else reversed(rest):
            yield (i, *place)
