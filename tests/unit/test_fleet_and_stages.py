"""Fleets and pipelines against brute force and a published example.

Guards the two models that are not one service on one kind of pool: slices of buckets over unlike chips, and
counts of layers over unlike stages.
"""

from fractions import Fraction
from itertools import product
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from optimizer.check_fleet import FleetCheck
from optimizer.columns.fleet import FleetColumns, Item
from optimizer.columns.replicas import FORMATS, Replicas
from optimizer.columns.supply import Supply
from optimizer.solver.fleet import plan_fleet
from optimizer.solver.stages import Split, slowest_stage

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def setups(phase: str, chips: list[tuple[str, int]]) -> Replicas:
    rest = ("bf16", "bf16")
    return Replicas.of(
        [
            dict(
                zip(
                    FORMATS,
                    (phase, chip, n, 1, 1, 1, 1, *rest, n, 1.0, 1.0, 1.0, 0.0, ""),
                    strict=False,
                )
            )
            for chip, n in chips
        ]
    )


def test_melanges_example_costs_what_its_authors_print() -> None:
    """tyler-griggs/melange-release @d46ab438, melange/config/example.json: 3 A10G and 1 A100, 6.70 USD/h."""
    rates = np.array([[2.0, 20.0], [1.0, 20.0], [5.0, 40.0], [2.0, 20.0]])
    supplies = (
        Supply("A10G", None, 1.01, None, None, None, None),
        Supply("A100", None, 3.67, None, None, None, None),
    )
    item = Item(0, "aggregated", setups("aggregated", [("A10G", 1), ("A100", 1)]), rates, None)
    demand = (30 * 0.2, 30 * 0.1, 30 * 0.5, 30 * 0.2)
    plan = plan_fleet(
        FleetColumns(supplies, ("model",), (demand,), (item,), {}), ("usd_per_hour", 1), {}, 1, False
    )
    assert (plan.proved.status, plan.proved.objective) == ("optimal", 6_700_000)
    assert plan.replicas == {(0, 0): 3, (0, 1): 1}


@st.composite
def fleets(draw: Any) -> tuple[FleetColumns, dict[str, float], bool]:
    supplies = tuple(
        Supply(name, None, draw(st.sampled_from([1.0, 1.3, 2.5])), 500.0, 4, None, None)
        for name in ("red", "blue")
    )
    rate = st.integers(0, 40)
    items, demands = [], []
    for service in range(draw(st.integers(1, 2))):
        buckets = draw(st.integers(1, 2))
        demands.append(tuple(draw(st.integers(1, 60)) / 10 for _ in range(buckets)))
        for phase in draw(st.sampled_from([("aggregated",), ("prefill", "decode")])):
            chips = [("red", draw(st.sampled_from([1, 2, 3]))), ("blue", draw(st.sampled_from([1, 2])))]
            rates = np.array([[draw(rate) / 8 for _ in chips] for _ in range(buckets)])
            items.append(Item(service, phase, setups(phase, chips), rates, None))
    columns = FleetColumns(supplies, tuple(map(str, range(len(demands)))), tuple(demands), tuple(items), {})
    limits = {
        "inventory:red": float(draw(st.integers(0, 8))),
        "inventory:blue": float(draw(st.integers(0, 8))),
    }
    return columns, limits, draw(st.booleans())


@SETTINGS
@given(fleets(), st.sampled_from([1, 2]))
def test_the_cheapest_fleet_is_brute_forces(fleet: Any, slices: int) -> None:
    columns, limits, same = fleet
    sizes = sum(len(d) for j, d in enumerate(columns.demands) for i in columns.items if i.service == j)
    assume(same or sizes * slices <= 6)
    found = plan_fleet(columns, ("usd_per_hour", 1), limits, slices, same)
    truth = cheapest(columns, limits, 1 if same else slices, same)
    assert (found.proved.status == "optimal") is (truth is not None)
    if truth is not None:
        assert found.proved.objective == round(truth * 10**6)
        check = FleetCheck(columns, found.replicas, found.slices, 1 if same else slices)
        assert check.broken(limits, everything=True) == []


def cheapest(columns: FleetColumns, limits: dict[str, float], slices: int, same: bool) -> Fraction | None:
    """Every way to give each slice of each bucket to a setup of each phase."""
    places = []
    for item in columns.items:
        whole = list(product(range(len(item.setups)), repeat=1 if same else len(item.rates) * slices))
        places.append([w * (len(item.rates) * slices) if same else w for w in whole])
    best: Fraction | None = None
    for choice in product(*places):
        cost = cost_of(columns, choice, limits, slices)
        if cost is not None and (best is None or cost < best):
            best = cost
    return best


