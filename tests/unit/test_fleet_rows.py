"""The rows of a fleet's programme allow exactly the replicas that its sentences allow.

Guards what is told to the engines before any traffic is shared out, and the rows that are added when a plan
carries less than it claims: on small fleets every choice of replicas is tried, and what may be is worked out
from the numbers in the test.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction as F
from itertools import product
from typing import Any

import numpy as np
import pytest

from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.questions.fleet import shares as shares_module
from optimizer.questions.fleet.columns import FleetColumns, Item
from optimizer.questions.fleet.programme import FleetProgramme
from optimizer.questions.fleet.reasons import _tuned
from optimizer.questions.fleet.shares import Worth
from optimizer.questions.fleet.whole import plan_fleet
from optimizer.search.packing import Part
from optimizer.watch import UNWATCHED

SETUP: dict[str, Any] = {
    "tensor_parallel": 1, "pipeline_parallel": 1, "expert_parallel": 1, "data_parallel": 1, "batch": 1,
    "weight_dtype": "bf16", "requests_per_s": 1.0, "ttft_ms": 1.0, "tpot_ms": 1.0, "memory_gib": 0.0,
    "label": "",
}  # fmt: skip
RED, BLUE = (Supply(name, None, usd, watts, None, None, None) for name, usd, watts in (
    ("red", 2.0, 500.0), ("blue", 7.0, 900.0)
))  # fmt: skip
Setup = tuple[str, int, str]
"""Chip, chips of a replica, cache format."""


def item(service: int, phase: str, setups: list[Setup], rates: list[list[float]]) -> Item:
    """Rates bucket by setup."""
    rows = [
        SETUP | {"mode": phase, "chip": chip, "chips": n, "tensor_parallel": n, "kv_dtype": cache}
        for chip, n, cache in setups
    ]
    return Item(service, phase, Replicas.of(rows), np.array(rates), None)


def columns(
    demands: Iterable[tuple[float, ...]],
    items: Iterable[Item],
    same: tuple[bool, ...] | None = None,
    supplies: tuple[Supply, ...] = (RED, BLUE),
) -> FleetColumns:
    demands = tuple(demands)
    names = tuple(f"service {j}" for j in range(len(demands)))
    return FleetColumns(supplies, names, demands, tuple(items), same or (False,) * len(demands), {})


def programme(
    of: FleetColumns, goal: tuple[str, int] = ("chips", 1), limits: dict[str, float] | None = None
) -> FleetProgramme:
    return FleetProgramme.of(of, goal, limits or {}, frozenset(range(len(of.names))))


def allowed(fleet: FleetProgramme) -> set[tuple[tuple[tuple[int, int], int], ...]]:
    """The replicas of every choice of variables that keeps all rows."""
    m = fleet.m
    ranges = [range(low, high + 1) for low, high in zip(m.lows, m.highs, strict=True)]
    return {tuple(sorted(fleet.replicas(values).items())) for values in product(*ranges) if m.holds(values)}


def choices(
    tops: dict[tuple[int, int], int], may: Callable[[dict[tuple[int, int], int]], bool]
) -> set[tuple[tuple[tuple[int, int], int], ...]]:
    """The numbers of replicas that may be."""
    found = set()
    for counts in product(*(range(top + 1) for top in tops.values())):
        n = dict(zip(tops, counts, strict=True))
        if may(n):
            found.add(tuple((key, m) for key, m in sorted(n.items()) if m))
    return found


# One bucket: a row each for prefill and decode says all.

A, P, D = (0, 0), (1, 0), (2, 0)
ONE = [
    item(0, "aggregated", [("red", 1, "bf16")], [[1.0]]),
    item(0, "prefill", [("blue", 1, "bf16")], [[2.0]]),
    item(0, "decode", [("red", 2, "bf16")], [[1.5]]),
]


def test_whole_replicas_and_the_thinner_pool_carry_the_traffic() -> None:
    found = allowed(programme(columns([(3.0,)], ONE)))
    assert found == choices({A: 3, P: 2, D: 2}, lambda n: n[A] + min(2 * n[P], 1.5 * n[D]) >= 3)


@pytest.mark.parametrize(
    ("limits", "keeps"),
    [
        ({"inventory:red": 3.0}, lambda n: n[A] + 2 * n[D] <= 3),
        ({"inventory:blue": 1.0}, lambda n: n[P] <= 1),
        ({"inventory:red": 4.0, "inventory:blue": 1.0}, lambda n: n[A] + 2 * n[D] <= 4 and n[P] <= 1),
        ({"chips_max": 4.0}, lambda n: n[A] + n[P] + 2 * n[D] <= 4),
        ({"usd_per_hour_max": 14.0}, lambda n: 2 * n[A] + 7 * n[P] + 4 * n[D] <= 14),
        ({"usd_per_hour_max": 13.99}, lambda n: 2 * n[A] + 7 * n[P] + 4 * n[D] <= 13),
        ({"power_w_max": 2400.0}, lambda n: 500 * n[A] + 900 * n[P] + 1000 * n[D] <= 2400),
    ],
)
def test_totals_are_kept(limits: dict[str, float], keeps: Callable[[Any], bool]) -> None:
    found = allowed(programme(columns([(3.0,)], ONE), limits=limits))
    assert found == choices({A: 3, P: 2, D: 2}, lambda n: n[A] + min(2 * n[P], 1.5 * n[D]) >= 3 and keeps(n))


def test_a_setup_without_room_for_one_replica_has_none() -> None:
    fleet = programme(columns([(9.0,)], ONE), limits={"inventory:red": 5.0, "inventory:blue": 0.0})
    assert [fleet.m.highs[fleet.at[key][0]] for key in (A, P, D)] == [5, 0, 2]


def test_no_more_replicas_than_carry_all_a_setup_can_serve() -> None:
    """3/2 + 1/4 is two; 3/2 alone is two, the other bucket is beyond it; 3/3 is one."""
    rates = [[2.0, 2.0, 3.0], [4.0, 0.0, 0.0]]
    of = columns([(3.0, 1.0)], [item(0, "aggregated", [("red", 2, "bf16")] * 3, rates)])
    fleet = programme(of)
    assert [fleet.m.highs[v] for v, _ in fleet.at.values()] == [2, 2, 1]
    few = programme(of, limits={"inventory:red": 3.0})
    assert [few.m.highs[v] for v, _ in few.at.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("goal", "unit", "each"),
    [("chips", 1, (1, 1, 2)), ("usd_per_hour", 10**6, (2, 7, 4)), ("power_w", 10**3, (500, 900, 1000))],
)
def test_what_a_plan_costs(goal: str, unit: int, each: tuple[int, int, int]) -> None:
    """One whole replica, two that prefill, three that decode; 9, 5 and 6 of one setup a phase."""
    for same, counts in ((False, (1, 2, 3)), (True, (9, 5, 6))):
        fleet = programme(columns([(9.0,)], ONE, (same,)), (goal, 1))
        values = [0] * len(fleet.m.lows)
        for key, n in zip((A, P, D), counts, strict=True):
            values[fleet.at[key][0]] = 1 if same else n
        assert fleet.replicas(tuple(values)) == dict(zip((A, P, D), counts, strict=True))
        assert fleet.m.value(values) == unit * sum(n * c for n, c in zip(counts, each, strict=True))


def test_the_goal_of_most_traffic_is_what_is_served() -> None:
    fleet = programme(columns([(3.0,), (1.0,)], [*ONE, item(1, *_like(ONE[0]))]), ("requests_per_s", -1))
    assert fleet.m.objective == dict.fromkeys(fleet.served.values(), -1)
    assert [fleet.m.highs[v] for v in fleet.served.values()] == [3 * 10**8, 10**8]
    assert [fleet.m.lows[v] for v in fleet.served.values()] == [0, 0]


def _like(other: Item) -> tuple[str, list[Setup], list[list[float]]]:
    r = other.setups
    setups = [(str(r.chip[k]), int(r.chips[k]), str(r.kv_dtype[k])) for k in range(len(r))]
    return other.phase, setups, other.rates.tolist()


# Caches, and one setup a phase.

CACHES = [
    item(0, "aggregated", [("red", 1, "fp8")], [[1.0]]),
    item(0, "prefill", [("red", 1, "bf16"), ("red", 1, "fp8")], [[1.0, 1.0]]),
    item(0, "decode", [("red", 1, "bf16"), ("red", 1, "fp8")], [[1.0, 1.0]]),
]
KEYS = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]


def _one_format(n: dict[tuple[int, int], int]) -> bool:
    return not ((n[1, 0] or n[2, 0]) and (n[1, 1] or n[2, 1]))


def _one_setup(n: dict[tuple[int, int], int]) -> bool:
    used = [key for key in KEYS if n[key]]
    return used == [(0, 0)] or [j for j, _ in used] == [1, 2]


def test_caches_are_handed_over_in_one_format() -> None:
    found = allowed(programme(columns([(2.0,)], CACHES)))
    truth = choices(
        dict.fromkeys(KEYS, 2),
        lambda n: _one_format(n) and n[0, 0] + min(n[1, 0] + n[1, 1], n[2, 0] + n[2, 1]) >= 2,
    )
    assert found == truth


def test_of_one_format_there_is_nothing_to_choose() -> None:
    """Two services may hand over caches of different formats."""
    assert len(programme(columns([(3.0,)], ONE)).m.lows) == 3
    own = [
        item(service, phase, [("red", 1, cache)], [[1.0]])
        for service, cache in ((0, "bf16"), (1, "fp8"))
        for phase in ("prefill", "decode")
    ]
    fleet = programme(columns([(1.0,), (1.0,)], own))
    assert len(fleet.m.lows) == 4
    assert allowed(fleet) == {tuple(((j, 0), 1) for j in range(4))}


def test_the_cache_of_a_setup_that_is_left_out_binds_nobody() -> None:
    own = [
        item(0, "prefill", [("red", 1, "fp8"), ("red", 1, "bf16")], [[1.0, 1.0], [0.0, 1.0]]),
        item(0, "decode", [("red", 1, "bf16")], [[1.0], [1.0]]),
    ]
    assert allowed(programme(columns([(1.0, 1.0)], own, (True,)))) == {(((0, 1), 2), ((1, 0), 2))}


def test_one_setup_a_phase_is_known_beforehand() -> None:
    """Two replicas each, where all traffic is served."""
    found = allowed(programme(columns([(1.5,)], CACHES, (True,))))
    truth = choices(
        dict.fromkeys(KEYS, 2),
        lambda n: _one_format(n) and _one_setup(n) and set(n.values()) <= {0, 2},
    )
    assert found == truth
    assert len(truth) == 3


def test_a_setup_that_serves_some_buckets_is_no_one_setup() -> None:
    both = item(0, "aggregated", [("red", 1, "bf16"), ("red", 1, "bf16")], [[1.0, 4.0], [2.0, 0.0]])
    fleet = programme(columns([(1.5, 1.0)], [both], (True,)))
    assert list(fleet.at.values()) == [(fleet.at[0, 0][0], 2)]
    assert allowed(fleet) == {(((0, 0), 2),)}


@pytest.mark.parametrize("n_formats", [1, 2])
def test_one_setup_a_phase_for_the_most_traffic(n_formats: int) -> None:
    """Of each phase at most one, of whole replicas beside pairs none; none at all serves nothing."""
    own = CACHES if n_formats == 2 else [
        item(0, "aggregated", [("red", 1, "bf16")], [[1.0]]),
        item(0, "prefill", [("red", 1, "bf16"), ("red", 1, "bf16")], [[1.0, 1.0]]),
        item(0, "decode", [("red", 1, "bf16"), ("red", 1, "bf16")], [[1.0, 1.0]]),
    ]  # fmt: skip
    fleet = programme(columns([(2e-8,)], own, (True,)), ("requests_per_s", -1))
    found = allowed(fleet)

    def may(n: dict[tuple[int, int], int]) -> bool:
        phases = [j for j, k in KEYS if n[j, k]]
        return len(set(phases)) == len(phases) and not (0 in phases and len(phases) > 1) and (
            n_formats == 1 or _one_format(n)
        )  # fmt: skip

    assert found == choices(dict.fromkeys(KEYS, 1), may)


# Nodes.


def test_replicas_lie_in_nodes() -> None:
    """Nodes of four hold one group of three; of eleven chips in nodes of four, three are left over."""
    red = Supply("red", None, 2.0, 500.0, 4, None, None)
    own = [item(0, "aggregated", [("red", 3, "bf16")], [[1.0]])]
    for stock, most in ((11, 3), (10, 2), (9, 2), (6, 1)):
        fleet = programme(columns([(9.0,)], own, supplies=(red,)), ("chips", 1), {"inventory:red": stock})
        rest = dict.fromkeys(range(len(fleet.m.lows)), 0)
        ok = []
        for n in range(4):
            ok.append(_packs(fleet, rest | {fleet.at[0, 0][0]: n}))
        assert ok == [n <= most for n in range(4)], stock


def _packs(fleet: FleetProgramme, values: dict[int, int]) -> bool:
    """Whether the rows that limit from above hold for some numbers of nodes and steps."""
    m = fleet.m
    own = {v for v, _ in fleet.at.values()}
    free = [v for v in values if v not in own]
    rows = [row for row in m.rows if row.low is None or set(row.terms) & set(free)]
    for counts in product(*(range(m.lows[v], m.highs[v] + 1) for v in free)):
        whole = [(values | dict(zip(free, counts, strict=True)))[v] for v in sorted(values)]
        if all(row.holds(whole) for row in rows) and all(whole[v] <= m.highs[v] for v in own):
            return True
    return False


def test_blocks_of_all_replicas_that_a_yes_stands_for() -> None:
    """Two blocks of three chips each; two replicas where the setup is chosen beforehand."""
    own = item(0, "aggregated", [("blue", 6, "bf16")], [[1.0]])
    own = Item(0, "aggregated", own.setups.lying("2x3"), own.rates, None)
    for same, blocks in ((True, 4), (False, 2)):
        fleet = programme(columns([(2.0,)], [own], (same,)))
        assert fleet.parts == [Part(0, 1, 3, blocks)]


# Why replicas carry no more, as rows.


@pytest.mark.parametrize("phase", ["aggregated", "prefill", "decode"])
def test_the_worth_to_a_setup_that_is_as_busy_with_each(phase: str) -> None:
    """Rates of 2, 4 and 8: a request of the first keeps it busy as long as four of the last."""
    own = item(0, phase, [("red", 1, "bf16"), ("red", 1, "bf16")], [[2.0, 0.0], [4.0, 5.0], [8.0, 10.0]])
    zero = (F(0),) * 3
    for k, worth in ((0, (F(1), F(1, 2), F(1, 4))), (1, (F(1), F(1), F(1, 2)))):
        assert _tuned(own, k) == (Worth(zero, worth) if phase == "decode" else Worth(worth, zero))


@pytest.mark.parametrize("phases", [("aggregated",), ("prefill", "decode")])
def test_a_setup_alone_is_exact_from_the_start(phases: tuple[str, ...]) -> None:
    """2/2 + 2/4 + 4/8 of a replica is two: rows alone know, without a plan that fails."""
    own = [item(0, phase, [("red", 1, "bf16")], [[2.0], [4.0], [8.0]]) for phase in phases]
    found = allowed(programme(columns([(2.0, 2.0, 4.0)], own)))
    assert found == {tuple(((j, 0), 2) for j in range(len(phases)))}


@pytest.mark.parametrize("slow", ["prefill", "decode"])
def test_every_bucket_needs_both_phases_from_the_start(slow: str) -> None:
    """Pairs serve the first bucket alone, of which one pool carries 9 and the other 2 a replica."""
    whole, nine, two = (0, 0), (1, 0), (2, 0)
    other = {"prefill": "decode", "decode": "prefill"}[slow]
    own = [
        item(0, "aggregated", [("red", 1, "bf16")], [[1.0], [1.0]]),
        item(0, other, [("red", 1, "bf16")], [[9.0], [0.0]]),
        item(0, slow, [("red", 1, "bf16")], [[2.0], [0.0]]),
    ]
    assert allowed(programme(columns([(3.0, 1.0)], own))) == choices(
        {whole: 4, nine: 1, two: 2},
        lambda n: n[whole] >= 1 and n[whole] + min(9 * n[nine], 2 * n[two], 3) >= 4,
    )


def last_row(fleet: FleetProgramme) -> tuple[dict[tuple[int, int], int], int | None]:
    """The row that was added last, by setup."""
    row = fleet.m.rows[-1]
    own = {v: key for key, (v, _) in fleet.at.items()}
    return {own[v]: c for v, c in row.terms.items() if v in own}, row.low


def test_a_reason_is_a_row_in_its_lowest_terms() -> None:
    own = [item(0, "aggregated", [("red", 1, "bf16"), ("blue", 1, "bf16")], [[6.0, 4.0]])]
    whole = Worth((F(1),), (F(0),))
    for demand, low in ((10.0, 5), (11.0, 6)):
        fleet = programme(columns([(demand,)], own))
        fleet.reasons.known.clear()
        fleet.reasons.add(0, whole, {(0, 1): 1})
        assert last_row(fleet) == ({(0, 0): 3, (0, 1): 2}, low)
        n = len(fleet.m.rows)
        fleet.reasons.add(0, whole, {(0, 1): 1})
        assert len(fleet.m.rows) == n, "a row that is known is not said twice"


def test_a_reason_is_said_as_finely_as_it_takes_to_refuse() -> None:
    """1/3 + 3/4 is asked for, a replica is worth 3/4, or 1/2: whole numbers let one pass, tenths do not."""
    own = [item(0, "aggregated", [("red", 1, "bf16"), ("blue", 1, "bf16")], [[1e-8, 0.0], [3e-8, 2e-8]])]
    fleet = programme(columns([(1e-8, 3e-8)], own))
    fleet.reasons.add(0, Worth((F(1, 3), F(1, 4)), (F(0), F(0))), {(0, 0): 1})
    assert last_row(fleet) == ({(0, 0): 8, (0, 1): 5}, 10)


def test_a_third_and_two_thirds_are_not_rounded_against_a_plan() -> None:
    """A, for 10 USD, carries the first bucket; three B, of 2/3 of its worth each, the second."""
    supplies = (
        Supply("red", None, 10.0, 1.0, None, None, None),
        Supply("blue", None, 1.0, 1.0, None, None, None),
    )
    own = [item(0, "aggregated", [("red", 1, "bf16"), ("blue", 1, "bf16")], [[2.0, 0.0], [3.0, 1.0]])]
    plan = plan_fleet(columns([(2.0, 3.0)], own, supplies=supplies), ("usd_per_hour", 1), {})
    assert (plan.proved.objective, plan.replicas) == (13 * 10**6, {(0, 0): 1, (0, 1): 3})


@pytest.mark.parametrize(("over", "chips"), [(1, 2), (3, 3)])
def test_less_than_a_thousandth_of_the_unit_is_no_shortfall(over: int, chips: int) -> None:
    """One replica is busy with a slow request; another does 2000 fast ones, and they are a little more."""
    own = [item(0, "aggregated", [("red", 1, "bf16")], [[2000e-8], [1e-8]])]
    plan = plan_fleet(columns([((2000 + over) * 1e-8, 1e-8)], own), ("chips", 1), {})
    assert (plan.proved.status, plan.proved.objective) == ("optimal", chips)


def test_traffic_beyond_all_arithmetic_is_refused() -> None:
    """Also where the cheapest plan has no replicas at all, which no row can refuse."""
    own = [item(0, "aggregated", [("red", 1, "bf16")], [[1.0]])]
    for traffic in (1e19, 1e-12):
        with pytest.raises(InputError, match="too much traffic"):
            plan_fleet(columns([(traffic,)], own), ("chips", 1), {})


@pytest.mark.parametrize(("traffic", "n"), [(1e9, 2), (1e10, 20), (1e15, 2_000_000)])
def test_much_traffic_is_counted_in_coarser_units(traffic: float, n: int) -> None:
    """1e10 requests/s are 1e18 in units of 1e-8, where sums of rows end; the rates have no common divisor."""
    rates = [[500000001.23456787, 312345678.90123457]]
    own = [item(0, "aggregated", [("red", 1, "bf16"), ("blue", 1, "bf16")], rates)]
    of = columns([(traffic,)], own)
    m = programme(of).m
    assert len(m.rows) > 0
    assert all(sum(c * m.highs[v] for v, c in row.terms.items()) <= 2**60 for row in m.rows)
    plan = plan_fleet(of, ("chips", 1), {})
    assert (plan.proved.status, plan.proved.objective) == ("optimal", n)


def test_a_bucket_that_nobody_serves_makes_no_fleet() -> None:
    own = [item(0, "aggregated", [("red", 1, "bf16")], [[1.0], [0.0]])]
    assert plan_fleet(columns([(1.0, 1.0)], own), ("chips", 1), {}).proved.status == "infeasible"


# What a plan carries.


def shared(fleet: FleetProgramme, n: dict[tuple[int, int], int], claims: dict[int, int] | None = None) -> Any:
    values = [0] * len(fleet.m.lows)
    for key, m in n.items():
        values[fleet.at[key][0]] = m
    for service, claim in (claims or {}).items():
        values[fleet.served[service]] = claim
    return fleet.shares(tuple(values), UNWATCHED)


def test_shares_of_each_bucket_add_up() -> None:
    own = [item(0, "aggregated", [("red", 1, "bf16"), ("blue", 1, "bf16")], [[2.0, 0.0], [4.0, 1.0]])]
    fleet = programme(columns([(3.0, 3.0)], own))
    found = shared(fleet, {(0, 0): 2, (0, 1): 1})
    assert found == {(0, 0, 0): 1, (0, 0, 1): F(2, 3), (0, 1, 1): F(1, 3)}


def test_services_are_shared_out_apart() -> None:
    """The second has replicas to spare; the first is a request short, and has its row."""
    own = [item(service, "aggregated", [("red", 1, "bf16")], [[2.0]]) for service in (0, 1)]
    of = columns([(3.0,), (3.0,)], own)
    assert shared(programme(of), {(0, 0): 2, (1, 0): 2}) == {(0, 0, 0): 1, (1, 0, 0): 1}
    for n in ({(0, 0): 1, (1, 0): 2}, {(0, 0): 2, (1, 0): 1}):
        fleet = programme(of)
        fleet.reasons.known.clear()
        before = len(fleet.m.rows)
        assert shared(fleet, n) is None
        (short,) = [key for key, m in n.items() if m == 1]
        assert len(fleet.m.rows) == before + 1
        assert last_row(fleet) == ({short: 1}, 2)


def test_what_is_served_is_claimed_within_the_rounding_of_rows() -> None:
    """Two replicas serve 4 of 9: a claim of 1e-8 a replica and one more is rounding."""
    own = [item(0, "aggregated", [("red", 1, "bf16")], [[2.0]])]
    for over, right in ((0, True), (3, True), (4, False)):
        fleet = programme(columns([(9.0,)], own), ("requests_per_s", -1))
        found = shared(fleet, {(0, 0): 2}, {0: 4 * 10**8 + over})
        assert found == ({(0, 0, 0): F(4, 9)} if right else None)
    (sums,) = fleet.m.least.values()
    assert sums[-1] == ({fleet.at[0, 0][0]: 2 * 10**8}, 0)
    assert not fleet.m.holds([2 if v == fleet.at[0, 0][0] else 4 * 10**8 + 4 for v in (0, 1)])


def test_what_is_served_of_some_buckets_is_all_that_is_left_of_the_others() -> None:
    """Both sums are rounded up, never against a plan."""
    rates = [[2e-8, 5e-8], [1e-8, 0.0]]
    own = [item(0, "aggregated", [("red", 1, "bf16"), ("blue", 1, "bf16")], rates)]
    fleet = programme(columns([(4e-8, 2e-8)], own), ("requests_per_s", -1))
    served, red, blue = fleet.served[0], fleet.at[0, 0][0], fleet.at[0, 1][0]
    fleet.reasons.known.clear()
    fleet.reasons.add(0, Worth((F(1, 3), F(3, 4)), (F(0), F(0))), {(0, 0): 1})
    row = fleet.m.rows[-1]
    # ceil(3/4) and ceil(5/3) a replica, and ceil(4 x 2/3 + 2 x 1/4) = ceil(19/6) whatever they are
    assert (row.terms, row.low) == ({red: 1, blue: 2, served: -1}, -4)
    assert fleet.m.least[served][-1] == ({red: 1, blue: 2}, 4)


@pytest.mark.parametrize(
    ("n", "sense", "floats", "asked"),
    [
        (2, 1, True, ["floats"]),
        (2, 1, False, ["floats", "exact"]),
        (1, 1, True, ["exact"]),
        (2, -1, True, ["exact"]),
    ],
)
def test_floats_are_asked_where_there_is_much_to_add_up(
    monkeypatch: pytest.MonkeyPatch, n: int, sense: int, floats: bool, asked: list[str]
) -> None:
    """More than two setups times buckets; of most traffic whole numbers alone tell the truth."""
    said: list[str] = []
    honest = shares_module.carried
    monkeypatch.setattr(shares_module, "_EXACTLY", 2)
    monkeypatch.setattr(shares_module, "carried", lambda *a: said.append("exact") or honest(*a))
    monkeypatch.setattr(
        shares_module,
        "carried_in_floats",
        lambda *a: said.append("floats") or (honest(*a) if floats else None),
    )
    own = [item(0, "aggregated", [("red", 1, "bf16")] * 2, [[2.0, 2.0]] * 2)]
    goal = ("chips", 1) if sense > 0 else ("requests_per_s", -1)
    fleet = programme(columns([(1.0, 1.0)], own), goal)
    shared(fleet, {(0, k): 1 for k in range(n)}, {0: 10**8} if sense < 0 else None)
    assert said == asked


def test_shares_in_floats_add_up_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "_EXACTLY", 0)
    own = [item(0, "aggregated", [("red", 1, "bf16"), ("blue", 1, "bf16")], [[2.0, 3.0], [4.0, 1.0]])]
    fleet = programme(columns([(3.0, 3.0)], own))
    found = shared(fleet, {(0, 0): 2, (0, 1): 1})
    assert [sum(x for key, x in found.items() if key[2] == b) for b in (0, 1)] == [1, 1]
