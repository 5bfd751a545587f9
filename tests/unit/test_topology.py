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
