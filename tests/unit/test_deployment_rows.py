"""The rows of a deployment's programme allow exactly the replicas that its sentences allow.

Guards what the engines are told: on small tables every choice of replicas is tried, and what may be is worked
out from the numbers in the test. A row that is too loose shows in no study whose other rows are tight.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from test_solved_deployments import row

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.errors import InputError, Unlimited
from optimizer.questions.deployment import optimum as deployment
from optimizer.questions.deployment.optimum import _status, optimum
from optimizer.questions.deployment.programme import DeploymentProgramme
from optimizer.search.programme import Proved
from optimizer.solver.cp_sat_twice import SolveSettings

RED = Supply("red", None, 2.0, 500.0, 4, None, None)
BLUE = Supply("blue", None, 7.0, 900.0, None, None, None)
Rows = list[dict[str, Any]]
THREE: Rows = [
    row(1, 1.0),
    row(1, 2.0, mode="prefill", chip="blue"),
    row(2, 1.5, mode="decode", tensor_parallel=2),
]


def columns(rows: Rows, same: bool = False, supplies: tuple[Supply, ...] = (RED, BLUE)) -> DeploymentColumns:
    return DeploymentColumns(Replicas.of(rows), supplies, None, same, {}, None, {})


def model(
    rows: Rows, limits: dict[str, float], wanted: Sequence[str] = ("chips",), same: bool = False,
    supplies: tuple[Supply, ...] = (RED, BLUE),
) -> DeploymentProgramme:  # fmt: skip
    own = columns(rows, same, supplies)
    return DeploymentProgramme.of(own, own.within(limits, prune=False), limits, wanted)


def allowed(of: DeploymentProgramme) -> set[tuple[int, ...]]:
    """The numbers of replicas of every choice of variables that keeps all rows."""
    ranges = [range(low, high + 1) for low, high in zip(of.m.lows, of.m.highs, strict=True)]
    return {tuple(values[i] for i in of.n) for values in product(*ranges) if of.m.holds(values)}


def choices(tops: Sequence[int], may: Callable[..., bool]) -> set[tuple[int, ...]]:
    return {n for n in product(*(range(top + 1) for top in tops)) if may(*n)}


@pytest.mark.parametrize(
    ("limits", "tops", "keeps"),
    [
        ({}, (3, 2, 2), lambda a, p, d: True),
        ({"inventory:blue": 1.0}, (3, 1, 2), lambda a, p, d: True),
        ({"chips_max": 4.0}, (3, 2, 2), lambda a, p, d: a + p + 2 * d <= 4),
        ({"usd_per_hour_max": 14.0}, (3, 2, 2), lambda a, p, d: 2 * a + 7 * p + 4 * d <= 14),
        ({"usd_per_hour_max": 13.99}, (3, 1, 2), lambda a, p, d: 2 * a + 7 * p + 4 * d <= 13),
        ({"power_w_max": 2400.0}, (3, 2, 2), lambda a, p, d: 500 * a + 900 * p + 1000 * d <= 2400),
    ],
)
def test_replicas_carry_the_traffic_within_the_limits(
    limits: dict[str, float], tops: tuple[int, ...], keeps: Callable[..., bool]
) -> None:
    found = model(THREE, limits | {"requests_per_s": 3.0})
    assert [found.m.highs[i] for i in found.n] == list(tops)
    assert allowed(found) == choices(tops, lambda a, p, d: a + min(2 * p, 1.5 * d) >= 3 and keeps(a, p, d))


def test_chips_of_a_kind_are_those_of_both_sides() -> None:
    """Two that attend and three for their experts, of the same kind and of another."""
    rows = [
        row(1, 1.0, mode="prefill"),
        row(2, 1.0, mode="decode", expert_chip="red", expert_chips=3),
        row(2, 1.0, mode="decode", expert_chip="blue", expert_chips=3),
    ]
    loose = replace(RED, node=None)
    own = model(rows, {"inventory:red": 9.0, "inventory:blue": 4.0}, supplies=(loose, BLUE))
    assert [own.m.highs[i] for i in own.n] == [9, 1, 1]
    assert (own.goal("inventory:red"), own.goal("inventory:blue")) == ({0: 1, 1: 5, 2: 2}, {2: 3})
    assert own.goal("chips") == {0: 1, 1: 5, 2: 5}
    assert own.goal("usd_per_hour") == {0: 2 * 10**6, 1: 10 * 10**6, 2: (4 + 21) * 10**6}
    assert allowed(own) == choices((9, 1, 1), lambda p, r, b: p + 5 * r + 2 * b <= 9)


def test_chips_that_a_plan_can_use() -> None:
    """The least of the inventory and of what each limit on a total leaves for one kind alone."""
    limits = {"inventory:red": 10.0, "chips_max": 8.0, "usd_per_hour_max": 13.0, "power_w_max": 2600.0}
    for n, red in enumerate((10, 8, 6, 5), 1):
        some = dict(list(limits.items())[:n])
        assert model(THREE, some | {"requests_per_s": 1.0}).stock[0] == red
    both = {"nodes_max": 2.0, "requests_per_s": 1.0}
    packed = replace(BLUE, node=3)
    assert model(THREE, both, supplies=(RED, packed)).stock == [8, 6]
    assert model(THREE, {"requests_per_s": 1.0}).stock == [None, None]
    free = replace(RED, usd_per_hour=0.0)
    assert model([row(1, 1.0)], {"usd_per_hour_max": 1.0, "requests_per_s": 1.0}, supplies=(free,)).stock == [
        None
    ]


def test_what_nothing_limits_is_refused() -> None:
    with pytest.raises(Unlimited, match="nothing limits blue"):
        model(THREE, {"inventory:red": 4.0}, ("requests_per_s",))
    with pytest.raises(Unlimited, match="nothing limits red"):
        model(THREE, {"requests_per_s": 1.0}, ("requests_per_s",))
    with pytest.raises(InputError, match="blue has none; give node"):
        model(THREE, {"nodes_max": 2.0, "requests_per_s": 1.0})


def test_sums_beyond_64_bits_are_refused_at_the_border() -> None:
    """Eleven replicas of 1e9 requests/s are 1.1e18 in units of 1e-8; 2**60 is 1.15e18."""
    rows, least = [row(1, 1e9)], {"requests_per_s": 1.0}
    assert model(rows, least | {"inventory:red": 11.0}, ("requests_per_s",)).m.highs[0] == 11
    with pytest.raises(InputError, match="too much traffic"):
        model(rows, least | {"inventory:red": 12.0}, ("requests_per_s",))


def test_the_most_that_can_be_served() -> None:
    """Four of red serve 4 or, beside two of blue, pairs: 4 + min(4, 3)."""
    limits = {"inventory:red": 4.0, "inventory:blue": 2.0}
    supplies = (replace(RED, node=None), BLUE)
    own = model(THREE, limits, ("requests_per_s",), supplies=supplies)
    assert own.m.highs[own.total] == 7 * 10**8 and own.m.lows[own.total] == 0
    assert own.goal("requests_per_s") == {own.total: 1}
    asked = model(THREE, limits | {"requests_per_s": 3.5}, ("requests_per_s",), supplies=supplies)
    assert [asked.m.highs[i] for i in asked.n] == [4, 2, 2], "more may be served than is asked for"


CACHES: Rows = [
    row(1, 1.0, kv_dtype="fp8"),
    *(row(1, 1.0, mode=m, kv_dtype=kv) for m in ("prefill", "decode") for kv in ("bf16", "fp8")),
]


def _one_format(a: int, p0: int, p1: int, d0: int, d1: int) -> bool:
    return not ((p0 or d0) and (p1 or d1))


def test_caches_are_handed_over_in_one_format() -> None:
    found = model(CACHES, {"requests_per_s": 2.0})
    assert found.formats == ("bf16", "fp8")
    assert allowed(found) == choices(
        (2,) * 5,
        lambda a, p0, p1, d0, d1: _one_format(a, p0, p1, d0, d1) and a + min(p0 + p1, d0 + d1) >= 2,
    )
    one = model(CACHES[:2], {"requests_per_s": 2.0})
    assert (one.formats, len(one.m.lows)) == (("bf16",), 2), "of one format there is nothing to choose"


@pytest.mark.parametrize("formats", [1, 2])
def test_one_setup_a_phase(formats: int) -> None:
    rows = CACHES if formats == 2 else [each | {"kv_dtype": "bf16"} for each in CACHES]

    def may(a: int, p0: int, p1: int, d0: int, d1: int) -> bool:
        one = [bool(n) for n in (a, p0, p1, d0, d1)]
        fits = sum(one[:3]) <= 1 and one[0] + sum(one[3:]) <= 1
        own = formats == 1 or _one_format(a, p0, p1, d0, d1)
        return fits and own and a + min(p0 + p1, d0 + d1) >= 2

    assert allowed(model(rows, {"requests_per_s": 2.0}, same=True)) == choices((2,) * 5, may)


def test_nodes_are_counted_for_a_limit_and_for_a_goal() -> None:
    rows = [row(2, 1.0, tensor_parallel=2)]
    for limits, wanted, n in (({"nodes_max": 3.0}, ("chips",), 1), ({}, ("nodes",), 1), ({}, ("chips",), 0)):
        own = model(rows, limits | {"requests_per_s": 4.0}, wanted, supplies=(RED,))
        assert len(own.nodes) == n
        if n:
            assert own.goal("nodes") == dict.fromkeys(own.nodes.values(), 1)
    tight = model(rows, {"nodes_max": 2.0, "requests_per_s": 3.0}, supplies=(RED,))
    assert {n for (n,) in allowed(tight)} == {3}
    assert allowed(model(rows, {"nodes_max": 1.0, "requests_per_s": 3.0}, supplies=(RED,))) == set()


def test_a_slower_replica_that_lies_better_is_kept_where_nodes_are_counted() -> None:
    """Blocks of three waste a chip of a node of four, blocks of two none: of three nodes two replicas."""
    rows = [row(6, 2.0, domains="2x3"), row(6, 1.5, domains="3x2")]
    most = optimum(columns(rows, supplies=(RED,)), (("requests_per_s", -1),), {"nodes_max": 3.0})
    assert (most.served, most.counts) == (3.0, {1: 2})
    fewest = optimum(columns(rows, supplies=(RED,)), (("nodes", 1),), {"requests_per_s": 3.0})
    assert fewest.values == {"nodes": 3}
    plain = optimum(columns(rows, supplies=(RED,)), (("chips", 1),), {"requests_per_s": 3.0})
    assert plain.columns == 1, "elsewhere it is dominated"


# Answers.


def test_each_objective_is_told_in_its_own_unit() -> None:
    rows = [row(1, 1.0), row(1, 1.0, chip="blue")]
    limits = {"inventory:red": 2.0, "inventory:blue": 9.0, "requests_per_s": 3.0}
    goals = (("inventory:blue", 1), ("usd_per_hour", 1), ("power_w", 1), ("requests_per_s", -1), ("chips", 1))
    supplies = (replace(RED, node=None), BLUE)
    found = optimum(columns(rows, supplies=supplies), goals, limits)
    wanted = {"inventory:blue": 1, "usd_per_hour": 11, "power_w": 1900, "requests_per_s": 3, "chips": 3}
    assert (found.status, found.values, found.bounds) == ("optimal", wanted, wanted)
    assert (found.served, found.counts, found.columns) == (3.0, {0: 2, 1: 1}, 2)


def test_the_traffic_that_replicas_serve() -> None:
    own = columns(THREE)
    usable = own.within({})
    for n, rate in (((2, 1, 1), 2 + 1.5), ((1, 1, 2), 1 + 2.0), ((3, 0, 5), 3.0), ((0, 0, 0), 0.0)):
        assert deployment.served(own, usable, dict(enumerate(n))) == rate * 10**8


def test_no_configuration_left_is_no_plan_or_the_empty_one() -> None:
    bounds = {"tpot_ms_max": 1.0}
    goals = (("chips", 1), ("power_w", 1))
    nothing = optimum(columns(THREE[:1]), goals, bounds | {"requests_per_s": 1.0})
    assert (nothing.status, nothing.values, nothing.bounds) == ("infeasible", {}, {})
    empty = optimum(columns(THREE[:1]), goals, bounds)
    zero = {"chips": 0, "power_w": 0}
    assert (empty.status, empty.values, empty.bounds) == ("optimal", zero, zero)
    for found in (nothing, empty):
        assert (found.counts, found.served, found.solves, found.columns) == ({}, 0, 0, 0)
        assert found.dropped == {"tpot_ms_max": 1} and len(found.confirmed_by) == 1
    some = replace(columns(THREE[:1]), complete=False)
    for demand, status in (({"requests_per_s": 1.0}, "unknown"), ({}, "feasible")):
        found = optimum(some, goals, bounds | demand)
        assert (found.status, found.bounds, found.confirmed_by) == (status, {}, ())


def test_an_optimum_of_some_configurations_is_a_plan() -> None:
    whole = columns(THREE[:1])
    found = optimum(whole, (("chips", 1),), {"requests_per_s": 2.0})
    assert (found.status, found.bounds, len(found.confirmed_by)) == ("optimal", {"chips": 2}, 1)
    some = optimum(replace(whole, complete=False), (("chips", 1),), {"requests_per_s": 2.0})
    assert (some.status, some.bounds, some.confirmed_by) == ("feasible", {}, ())
    assert (some.counts, some.values) == (found.counts, found.values) == ({0: 2}, {"chips": 2})


def said(status: str, n: int | None = None, bound: int | None = None) -> Proved:
    who = ("somebody",) if status in ("optimal", "infeasible") else ()
    return Proved(status, () if n is None else (n,), n, bound, 1, who)


@pytest.mark.parametrize(
    ("proofs", "wanted", "status"),
    [
        (["optimal", "optimal"], 2, "optimal"),
        (["optimal"], 2, "feasible"),
        (["feasible", "optimal"], 2, "feasible"),
        (["optimal", "feasible"], 2, "feasible"),
        (["optimal", "unknown"], 2, "feasible"),
        (["feasible", "feasible"], 2, "feasible"),
        (["infeasible"], 2, "infeasible"),
        (["unknown"], 2, "unknown"),
        (["infeasible"], 1, "infeasible"),
    ],
)
def test_a_plan_is_optimal_where_each_objective_is(proofs: list[str], wanted: int, status: str) -> None:
    assert _status([said(each) for each in proofs], wanted) == status


@pytest.mark.parametrize(
    ("answers", "status", "value", "bounds"),
    [
        ([said("optimal", 3, 3), said("optimal", 2, 2)], "optimal", 2, {"chips": 3, "inventory:red": 2}),
        (
            [said("feasible", 3, 1), said("feasible", 2, None)],
            "feasible",
            2,
            {"chips": 1, "inventory:red": None},
        ),
        ([said("optimal", 3, 3), said("unknown")], "feasible", 3, {"chips": 3}),
        ([said("infeasible")], "infeasible", None, {}),
    ],
)
def test_a_later_objective_is_asked_while_there_is_a_plan(
    monkeypatch: pytest.MonkeyPatch,
    answers: list[Proved],
    status: str,
    value: int | None,
    bounds: dict[str, float | None],
) -> None:
    """The first is held at its value; without a plan nothing more is asked."""
    asked: list[Any] = []

    def prove(m: Any, settings: Any, watch: Any, witness: Any, confirm: bool) -> Proved:
        asked.append((dict(m.objective), len(m.rows), confirm))
        return answers[len(asked) - 1]

    monkeypatch.setattr(deployment, "prove", prove)
    goals = (("chips", 1), ("inventory:red", 1))
    found = optimum(columns(THREE[:1]), goals, {"requests_per_s": 1.0}, SolveSettings())
    assert len(asked) == len(answers) == found.solves
    assert all(confirm for _, _, confirm in asked)
    assert [rows - asked[0][1] for _, rows, _ in asked] == list(range(len(asked)))
    assert (found.status, found.bounds) == (status, bounds)
    assert found.counts == ({} if value is None else {0: value})


@pytest.mark.parametrize(("sense", "kept"), [(1, [0, 1, 2]), (-1, [2, 3, 4])])
def test_a_quantity_is_held_at_its_optimum(sense: int, kept: list[int]) -> None:
    own = model(
        [row(1, 1.0)], {"requests_per_s": 1e-8, "inventory:red": 4.0}, supplies=(replace(RED, node=None),)
    )
    own.m.rows.clear()
    own.hold({own.n[0]: 1}, sense, 2)
    assert [n for n in range(5) if own.m.rows[-1].holds([n])] == kept


def test_the_knapsack_is_asked_only_what_it_can_tell() -> None:
    """Setups alike, parts that a plan must have, nodes, several kinds and formats are beyond its table."""
    one: Rows = [row(1, 1.0)]
    enough = {"requests_per_s": 3.0}

    def asked(
        rows: Rows = one, limits: dict[str, float] = enough, wanted: Sequence[str] = ("chips",), **more: Any
    ) -> bool:
        own = model(rows, limits, wanted, **{"supplies": (RED,), **more})
        return deployment.witness(own, wanted[0], 1) is not None

    assert asked() and asked(wanted=("usd_per_hour",))
    assert not asked(same=True)
    assert not asked(supplies=(RED, BLUE))
    assert not asked(limits=enough | {"nodes_max": 3.0})
    assert not asked(wanted=("chips", "nodes"))
    pair = [
        row(1, 1.0, mode=mode, kv_dtype=kind) for mode in ("prefill", "decode") for kind in ("bf16", "fp8")
    ]
    assert asked(pair[::2]) and not asked(pair)
    own = replace(columns(one, supplies=(RED,)), used=(np.array([True]),))
    must = DeploymentProgramme.of(own, own.within(enough, prune=False), enough, ("chips",))
    assert deployment.witness(must, "chips", 1) is None


def test_what_the_knapsack_is_asked() -> None:
    """A chip a replica at 2 USD, one request a second each: three serve three, four no more than four."""
    least = model([row(1, 1.0)], {"requests_per_s": 3.0}, ("usd_per_hour",), supplies=(RED,))
    witness = deployment.witness(least, "usd_per_hour", 1)
    assert witness is not None
    assert [witness(usd * 10**6) for usd in (5, 6, 7)] == [True, True, False]
    limits = {"requests_per_s": 1.0, "inventory:red": 4.0}
    served = model([row(1, 1.0)], limits, ("requests_per_s",), supplies=(RED,))
    most = deployment.witness(served, "requests_per_s", -1)
    assert most is not None
    assert [most(-rate * 10**8) for rate in (3, 4, 5)] == [False, True, True]
    own = model([row(2, 1.0)], {"requests_per_s": 3.0}, ("inventory:red",), supplies=(RED,))
    chips = deployment.witness(own, "inventory:red", 1)
    assert chips is not None
    assert [chips(n) for n in (5, 6, 7, 8)] == [True, True, False, False]
