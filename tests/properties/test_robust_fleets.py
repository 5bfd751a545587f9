"""Fleets that must hold when things go wrong, against brute force: every choice of replicas in every case.

Guards the reasons that are said of a case, the cases that remain, the rates that setups have in them, and the
checker, which looks up each by itself. Cases are drawn as figures, and as `robust` of whole problems.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import test_models_of_fleets as models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fleet import carries, fleets, least

from optimizer import read_problem
from optimizer.columns.replicas import Replicas
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns, Item
from optimizer.questions.fleet.robustness import robustness_of
from optimizer.questions.fleet.routes import checked
from optimizer.questions.fleet.whole import plan_fleet
from optimizer.questions.question import question_of

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
STOCK = 4


@st.composite
def in_cases(draw: Any, drawn: Any) -> tuple[FleetColumns, dict[str, float]]:
    """A fleet of which each setup has a rate of its own for each size of request in two or three cases."""
    columns, limits = draw(drawn)
    cases = tuple(draw(st.lists(st.sampled_from([0.7, 1.0, 1.2, 1.5]), min_size=2, max_size=3)))
    share = st.sampled_from([1.0, 1.0, 0.8, 0.5, 0.0])
    items = []
    for item in columns.items:
        worst = [
            item.rates * np.array([[draw(share) for _ in row] for row in item.rates.tolist()]) for _ in cases
        ]
        items.append(replace(item, worst=tuple(worst)))
    return replace(columns, items=tuple(items), cases=cases), limits


def held(columns: FleetColumns, limits: dict[str, float], replicas: Any, shares: Any) -> None:
    """Each case has a way to split the traffic that the check of answers accepts."""
    routes = checked(columns, replicas, shares, True).routes
    for case, route in zip(columns.figures(), routes, strict=True):
        assert FleetCheck(case, replicas, route).broken(limits, True) == []


@SETTINGS
@given(in_cases(fleets()), st.sampled_from(["usd_per_hour", "chips"]))
def test_the_cheapest_fleet_carries_every_case(fleet: Any, goal: str) -> None:
    columns, limits = fleet
    found, truth = plan_fleet(columns, (goal, 1), limits), least(columns, limits, goal)
    assert found.proved.status == ("infeasible" if truth is None else "optimal")
    if truth is not None:
        assert found.proved.objective == round(truth * (10**6 if goal == "usd_per_hour" else 1))
        held(columns, limits, found.replicas, found.shares)


@SETTINGS
@given(in_cases(models.fleets()))
def test_the_cheapest_choice_of_models_answers_well_in_every_case(fleet: Any) -> None:
    columns, limits = fleet
    found, truth = plan_fleet(columns, ("usd_per_hour", 1), limits), cheapest(columns, limits)
    assert found.proved.status == ("infeasible" if truth is None else "optimal")
    if truth is not None:
        assert found.proved.objective == round(truth * 10**6)
        held(columns, limits, found.replicas, found.shares)


def cheapest(columns: FleetColumns, limits: dict[str, float]) -> Fraction | None:
    """The least cost of models and replicas that answer all traffic well enough in every case."""
    price = {s.name: Fraction(str(s.usd_per_hour)) for s in columns.supplies}
    number = {id(item): j for j, item in enumerate(columns.items)}
    ways = []
    for service in range(len(columns.names)):
        ways.append([])
        for used, took in models.counts_of(columns, limits, service):
            good = models.allowed(columns, service, used) and all(
                models.best_first(case, service, [(case.items[number[id(item)]], n) for item, n in used])
                for case in columns.figures()
            )
            ways[-1] += [took] if good else []
    costs = []
    for choice in product(*ways):
        took = {chip: sum(own[chip] for own in choice) for chip in price}
        if all(n <= limits[f"inventory:{chip}"] for chip, n in took.items()):
            costs.append(sum((n * price[chip] for chip, n in took.items()), Fraction(0)))
    return min(costs, default=None)


@st.composite
def problems(draw: Any) -> dict[str, Any]:
    """One or two services of one or two sizes of request, on up to three setups with a few batches each."""
    rows = []
    for mode in draw(st.sampled_from([["agg"], ["agg", "agg"], ["prefill", "decode", "agg"]])):
        chip, chips = draw(st.sampled_from(["red", "blue"])), draw(st.sampled_from([1, 2]))
        for size, batch in product(("short", "long"), (1, 2, 4)):
            own = {"mode": mode, "chip": chip, "chips": chips, "batch": batch, "size": size}
            own |= {"requests_per_s": draw(st.integers(1, 30)) / 8 + batch / 4}
            rows.append(own | {"ttft_ms": 100.0, "tpot_ms": draw(st.sampled_from([5.0, 8.0])) + batch})
    hours = st.sampled_from([1.2, 1.5, [1.4, {"factor": 0.7, "latency": 1.4}]])
    parts = {"latency": st.sampled_from([1.1, 1.6]), "rate": st.sampled_from([0.9, 0.5]), "traffic": hours}
    robust = draw(st.fixed_dictionaries({}, optional=parts).filter(bool))
    robust |= {"at_once": 1} if draw(st.booleans()) else {}
    services = []
    for number in range(draw(st.integers(1, 2))):
        sizes = draw(st.sampled_from([["short"], ["short", "long"]]))
        traffic = [
            {"input_tokens": 9, "output_tokens": 9, "requests_per_s": rate, "rows": {"size": size}}
            for size, rate in zip(sizes, (draw(st.integers(1, 12)) / 4 for _ in sizes), strict=True)
        ]
        bounds = {"tpot_ms_max": draw(st.sampled_from([10.0, 13.0]))}
        own = {"name": f"s{number}", "performance_table": rows, "traffic": traffic, "constraints": bounds}
        services.append(own)
    hardware = [{"chip": c, "usd_per_chip_hour": p, "max_count": STOCK} for c, p in (("red", 2), ("blue", 1))]
    return {
        "name": "drawn",
        "hardware": hardware,
        "deployment": {"mode": ["aggregated", "disaggregated"]},
        "services": services,
        "minimize": "usd_per_hour",
        "robust": robust,
    }


def cases(robust: dict[str, Any]) -> Iterator[tuple[Fraction, Fraction, Fraction]]:
    """What times, rates and traffic are multiplied by, whatever goes wrong."""
    parts = [part for part in robust if part != "at_once"]
    for size in range(robust.get("at_once", len(parts)) + 1):
        for some in combinations(parts, size):
            hours = robust["traffic"] if "traffic" in some else 1.0
            for hour in hours if isinstance(hours, list) else [hours]:
                own = hour if isinstance(hour, dict) else {"factor": hour, "latency": 1.0}
                slow = Fraction(str(own["latency"])) * Fraction(
                    str(robust["latency"] if "latency" in some else 1)
                )
                yield (
                    slow,
                    Fraction(str(robust["rate"] if "rate" in some else 1)),
                    Fraction(str(own["factor"])),
                )


def truth_of(problem: dict[str, Any], room: float) -> float | None:
    """The least cost of replicas that carry `room` times the traffic in every case."""
    price, ways = {"red": 2, "blue": 1}, []
    table = problem["services"][0]["performance_table"]
    setups = list(dict.fromkeys((r["mode"], r["chip"], r["chips"]) for r in table))
    counts = list(product(*(range(STOCK // chips + 1) for _, _, chips in setups)))
    for service in problem["services"]:
        each = [figures(service, table, setups, case, room) for case in cases(problem["robust"])]
        able = []
        for n in counts:
            used = [k for k, count in enumerate(n) if count]
            if all(carries(demand, [(items[k], 0, n[k]) for k in used]) for demand, items in each):
                able.append(
                    [sum(m * s[2] for m, s in zip(n, setups, strict=True) if s[1] == c) for c in price]
                )
        ways.append(able)
    costs = [
        sum(n * p for n, p in zip(took, price.values(), strict=True))
        for choice in product(*ways)
        if max(took := [sum(n) for n in zip(*choice, strict=True)]) <= STOCK
    ]
    return min(costs, default=None)


def figures(
    service: Any, table: Any, setups: Any, case: Any, room: float
) -> tuple[tuple[float, ...], list[Item]]:
    """The traffic of a case, and what one replica of each setup serves of it within the bounds."""
    slow, rate, traffic = case
    limit, items = service["constraints"]["tpot_ms_max"], []
    for mode, chip, chips in setups:
        best = []
        for bucket in service["traffic"]:
            able = [
                Fraction(row["requests_per_s"]) * min(rate, 1 / slow)
                for row in table
                if (row["mode"], row["chip"], row["chips"]) == (mode, chip, chips)
                and row["size"] == bucket["rows"]["size"]
                and (mode == "prefill" or Fraction(row["tpot_ms"]) * slow <= Fraction(limit))
            ]
            best.append([float(max(able, default=Fraction(0)))])
        phase = {"agg": "aggregated"}.get(mode, mode)
        items.append(Item(0, phase, Replicas.of([]), np.array(best), None))
    return tuple(float(b["requests_per_s"] * traffic) * room for b in service["traffic"]), items


@settings(SETTINGS, max_examples=20)
@given(problems())
def test_the_optimum_is_brute_forces_and_each_part_has_its_price(problem: dict[str, Any]) -> None:
    question = question_of(read_problem(problem))
    best = question.best()
    low, high = (truth_of(problem, room) for room in (1 - 1e-6, 1 + 1e-6))
    if low is None:
        assert best.status == "infeasible"
    if high is None:
        return
    assert best.status == "optimal" and low <= best.value <= high
    found = robustness_of(question, best)
    assert len(found.cases) == len(list(cases(problem["robust"])))
    assert all(row.to_spare is None or row.to_spare > -1e-7 for row in found.cases)
    assert all(row.difference is not None and row.difference >= 0 for row in found.prices)
