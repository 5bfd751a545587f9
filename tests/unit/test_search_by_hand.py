"""The steps of the search on made-up slices: which kinds CP-SAT is given, what it is spared, what is equal.

Guards what a whole solve hides: an incumbent of a part that is taken for one of the whole, a proof that rests
on kinds that were dropped wrongly, counts of a certificate, an enumeration that is not compared.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples
import slices

from optimizer.blocks.operators import Gemm
from optimizer.cost.quantisation import gemm_efficiency
from optimizer.errors import InternalMismatch
from optimizer.questions.architecture import search as module
from optimizer.questions.architecture import slice_search as slice_module
from optimizer.questions.architecture.bounds import DepthBounds, depth_bounds
from optimizer.questions.architecture.cells import SliceCell
from optimizer.questions.architecture.early import Coarse
from optimizer.questions.architecture.enumeration import SlicePlans, slice_plans
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.search import Outcome, Search, _improves, _rank
from optimizer.questions.architecture.slice_model import SliceModel
from optimizer.questions.architecture.slice_search import (
    Candidate,
    Counts,
    SliceSearch,
    _as_good,
    _wanted,
    tile_efficiency,
)
from optimizer.questions.architecture.space import resolve
from optimizer.questions.architecture.table import FrameTable
from optimizer.scope import Bound, Symbol
from optimizer.search.cells import BestFirst, Cells
from optimizer.solver.cp_sat_twice import Solve
from optimizer.watch import Progress, Stopped, Watch

INF = np.inf
A, F = 5, 4
COSTS = (7.0, [1.0, 2.0, 4.0, 8.0, 9.0], [10.0, 30.0, 31.0, 32.0])
PARAMS = (0.0, [1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 20.0, 30.0, 40.0])
N = Symbol("n_params", "n_params", True, lambda at, q: q)


def table(depth: int = 2, costs: Any = COSTS, **rules: Any) -> FrameTable:
    return slices.table({"q": costs, "n_params": PARAMS}, (depth,), **rules)


def search(sense: int = 1, best: float | None = None, beat: float = INF, **own: Any) -> SliceSearch:
    """A search in its middle, with a plan of some key at hand."""
    said = own.pop("said", [])
    hunt: Any = BestFirst(
        Cells(), _rank, _improves, lambda plan, bound: said.append((plan.key, bound)), (beat,)
    )
    hunt.best = None if best is None else plan(best, sense)
    return SliceSearch(own.pop("space", None), own.pop("objective", slices.Q), sense, hunt, **own)


def plan(key: float, sense: int = 1, kinds: tuple[int, int] = (0, 0)) -> Candidate:
    return Candidate("m", sense, key, SimpleNamespace(d_model=1), 1, *kinds)  # type: ignore[arg-type]


def keys(own: FrameTable, sense: int = 1) -> dict[tuple[int, int], float]:
    depth = int(own.depths[0])
    return {(a, f): sense * slices.value(own, "q", depth, a, f) for a in range(A) for f in range(F)}


# Limits.


def test_what_improves_on_an_incumbent_is_better_by_more_than_the_last_digits() -> None:
    assert search()._limit == INF
    for key in (5.0, -5.0):
        assert search(best=key)._limit == pytest.approx(key - 5e-12, abs=1e-15)
        assert search(beat=key)._limit == pytest.approx(key - 5e-12, abs=1e-15)
        assert _wanted(key) == pytest.approx(key + 5e-5, abs=1e-15)
    assert search(best=5.0, beat=4.0)._limit == pytest.approx(4.0)
    assert search(best=5.0, beat=6.0)._limit == pytest.approx(5.0)
    assert _wanted(INF) == INF


def test_counts_of_two_searches_are_added_and_frames_told_apart() -> None:
    words = ("slices", "slices_solved", "columns", "solves", "band", "enumerated")
    one = Counts(
        frames=9, frames_solved={1, 2}, deterministic_time=0.5, **{n: i for i, n in enumerate(words)}
    )
    other = Counts(frames=9, frames_solved={2, 5}, deterministic_time=0.25, **dict.fromkeys(words, 10))
    one.add(other)
    assert (one.frames, one.frames_solved, one.deterministic_time) == (9, {1, 2, 5}, 0.75)
    assert [getattr(one, n) for n in words] == [10 + i for i in range(6)]
    none = Counts()
    none.add(Counts())
    assert none == Counts(0, 0, set(), 0, 0, 0, 0, 0, 0.0)


def test_the_best_and_what_is_as_good_are_kept_and_some_more() -> None:
    """At least eight, where there are as many; never what can be in no plan."""
    best = np.array([9.0, 1.0, INF, 3.0, 2.0, 2.0, 8.0, 7.0, 6.0, 5.0, INF, 4.0])
    assert _as_good(best, 2.0).tolist() == [1, 3, 4, 5, 7, 8, 9, 11]
    assert _as_good(best, 8.0).tolist() == [1, 3, 4, 5, 6, 7, 8, 9, 11]
    assert _as_good(best, 7.999).tolist() == [1, 3, 4, 5, 7, 8, 9, 11]
    assert _as_good(best, 99.0).tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 11]
    assert _as_good(best, INF).tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 11]
    assert _as_good(np.array([INF, 2.0, INF]), 1.0).tolist() == [1]
    equal = np.array([2.0] * 12)
    assert _as_good(equal, 1.0).tolist() == list(range(8))
    assert _as_good(equal, 2.0).tolist() == list(range(12))


# Kinds.


@pytest.mark.parametrize("sense", [1, -1])
def test_keys_of_pairs_are_of_those_in_the_parameter_window(sense: int) -> None:
    """At depth 2: 2 x (1 to 5 + 10, 20, 30 or 40) parameters."""
    own = table()
    for low, high in ((0.0, 1e9), (46.0, 64.0), (46.0 * (1 + 5e-10), 64.0 * (1 - 5e-10)), (46.1, 63.9)):
        bounds = DepthBounds(*(np.array(x) for x in ([0.0], [[0.0] * A], [low], [high])))
        rows = np.array([1, 2, 4])
        found = search(sense)._keys(own, bounds, 0, rows)
        for i, a in enumerate(rows):
            for f in range(F):
                n = slices.value(own, "n_params", 2, int(a), f)
                inside = low * (1 - 1e-9) <= n <= high * (1 + 1e-9)
                assert found[i, f] == (keys(own, sense)[int(a), f] if inside else INF)
    beside = DepthBounds(
        *(np.array(x) for x in ([0.0], [[0.0] * A], [46.0 * (1 + 2e-9)], [64.0 * (1 - 2e-9)]))
    )
    found = search(sense)._keys(own, beside, 0, np.arange(A))
    assert np.isinf(found[2, 1]) and np.isinf(found[1, 2])  # 2 x (3 + 20) and 2 x (2 + 30)


@pytest.mark.parametrize("sense", [1, -1])
@pytest.mark.parametrize("pairs_at_once", [1, 2, 9, 2**22])
def test_kinds_that_are_left_are_those_of_better_plans(
    pairs_at_once: int, sense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimizer.questions.architecture.enumeration._PAIRS", pairs_at_once)
    monkeypatch.setattr(slice_module, "_KINDS", 1)
    own = table(costs=(7.0, [1.0, 1.0, 4.0, 9.0, 9.0], [10.0, 10.0, 32.0, 32.0]))
    bounds = depth_bounds(own, slices.Q, sense)
    by_pair = keys(own, sense)
    for limit in (INF, *sorted(set(by_pair.values())), sense * 28.0):
        for truth in (INF, *sorted(by_pair.values())[:8:3]):
            asked = search(sense, beat=limit) if np.isfinite(limit) else search(sense)
            better = {p: k for p, k in by_pair.items() if k < asked._limit}
            a, f = asked._kinds_left(own, bounds, 0, truth)
            # As good as the truth; where nothing is, the one that is best.
            for axis, found in ((0, a), (1, f)):
                least = {
                    i: min((k for p, k in better.items() if p[axis] == i), default=INF) for i in range(5)
                }
                good = [i for i, k in least.items() if np.isfinite(k) and k <= truth + 1e-12 * abs(truth)]
                first = min(least, key=lambda i: least[i])
                assert found.tolist() == (good or ([first] if better else []))


def test_kinds_whose_bound_is_no_better_are_not_priced() -> None:
    own = table()
    bounds = depth_bounds(own, slices.Q, 1)
    bounds.by_attention[0, :3] = 40.0
    assert search(beat=50.0)._kinds_left(own, bounds, 0, INF)[0].tolist() == [0, 1, 2, 3, 4]
    # The others cost 7 + 2 x (8 + 10) and more.
    assert search(beat=40.0)._kinds_left(own, bounds, 0, INF)[0].tolist() == []
    looks = iter(range(9))
    stopped = search(watch=Watch(cancelled=lambda: next(looks) >= 0))
    with pytest.raises(Stopped):
        stopped._kinds_left(own, bounds, 0, INF)


# A slice.


def queued(own: FrameTable, sense: int = 1, objective: Any = slices.Q) -> SliceCell:
    bounds = depth_bounds(own, objective, sense)
    return SliceCell(float(bounds.key[0]), 77, own, bounds, 0)


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties are broken by the kinds' dimensions alone."""
    monkeypatch.setattr(slice_module, "tile_efficiency", lambda frame, a, f: np.zeros(1))


