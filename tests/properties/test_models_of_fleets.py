"""Services with several models to choose from, against brute force.

Guards the rows by which models, setups, replicas and shares are chosen together: what some replicas carry of
one size of request, well enough on the mean, is found by filling the best models first, in fractions; of two
sizes by an engine of linear programmes on rows written here.
"""

from fractions import Fraction
from itertools import product
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fleet import RATES, TRAFFIC, setups

from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns, Item
from optimizer.questions.fleet.quality import Quality
from optimizer.questions.fleet.shares import carried, carried_in_floats
from optimizer.questions.fleet.whole import plan_fleet
from optimizer.solver.mathopt import linear
from optimizer.watch import UNWATCHED

SETTINGS = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
QUALITIES = st.sampled_from([0.5, 0.6, 0.75, 0.8, 0.9, 1 / 3])
Limits = dict[str, float]


@st.composite
def fleets(draw: Any, sizes: int = 1) -> tuple[FleetColumns, Limits]:
    """One or two services of up to three models, aggregated or in pairs, on two kinds of chips."""
    supplies = tuple(
        Supply(name, None, draw(st.sampled_from([1.0, 1.3, 2.5])), 500.0, None, None, None)
        for name in ("red", "blue")
    )
    items, demands, same, qualities = [], [], [], []
    n_services = draw(st.integers(1, 2))
    for service in range(n_services):
        demands.append(tuple(draw(TRAFFIC) for _ in range(sizes)))
        same.append(draw(st.booleans()) and draw(st.booleans()))
        each = draw(st.lists(QUALITIES, min_size=1, max_size=3 if n_services == 1 else 2))
        low = min(each) if draw(st.booleans()) else 0.4
        qualities.append(
            Quality.of(each, draw(st.sampled_from([None, low, max(each), (low + max(each)) / 2])))
        )
        for model in range(len(each)):
            for phase in draw(st.sampled_from([("aggregated",), ("aggregated",), ("prefill", "decode")])):
                rates = np.array([[draw(RATES)] for _ in range(sizes)])
                items.append(Item(service, phase, Replicas.of([draw(setups(phase))]), rates, None, model))
    limits = {f"inventory:{s.name}": float(draw(st.integers(0, 6))) for s in supplies}
    names = tuple(f"service {j}" for j in range(n_services))
    own = (supplies, names, tuple(demands), tuple(items), tuple(same), {})
    return FleetColumns(*own, qualities=tuple(qualities)), limits


