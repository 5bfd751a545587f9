"""Parts that proofs are made of, each against enumeration: rows, witnesses, packing, listings.

Guards what the property tests reach only through a whole question: an engine that is believed too easily,
a packing row that is too tight or too loose, a witness that says 'nothing better' too soon.
"""

import pickle
from collections import Counter
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.anatomy.placement import nodes_for
from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.questions.architecture import listing
from optimizer.questions.architecture.enumeration import SlicePlans, all_values
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.listing import best_plans
from optimizer.questions.architecture.space import resolve
from optimizer.questions.deployment import knapsack
from optimizer.questions.deployment.knapsack import Knapsack
from optimizer.scope import Symbol
from optimizer.search.packing import Part, _steps, added, pack_nodes
from optimizer.search.programme import Programme, Row
from optimizer.solver import proving
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.solver.mathopt import Proposal
from optimizer.solver.proving import prove

# Programmes.


def test_a_row_holds_at_its_borders() -> None:
    row = Row({0: 2, 2: -3}, low=-4, high=5)
    for values, held in (((1, 9, 2), True), ((0, 9, 2), False), ((4, 9, 1), True), ((3, 9, 0), False)):
        assert row.holds(values) == held
    assert Row({0: 1}).holds((10**30,))
    assert Row({0: 1}, low=3).holds((3,)) and not Row({0: 1}, low=3).holds((2,))
    assert Row({0: 1}, high=3).holds((3,)) and not Row({0: 1}, high=3).holds((4,))


def test_a_programme_in_whole_numbers() -> None:
    m = Programme()
    a, b = m.variable(1, 4), m.variable(-2, 2)
    m.row({a: 2, b: 0}, high=6)
    assert m.rows == [Row({a: 2}, None, 6)]
    m.objective = {a: 3, b: -1}
    assert m.value((2, -1)) == 7
    kept = [v for v in product(range(6), range(-3, 4)) if m.holds(v)]
    assert kept == [(x, y) for x in (1, 2, 3) for y in range(-2, 3)]
    least = m.least_of([({a: 2}, 1), ({a: 1, b: 1}, 3)], 0, 6)
    assert (m.lows[least], m.highs[least]) == (0, 6)
    assert m.complete((2, -1, 0)) == (2, -1, min(2 * 2 + 1, 2 - 1 + 3))
    assert m.complete((1, 2, 0)) == (1, 2, 3)
    assert m.complete((3, 2, 0)) == (3, 2, 6)  # never above its own bound
    assert m.holds((2, -1, 4)) and not m.holds((2, -1, 5))
    assert m.complete((2, -1, 5)) == (2, -1, 4)


def covering() -> Programme:
    """Two sizes of replica for a demand of 17: three of 5 and one of 2 cost 17, the least."""
    m = Programme()
    five, two = m.variable(0, 9), m.variable(0, 9)
    m.row({five: 5, two: 2}, low=17)
    m.objective = {five: 5, two: 2}
    return m


def answers(monkeypatch: pytest.MonkeyPatch, highs: Proposal, cp_sat: dict[bool, str] | None = None,
            scip: Proposal | None = None) -> None:  # fmt: skip
    """Engines that answer so; CP-SAT by whether it presolves, or truly."""
    both = {"HIGHS": highs, "GSCIP": scip or Proposal("unknown", (), None)}
    monkeypatch.setattr(proving, "propose", lambda m, name, *_: both[name])
    if cp_sat is not None:

        def better(m: Any, than: Any, settings: SolveSettings, *_: Any) -> Any:
            return proving.Solve(cp_sat[settings.presolve], None, None, (), 0.0)

        monkeypatch.setattr(proving, "_better", better)


OPTIMAL = Proposal("optimal", (3, 1), 17)


