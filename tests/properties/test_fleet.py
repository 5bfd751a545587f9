"""Fleets against brute force, and against the same question asked otherwise.

Guards the rows in numbers of replicas alone that fleets are planned by, each a reason why some replicas carry
no more: traffic is split freely, so what a plan can carry is a question about polygons, asked here of the
half-planes of two buckets. A fleet of one service and one bucket is a deployment, always.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import ceil
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_deployment import instances

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.questions.deployment.optimum import optimum
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns, Item, items_of
from optimizer.questions.fleet.rounds import FleetPlan
from optimizer.questions.fleet.shares import carried, carried_in_floats
from optimizer.questions.fleet.whole import plan_fleet

SETTINGS = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SETUP = {
    "pipeline_parallel": 1,
    "expert_parallel": 1,
    "data_parallel": 1,
    "batch": 1,
    "weight_dtype": "bf16",
    "requests_per_s": 1.0,
    "ttft_ms": 1.0,
    "tpot_ms": 1.0,
    "memory_gib": 0.0,
    "label": "",
}
RATES = st.one_of(
    st.integers(0, 40).map(lambda n: n / 8),
    st.sampled_from([1 / 3, 2 / 3, 1 / 7, 3 / 7, 0.1, 0.3, 1.0]),
    st.integers(1, 10**8).map(lambda n: n / 1e7),
)
TRAFFIC = st.one_of(
    st.sampled_from([1 / 3, 1.0, 2.0, 3 / 7, 0.7, 1.1]), st.integers(1, 5 * 10**8).map(lambda n: n / 1e8)
)


@st.composite
def fleets(draw: Any) -> tuple[FleetColumns, dict[str, float]]:
    """One or two services of one or two buckets, of every mode and mix, on two kinds of chips."""
    supplies = tuple(
        Supply(name, None, draw(st.sampled_from([1.0, 1.3, 2.5])), 500.0, 4, None, None)
        for name in ("red", "blue")
    )
    items, demands, same = [], [], []
    for service in range(draw(st.integers(1, 2))):
        buckets = draw(st.integers(1, 2))
        demands.append(tuple(draw(TRAFFIC) for _ in range(buckets)))
        same.append(draw(st.booleans()))
        phases = [("aggregated",), ("prefill", "decode"), ("aggregated", "prefill", "decode")]
        for phase in draw(st.sampled_from(phases)):
            n = draw(st.integers(1, 2))
            rows = [draw(setups(phase)) for _ in range(n)]
            rates = np.array([[draw(RATES) for _ in range(n)] for _ in range(buckets)])
            items.append(Item(service, phase, Replicas.of(rows), rates, None))
    limits = {f"inventory:{s.name}": float(draw(st.integers(0, 7))) for s in supplies}
    names = tuple(f"service {j}" for j in range(len(demands)))
    return FleetColumns(supplies, names, tuple(demands), tuple(items), tuple(same), {}), limits


@st.composite
def setups(draw: Any, phase: str) -> dict[str, Any]:
    chips = draw(st.sampled_from([1, 2, 3]))
    chip, cache = draw(st.sampled_from(["red", "blue"])), draw(st.sampled_from(["bf16", "bf16", "fp8"]))
    own = {"mode": phase, "chip": chip, "kv_dtype": cache, "tensor_parallel": chips, "chips": chips}
    return SETUP | own


def checked(columns: FleetColumns, limits: dict[str, float], plan: FleetPlan, everything: bool) -> FleetCheck:
    check = FleetCheck(columns, plan.replicas, plan.shares)
    assert check.broken(limits, everything) == []
    return check


@SETTINGS
@given(fleets(), st.sampled_from(["usd_per_hour", "chips"]))
def test_the_cheapest_fleet_is_brute_forces(fleet: Any, goal: str) -> None:
    columns, limits = fleet
    found = plan_fleet(columns, (goal, 1), limits)
    truth = least(columns, limits, goal)
    assert found.proved.status == ("infeasible" if truth is None else "optimal")
    if truth is not None:
        assert found.proved.objective == round(truth * (10**6 if goal == "usd_per_hour" else 1))
        checked(columns, limits, found, True)


def least(columns: FleetColumns, limits: dict[str, float], goal: str) -> Fraction | None:
    """The least of a total over all numbers of replicas that carry everything and find room."""
    each = [
        {s.name: Fraction(1) if goal == "chips" else Fraction(str(s.usd_per_hour)) for s in columns.supplies}
    ][0]
    ways: list[list[tuple[Fraction, dict[str, list[int]]]]] = []
    for service in range(len(columns.names)):
        found = []
        for groups in plans(columns, limits, service):
            cost = sum((sum(sizes) * each[chip] for chip, sizes in groups.items()), Fraction(0))
            found.append((cost, groups))
        ways.append(sorted(found, key=lambda way: way[0]))
    best: Fraction | None = None
    for choice in product(*ways):
        cost = sum((c for c, _ in choice), Fraction(0))
        if best is None or cost < best:
            used = {chip: [size for _, groups in choice for size in groups[chip]] for chip in each}
            if all(fits(sorted(used[c])[::-1], int(limits[f"inventory:{c}"])) for c in used):
                best = cost
    return best


def plans(columns: FleetColumns, limits: dict[str, float], service: int) -> Iterator[dict[str, list[int]]]:
    """The groups of chips of every choice of replicas that carries a service's traffic, in every case."""
    own = [(j, item) for j, item in enumerate(columns.items) if item.service == service]
    keys = [(j, item, k) for j, item in own for k in range(len(item.setups))]
    tops = [int(limits[f"inventory:{i.setups.chip[k]}"]) // int(i.setups.chips[k]) for _, i, k in keys]
    cases = columns.figures()
    for counts in product(*(range(top + 1) for top in tops)):
        groups: dict[str, list[int]] = {"red": [], "blue": []}
        for (_, item, k), n in zip(keys, counts, strict=True):
            groups[str(item.setups.chip[k])] += [int(item.setups.chips[k])] * n
        if all(sum(sizes) <= limits[f"inventory:{chip}"] for chip, sizes in groups.items()):
            used = [(j, k, n) for (j, _, k), n in zip(keys, counts, strict=True) if n]
            each = [[(case.items[j], k, n) for j, k, n in used] for case in cases]
            carried = (carries(c.demands[service], mine) for c, mine in zip(cases, each, strict=True))
            if _allowed(columns.same[service], each[0]) and all(carried):
                yield groups


def _allowed(same: bool, used: list[tuple[Item, int, int]]) -> bool:
    if len({str(i.setups.kv_dtype[k]) for i, k, _ in used if i.phase != "aggregated"}) > 1:
        return False
    phases = sorted(item.phase for item, _, _ in used)
    return not same or phases in (["aggregated"], ["decode", "prefill"])


def carries(demands: tuple[float, ...], used: list[tuple[Item, int, int]]) -> bool:
    """Whether pairs can carry so much of two buckets that the rest is left: a polygon is not empty."""
    d = [*(Fraction(ceil(x * 10**8 - 1e-3)) for x in demands), Fraction(0)][:2]
    pools = {phase: pool(phase, used) for phase in ("aggregated", "prefill", "decode")}
    region = [(Fraction(0), Fraction(0)), (d[0], Fraction(0)), (d[0], d[1]), (Fraction(0), d[1])]
    for a, b, c in [*pools["prefill"], *pools["decode"]]:
        region = clipped(region, a, b, c)
    for a, b, c in pools["aggregated"]:
        region = clipped(region, -a, -b, c - a * d[0] - b * d[1])
    return bool(region)


def pool(phase: str, used: list[tuple[Item, int, int]]) -> list[tuple[Fraction, Fraction, Fraction]]:
    """What replicas of one phase carry of two buckets, as a x + b y <= c: most of one, and every trade."""
    arms = []
    for item, k, n in used:
        if item.phase == phase:
            rates = [Fraction(int(float(r) * 10**8 + 1e-3)) for r in item.rates[:, k]]
            arms.append((n * rates[0], n * (rates[1] if len(rates) > 1 else 0)))
    x, y = sum((a for a, _ in arms), Fraction(0)), Fraction(0)
    rows = [(Fraction(1), Fraction(0), x), (Fraction(0), Fraction(1), sum((b for _, b in arms), Fraction(0)))]
    arms.sort(key=lambda arm: (arm[0] > 0, -arm[1] / arm[0] if arm[0] else 0))
    for a, b in arms:
        rows.append((b, a, b * x + a * y))
        x, y = x - a, y + b
    return rows


def clipped(
    region: list[tuple[Fraction, Fraction]], a: Fraction, b: Fraction, c: Fraction
) -> list[tuple[Fraction, Fraction]]:
    """The part of a convex polygon where a x + b y <= c (Sutherland and Hodgman 1974)."""
    found = []
    for p, q in zip(region, region[1:] + region[:1], strict=True):
        over, next_over = (a * v[0] + b * v[1] - c for v in (p, q))
        if over <= 0:
            found.append(p)
        if over * next_over < 0:
            t = over / (over - next_over)
            found.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
    return found


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


@settings(SETTINGS, max_examples=150)
@given(instances(), TRAFFIC)
def test_a_fleet_of_one_service_is_the_deployment(instance: Any, traffic: float) -> None:
    columns, name, sense, bounds = instance
    if name == "nodes":
        name = "chips"
    bounds = {key: value for key, value in bounds.items() if key != "utilisation_max"}
    r = columns.replicas.take(columns.replicas.expert_chips == 0)
    if not len(r):
        return
    columns = DeploymentColumns(**{**vars(columns), "replicas": r})
    bounds["requests_per_s"] = traffic
    fleet = one_service(columns, bounds, traffic)
    found = plan_fleet(fleet, (name, sense), bounds)
    asked = {key: value for key, value in bounds.items() if sense > 0 or key != "requests_per_s"}
    packed = optimum(columns, ((name, sense),), asked | ({} if sense > 0 else {"requests_per_s": 1e-8}))
    if sense > 0:
        assert found.proved.status == packed.status
        truth = packed.values.get(name)
    else:
        truth = min(traffic, packed.served)
    if truth is not None:
        check = checked(fleet, bounds, found, sense > 0)
        value = check.requests_per_s() if sense < 0 else check.total(name)
        assert value is not None and abs(value - truth) <= 1e-6


def one_service(columns: DeploymentColumns, bounds: dict[str, float], traffic: float) -> FleetColumns:
    own = {key: v for key, v in bounds.items() if key in ("ttft_ms_max", "tpot_ms_max", "memory_capacity")}
    items, _ = items_of(0, [columns], own)
    return FleetColumns(columns.supplies, ("one",), ((traffic,),), tuple(items), (columns.same,), {})


@SETTINGS
@given(fleets(), st.sampled_from(["usd_per_hour", "requests_per_s"]))
def test_ways_to_say_the_same_fleet_agree(fleet: Any, goal: str) -> None:
    """Order, rows named twice, two halves of a service: none changes the answer; more chips never harm."""
    columns, limits = fleet
    sense = -1 if goal == "requests_per_s" else 1
    value = value_of(columns, limits, goal, sense)
    turned = replace(columns, items=tuple(map(turned_round, columns.items[::-1])))
    assert same(value_of(turned, limits, goal, sense), value)
    twice = replace(columns, items=tuple(map(named_twice, columns.items)))
    assert same(value_of(twice, limits, goal, sense), value)
    assert same(value_of(columns, limits | {"chips_max": 10**12}, goal, sense), value)
    free = value_of(columns, {}, goal, sense)
    assert same(value_of(columns, {"chips_max": 10**12}, goal, sense), free), "together or each alone"
    more = value_of(columns, {name: n + 2 for name, n in limits.items()}, goal, sense)
    assert value is None or (more is not None and sense * more <= sense * value + 1e-7)


def value_of(columns: FleetColumns, limits: dict[str, float], goal: str, sense: int) -> float | None:
    plan = plan_fleet(columns, (goal, sense), limits)
    assert plan.proved.status in ("optimal", "infeasible")
    if plan.proved.status == "infeasible":
        return None
    check = checked(columns, limits, plan, sense > 0)
    return check.requests_per_s() if sense < 0 else check.total(goal)


def same(a: float | None, b: float | None) -> bool:
    return (a is None) == (b is None) and (a is None or b is None or abs(a - b) <= 1e-6)


def turned_round(item: Item) -> Item:
    order = np.arange(len(item.setups))[::-1]
    return Item(item.service, item.phase, item.setups.take(order), item.rates[:, order], None)


def named_twice(item: Item) -> Item:
    rows = [*range(len(item.setups)), 0]
    return Item(item.service, item.phase, item.setups.take(rows), item.rates[:, rows], None)


@settings(SETTINGS, max_examples=40)
@given(fleets(), st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_floats_say_of_traffic_what_whole_numbers_do(fleet: Any, counts: list[int]) -> None:
    """What is carried, and why no more: reasons hold for every choice of replicas."""
    columns, _ = fleet
    demand = [ceil(x * 10**8) for x in columns.demands[0]]
    keys = [(j, k) for j, i in enumerate(columns.items) if i.service == 0 for k in range(len(i.setups))]
    rates = {(j, k): columns.items[j].capacity[:, k].tolist() for j, k in keys}
    phases = {(j, k): columns.items[j].phase for j, k in keys}
    replicas, others = (dict(zip(keys, counts[at:], strict=False)) for at in (0, 6))
    asked = (demand, rates, phases)
    exact, more = carried(*asked, replicas), carried(*asked, others)
    nearly = carried_in_floats(*asked, replicas)
    if nearly is not None:
        assert (nearly.served == sum(demand)) is (exact.served == sum(demand))
    for worth in (*exact.reasons, *(nearly.reasons if nearly else ())):
        for n, served in ((replicas, exact.served), (others, more.served)):
            each = sum(m * worth.replica(phases[key], rates[key]) for key, m in n.items())
            assert served <= worth.unserved(demand) + each
    for worth in exact.reasons:
        each = sum(m * worth.replica(phases[key], rates[key]) for key, m in replicas.items())
        assert exact.served == worth.unserved(demand) + each, "the reason is the whole reason"
