"""The enumeration of one slice on made-up columns, pair by pair: each rule alone, at its border, and others.

Guards the enumeration that every answer is confirmed by: a rule that it forgets or reads at another depth,
plans on the limit, blocks of kinds whose rows are shifted.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest
import samples
import slices

from optimizer.questions.architecture import enumeration as module
from optimizer.questions.architecture.enumeration import (
    all_values,
    blocks,
    brute_force,
    in_parameter_window,
    metric_of,
    quantities_in_use,
    slice_plans,
)
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.space import resolve
from optimizer.scope import AllOf, AnyOf, Bound, Symbol
from optimizer.watch import Stopped, Watch

INF = np.inf
N = Symbol("n_params", "n_params", True, lambda at, q: q)
R = Symbol("r", "r", False, lambda at, q: 1.0 / q)
COLUMNS = {
    "q": (7.0, [1.0, 2.0, 4.0], [10.0, 30.0]),
    "n_params": (5.0, [1.0, 2.0, 3.0], [10.0, 20.0]),
    "r": (1.0, [1.0, 2.0, 1.0], [2.0, 4.0]),
}
PAIRS = list(product(range(3), range(2)))
DEPTHS = (2, 3)


@pytest.fixture(params=[1, 2, 5, 2**22])
def at_once(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs evaluated at once."""
    monkeypatch.setattr(module, "_PAIRS", request.param)


def plans(row: int, *, sense: int = 1, most: float = INF, **rules: Any) -> dict[tuple[int, int], float]:
    table = slices.table(COLUMNS, DEPTHS, **rules)
    found = slice_plans(table, row, slices.Q, sense, most)
    assert found.enumerated == 6
    assert found.best == min(found.key.tolist(), default=INF)
    own = {(int(a), int(f)): float(k) for a, f, k in zip(found.attention, found.ffn, found.key, strict=True)}
    assert len(own) == len(found.key)
    for pair in PAIRS:
        assert found.key_of(*pair) == own.get(pair, INF)
    return own


def expected(row: int, keeps: Any, sense: int = 1) -> dict[tuple[int, int], float]:
    table = slices.table(COLUMNS, DEPTHS)
    return {p: sense * slices.value(table, "q", DEPTHS[row], *p) for p in PAIRS if keeps(*p)}


@pytest.mark.parametrize("row", [0, 1])
def test_without_rules_every_pair_is_a_plan(row: int, at_once: None) -> None:
    assert plans(row) == expected(row, lambda a, f: True)
    assert plans(row, sense=-1) == expected(row, lambda a, f: True, -1)


def test_plans_up_to_a_limit_and_on_it(at_once: None) -> None:
    """At depth 2: 29, 31, 35 and 69, 71, 75."""
    assert list(plans(0, most=31.0).values()) == [29.0, 31.0]
    assert list(plans(0, most=30.999).values()) == [29.0]
    assert plans(0, most=28.0) == {}
    assert list(plans(0, sense=-1, most=-71.0).values()) == [-71.0, -75.0]


@pytest.mark.parametrize("row", [0, 1])
def test_pairs_that_rules_on_dimensions_leave(row: int, at_once: None) -> None:
    rng = np.random.default_rng(row)
    for shape in ((2, 3, 2), (1, 3, 2), (2, 3, 1), (2, 1, 2), (3, 2)):
        one, other = (np.asarray(rng.random(shape) < 0.6) for _ in range(2))
        both = np.broadcast_to(one & other, (2, 3, 2))
        found = plans(row, pairs=[("a", one), ("b", other)])
        assert found == expected(row, lambda a, f, both=both: both[row, a, f])


@pytest.mark.parametrize("row", [0, 1])
def test_limits_on_parameters_and_on_metrics(row: int, at_once: None) -> None:
    """At depth 2: 27, 29, 31 and 47, 49, 51 parameters; r is 7, 9, 7 and 11, 13, 11."""
    n = [slices.value(slices.table(COLUMNS), "n_params", DEPTHS[row], *p) for p in PAIRS]
    r = [slices.value(slices.table(COLUMNS), "r", DEPTHS[row], *p) for p in PAIRS]
    for size in n:
        up_to = Bound(N, -INF, size)
        assert set(plans(row, bounds=[("n_params_max", up_to)])) == {
            p for p, x in zip(PAIRS, n, strict=True) if x <= size
        }
        both = [("n_params_max", up_to), ("n_params_min", Bound(N, n[0] + 1.0, INF))]
        assert set(plans(row, bounds=both)) == {p for p, x in zip(PAIRS, n, strict=True) if n[0] < x <= size}
    for cost in r:
        at_least = Bound(R, 1.0 / cost, INF)
        rest = {p for p, x in zip(PAIRS, r, strict=True) if x <= cost}
        assert set(plans(row, bounds=[("r_min", at_least)])) == rest
        few = [("r_min", at_least), ("n_params_max", Bound(N, -INF, n[2]))]
        assert set(plans(row, bounds=few)) == {
            p for p, x in zip(PAIRS, n, strict=True) if p in rest and x <= n[2]
        }