def test_one_less_is_asked_for_and_no_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS is off by one: CP-SAT must be asked for 17 where 18 is known."""
    answers(monkeypatch, Proposal("optimal", (2, 4), 18))
    assert prove(covering()).objective == 17


NOT_TWICE = {True: "infeasible", False: "unknown"}


@pytest.mark.parametrize(
    ("highs", "status"),
    [
        (OPTIMAL, "optimal"),
        (Proposal("feasible", (3, 1), 15), "feasible"),  # HiGHS does not say that it is the best
        (Proposal("unknown", (3, 1), None), "feasible"),
        (Proposal("infeasible", (), None), "infeasible"),
        (Proposal("unknown", (), None), "unknown"),
        (Proposal("optimal", (0, 0), 0), "unknown"),  # a solution that breaks a row
    ],
)
def test_cp_sat_alone_is_believed_only_twice(
    monkeypatch: pytest.MonkeyPatch, highs: Proposal, status: str
) -> None:
    """Nothing better with presolve; the plain look has no answer. HiGHS must have said the same."""
    answers(monkeypatch, highs, NOT_TWICE)
    found = prove(covering())
    assert found.status == status
    assert bool(found.confirmed_by) == (status in ("optimal", "infeasible"))
    answers(monkeypatch, highs, {True: "infeasible", False: "infeasible"})
    assert prove(covering()).status in ("optimal", "infeasible")
    answers(monkeypatch, highs, {True: "unknown", False: "infeasible"})
    assert prove(covering()).status in ("feasible", "unknown")


def test_what_each_answer_says(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, OPTIMAL, NOT_TWICE)
    found = prove(covering())
    assert (found.objective, found.bound, found.values, found.solves) == (17, 17, (3, 1), 2)
    answers(monkeypatch, Proposal("feasible", (3, 1), 15), {True: "unknown", False: "unknown"})
    found = prove(covering())
    assert (found.objective, found.bound, found.solves) == (17, 0, 3)  # HiGHS's 15 is its word alone
    scip = Proposal("unknown", (), 14)
    answers(monkeypatch, Proposal("feasible", (3, 1), 15), {True: "unknown", False: "unknown"}, scip)
    assert prove(covering()).bound == 14  # what two engines accept


@pytest.mark.parametrize(
    ("scip", "status", "objective"),
    [
        (Proposal("optimal", (3, 1), 17), "optimal", 17),
        (Proposal("feasible", (3, 1), 17), "feasible", 17),
        (Proposal("optimal", (0, 0), 0), "feasible", 17),  # breaks a row
        (Proposal("optimal", (2, 4), 18), "feasible", 17),  # worse than what is known
        (Proposal("unknown", (), None), "feasible", 17),
    ],
)
def test_scip_confirms_only_what_it_reaches(
    monkeypatch: pytest.MonkeyPatch, scip: Proposal, status: str, objective: int
) -> None:
    answers(monkeypatch, OPTIMAL, {True: "unknown", False: "unknown"}, scip)
    found = prove(covering())
    assert (found.status, found.objective, found.solves) == (status, objective, 3)


def test_scip_finds_a_better_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then two engines disagree: the plan is taken, the proof is not."""
    answers(monkeypatch, Proposal("optimal", (2, 4), 18), {True: "unknown", False: "unknown"}, OPTIMAL)
    found = prove(covering())
    assert (found.status, found.objective) == ("feasible", 17)


def test_a_witness_is_asked_for_the_value_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    answers(monkeypatch, OPTIMAL, {True: "unknown", False: "unknown"})
    found = prove(covering(), witness=lambda best: bool(asked.append(best)) or True)
    assert (found.status, asked, found.solves) == ("optimal", [17], 1)
    assert prove(covering(), witness=lambda best: False).status == "feasible"


def test_without_confirmation_the_word_of_one_engine_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, OPTIMAL)
    found = prove(covering(), confirm=False)
    assert (found.status, found.objective, found.bound, found.solves) == ("feasible", 17, 17, 1)
    answers(monkeypatch, Proposal("infeasible", (), None))
    assert prove(covering(), confirm=False).status == "unknown"
    answers(monkeypatch, Proposal("optimal", (0, 0), 0))
    assert prove(covering(), confirm=False).objective == 17  # broken by rounding: asked again


def test_no_objective_is_met_by_any_solution() -> None:
    m = covering()
    m.objective = {}
    assert prove(m).status == "optimal"


# Packing.


@dataclass
class Fixed:
    """A programme with a fixed number of replicas of each row, on one kind of chips or two."""

    m: Programme
    parts: list[Part]
    supplies: tuple[Supply, ...]
    stock: dict[str, int | None]

    def inventory(self, chip: str) -> int | None:
        return self.stock[chip]


def packable(groups: list[int], sizes: list[int]) -> bool:
    """By trying all ways."""
    if not groups:
        return True
    tried = set()
    for j, size in enumerate(sizes):
        if groups[0] <= size and size not in tried:
            tried.add(size)
            if packable(groups[1:], [*sizes[:j], size - groups[0], *sizes[j + 1 :]]):
                return True
    return False


def domains(nodes: list[int], size: int) -> list[int]:
    """The domains of some nodes."""
    return [min(size, node - at) for node in nodes for at in range(0, node, size)]


def fewest(groups: list[int], node: int, size: int) -> int:
    return next(n for n in range(len(groups) + 1) if packable(groups, domains([node] * n, size)))


