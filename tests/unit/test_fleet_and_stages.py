"""Fleets and pipelines against brute force and a published example.

Guards the two models that are not one service on one kind of pool: slices of buckets over unlike chips, and
counts of layers over unlike stages.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.questions.fleet.columns import FleetColumns, Item
from optimizer.questions.fleet.whole import plan_fleet
from optimizer.questions.pipeline.programme import Cut, _nothing_faster, slowest_stage

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def setups(phase: str, chips: list[tuple[str, int]]) -> Replicas:
    plain = {"mode": phase, "batch": 1, "weight_dtype": "bf16", "kv_dtype": "bf16", "requests_per_s": 1.0}
    plain |= {"ttft_ms": 1.0, "tpot_ms": 1.0, "memory_gib": 0.0, "label": ""}
    return Replicas.of([plain | {"chip": chip, "tensor_parallel": n, "chips": n} for chip, n in chips])


def test_melanges_example_costs_less_where_buckets_split() -> None:
    """tyler-griggs/melange-release @d46ab438, melange/config/example.json: 3 A10G and 1 A100, 6.70 USD/h.

    It gives each bucket whole to one kind of chip. One A100 is busy with all of it for
    1.125 of its time; one A10G takes the 5 requests/s of the third bucket that are over.
    """
    rates = np.array([[2.0, 20.0], [1.0, 20.0], [5.0, 40.0], [2.0, 20.0]])
    supplies = (
        Supply("A10G", None, 1.01, None, None, None, None),
        Supply("A100", None, 3.67, None, None, None, None),
    )
    item = Item(0, "aggregated", setups("aggregated", [("A10G", 1), ("A100", 1)]), rates, None)
    demand = (30 * 0.2, 30 * 0.1, 30 * 0.5, 30 * 0.2)
    columns = FleetColumns(supplies, ("model",), (demand,), (item,), (False,), {})
    plan = plan_fleet(columns, ("usd_per_hour", 1), {})
    assert (plan.proved.status, plan.proved.objective) == ("optimal", 4_680_000)
    assert plan.replicas == {(0, 0): 1, (0, 1): 1}


@st.composite
def splits(draw: Any) -> Cut:
    kinds, stages = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    counts = [draw(st.integers(1, 6)) for _ in range(kinds)]
    figure = st.integers(1, 10**6)
    path = None
    if draw(st.booleans()):
        path = ([[draw(figure) for _ in range(stages)] for _ in range(kinds)], draw(st.integers(0, 10**7)))
    return Cut(
        time=[[draw(figure) for _ in range(stages)] for _ in range(kinds)],
        memory=[[draw(st.integers(1, 5)) for _ in range(stages)] for _ in range(kinds)],
        capacity=[draw(st.integers(1, 25)) for _ in range(stages)],
        counts=counts,
        total=sum(counts),
        most=draw(st.one_of(st.none(), st.integers(0, 6 * 10**6))),
        path=path,
    )


@SETTINGS
@given(splits())
def test_the_slowest_stage_is_brute_forces(split: Cut) -> None:
    stages, kinds = range(len(split.capacity)), range(len(split.time))
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
        slowest = max(sum(split.time[k][s] * counts[k][s] for k in kinds) for s in stages)
        if split.most is not None and slowest > split.most:
            continue
        if split.path is not None:
            paths = [sum(split.path[0][k][s] * counts[k][s] for k in kinds) for s in stages]
            if any(2 * path + slowest > 2 * split.path[1] for path in paths):
                continue
        best = slowest if best is None else min(best, slowest)
    proved, counts = slowest_stage(split)
    assert proved.status == ("infeasible" if best is None else "optimal")
    assert proved.objective == best
    if best is not None:
        assert [sum(row) for row in counts] == split.counts


def test_faster_chips_take_more_layers() -> None:
    """Twice the speed, twice the layers, where memory allows it."""
    split = Cut([[200, 100]], [[1, 1]], [90, 90], [60], 60)
    proved, counts = slowest_stage(split)
    assert (proved.objective, counts) == (4000, [[20, 40]])
    tight = Cut([[200, 100]], [[1, 1]], [90, 30], [60], 60)
    assert slowest_stage(tight)[1] == [[30, 30]]


@pytest.mark.parametrize("goal", ["chips", "usd_per_hour"])
def test_more_than_the_inventory_is_infeasible(goal: str) -> None:
    item = Item(0, "aggregated", setups("aggregated", [("red", 1)]), np.array([[1.0]]), None)
    red = (Supply("red", 3, 1.0, 1.0, 8, None, None),)
    columns = FleetColumns(red, ("model",), ((4.0,),), (item,), (False,), {})
    assert plan_fleet(columns, (goal, 1), {"inventory:red": 3.0}).proved.status == "infeasible"
    served = plan_fleet(columns, ("requests_per_s", -1), {"inventory:red": 3.0})
    assert (served.proved.status, served.proved.objective) == ("optimal", -3 * 10**8)


@SETTINGS
@given(splits())
def test_the_witness_says_yes_of_the_optimum_alone(split: Cut) -> None:
    """With one kind of layer and no limit on times: of the optimum yes, of one more no."""
    counts = (split.counts or [])[:1]
    one = {"time": split.time[:1], "memory": split.memory[:1], "counts": counts, "total": sum(counts)}
    plain = replace(split, **one, most=None, path=None)
    proved, _ = slowest_stage(plain)
    if proved.objective is not None:
        assert _nothing_faster(plain, proved.objective)
        assert not _nothing_faster(plain, proved.objective + 1)


def test_a_limit_on_the_path_counts_half_the_slowest_stage() -> None:
    """One layer on the first stage: 100 and half of 30 are within 150, 200 and half of 20 are not."""
    split = Cut([[10, 10]], [[0, 0]], [9, 9], [4], 4, path=([[100, 1]], 150))
    proved, counts = slowest_stage(split)
    assert (proved.objective, counts) == (30, [[1, 3]])
    assert slowest_stage(replace(split, path=([[100, 1]], 115)))[1] == [[1, 3]]
    assert slowest_stage(replace(split, path=([[100, 1]], 114)))[0].status == "infeasible"