@pytest.mark.parametrize("row", [0, 1])
def test_choices_are_any_of_their_options(row: int, at_once: None) -> None:
    mask = np.zeros((2, 3, 2), dtype=bool)
    mask[0, 0, 0] = mask[1, 0, 1] = mask[1, 2, 0] = True
    by_attention, by_ffn = np.array([[True], [False], [True]]), np.array([[False, True]])
    cheap = Bound(slices.Q, -INF, 7.0 + DEPTHS[row] * 12.0)  # pairs (0, 0) and (1, 0)
    for choice, keeps in (
        (AnyOf((mask, cheap)), lambda a, f: mask[row, a, f] or (a, f) in {(0, 0), (1, 0)}),
        (AnyOf((by_attention, by_ffn)), lambda a, f: a != 1 or f == 1),
        (AnyOf((AllOf((by_attention, by_ffn)), cheap)), lambda a, f: a != 1 if f else a < 2),
        (AnyOf((AllOf((by_attention, cheap)), np.array(False))), lambda a, f: (a, f) == (0, 0)),
        (AnyOf((np.array(True), cheap)), lambda a, f: True),
        (AnyOf((AnyOf((mask, by_ffn)), AllOf((by_attention, AnyOf((cheap, mask)))))),
         lambda a, f: mask[row, a, f] or f == 1 or (a, f) == (0, 0)),
    ):  # fmt: skip
        assert plans(row, choices=[("c", choice)]) == expected(row, keeps)
    two = [("c", AnyOf((by_attention, by_ffn))), ("d", AnyOf((cheap, np.array(False))))]
    assert set(plans(row, choices=two)) == {(0, 0)}
    bounded = plans(row, choices=two[:1], bounds=[("m_max", cheap)])
    assert set(bounded) == {(0, 0)}


def test_other_metrics_of_the_plans() -> None:
    table = slices.table(COLUMNS, DEPTHS)
    own = slice_plans(table, 1, slices.Q, 1, 50.0)
    costs = [slices.value(table, "r", 3, int(a), int(f)) for a, f in zip(own.attention, own.ffn, strict=True)]
    assert metric_of(table, 1, own, R).tolist() == [1.0 / cost for cost in costs]
    flat = Symbol("flat", "r", True, lambda at, q: 4)
    assert metric_of(table, 1, own, flat).tolist() == [4.0] * len(own.key)


def test_blocks_of_kinds_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAIRS", 12)
    assert blocks(7, 4) == [slice(0, 3), slice(3, 6), slice(6, 9)]
    assert blocks(6, 4) == [slice(0, 3), slice(3, 6)]
    assert blocks(2, 13) == [slice(0, 1), slice(1, 2)]
    assert blocks(0, 4) == [slice(0, 3)]
    assert blocks(3, 0) == [slice(0, 12)]


def test_one_look_at_the_watch_for_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAIRS", 2)
    for most, stopped in ((3, False), (2, True)):
        looks = iter(range(9))
        watch = Watch(cancelled=lambda looks=looks, most=most: next(looks) >= most)
        try:
            slice_plans(slices.table(COLUMNS), 0, slices.Q, 1, INF, watch)
            assert not stopped
        except Stopped:
            assert stopped


def test_depths_that_reach_the_parameter_window() -> None:
    """5 + 11 to 23 parameters a layer."""
    depths = tuple(range(1, 9))

    def reached(*bounds: Bound) -> list[int]:
        table = slices.table(COLUMNS, depths, bounds=[("n", b) for b in bounds])
        return [d for d, found in zip(depths, in_parameter_window(table), strict=True) if found]

    assert reached() == list(depths)
    assert reached(Bound(slices.Q, 0.0, 1.0)) == list(depths)  # of another metric
    assert reached(Bound(N, 51.0, 60.0)) == [2, 3, 4, 5]  # up to 51 with two layers, from 60 with five
    assert reached(Bound(N, 51.5, 59.5)) == [3, 4]
    assert reached(Bound(N, -INF, 38.0)) == [1, 2, 3]
    assert reached(Bound(N, 120.0, INF)) == [5, 6, 7, 8]
    assert reached(Bound(N, 51.5, INF), Bound(N, -INF, 59.5)) == [3, 4]


def test_what_a_question_needs_the_columns_of() -> None:
    def of(name: str, quantity: str) -> Bound:
        return Bound(Symbol(name, quantity, True, lambda at, q: q), 0.0, 1.0)

    aim = Symbol("a", "decode_s", True, lambda at, q: q)
    mask = np.array([True])
    for rules, names in (
        ({}, {"n_params", "decode_s"}),
        ({"bounds": [("b", of("m", "memory_bytes"))]}, {"n_params", "decode_s", "memory_bytes"}),
        (
            {
                "choices": [
                    ("c", AnyOf((mask, of("p", "prefill_s")))),
                    ("d", AnyOf((of("x", "mixed_s"), mask))),
                ]
            },
            {"n_params", "decode_s", "prefill_s", "mixed_s"},
        ),
        (
            {"choices": [("c", AnyOf((AllOf((mask, AnyOf((of("t", "train_s"), mask)))), mask)))]},
            {"n_params", "decode_s", "train_s"},
        ),
    ):
        found = quantities_in_use(aim, slices.table(COLUMNS, **rules).rules)
        assert set(found) == names and len(found) == len(names)


def test_a_whole_space_is_every_frame_that_rules_leave_anything_of() -> None:
    """Of two widths the rules leave one; the best of both senses, and metrics in the order asked for."""
    space = resolve(samples.problem())
    few = space.rules.with_value("aspect_ratio", (100.0, 115.2))
    names = ("n_params", "tpot_ms")
    found = all_values(space, few, tuple(map(symbol, names)))
    assert 0 < len(found) < len(all_values(space, space.rules, (symbol("loss"),)))
    assert found[:, 0].min() > 1e8 > 1e3 > found[:, 1].max()
    for sense in (1, -1):
        for i, name in enumerate(names):
            assert brute_force(space, few, symbol(name), sense) == (sense * found[:, i]).min()
    none = space.rules.with_value("aspect_ratio", (1e6, 1e7))
    assert brute_force(space, none, symbol("tpot_ms"), 1) == INF
    assert all_values(space, none, (symbol("tpot_ms"), symbol("loss"))).shape == (0, 2)