def counts_of(columns: FleetColumns, limits: Limits, service: int) -> Any:
    """Every choice of replicas of a service's items, with the chips it takes."""
    items = [item for item in columns.items if item.service == service]
    tops = [int(limits[f"inventory:{i.setups.chip[0]}"]) // int(i.setups.chips[0]) for i in items]
    for counts in product(*(range(top + 1) for top in tops)):
        used = dict.fromkeys(("red", "blue"), 0)
        for item, n in zip(items, counts, strict=True):
            used[str(item.setups.chip[0])] += n * int(item.setups.chips[0])
        if all(used[chip] <= limits[f"inventory:{chip}"] for chip in used):
            yield [(item, n) for item, n in zip(items, counts, strict=True) if n], used


def allowed(columns: FleetColumns, service: int, used: list[tuple[Item, int]]) -> bool:
    """One setup a phase where all must be the same, and caches handed over within a model in one format."""
    phases = sorted(item.phase for item, _ in used)
    if columns.same[service] and phases not in (["aggregated"], ["decode", "prefill"]):
        return False
    caches = {(i.model, str(i.setups.kv_dtype[0])) for i, _ in used if i.phase != "aggregated"}
    return len(caches) == len({model for model, _ in caches})


def best_first(columns: FleetColumns, service: int, used: list[tuple[Item, int]]) -> bool:
    """Whether replicas carry all of one size of request, well enough: the best models are filled first."""
    quality = columns.qualities[service]
    assert quality is not None
    left = demand = Fraction(ceil(columns.demands[service][0] * 10**8 - 1e-3))
    total = Fraction(0)
    for own, model in sorted(((q, m) for m, q in enumerate(quality.each)), reverse=True):
        by = dict.fromkeys(("aggregated", "prefill", "decode"), Fraction(0))
        for item, n in used:
            if item.model == model:
                by[item.phase] += n * int(float(item.rates[0, 0]) * 10**8 + 1e-3)
        filled = min(left, by["aggregated"] + min(by["prefill"], by["decode"]))
        left, total = left - filled, total + filled * own
    return not left and (quality.least is None or total >= quality.least * demand)


def cheapest(columns: FleetColumns, limits: Limits) -> Fraction | None:
    """The least cost over all numbers of replicas."""
    price = {s.name: Fraction(str(s.usd_per_hour)) for s in columns.supplies}
    ways = []
    for service in range(len(columns.names)):
        found = counts_of(columns, limits, service)
        ways.append(
            [
                took
                for used, took in found
                if allowed(columns, service, used) and best_first(columns, service, used)
            ]
        )
    best: Fraction | None = None
    for choice in product(*ways):
        took = {chip: sum(own[chip] for own in choice) for chip in price}
        cost = sum((n * price[chip] for chip, n in took.items()), Fraction(0))
        fits = all(n <= limits[f"inventory:{chip}"] for chip, n in took.items())
        best = cost if fits and (best is None or cost < best) else best
    return best


@SETTINGS
@given(fleets())
def test_the_cheapest_choice_of_models_is_brute_forces(fleet: Any) -> None:
    columns, limits = fleet
    found, truth = plan_fleet(columns, ("usd_per_hour", 1), limits), cheapest(columns, limits)
    assert found.proved.status == ("infeasible" if truth is None else "optimal")
    if truth is not None:
        assert found.proved.objective == round(truth * 10**6)
        assert FleetCheck(columns, found.replicas, found.shares).broken(limits, True) == []


@SETTINGS
@given(fleets(sizes=2), st.booleans())
def test_of_two_sizes_replicas_carry_what_a_programme_says(fleet: Any, floats: bool) -> None:
    """The most that one replica of each setup carries, and a reason that is true of them."""
    columns, _ = fleet
    demand = [ceil(x * 10**8 - 1e-3) for x in columns.demands[0]]
    own = {(j, 0): item for j, item in enumerate(columns.items) if item.service == 0}
    rates = {key: item.capacity[:, 0].tolist() for key, item in own.items()}
    phases = {key: item.phase for key, item in own.items()}
    asked = (demand, rates, phases)
    models = columns.models(0, own)
    exact = carried(*asked, dict.fromkeys(own, 1), UNWATCHED, models)
    truth = most(columns, demand, list(own.values()))
    assert float(exact.served) == pytest.approx(truth, rel=1e-6, abs=10)
    found = [exact]
    if floats and (nearly := carried_in_floats(*asked, dict.fromkeys(own, 1), UNWATCHED, models)):
        assert (nearly.served == sum(demand)) is (exact.served == sum(demand))
        found.append(nearly)
    for worth in (reason for one in found for reason in one.reasons):
        for n in range(3):
            each = sum(n * worth.replica(phases[key], rates[key], own[key].model) for key in own)
            others = carried(*asked, dict.fromkeys(own, n), UNWATCHED, models)
            assert others.served <= worth.unserved(demand) + each


def most(columns: FleetColumns, demand: list[int], items: list[Item]) -> float:
    """The most traffic that one replica of each item answers, by linear programme: each answer a variable."""
    quality = columns.qualities[0]
    assert quality is not None
    models = range(len(quality.each))
    x = {at: i for i, at in enumerate((j, b) for j in range(len(items)) for b in range(2))}
    answered = {at: len(x) + i for i, at in enumerate(product(models, range(2)))}
    rows: list[tuple[dict[int, float], float]] = []
    for j, item in enumerate(items):
        rates = item.capacity[:, 0].tolist()
        rows.append(({x[j, b]: 1 / rates[b] for b in range(2) if rates[b]}, 1.0))
        rows += [({x[j, b]: 1.0}, 0.0) for b in range(2) if not rates[b]]
    for m, b in answered:
        for side in ("prefill", "decode"):
            mine = [j for j, i in enumerate(items) if i.model == m and i.phase in ("aggregated", side)]
            rows.append(({answered[m, b]: 1.0} | {x[j, b]: -1.0 for j in mine}, 0.0))
    rows += [({answered[m, b]: 1.0 for m in models}, float(demand[b])) for b in range(2)]
    if quality.least is not None:
        weight = [Fraction(repr(columns.demands[0][b])) / demand[b] * 10**8 for b in range(2)]
        worse = {i: -float(weight[b] * (quality.each[m] - quality.least)) for (m, b), i in answered.items()}
        rows.append((worse, 0.0))
    objective = [0.0] * len(x) + [1.0] * len(answered)
    found = linear(objective, [row for row, _ in rows], [limit for _, limit in rows], UNWATCHED)
    assert found is not None
    return sum(found[0][len(x) :])