def cost_of(
    columns: FleetColumns, choice: tuple[tuple[int, ...], ...], limits: dict[str, float], slices: int
) -> Fraction | None:
    groups: dict[str, list[int]] = {"red": [], "blue": []}
    for item, setup_of in zip(columns.items, choice, strict=True):
        busy: dict[int, Fraction] = {}
        for at, k in enumerate(setup_of):
            rate = item.rates[at // slices, k]
            if not rate:
                return None
            demand = Fraction(str(columns.demands[item.service][at // slices]))
            busy[k] = busy.get(k, Fraction(0)) + demand / slices / Fraction(str(rate))
        for k, load in busy.items():
            groups[str(item.setups.chip[k])] += [int(item.setups.chips[k])] * ceil(load)
    for chip, sizes in groups.items():
        if not fits(sorted(sizes, reverse=True), int(limits[f"inventory:{chip}"])):
            return None
    prices = {s.name: Fraction(str(s.usd_per_hour)) for s in columns.supplies}
    return sum((sum(sizes) * prices[chip] for chip, sizes in groups.items()), Fraction(0))


def fits(sizes: list[int], chips: int) -> bool:
    """Groups into nodes of four, by trying every place."""
    free = [4] * (chips // 4) + [chips % 4]

    def put(at: int) -> bool:
        if at == len(sizes):
            return True
        for j in range(len(free)):
            if free[j] >= sizes[at] and free[j] not in free[:j]:
                free[j] -= sizes[at]
                if put(at + 1):
                    return True
                free[j] += sizes[at]
        return False

    return sum(sizes) <= chips and put(0)


@st.composite
def splits(draw: Any) -> Split:
    kinds, stages = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    counts = [draw(st.integers(1, 6)) for _ in range(kinds)]
    figure = st.integers(1, 10**6)
    whole = None
    if draw(st.booleans()):
        whole = ([[draw(figure) for _ in range(stages)] for _ in range(kinds)], draw(st.integers(0, 10**7)))
    return Split(
        time=[[draw(figure) for _ in range(stages)] for _ in range(kinds)],
        memory=[[draw(st.integers(1, 5)) for _ in range(stages)] for _ in range(kinds)],
        base_time=[draw(figure) for _ in range(stages)],
        capacity=[draw(st.integers(1, 25)) for _ in range(stages)],
        counts=counts,
        total=sum(counts),
        whole=whole,
    )


@SETTINGS
@given(splits())
def test_the_slowest_stage_is_brute_forces(split: Split) -> None:
    stages, kinds = range(len(split.base_time)), range(len(split.time))
    best = None
    ways = [
        [way for way in product(range(n + 1), repeat=len(stages)) if sum(way) == n]
        for n in split.counts or []
    ]
    for counts in product(*ways):
        if any(not sum(counts[k][s] for k in kinds) for s in stages):
            continue
        if any(sum(split.memory[k][s] * counts[k][s] for k in kinds) > split.capacity[s] for s in stages):
            continue
        slowest = max(
            split.base_time[s] + sum(split.time[k][s] * counts[k][s] for k in kinds) for s in stages
        )
        if split.whole is not None:
            path = sum(split.whole[0][k][s] * counts[k][s] for k in kinds for s in stages)
            if 2 * path + slowest > 2 * split.whole[1]:
                continue
        best = slowest if best is None else min(best, slowest)
    proved, counts = slowest_stage(split)
    assert proved.status == ("infeasible" if best is None else "optimal")
    assert proved.objective == best
    if best is not None:
        assert [sum(row) for row in counts] == split.counts


def test_faster_chips_take_more_layers() -> None:
    """Twice the speed, twice the layers, where memory allows it."""
    split = Split([[200, 100]], [[1, 1]], [0, 0], [90, 90], [60], 60)
    proved, counts = slowest_stage(split)
    assert (proved.objective, counts) == (4000, [[20, 40]])
    tight = Split([[200, 100]], [[1, 1]], [0, 0], [90, 30], [60], 60)
    assert slowest_stage(tight)[1] == [[30, 30]]


@pytest.mark.parametrize("goal", ["chips", "usd_per_hour"])
def test_more_than_the_inventory_is_infeasible(goal: str) -> None:
    item = Item(0, "aggregated", setups("aggregated", [("red", 1)]), np.array([[1.0]]), None)
    red = (Supply("red", 3, 1.0, 1.0, 8, None, None),)
    columns = FleetColumns(red, ("model",), ((4.0,),), (item,), {})
    assert plan_fleet(columns, (goal, 1), {"inventory:red": 3.0}, 4, False).proved.status == "infeasible"
    served = plan_fleet(columns, ("requests_per_s", -1), {"inventory:red": 3.0}, 4, False)
    assert (served.proved.status, served.proved.objective) == ("optimal", -3 * 10**8)
