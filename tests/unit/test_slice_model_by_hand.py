"""The CP-SAT model of one slice on made-up columns: its rows, its integers and its cut-offs, pair by pair.

Guards what the search would only pay for in time: rows that let too much through, a cut-off that cuts
nothing, an objective that is looked for at its worse end.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest
import slices
from rows import allowed_pairs

from optimizer.questions.architecture import slice_model as model_module
from optimizer.questions.architecture.slice_model import TERMS, SliceModel
from optimizer.questions.architecture.table import FrameTable
from optimizer.scope import AllOf, AnyOf, Bound, Symbol
from optimizer.solver.cp_sat_twice import Solve, SolveSettings
from optimizer.watch import UNWATCHED

INF = np.inf
COLUMNS = {"q": (7.0, [1.0, 2.0, 4.0], [10.0, 30.0])}
PAIRS = set(product(range(3), range(2)))


def model(table: FrameTable, n_layers: int = 1, depth_row: int = 0) -> SliceModel:
    return SliceModel(table, depth_row, n_layers, np.arange(3), np.arange(2))


def pairs(own: SliceModel) -> set[tuple[int, int]]:
    own.model.proto.clear_objective()
    return allowed_pairs(own)


def first(own: SliceModel) -> tuple[int, int]:
    _, choice = own.solve(SolveSettings(), UNWATCHED)
    assert choice is not None
    return choice


# Rules.


@pytest.mark.parametrize(
    "shape", [(3, 2), (3, 1), (1, 2), (1, 1), (2,), (1,), (), (1, 3, 2), (1, 3, 1), (1, 1, 2), (1, 1, 1)]
)
def test_a_mask_leaves_the_pairs_it_says(shape: tuple[int, ...]) -> None:
    """Alone, and as one of two options; masks that leave everything add nothing."""
    rng = np.random.default_rng(len(shape))
    for _ in range(4):
        one, other = (np.asarray(rng.random(shape) < 0.5) for _ in range(2))
        own = model(slices.table(COLUMNS))
        own.post("rule", one)
        assert pairs(own) == {p for p in PAIRS if np.broadcast_to(one, (1, 3, 2))[(0, *p)]}
        either = model(slices.table(COLUMNS))
        either.post("rule", AnyOf((one, other)))
        assert pairs(either) == {p for p in PAIRS if np.broadcast_to(one | other, (1, 3, 2))[(0, *p)]}


def test_every_rule_has_one_literal_however_many_rows() -> None:
    own = model(slices.table(COLUMNS))
    own.post("one", AllOf((np.array([[True], [True], [False]]), np.array([[True, False]]))))
    own.post("two", np.array([[False], [True], [True]]))
    own.post("one", Bound(slices.Q, -INF, 1e9))
    names = [v.name for v in own.model.proto.variables if v.name.startswith("enforce")]
    assert names == ["enforce one", "enforce two"]
    assert pairs(own) == {(1, 0)}
    with_rows = [c for c in own.model.proto.constraints if len(c.enforcement_literal)]
    assert len(with_rows) == 4  # two masks and a bound of 'one', a mask of 'two'


def test_rules_of_pairs_bounds_and_choices_are_posted_at_their_depth() -> None:
    """Masks are of the whole lattice: two depths, of which the model is of the second."""
    mask = np.ones((2, 3, 2), dtype=bool)
    mask[0] = False  # of the other depth
    mask[1, 0, 0] = False
    columns = COLUMNS | {"r": (0.0, [0.0, 0.0, 0.0], [5.0, 6.0])}
    r = Symbol("r", "r", True, lambda at, q: q)
    bound = Bound(slices.Q, -INF, 7.0 + 3 * 33.0)  # at three layers: not the last pair
    not_first = np.ones((2, 3, 1), dtype=bool)
    not_first[1, 1] = False
    choice = AnyOf((AllOf((not_first, Bound(r, 0.0, 16.0))), Bound(slices.Q, 0.0, 45.0)))
    given: dict[str, Any] = {"pairs": [("a", mask)], "bounds": [("b", bound)], "choices": [("c", choice)]}
    keeps = {
        "pairs": lambda a, f: (a, f) != (0, 0),
        "bounds": lambda a, f: (a, f) != (2, 1),
        # (not kind 1, and 3 x (5 or 6) <= 16), or 7 + 3 (1, 2 or 4 + 10 or 30) <= 45
        "choices": lambda a, f: (a != 1 and f == 0) or (a, f) in {(0, 0), (1, 0)},
    }
    for used in (["pairs"], ["bounds"], ["choices"], list(given)):
        own = model(slices.table(columns, (2, 3), **{name: given[name] for name in used}), 3, 1)
        own.add_rules()
        assert pairs(own) == {p for p in PAIRS if all(keeps[name](*p) for name in used)}


def test_a_model_of_some_kinds_has_the_rules_of_those() -> None:
    mask = np.array([[True, False], [False, True], [True, True]])
    table = slices.table(COLUMNS, pairs=[("a", mask)])
    own = SliceModel(table, 0, 1, np.array([1, 2]), np.array([1]))
    own.add_rules()
    own.post("b", Bound(slices.Q, 0.0, 40.0))  # 7 + 2 + 30 is, 7 + 4 + 30 is not
    assert pairs(own) == {(1, 1)}


# Integers.


@pytest.mark.parametrize(
    ("column", "n_layers"),
    [
        ((7.0, [1.0, 2.0, 4.0], [10.0, 30.0]), 2),
        ((0.123456789, [1e-3 / 7, 2e-3 / 7, 3e-3 / 7], [1e-4 / 3, 5e-4 / 3]), 3),
        ((1e13 / 7, [1e9 / 3, 2e9 / 3, 1e9 / 7], [1e11 / 3, 1e11 / 7]), 5),
        ((-1e3 / 3, [1.0, 2.0, 3.0], [4.0, 5.0]), 1),
        ((0.0, [-9e4 / 7, 1.0, 2.0], [1.0, 2.0]), 1),
        ((0.0, [1.0, 1.0, 2.0], [-9e4 / 7, 2.0]), 1),
        ((0.0, [0.0, 0.0, 0.0], [0.0, 0.0]), 4),
    ],
)
def test_integers_are_close_below_the_quantity(column: Any, n_layers: int) -> None:
    """q_int x unit <= q < (q_int + TERMS) x unit, with a million to ten million units in the largest."""
    table = slices.table({"q": column})
    _, unit, low, high = model(table, n_layers).sum("q")
    base, a, f = column
    largest = abs(base) + n_layers * (max(map(abs, a)) + max(map(abs, f)))
    assert largest == 0 or 1e6 * (1 - 1e-9) <= largest / unit <= 1e7 * (1 + 1e-9)
    seen = []
    for pair in PAIRS:
        own = model(table, n_layers)
        own.minimise(slices.Q, 1)
        for other in PAIRS - {pair}:
            own.forbid(*other)
        answer, choice = own.solve(SolveSettings(), UNWATCHED)
        assert choice == pair and answer.objective is not None
        seen.append(answer.objective)
        q = slices.value(table, "q", n_layers, *pair)
        assert answer.objective * unit <= q + 1e-9 * abs(q)
        assert q < (answer.objective + TERMS) * unit + 1e-9 * abs(q)
    # The ends are of the integers themselves; a lattice of sums reaches both.
    assert (low, high) == (min(seen), max(seen))


def test_a_sum_is_made_once() -> None:
    own = model(slices.table(COLUMNS))
    assert own.sum("q") is own.sum("q")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (10.0, 20.0, [7, 20]),
        (10.2, 20.8, [8, 20]),
        (-INF, 20.0, [-3, 20]),  # from the lower end of what is asked about, 0
        (90.0, INF, [87, 103]),  # a plan of 102.9 is the integer 100 still
        (102.5, INF, [100, 103]),
    ],
)
def test_bounds_are_loosened_by_the_error_of_the_integers(
    low: float, high: float, expected: list[int]
) -> None:
    own = model(slices.table(COLUMNS))
    assert own._domain(Bound(slices.Q, low, high), 1.0, 0, 100).flattened_intervals() == expected
    fine = own._domain(Bound(slices.Q, low / 1e3, high / 1e3), 1e-3, 0, 100)
    assert fine.flattened_intervals() == expected


# Objectives.


def falls(q: Any) -> Any:
    return 1000.0 / q


@pytest.mark.parametrize("sense", [1, -1])
@pytest.mark.parametrize(
    ("symbol", "better"),
    [
        (slices.metric(lambda q: 3.0 * q, True), "less"),
        (slices.metric(lambda q: 3.0 * q, None), "less"),
        (slices.metric(falls, False), "more"),
        (slices.metric(falls, None), "more"),
        # In steps, as chips are: flat over the slice, and still of a side.
        (slices.metric(lambda q: np.ceil(q / 1e6), True), "less"),
        (slices.metric(lambda q: np.floor(1e-3 / q), False), "more"),
        # Turning ones go to their better end: from 18 to 41, dips and hills at 25 and at 35.
        (slices.metric(lambda q: abs(q - 25.0), None), "less"),
        (slices.metric(lambda q: -abs(q - 25.0), None), "more"),
        (slices.metric(lambda q: abs(q - 35.0), None), "more"),
        (slices.metric(lambda q: -abs(q - 35.0), None), "less"),
    ],
)
def test_the_first_answer_is_the_better_end(symbol: Symbol, better: str, sense: int) -> None:
    own = model(slices.table(COLUMNS))
    own.minimise(symbol, sense)
    assert first(own) == ((0, 0) if (better == "less") == (sense > 0) else (2, 1))


@pytest.mark.parametrize("sense", [1, -1])
@pytest.mark.parametrize(
    "symbol",
    [slices.Q, slices.metric(falls, False), slices.metric(falls, None), slices.metric(lambda q: q * q, True)],
)
def test_a_cut_off_keeps_what_is_as_good_and_cuts_what_is_worse(symbol: Symbol, sense: int) -> None:
    """As far as integers tell: three units. Later cut-offs take the place of earlier ones."""
    table = slices.table(COLUMNS)
    keys = {p: sense * float(symbol.value(None, slices.value(table, "q", 1, *p))) for p in PAIRS}
    best, *rest = sorted(keys.values())
    for key in (best, *rest):
        own = model(table)
        own.minimise(symbol, sense)
        assert own.cut_off(best)
        assert own.cut_off(key)
        assert pairs(own) == {p for p in PAIRS if keys[p] <= key + 1e-9}
    own = model(table)
    own.minimise(symbol, sense)
    assert own.cut_off(INF)
    assert not own.cut_off(best - 1e-2 * abs(best))
    assert pairs(own) == PAIRS  # nothing was cut by either


def test_what_lies_within_the_error_of_the_integers_is_not_cut() -> None:
    """The best plan at 18, cut at a hair less: the float model is to say that it is not better."""
    own = model(slices.table(COLUMNS))
    own.minimise(slices.Q, 1)
    _, unit, *_ = own.sum("q")
    assert own.cut_off(18.0 - 2 * unit)
    assert first(own) == (0, 0)
    own.forbid(0, 0)
    assert own.solve(SolveSettings(), UNWATCHED)[1] is None


def test_forbidden_pairs_are_out_and_others_are_not() -> None:
    own = model(slices.table(COLUMNS))
    own.minimise(slices.Q, 1)
    order = sorted(PAIRS, key=lambda p: slices.value(own.table, "q", 1, *p))
    for pair in order:
        assert first(own) == pair
        own.forbid(*pair)
    answer, choice = own.solve(SolveSettings(), UNWATCHED)
    assert (answer.status, choice) == ("infeasible", None)


def test_an_answer_that_solves_do_not_agree_on_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Solve("optimal", 3, 3, (1, 0, 0, 1, 0), 0.5)
    for agreed, status, choice in ((False, "unknown", None), (True, "optimal", (0, 0))):
        monkeypatch.setattr(model_module, "prove", lambda *rest, agreed=agreed: (said, agreed))
        answer, chosen = model(slices.table(COLUMNS)).solve(SolveSettings(), UNWATCHED)
        assert (answer.status, chosen) == (status, choice)
        assert answer.deterministic_time == 0.5