class Rows(SimpleNamespace):
    def take(self, rows: Any) -> Any:
        return SimpleNamespace(**{name: np.asarray(values)[rows] for name, values in vars(self).items()})


def space(heads: list[int] | None = None, d_ff: list[int] | None = None) -> Any:
    attention = Rows(n_heads=heads or list(range(A)), d_head=[64] * A, n_kv_heads=[2] * A)
    return SimpleNamespace(attention=attention, ffn=Rows(d_ff=d_ff or list(range(F))))


@pytest.mark.parametrize("sense", [1, -1])
def test_a_slice_is_solved_counted_and_confirmed(sense: int, even: None) -> None:
    said: list[tuple[float, float]] = []
    own = search(sense, space=space(), said=said)
    slice_ = queued(table(), sense)
    found = own.look(slice_)
    least = min(keys(slice_.table, sense).values())
    assert own.hunt.best is not None and own.hunt.best.key == least
    assert (own.hunt.best.attention, own.hunt.best.ffn) == ((0, 0) if sense > 0 else (4, 3))
    assert (own.hunt.best.metric, own.hunt.best.sense, own.hunt.best.n_layers) == ("m", sense, 2)
    assert found.best == least
    c = own.counts
    assert (c.frames_solved, c.slices_solved, c.columns, c.enumerated) == ({77}, 1, A + F, A * F)
    assert (c.solves, c.band) == (2, 0)  # one look finds the best, the other nothing within its integers
    assert c.deterministic_time > 0
    assert said[-1][0] == least


