"""The closed forms of the collectives against the domain as a graph."""

from itertools import combinations, permutations

import networkx as nx
import pytest

from optimizer import catalog
from optimizer.cost import collectives, topology, torus
from optimizer.spec.chip import ScaleUp

TORI = [
    (n, axes, axis)
    for n in (2, 3, 4, 6, 8, 9, 12, 15, 16, 27, 32, 64)
    for axes in (2, 3)
    for axis in (3, 4, 16)
]


def link(kind: str, domain: int, axis: int = 1) -> ScaleUp:
    return ScaleUp.model_validate({"topology": kind, "domain": domain, "bandwidth": "100 GB/s", "axis": axis})


def box(n: int, axes: int, axis: int) -> tuple[ScaleUp, nx.Graph]:
    wires = link(f"torus{axes}d", 4096, axis)
    return wires, topology.domain_graph(wires, n)


@pytest.mark.parametrize(("n", "axes", "axis"), TORI)
def test_a_torus_group(n: int, axes: int, axis: int) -> None:
    """Hops, ways out of a corner and rings: what `torus` assumes is what the graph has."""
    wires, graph = box(n, axes, axis)
    assert len(graph) == n
    assert nx.is_connected(graph)
    assert torus.hops(n, wires) == topology.diameter(graph) == nx.diameter(graph)
    ways = sum(data["bandwidth"] for _, _, data in graph.edges(0, data=True)) / wires.bandwidth
    assert ways == sum(ways for _, ways in torus.sides(n, wires))
    assert torus.ring_exists(n, wires) == (topology.ring(graph) is not None)


@pytest.mark.parametrize(("n", "axes", "axis"), TORI)
def test_a_ring_visits_each_chip_once_over_links(n: int, axes: int, axis: int) -> None:
    _, graph = box(n, axes, axis)
    ring = topology.ring(graph)
    if ring is not None:
        assert sorted(ring) == list(range(n))
        assert all(graph.has_edge(a, b) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))


@pytest.mark.parametrize(
    ("n", "axes", "axis"), [(3, 2, 4), (5, 2, 16), (9, 2, 4), (9, 2, 3), (6, 2, 16), (8, 3, 4)]
)
def test_no_ring_means_none_exists(n: int, axes: int, axis: int) -> None:
    """Every order of the chips is tried."""
    _, graph = box(n, axes, axis)
    some = any(
        all(graph.has_edge(a, b) for a, b in zip((0, *rest), (*rest, 0), strict=True))
        for rest in permutations(range(1, n))
    )
    assert some == (topology.ring(graph) is not None)