@pytest.mark.parametrize("seed", range(40))
def test_packing_rows_are_exact(seed: int) -> None:
    """Groups fit the domains of the nodes there are, and of so few, just where some placing does."""
    rng = Random(seed)
    node = rng.choice((4, 5, 7, 8))
    sizes_of = ([1, 2, 4], [2, 4], [2, 3], [1, 3, 4])
    units = rng.sample(rng.choice(sizes_of), k=rng.randint(1, 2))
    kinds = [(unit, unit * rng.choice((1, 1, 2)), rng.randint(0, 3)) for unit in units]
    groups = sorted((u for u, chips, n in kinds for _ in range(n * chips // u)), reverse=True)
    total = sum(groups)
    size = rng.choice((node, 4, 8))
    chip = samples.chip(scaleup=samples.CHIP["scaleup"] | {"domain": size})
    size = min(size, node)
    supply = Supply("red", None, 1.0, 1.0, node, 80.0, chip)
    for stock in (None, *range(max(0, total - 1), total + 6)):
        for most_nodes in (None, 1, 2):
            m = Programme()
            variables = [m.variable(n, n) for _, _, n in kinds]
            parts = [
                Part(v, 0, unit, chips // unit) for v, (unit, chips, _) in zip(variables, kinds, strict=True)
            ]
            own = Fixed(m, parts, (supply,), {"red": stock})
            nodes = pack_nodes(own, counted=most_nodes is not None)
            sizes = [node] * len(groups) if stock is None else [node] * (stock // node) + [stock % node]
            fits = packable(groups, domains(sizes, size))
            if most_nodes is not None and nodes:
                m.row({nodes[0]: 1}, high=most_nodes)
                shapes = [sizes] if stock is None else [
                    [node] * min(stock // node, most_nodes),
                    [node] * min(stock // node, most_nodes - 1) + [stock % node],
                ]  # fmt: skip
                fits = any(packable(groups, domains(shape[:most_nodes], size)) for shape in shapes)
            assert (prove(m).status == "optimal") == fits, (stock, most_nodes, kinds)
    m = Programme()
    variables = [m.variable(n, n) for _, _, n in kinds]
    parts = [Part(v, 0, unit, chips // unit) for v, (unit, chips, _) in zip(variables, kinds, strict=True)]
    nodes = pack_nodes(Fixed(m, parts, (supply,), {"red": None}), counted=True)
    m.objective = {nodes[0]: 1}
    assert prove(m).objective == fewest(groups, node, size)


def test_the_checker_finds_the_fewest_nodes_too() -> None:
    """Also where more are needed than chips and largest groups tell: it goes on until they fit."""
    rng, beyond = Random(4), 0
    for _ in range(300):
        node = rng.randint(4, 9)
        groups = sorted((rng.randint(1, node) for _ in range(rng.randint(1, 7))), reverse=True)
        least = fewest(groups, node, node)
        found = nodes_for(Counter(groups), node, node, None)
        assert found == least
        assert nodes_for(Counter(groups), node, node, node * least) is not None
        assert nodes_for(Counter(groups), node, node, node * (least - 1)) is None
        beyond += least > max(-(-sum(groups) // node), sum(2 * g > node for g in groups))
    assert beyond > 3
    assert nodes_for({5: 1}, 4, 4, None) is None


def test_kinds_are_packed_apart() -> None:
    """Three groups of two on nodes of four: two red and one blue group take a node of each."""
    m = Programme()
    n = m.variable(1, 1)
    supplies = (Supply("red", None, 1.0, 1.0, 4, 80.0, None), Supply("blue", None, 1.0, 1.0, 2, 80.0, None))
    own = Fixed(m, [Part(n, 0, 2, 2), Part(n, 1, 2, 1)], supplies, {"red": None, "blue": None})
    nodes = pack_nodes(own, counted=True)
    assert set(nodes) == {0, 1}
    m.objective = dict.fromkeys(nodes.values(), 1)
    assert prove(m).objective == 2
    m = Programme()
    unused = Fixed(m, [], supplies, {"red": 1, "blue": 1})
    assert pack_nodes(unused, counted=True) == {}
    assert (m.rows, m.lows) == ([], [])


def test_chips_without_nodes() -> None:
    m = Programme()
    loose = Supply("red", None, 1.0, 1.0, None, 80.0, None)
    own = Fixed(m, [Part(m.variable(0, 5), 0, 2, 1)], (loose,), {"red": 3})
    assert pack_nodes(own, counted=False) == {}
    assert m.rows == []
    with pytest.raises(InputError, match="red has none; give node"):
        pack_nodes(own, counted=True)
    free = Fixed(m, own.parts, (Supply("red", None, 1.0, 1.0, 4, 80.0, None),), {"red": None})
    assert pack_nodes(free, counted=False) == {}
    assert m.rows == []  # nothing limits it


def test_where_blocks_may_begin_in_a_domain() -> None:
    """After any number of blocks at least as large."""
    for sizes, node in (([3, 2], 8), ([4, 3], 8), ([5, 4, 3], 11), ([1], 3), ([5], 4), ([6, 4, 1], 13)):
        ways = product(*(range(node // s + 1) for s in sizes))
        true = set()
        for way in ways:
            for j, s in enumerate(sizes):
                at = sum(n * size for n, size in zip(way[: j + 1], sizes, strict=False))
                true |= {(at, s)} if at + s <= node else set()
        assert sorted(_steps(sizes, node)) == sorted(true)
    with pytest.raises(InputError, match="too many ways"):
        _steps([31, 29, 23, 19, 17, 13], 9000)


def test_terms_of_one_variable_are_added() -> None:
    assert added([(3, 2), (1, 5), (3, -1)]) == {3: 1, 1: 5}


# The witness over chips.


@pytest.mark.parametrize("seed", range(25))
def test_the_most_traffic_of_so_many_chips(seed: int) -> None:
    rng = Random(seed)
    n, total = rng.randint(1, 4), 9
    mode = ["aggregated", *(rng.choice(("aggregated", "prefill", "decode")) for _ in range(n - 1))]
    chips, capacity = [rng.randint(1, 4) for _ in range(n)], [rng.randint(1, 9) for _ in range(n)]
    best = [0] * (total + 1)
    for counts in product(*(range(total // g + 1) for g in chips)):
        used = sum(map(lambda c, g: c * g, counts, chips))
        pool = dict.fromkeys(("aggregated", "prefill", "decode"), 0)
        for m, c, own in zip(mode, counts, capacity, strict=True):
            pool[m] += c * own
        rate = pool["aggregated"] + min(pool["prefill"], pool["decode"])
        best = [max(b, rate) if used <= k else b for k, b in enumerate(best)]
    own = Knapsack(mode, chips, capacity)
    assert own.most_traffic(total).tolist() == best
    price = rng.choice((1, 2, 3))
    for demand in range(1, best[-1] + 1):
        least = price * next(k for k, b in enumerate(best) if b >= demand)
        for asked in range(max(0, least - 4), least + 4):
            # Values below `asked` that chips can cost are multiples of the price.
            truth = least >= asked or least > (asked - 1) // price * price
            assert own.costs_no_less(price, demand, asked) == truth
    assert [own.costs_no_less(price, 0, asked) for asked in (0, 1)] == [True, False]  # no chips are enough
    assert not own.costs_no_less(price, None, 1)
    for rate in range(best[-1] - 2, best[-1] + 3):
        assert own.serves_no_more(total, rate) == (best[-1] <= rate)
    assert not own.serves_no_more(None, 10**9)


def test_a_table_of_chips_is_no_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas of a request a second on a chip: five are wanted. Chips that cost nothing tell nothing."""
    own = Knapsack(["aggregated"], [1], [1])
    for most, told in ((5, True), (4, False)):
        monkeypatch.setattr(knapsack, "_MOST_STATES", most)
        assert own.serves_no_more(5, 5) == told
        assert own.costs_no_less(1, 5, 6) is False  # five are enough
        monkeypatch.setattr(knapsack, "_MOST_STATES", most - 1)
        assert own.costs_no_less(1, 5, 5) == told
    monkeypatch.setattr(knapsack, "_MOST_STATES", 9)
    assert not own.costs_no_less(0, 5, 0)


# Listings.


@pytest.fixture(scope="module")
def space() -> Any:
    return resolve(samples.problem())


@pytest.mark.parametrize(("name", "sense"), [("tpot_ms", 1), ("output_tokens_per_s", -1), ("loss", 1)])
def test_the_best_plans_are_the_enumerations(space: Any, name: str, sense: int) -> None:
    truth = np.sort(sense * all_values(space, space.rules, (symbol(name),))[:, 0])
    assert len(truth) > 40
    for most in (1, 7, len(truth), len(truth) + 5):
        found = best_plans(space, space.rules, symbol(name), sense, most)
        assert [p.key for p in found] == pytest.approx(truth[:most].tolist(), rel=1e-12)
    for limit in (truth[0], truth[9], np.nextafter(truth[9], -np.inf), truth[-1], truth[0] - 1):
        found = best_plans(space, space.rules, symbol(name), sense, 10**6, limit)
        assert len(found) == int((truth <= limit).sum())
    few = best_plans(space, space.rules, symbol(name), sense, 3, float(truth[20]))
    assert [p.key for p in few] == pytest.approx(truth[:3].tolist(), rel=1e-12)


@pytest.mark.parametrize(
    "distinct",
    [("n_layers",), ("n_heads",), ("d_ff", "n_kv_heads"), ("d_model",), ("hardware",), ("batch", "d_ff")],
)
def test_the_best_plan_of_each_combination(space: Any, distinct: tuple[str, ...]) -> None:
    everything = best_plans(space, space.rules, symbol("tpot_ms"), 1, 10**6)

    def own(plan: Any) -> tuple[Any, ...]:
        a, f = space.attention.take(plan.attention), space.ffn.take(plan.ffn)
        known = {"n_heads": a.n_heads, "n_kv_heads": a.n_kv_heads, "d_ff": f.d_ff, "n_layers": plan.n_layers}
        known |= {"d_model": plan.frame.d_model, "hardware": plan.frame.chip.name, "batch": plan.frame.batch}
        return tuple(known[name] if isinstance(known[name], str) else int(known[name]) for name in distinct)

    first: dict[Any, float] = {}
    for plan in everything:
        first.setdefault(own(plan), plan.key)
    for most in (2, 10**6):
        found = best_plans(space, space.rules, symbol("tpot_ms"), 1, most, distinct=distinct)
        assert [p.key for p in found] == sorted(first.values())[:most]
        assert len({own(p) for p in found}) == len(found)


def test_no_more_slices_are_enumerated_than_may_hold_one_of_the_best(
    space: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, looks = listing.slice_plans, list[float]()

    def slice_plans(table: Any, row: int, objective: Any, sense: int, limit: float, *rest: Any) -> Any:
        looks.append(limit)
        return honest(table, row, objective, sense, limit, *rest)

    monkeypatch.setattr(listing, "slice_plans", slice_plans)
    whole = best_plans(space, space.rules, symbol("tpot_ms"), 1, 10**6)
    slices = len(looks)
    assert set(looks) == {np.inf}
    looks.clear()
    assert best_plans(space, space.rules, symbol("tpot_ms"), 1, 3) == whole[:3]
    assert len(looks) < slices
    assert looks[0] == np.inf and all(limit >= whole[2].key for limit in looks[1:])
    assert looks == sorted(looks, reverse=True)


def test_what_never_ends_is_not_listed(space: Any) -> None:
    """Plans of more than some seconds a token take forever."""
    seconds = np.sort(all_values(space, space.rules, (symbol("tpot_ms"),))[:, 0]) / 1e3
    most = float(seconds[len(seconds) // 2])
    stuck = Symbol("stuck", "decode_s", True, lambda at, q: np.where(q > most * (1 + 1e-9), np.inf, q))
    found = best_plans(space, space.rules, stuck, 1, 10**6)
    assert len(found) == len(seconds) // 2 + 1
    assert found[-1].key == pytest.approx(most)


@pytest.mark.parametrize("distinct", [(), ("n_layers",), ("d_model",), ("n_heads",)])
def test_a_slice_in_which_nothing_is_left_adds_nothing(
    space: Any, distinct: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"distinct": distinct}
    whole = best_plans(space, space.rules, symbol("tpot_ms"), 1, 10**6, **asked)
    honest = listing.slice_plans

    def slice_plans(table: Any, row: int, *rest: Any) -> Any:
        plans = honest(table, row, *rest)
        gone = (table.frame.d_model, int(table.depths[row])) == (2048, 16)
        return SlicePlans(*(v[:0] for v in (plans.attention, plans.ffn, plans.key)), 0) if gone else plans

    monkeypatch.setattr(listing, "slice_plans", slice_plans)
    found = best_plans(space, space.rules, symbol("tpot_ms"), 1, 10**6, **asked)
    assert not any((p.frame.d_model, p.n_layers) == (2048, 16) for p in found)
    rest = [p for p in whole if (p.frame.d_model, p.n_layers) != (2048, 16)]
    assert all(p in found for p in rest)


def test_a_listing_that_is_stopped_keeps_its_plans_on_the_way_to_another_process() -> None:
    known = pickle.loads(pickle.dumps(listing.Unfinished([3])))  # type: ignore[list-item]
    assert known.plans == [3]