def test_a_slice_without_anything_better_is_not_solved(even: None) -> None:
    own = search(best=29.0, space=space())  # the best is 7 + 2 x 11 = 29
    seen = own.look(queued(table()))
    assert own.hunt.best is not None and own.hunt.best.n_layers == 1
    assert (own.counts.slices_solved, own.counts.columns, own.counts.solves) == (0, 0, 0)
    assert len(seen.key) == 1  # enumerated all the same
    better = search(best=29.0 * (1 + 1e-9), space=space())
    better.look(queued(table()))
    assert better.hunt.best is not None and better.hunt.best.key == 29.0


def test_a_rule_that_leaves_no_plan_is_a_slice_without_one(even: None) -> None:
    """By bounds on other metrics there may be some, pair by pair there is none: CP-SAT must say so too."""
    odd = Symbol("odd", "q", None, lambda at, q: np.abs(q / 2.0 % 1.0 - 0.25))
    own = search(space=space())
    slice_ = queued(table(bounds=[("odd_max", Bound(odd, -INF, 0.1))]))
    own.look(slice_)
    assert own.hunt.best is None
    assert (own.counts.slices_solved, own.counts.enumerated) == (1, A * F)


def test_a_bound_above_a_plan_of_its_slice_is_an_error() -> None:
    own = search(space=space())
    with pytest.raises(InternalMismatch, match="its bound 30 is above a plan in it, 29"):
        own.look(replace(queued(table()), bound=30.0))