def least_cut(graph: nx.Graph) -> float:
    """Over all halves, switches on either side: the definition, tried out."""
    found = topology.chips(graph)
    between = [node for node in graph if node not in found]
    return min(
        nx.cut_size(graph, {*half, *side}, weight="bandwidth")
        for half in combinations(found, len(found) // 2)
        for k in range(len(between) + 1)
        for side in combinations(between, k)
    )


@pytest.mark.parametrize(
    "graph",
    [
        topology.domain_graph(link("switch", 8)),
        topology.domain_graph(link("mesh", 8)),
        topology.domain_graph(link("mesh", 8), 4),
        topology.domain_graph(link("pcie", 8)),
        *(box(*shape)[1] for shape in [(4, 2, 16), (8, 2, 4), (12, 2, 4), (8, 3, 2), (12, 2, 3), (7, 2, 7)]),
    ],
)
def test_bisection_is_the_least_cut(graph: nx.Graph) -> None:
    assert topology.bisection_bandwidth(graph) == pytest.approx(least_cut(graph))


PUBLISHED = {
    "google-tpu-v5e-256": 1.6e12,  # docs.cloud.google.com/tpu/docs/v5e; links of 50 GB/s, ours of 45
    "google-tpu-v6e-256": 3.2e12,  # docs.cloud.google.com/tpu/docs/v6e
    "nvidia-dgx-h100": 3.6e12 / 2,  # jax-ml/scaling-book gpus.md @1a55377a, which counts both directions
}


@pytest.mark.parametrize("system", PUBLISHED)
def test_published_bisections(system: str) -> None:
    graph = topology.domain_graph(catalog.chip(system).scaleup)
    assert topology.bisection_bandwidth(graph) == pytest.approx(PUBLISHED[system], rel=0.11)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_a_mesh_group_shares_its_links(n: int) -> None:
    """Bytes out of one chip of a group of n are those of its n-1 links."""
    chip = catalog.chip("mi300x")
    graph = topology.domain_graph(chip.scaleup, n)
    out = sum(data["bandwidth"] for _, _, data in graph.edges(0, data=True))
    fit = collectives._table(chip, "all_gather")[8][-1]
    size = 1e12
    seconds, latency = collectives.all_gather_s(size, collectives.Group(n, n), chip)
    assert (n - 1) / n * size / (float(seconds) - float(latency)) == pytest.approx(fit.link * out)


@pytest.mark.parametrize("axis", [13, 64])
def test_all_to_all_is_bound_by_the_busiest_link(axis: int) -> None:
    """Each pair sends along its shortest way; the graph counts the pairs that cross each link."""
    wires, graph = box(13, 2, axis)
    pairs = max(nx.edge_betweenness_centrality(graph, normalized=False).values())
    seconds, _ = torus.exchange_s("all_to_all", 1e9, 13, wires)
    assert float(seconds) == pytest.approx(pairs * (1e9 / 13) / wires.bandwidth, rel=0.01)


@pytest.mark.parametrize("name", sorted(catalog.chips()))
def test_every_chip_has_a_graph(name: str) -> None:
    wires = catalog.chip(name).scaleup
    if wires.domain > 1:
        graph = topology.domain_graph(wires)
        assert len(topology.chips(graph)) == wires.domain
        assert topology.diameter(graph) >= 1
        assert topology.bisection_bandwidth(graph) > 0


def edges(graph: nx.Graph) -> dict[frozenset, float]:
    return {frozenset((a, b)): data["bandwidth"] for a, b, data in graph.edges(data=True)}


def test_links_of_each_wiring_one_by_one() -> None:
    switch = edges(topology.domain_graph(link("switch", 3)))
    assert switch == {frozenset((chip, "switch")): 100e9 for chip in range(3)}
    for n, share in ((2, 100e9), (4, 100e9 / 3)):
        assert edges(topology.domain_graph(link("mesh", n))) == pytest.approx(
            {frozenset(pair): share for pair in combinations(range(n), 2)}
        )
    pcie = edges(topology.domain_graph(link("pcie", 6)))
    assert pcie == {frozenset((chip, f"bridge {chip // 3}")): 100e9 for chip in range(6)} | {
        frozenset((f"bridge {i}", "root")): 100e9 for i in range(2)
    }
    line = edges(topology.domain_graph(link("torus2d", 64, axis=4), 3))
    assert line == {frozenset((0, 1)): 100e9, frozenset((1, 2)): 100e9}
    ring = edges(topology.domain_graph(link("torus2d", 64, axis=3), 3))
    assert ring == line | {frozenset((0, 2)): 100e9}
    pair = edges(topology.domain_graph(link("torus2d", 64, axis=2), 2))
    assert pair == {frozenset((0, 1)): 200e9}  # both ways round an axis of two
    grid = edges(topology.domain_graph(link("torus2d", 64, axis=4), 6))  # 3 x 2, no side closes
    assert len(grid) == 7 and set(grid.values()) == {100e9}


def test_figures_of_a_wiring() -> None:
    assert topology.wiring(link("switch", 1)) == {}
    assert topology.wiring(link("switch", 8)) == {
        "diameter_links": 2,
        "bisection_gb_per_s": 400.0,
        "ring": True,
    }
    assert topology.wiring(link("mesh", 2)) == {
        "diameter_links": 1,
        "bisection_gb_per_s": 100.0,
        "ring": False,
    }


BOXES = {
    (8, 2): (4, 2), (8, 3): (2, 2, 2), (12, 2): (4, 3), (12, 3): (3, 2, 2), (7, 2): (7, 1), (1, 3): (1, 1, 1),
    (16, 2): (4, 4), (18, 3): (3, 3, 2), (5, 1): (5,), (64, 3): (4, 4, 4),
}  # fmt: skip


def test_boxes_are_as_cubic_as_they_can_be() -> None:
    assert {key: torus.box(*key) for key in BOXES} == BOXES


def test_exchanges_of_a_torus_by_hand() -> None:
    """Twelve chips as 4 x 3 on axes of 4: the side of four is a ring, that of three a line."""
    wires = link("torus2d", 64, axis=4)
    assert torus.sides(12, wires) == ((4, 2), (3, 1))
    assert torus.hops(12, wires) == 2 + 2
    size = 1e9
    seconds, latency = torus.exchange_s("all_gather", size, 12, wires)
    assert (float(seconds), float(latency)) == pytest.approx((size / (100e9 * 3), 4e-6))
    assert float(torus.exchange_s("reduce_scatter", size, 12, wires)[0]) == pytest.approx(size / (100e9 * 3))
    seconds, latency = torus.exchange_s("all_to_all", size, 12, wires)
    assert (float(seconds), float(latency)) == pytest.approx((size * max(4 / 8, 3 / 4) / 100e9, 4e-6))
    both = torus.all_reduce_s(size, 12, wires)
    assert [float(x) for x in both] == pytest.approx([2 * size / (100e9 * 3), 8e-6])
    for operation in ("all_gather", "all_to_all"):
        assert [float(x) for x in torus.exchange_s(operation, 1.0, 12, wires)] == pytest.approx([4e-6] * 2)
    assert [torus.ring_exists(n, wires) for n in (2, 3, 4, 6, 9, 12)] == [
        False,
        False,
        True,
        True,
        False,
        True,
    ]


def test_a_lone_chip_of_a_mesh_has_no_links() -> None:
    assert edges(topology.domain_graph(link("mesh", 1))) == {}
