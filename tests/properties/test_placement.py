"""Replicas are priced as they are placed: every way to put chips into nodes, each priced from that alone.

Guards the two halves of one promise: a replica that straddles domains costs what its exchanges over the
network cost, and one that is priced as inside a domain has a place in one.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from math import gcd
from typing import Any

import pytest
import samples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.anatomy.placement import blocks_of, nodes_for, place
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica import Replica, common
from optimizer.columns.replica_costs import replica_columns
from optimizer.columns.supply import Supply
from optimizer.cost import serving
from optimizer.cost.placement import (
    chips_of_a_rank,
    fewest_runs,
    layouts,
    lies_within,
    most_together,
    read,
    written,
)
from optimizer.errors import InputError
from optimizer.questions.deployment.optimum import optimum
from optimizer.spec.deployment import ReplicaSpace, Traffic
from optimizer.spec.split import Formats, Split

MODEL = catalog.model("Qwen/Qwen3-30B-A3B")
TRAFFIC = Traffic(input_tokens=1500, output_tokens=100, percentile="none")
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MOST_GROUPS = 6

Place = tuple[int, int]
"""A node, and a domain of it."""


@st.composite
def cases(draw: Any) -> tuple[Replica, ReplicaSpace]:
    """A split of a replica, and a few chips in small nodes of small domains."""
    domain = draw(st.integers(1, 5))
    link = {"topology": draw(st.sampled_from(["switch", "pcie"])), "domain": domain, "bandwidth": "450 GB/s"}
    network = draw(st.sampled_from(["50 GB/s", "3 GB/s", None]))
    chip = samples.chip(scaleup=link, scaleout_bandwidth=network)
    supply = Supply("sample", draw(st.integers(1, 9)), 1.0, 1.0, draw(st.integers(1, 6)), None, chip)
    t, d, p = draw(st.sampled_from([1, 1, 2])), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    c = draw(st.sampled_from([1, 1, 2, 3]))
    assume(t * c <= (supply.domain or 0) and d * p <= MOST_GROUPS)
    setup = Replica(supply, chip, Split(t, p, 1, d, c), Formats())
    degrees = {"tensor_parallel": t, "pipeline_parallel": p, "data_parallel": d, "context_parallel": c}
    degrees |= {"batch": 12}
    return setup, ReplicaSpace.model_validate(degrees)


def domains_of(supply: Supply) -> dict[Place, int]:
    """Chips of every domain of the nodes there are."""
    found: dict[Place, int] = {}
    chips, node = supply.count or 0, 0
    while chips > 0:
        left, at = min(chips, supply.node or 0), 0
        chips -= left
        while left > 0:
            found[node, at] = min(left, supply.chip.scaleup.domain)  # type: ignore[union-attr]
            left, at = left - found[node, at], at + 1
        node += 1
    return found


def placements(groups: int, size: int, free: dict[Place, int]) -> Iterator[tuple[Place, ...]]:
    """Every domain for each attention rank."""
    for chosen in product(free, repeat=groups):
        if all(n * size <= free[place] for place, n in Counter(chosen).items()):
            yield chosen


def lies(setup: Replica, chosen: tuple[Place, ...]) -> tuple[int, int]:
    """Ranks of a stage in one domain and runs of stages, counted from a placement.

    Where domains have unequal numbers of ranks, each lies in sets as large as divide them all.
    """
    d, p = setup.split.data_parallel, setup.split.pipeline_parallel
    stages = [chosen[s * d : (s + 1) * d] for s in range(p)]
    together = gcd(*(n for stage in stages for n in Counter(stage).values()))
    crossed = sum(before != after for before, after in pairwise(stages))
    return together, 1 + crossed


def rate_of(setup: Replica, space: ReplicaSpace, ranks: int, runs: int) -> Fraction:
    frame = setup.frame(MODEL, common(space, TRAFFIC), batch=12)
    found = serving.aggregated(replace(frame, ranks_together=ranks, stage_runs=runs), MODEL)
    return Fraction(int(float(found.requests_per_s) * 1e8 + 1e-3), 10**8)


def plans(setup: Replica, space: ReplicaSpace) -> set[tuple[Fraction, int]]:
    """Requests per second and nodes in use of every plan: any number of replicas, placed in any way."""
    free = domains_of(setup.supply)
    alone = setup.chip.scaleout_bandwidth is None
    groups, found = setup.split.data_parallel * setup.split.pipeline_parallel, set()
    rate = cache(lambda ranks, runs: rate_of(setup, space, ranks, runs))
    for n in range(MOST_GROUPS // groups + 1):
        for chosen in placements(n * groups, setup.split.rank, free):
            each = [lies(setup, chosen[i * groups : (i + 1) * groups]) for i in range(n)]
            whole = (setup.split.data_parallel, 1)
            if alone and any(one != whole for one in each):
                continue
            total = sum((rate(*one) for one in each), Fraction(0))
            found.add((total, len({node for node, _ in chosen})))
    return found


@SETTINGS
@given(cases(), st.sampled_from([0.3, 0.9, 1.0]))
def test_the_optimum_is_the_best_of_all_placements(case: Any, share: float) -> None:
    setup, space = case
    groups = setup.split.data_parallel * setup.split.pipeline_parallel
    supply = replace(setup.supply, count=min(setup.supply.count, MOST_GROUPS // groups * setup.split.chips))
    setup = replace(setup, supply=supply)
    try:
        rows, _ = replica_columns(MODEL, (supply,), space, TRAFFIC)
    except InputError as error:  # no network, and a replica larger than a domain
        assert "states no network" in str(error)
        assert max(plans(setup, space)) == (0, 0)
        return
    columns = DeploymentColumns(rows, (supply,), None, False, {}, None, {})
    stock = {"inventory:sample": float(supply.count or 0)}
    truth = plans(setup, space)
    most = max(rate for rate, _ in truth)
    found = optimum(columns, (("requests_per_s", -1),), stock | {"requests_per_s": 1e-8})
    assert found.status == ("optimal" if most else "infeasible")
    assert Fraction(round(found.served * 1e8), 10**8) == most
    if most:
        demand = float(most) * share
        fewest = min(nodes for rate, nodes in truth if float(rate) >= demand - 1e-9)
        again = optimum(columns, (("nodes", 1),), stock | {"requests_per_s": demand})
        assert (again.status, again.values["nodes"]) == ("optimal", fewest)


@pytest.mark.parametrize(
    "t, d, p, domain", [(2, 3, 4, 7), (1, 4, 3, 4), (8, 1, 3, 4), (6, 2, 2, 4), (1, 6, 9, 8)]
)
@pytest.mark.parametrize("c", [1, 2, 6])
def test_layouts_hold_all_chips_and_the_closest_is_first(t: int, d: int, p: int, domain: int, c: int) -> None:
    every = list(layouts(Split(t, p, 1, d, c), domain))
    assert len(set(every)) == len(every)
    for layout in every:
        blocks = layout.blocks(Split(t, p, 1, d, c), domain)
        assert sum(size * n for size, n in blocks.items()) == t * c * d * p
        assert max(blocks) <= domain
        assert read(written(blocks)) == tuple(sorted(blocks.items(), reverse=True))
        assert blocks_of(written(blocks)) == blocks
    ranks = most_together(d, t * c, domain)
    assert (every[0].ranks, len(every[0].runs)) == (ranks, fewest_runs(t * c * ranks, p, domain))
    assert t * c % chips_of_a_rank(Split(t, context_parallel=c), domain) == 0


def test_a_rank_wider_than_a_domain_lies_in_equal_parts() -> None:
    assert [chips_of_a_rank(Split(t), 4) for t in (1, 3, 4, 6, 8, 5)] == [1, 3, 4, 3, 4, 1]


SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def fits(blocks: list[int], rooms: list[int]) -> bool:
    """Whether each block finds room, by trying all rooms."""
    if not blocks:
        return True
    return any(
        fits(blocks[1:], [*rooms[:j], room - blocks[0], *rooms[j + 1 :]])
        for j, room in enumerate(rooms)
        if room >= blocks[0]
    )


@settings(SETTINGS, max_examples=300)
@given(SIZES, SIZES)
def test_blocks_that_lie_within_others_always_fit_there(blocks: list[int], others: list[int]) -> None:
    if lies_within(written(Counter(blocks)), written(Counter(others))):
        assert fits(sorted(blocks, reverse=True), others)
    assert lies_within(written(Counter(others)), written(Counter(others)))


@settings(SETTINGS, max_examples=300)
@given(SIZES, st.integers(1, 8), st.integers(1, 8), st.one_of(st.none(), st.integers(0, 20)))
def test_the_checker_finds_the_fewest_nodes(
    blocks: list[int], node: int, domain: int, chips: int | None
) -> None:
    def rooms(n: int) -> list[int]:
        sizes = [node] * n if chips is None else [min(node, chips - node * i) for i in range(n)]
        return [min(domain, size - at) for size in sizes for at in range(0, size, domain)]

    most = len(blocks) if chips is None else -(-chips // node)
    fewest = next((n for n in range(most + 1) if fits(sorted(blocks, reverse=True), rooms(n))), None)
    assert nodes_for(Counter(blocks), node, min(domain, node), chips) == fewest


@settings(SETTINGS, max_examples=300)
@given(SIZES, SIZES, st.integers(1, 100_000))
def test_every_block_of_a_placement_lies_in_a_domain(blocks: list[int], rooms: list[int], times: int) -> None:
    """Of so many copies of some blocks in so many copies of some domains; found whenever one copy fits."""
    own, domains = ({size: times * n for size, n in Counter(x).items()} for x in (blocks, rooms))
    runs = place(own, domains)
    assert runs is not None or not fits(sorted(blocks, reverse=True), rooms)
    used: Counter[int] = Counter()
    placed: Counter[int] = Counter()
    for run in runs or []:
        held = dict(zip(sorted(own, reverse=True), run.blocks, strict=True))
        assert sum(size * n for size, n in held.items()) <= run.domain
        used[run.domain] += run.times
        placed.update({size: run.times * n for size, n in held.items() if n})
    assert all(n <= domains[size] for size, n in used.items())
    assert runs is None or placed == own