def test_rules_are_posted_and_the_incumbent_may_be_the_best_they_leave(even: None) -> None:
    """The cheapest pair, 29, is not allowed; the next costs 31."""
    mask = np.ones((A, F), dtype=bool)
    mask[0, 0] = False
    own = search(space=space())
    own.look(queued(table(pairs=[("a", mask)])))
    assert own.hunt.best is not None and own.hunt.best.key == 31.0
    assert own.counts.band == 0
    again = search(best=31.0, space=space())
    again.look(queued(table(pairs=[("a", mask)])))
    assert again.hunt.best is not None and again.hunt.best.n_layers == 1
    assert again.counts.slices_solved == 1  # kinds of the pair may be in a better plan, for all that is known


@pytest.mark.parametrize("any_plan", [False, True])
def test_a_search_for_any_plan_takes_the_first(any_plan: bool, even: None) -> None:
    own = search(space=space(), any_plan=any_plan)
    own.look(queued(table()))
    assert own.hunt.best is not None
    assert own.counts.enumerated == (0 if any_plan else A * F)


def answers(monkeypatch: pytest.MonkeyPatch, choices: list[Any]) -> list[tuple[int, int]]:
    """CP-SAT as if it chose these pairs one after another; what is forbidden."""
    forbidden: list[tuple[int, int]] = []
    said = iter(choices)

    def solve(self: Any, *rest: Any) -> Any:
        choice = next(said)
        status = choice if isinstance(choice, str) else "optimal"
        return Solve(status, None, None, (), 0.25), None if isinstance(choice, str) else choice

    monkeypatch.setattr(SliceModel, "solve", solve)
    monkeypatch.setattr(SliceModel, "forbid", lambda self, a, f: forbidden.append((a, f)))
    return forbidden


def solved(
    own: SliceSearch, t: FrameTable, a: list[int], f: list[int], plans: SlicePlans | None = None
) -> float:
    plans = slice_plans(t, 0, slices.Q, own.sense) if plans is None else plans
    return own._solve_by_cp_sat(t, 0, plans, np.array(a), np.array(f))


def test_the_band_is_what_is_no_better_when_ranked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds 1, 2, 4 and 0, 2 are given; costs 7 + 2 (a + f)."""
    forbidden = answers(monkeypatch, [(1, 0), (2, 0), (0, 0), (0, 1), "infeasible"])
    own = search(space=space())
    assert solved(own, table(), [1, 2, 4], [0, 2]) == 7 + 2 * (2 + 10)
    assert forbidden[-1] == (0, 1) and {(1, 0), (2, 0), (0, 0)} <= set(forbidden)
    assert (own.counts.solves, own.counts.band, own.counts.deterministic_time) == (5, 2, 1.25)
    assert own.hunt.best is not None and (own.hunt.best.attention, own.hunt.best.ffn, own.hunt.best.key) == (
        1,
        0,
        31.0,
    )


def test_nothing_better_than_the_incumbent_is_no_find(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [(0, 0), (0, 1), "infeasible"])
    own = search(best=29.0, space=space())
    assert solved(own, table(), [0], [0, 1]) == INF
    assert own.counts.band == 2
    assert own.hunt.best is not None and own.hunt.best.n_layers == 1


def test_a_cut_off_that_leaves_nothing_ends_the_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [])
    assert solved(search(best=1.0), table(), [0], [0, 1]) == INF
    assert search().counts.solves == 0


def test_the_search_for_any_plan_ends_with_its_first(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [(0, 1), (0, 0)])
    own = search(space=space(), any_plan=True, beat=60.0)
    assert solved(own, table(), [0, 1], [0, 1]) == 29.0  # the first choice, 69, is no plan that is wanted
    assert (own.counts.solves, own.counts.band) == (2, 1)
    answers(monkeypatch, [(1, 1)])
    own = search(space=space(), any_plan=True)
    assert solved(own, table(), [0, 1], [0, 1]) == 7 + 2 * (2 + 30)
    assert own.counts.solves == 1


def test_an_answer_that_does_not_stand_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, ["unknown"])
    with pytest.raises(InternalMismatch, match=r"slice d_model=64, n_layers=2: CP-SAT's answers with and"):
        solved(search(), table(), [0], [0, 1])
    answers(monkeypatch, ["unknown"])
    with pytest.raises(Stopped):
        solved(search(watch=Watch(cancelled=lambda: True)), table(), [0], [0, 1])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_plans_in_the_band_above_the_best_are_spared(sign: float) -> None:
    """Equal within a millionth, and among the kinds that take part: positions, not rows."""
    best = sign * 100.0
    key = best + np.array([-1e-3, 0.0, 5e-5, 9.9e-5, 1.1e-4, 5.0, 0.0, 0.0])
    plans = SlicePlans(np.array([5, 5, 6, 7, 7, 5, 4, 5]), np.array([1, 1, 1, 3, 3, 3, 1, 2]), key, 0)
    forbidden: list[tuple[int, int]] = []
    model: Any = SimpleNamespace(forbid=lambda a, f: forbidden.append((a, f)))
    search()._forbid_known(model, plans, best, np.array([7, 6, 5]), np.array([1, 3]))
    assert forbidden == [(2, 0), (1, 0), (0, 1)]


# What is confirmed.


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_two_optima_are_one_within_noise(sign: float, even: None) -> None:
    t = table()
    plans = slice_plans(t, 0, slices.Q, 1)
    own = search(space=space())
    truth = sign * 29.0
    one = replace(plans, key=np.where(plans.key == 29.0, truth, 1e3))
    for found in (truth, truth + 9e-10 * abs(truth)):
        own._confirm(t, 0, one, truth, found)
        assert own.hunt.best is not None and own.hunt.best.key == truth
    assert own.counts.enumerated == 2 * A * F
    for wrong in (truth * (1 + 2e-9), truth * (1 - 2e-9), INF):
        with pytest.raises(
            InternalMismatch, match=r"slice d_model=64, n_layers=2: CP-SAT found .* enumeration"
        ):
            own._confirm(t, 0, one, truth, wrong)
    with pytest.raises(InternalMismatch):
        own._confirm(t, 0, one, INF, truth)


def test_no_plan_is_agreed_on_and_the_incumbent_stays() -> None:
    own = search(best=3.0)
    t = table()
    own._confirm(t, 0, slice_plans(t, 0, slices.Q, 1), INF, INF)
    assert own.hunt.best is not None and own.hunt.best.key == 3.0
    any_plan = search(best=3.0, any_plan=True)
    any_plan._confirm(t, 0, slice_plans(t, 0, slices.Q, 1), INF, 5.0)  # nothing is claimed of the best
    with pytest.raises(InternalMismatch):  # but that there is none is
        search(any_plan=True)._confirm(t, 0, slice_plans(t, 0, slices.Q, 1), 29.0, INF)
    assert any_plan.counts.enumerated == 0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_ties_are_plans_equal_to_the_last_digits(sign: float, even: None) -> None:
    """Of those the fewest heads, then the least feed-forward width."""
    t = table()
    best = sign * 100.0
    a, f = np.array([0, 1, 2, 3, 3]), np.array([0, 1, 2, 3, 2])
    key = best + np.array([5e-9, 5e-11, 0.0, 0.0, 2e-10])
    plans = SlicePlans(a, f, key, 5)
    own = search(space=space(heads=[1, 2, 5, 4, 4], d_ff=[9, 8, 7, 6]))
    found = own._tie_break(t, 2, plans, best)
    assert (found.attention, found.ffn, found.key) == (1, 1, key[1])
    plans = SlicePlans(a[2:4], f[2:4], key[2:4], 5)
    found = own._tie_break(t, 2, plans, best)
    assert (found.attention, found.ffn, found.key, found.n_layers) == (3, 3, best, 2)
    nothing = SlicePlans(a[2:4], f[2:4], np.array([0.0, 1.0]), 5)
    assert own._tie_break(t, 2, nothing, 0.0).key == 0.0
    plans = SlicePlans(np.array([3, 3]), np.array([0, 1]), np.array([best, best]), 5)
    assert own._tie_break(t, 2, plans, best).ffn == 1


def test_better_tiles_come_before_fewer_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    t = table()
    plans = SlicePlans(np.array([0, 1]), np.array([0, 0]), np.array([5.0, 5.0]), 2)
    for tiles, first in (([0.4, 0.6], 1), ([0.6, 0.4], 0), ([0.5, 0.5 + 1e-10], 0), ([0.5, 0.5 + 1e-8], 1)):
        monkeypatch.setattr(slice_module, "tile_efficiency", lambda frame, a, f, tiles=tiles: np.array(tiles))
        assert search(space=space())._tie_break(t, 2, plans, 5.0).attention == first


def test_tiles_are_of_all_products_of_a_prefill() -> None:
    """Widths of 9 x 72 and of 1,000 fill tiles of 128 unlike."""
    own = samples.frame("meta-llama/Llama-3.1-8B", input_tokens=1000, d_model=640)
    point = {"n_heads": 9, "n_kv_heads": 3, "d_head": 72, "d_ff": 1000, "n_layers": 1}
    block = samples.dense(point, own).first
    halves = [
        [op for op in slice_module.layer_operators(own, half, "prefill") if isinstance(op, Gemm)]
        for half in (block.mixer, block.ffn)
    ]
    each = [float(gemm_efficiency(products, own.chip)) for products in halves]
    assert each[0] != pytest.approx(each[1], rel=1e-3)
    found = float(tile_efficiency(own, block.mixer, block.ffn))
    assert found == pytest.approx(float(gemm_efficiency([*halves[0], *halves[1]], own.chip)))
    assert min(each) < found < max(each)


# Parts of a wide space.


def whole(said: list[Progress] | None = None, **own: Any) -> Search:
    """A search over a made-up space, before it begins."""
    tell = None if said is None else said.append
    found = Search(SimpleNamespace(), None, slices.Q, 1, watch=Watch(tell=tell), **own)  # type: ignore[arg-type]
    found.counts = Counts()
    found.hunt = BestFirst(Cells(), _rank, _improves, found._tell, (found.beat,))
    return found


def coarse_of(outcomes: list[Any], monkeypatch: pytest.MonkeyPatch) -> list[Search]:
    """Three parts of a space, whose searches end so; the searches that were asked for."""
    asked: list[Search] = []

    def run(self: Search) -> Outcome:
        asked.append(self)
        best, finished = outcomes[len(asked) - 1]
        return Outcome(best, 0.0, finished, Counts(frames=9, frames_solved={1}, slices=2, solves=3))

    parts = [Coarse(f"part {i}", np.array([20, 30]) + i, np.array([50, 60, 70]) + i) for i in range(3)]  # type: ignore[arg-type]
    monkeypatch.setattr(module, "coarse", lambda space: iter(parts))
    monkeypatch.setattr(Search, "run", run)
    return asked


def test_parts_are_searched_for_any_plan_first_and_then_for_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    first, better = plan(9.0, kinds=(1, 2)), plan(7.0, kinds=(0, 1))
    ends = [(None, True), (None, True), (first, True), (None, True), (better, True)]
    asked = coarse_of(ends, monkeypatch)
    said: list[Progress] = []
    own = whole(said, also=("train_s",), beat=20.0)
    own._early()
    assert [(s.space, s.any_plan) for s in asked] == [
        ("part 0", True), ("part 0", False), ("part 1", True), ("part 1", False), ("part 2", False),
    ]  # fmt: skip
    assert [s.beat for s in asked] == pytest.approx([20.0, 20.0, 20.0, 9.0, 9.0])
    assert asked[3].beat < 9.0
    assert all(s.also == () and s.watch.tell is None for s in asked)
    assert own.hunt.best is not None and (own.hunt.best.key, own.hunt.best.attention, own.hunt.best.ffn) == (
        7.0,
        22,
        62,
    )
    c = own.counts
    assert (c.slices, c.solves, c.frames, c.frames_solved) == (
        10,
        15,
        0,
        set(),
    )  # frames of parts have no names
    assert [p.incumbent for p in said] == [9.0, 7.0]


def test_any_plan_of_a_part_is_enough_where_any_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = coarse_of([(None, True), (None, True), (plan(9.0), True)], monkeypatch)
    own = whole(any_plan=True)
    own._early()
    assert [(s.space, s.any_plan) for s in asked] == [("part 0", True), ("part 0", True), ("part 1", True)]


def test_a_part_that_is_stopped_leaves_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse_of([(plan(9.0, kinds=(0, 0)), False)], monkeypatch)
    own = whole()
    with pytest.raises(Stopped):
        own._early()
    assert own.hunt.best is not None and (own.hunt.best.key, own.hunt.best.attention) == (9.0, 20)
    assert own.counts.slices == 2


# The whole.


def test_a_search_says_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = resolve(samples.problem(deployment={"batch": [1, 2, 4, 8]}))
    asked = Search(problem, problem.rules, symbol("tpot_ms"), 1)
    whole = asked.run()
    assert whole.finished and whole.best is not None and whole.bound == whole.best.key
    assert whole.counts.frames == problem.n_frames == 8
    assert whole.counts.slices == asked.cells.slices_priced
    first = replace(asked, any_plan=True).run()
    assert first.finished and first.best is not None
    assert first.counts.slices_solved == 1
    none = replace(asked, beat=whole.best.key).run()
    assert none.finished and none.best is None and none.bound == INF
    looks = iter(range(10**6))
    slow = replace(asked, sense=-1, watch=Watch(cancelled=lambda: next(looks) >= 12)).run()
    assert not slow.finished
    highest = replace(asked, sense=-1).run()
    assert highest.best is not None and slow.bound <= highest.best.key
    assert 0 < slow.counts.slices < highest.counts.slices


def test_while_a_slice_is_at_hand_its_bound_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = resolve(samples.problem())
    seen: list[tuple[float, float]] = []

    def look(self: SliceSearch, slice_: SliceCell) -> None:
        seen.append((self.hunt.bound, slice_.bound))
        if len(seen) == 3:
            raise Stopped

    monkeypatch.setattr(SliceSearch, "look", look)
    outcome = Search(problem, problem.rules, symbol("tpot_ms"), 1).run()
    assert [bound for bound, _ in seen] == [own for _, own in seen]
    assert (outcome.finished, outcome.bound) == (False, seen[-1][1])


def test_parts_come_first_in_a_wide_space_only(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    monkeypatch.setattr(Search, "_early", lambda self: called.append(True))
    problem = resolve(samples.problem())
    for frames, wide in ((problem.n_frames, False), (problem.n_frames - 1, True)):
        monkeypatch.setattr("optimizer.questions.architecture.space._FRAMES", frames)
        called.clear()
        Search(problem, problem.rules, symbol("tpot_ms"), 1).run()
        assert bool(called) is wide
