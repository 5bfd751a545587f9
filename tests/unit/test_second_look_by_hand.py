"""The second look at what a search left out, on made-up frames: where it looks, what it counts and minds.

Guards a second look that looks nowhere: every frame where they are few, a seeded sample where they are many,
and in each the slices that could be better, one of the others, and some that their bounds call empty.
"""

from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slices

from optimizer.errors import InternalMismatch
from optimizer.questions.architecture.slice_search import require_bound
from optimizer.questions.architecture.table import FrameTable
from optimizer.questions.architecture.witness import _Look, look_again
from optimizer.scope import Bound, Symbol
from optimizer.watch import UNWATCHED, Watch

INF = np.inf
PARAMS = Symbol("n_params", "n_params", True, lambda at, q: q)


def frame_of(costs: list[float], bounds: Any = ()) -> FrameTable:
    """Two attention kinds; at depth i + 1 the better one costs `costs[i]`: 10 x depth + (1 or 3) + 5."""
    depths = tuple(range(1, len(costs) + 1))
    columns = {"q": (0.0, [1.0, 3.0], [5.0]), "n_params": (0.0, [2.0, 4.0], [8.0])}
    return slices.table(columns, depths, bounds=bounds)


def search(frames: dict[int, list[tuple[FrameTable, Any]]], n: int, **own: Any) -> Any:
    """A finished search over `n` frames, of which those given have anything left."""
    opened = own.get("priced_at", {})
    floors = own.get("floors", {})
    queue = SimpleNamespace(
        priced_at=opened,
        left_out_by=lambda number: floors.get(number, -INF),
        priced=lambda number: [
            (table, SimpleNamespace(key=np.array(key, float))) for table, key in frames.get(number, [])
        ],
    )
    best = own.get("best")
    return SimpleNamespace(
        space=SimpleNamespace(n_frames=n, frame=lambda number: SimpleNamespace(d_model=100 + number)),
        cells=queue,
        solved=[(SimpleNamespace(frame_number=f, n_layers=d), None) for f, d in own.get("solved", [])],
        hunt=SimpleNamespace(best=None if best is None else SimpleNamespace(key=best)),
        objective=slices.Q,
        sense=own.get("sense", 1),
        watch=own.get("watch", UNWATCHED),
    )


ONE = slices.table({"q": (0.0, [1.0, 3.0], [5.0]), "n_params": (0.0, [2.0, 4.0], [8.0])})
"""Its only slice has plans of 6 and 8."""


def test_few_frames_are_all_priced_and_many_are_sampled() -> None:
    frames = {number: [(ONE, [6.0])] for number in range(400)}
    every = look_again(search(frames, 90, best=6.0, priced_at={3: 5.0, 7: 5.0}), few=90, sample=5)
    assert (every.frames_left_out, every.frames_priced, every.all_frames) == (88, 88, True)
    assert (every.slices_enumerated, every.plans) == (90, 180)  # opened ones are looked into too
    some = look_again(search(frames, 91, best=6.0), few=90, sample=5)
    assert (some.frames_left_out, some.frames_priced, some.all_frames) == (91, 5, False)
    assert (some.slices_enumerated, some.plans) == (5, 10)
    assert look_again(search(frames, 12, best=6.0), few=4, sample=5).frames_priced == 5


def test_the_sample_is_drawn_by_seed_from_all_frames() -> None:
    asked: list[int] = []
    own = search({}, 1000, best=6.0, priced_at=dict.fromkeys(range(0, 1000, 2), 5.0))
    own.cells.left_out_by = lambda number: asked.append(number) or 0.0
    found = look_again(own, few=40, sample=5, seed=9)
    drawn = Random(9).sample(range(1000), 8 * 5)
    assert asked == [number for number in drawn if number % 2]
    assert (found.frames_priced, found.all_frames, found.seed) == (len(asked), False, 9)
    assert found.slices_enumerated == found.plans == 0


def test_frames_in_which_nothing_is_left_do_not_count_for_the_sample() -> None:
    alive = {number: [(ONE, [6.0])] for number in range(0, 1000, 2)}
    found = look_again(search(alive, 1000, best=6.0), few=40, sample=7)
    drawn = Random(0).sample(range(1000), 8 * 7)
    even = [i for i, number in enumerate(drawn) if number % 2 == 0]
    assert found.frames_priced == even[6] + 1
    assert found.slices_enumerated == 7


def test_no_more_opened_frames_than_the_sample_are_looked_into() -> None:
    frames = {number: [(ONE, [6.0])] for number in range(9)}
    own = search(frames, 9, best=6.0, priced_at=dict.fromkeys(range(9), 1.0))
    found = look_again(own, few=40, sample=4)
    assert (found.frames_left_out, found.frames_priced, found.slices_enumerated) == (0, 0, 4)


def test_a_look_that_is_stopped_says_so_and_what_it_did() -> None:
    frames = {number: [(ONE, [6.0])] for number in range(40)}
    looks = iter(range(1000))
    watch = Watch(cancelled=lambda: next(looks) >= 6)  # one look a frame, one a slice
    found = look_again(search(frames, 40, best=6.0, watch=watch), few=40, sample=5)
    assert (found.frames_priced, found.slices_enumerated, found.all_frames) == (3, 3, False)
    for opened in ({}, {0: 1.0}):
        own = search(frames, 40, best=6.0, watch=Watch(cancelled=lambda: True), priced_at=opened)
        found = look_again(own, few=40, sample=5)
        assert (found.frames_priced, found.slices_enumerated, found.all_frames) == (0, 0, False)


def rows(key: list[float], best: float | None, **own: Any) -> list[list[int]]:
    """What many seeds look into of one frame."""
    table = frame_of([0.0] * len(key), own.pop("bounds", ()))
    looks = [_Look(search({}, 1, best=best, **own), seed) for seed in range(60)]
    return [look._rows(0, table, np.array(key)) for look in looks]


def test_all_slices_that_could_be_better_and_the_best_and_one_other_are_looked_into() -> None:
    key = [9.0, 3.0, 8.0, 4.0, 7.0, 5.0]
    found = rows(key, 5.0)
    assert all(own == sorted(set(own)) for own in found)
    assert all({1, 3} <= set(own) for own in found)
    assert all(len(own) <= 3 for own in found)
    assert {i for own in found for i in own} == set(range(6))  # the other is any
    found = rows(key, 2.0)  # nothing could be better: the most promising, and one
    assert all(1 in own and len(own) <= 2 for own in found)
    assert {i for own in found for i in own} == set(range(6))
    assert all(own[0] == 1 for own in rows([4.0, 3.0, 3.0], 2.0) if 0 not in own)  # the first of equals
    assert rows(key, None)[0] == list(range(6))  # no answer: each could be better


def test_what_was_solved_is_not_looked_into_again() -> None:
    found = rows([3.0, 3.0, 9.0, 8.0], 5.0, solved=[(0, 1), (0, 4), (1, 2)])
    assert {i for own in found for i in own} == {1, 2}


@pytest.mark.parametrize(("opened", "most"), [({}, 4), ({0: 1.0}, 16)])
def test_some_slices_that_their_bounds_call_empty_are_looked_into(opened: Any, most: int) -> None:
    key = [INF] * 30
    found = rows(key, 5.0, priced_at=opened)
    assert all(len(own) == most for own in found)
    assert {i for own in found for i in own} == set(range(30))
    assert all(own == [0, 1, 2] for own in rows(key[:3], 5.0, priced_at=opened))
    beside = rows([INF, 9.0, INF, INF], 5.0, priced_at=opened)
    assert all(len(own) == 2 and 1 in own for own in beside)  # one, where another is not empty
    # Depths 1 to 30 have 10 to 12 parameters a layer: a window of 100 to 120 leaves 9 to 12 layers.
    window = [("parameter_window", Bound(PARAMS, 100.0, 120.0))]
    within = rows(key, 5.0, priced_at=opened, bounds=window)
    assert {i + 1 for own in within for i in own} == {9, 10, 11, 12}


def check(best: float | None = None, floor: float = -INF, bound: float = 0.0, **own: Any) -> None:
    """Look into one frame that was left out by `floor`, with one slice of `bound` and plans of 6 and 8."""
    look_again(search({0: [(ONE, [bound])]}, 1, best=best, floors={0: floor}, **own))


def test_a_plan_below_its_floor_or_better_than_the_answer_is_an_error() -> None:
    check(best=6.0, floor=6.0, bound=6.0)
    check(best=6.0 * (1 + 5e-10), floor=6.0 * (1 + 5e-10), bound=6.0 * (1 + 5e-10))  # float noise
    with pytest.raises(
        InternalMismatch, match=r"frame 0 \(d_model 100\): its floor 6.0000000. is above a plan"
    ):
        check(best=5.0, floor=6.0 * (1 + 2e-9))
    with pytest.raises(
        InternalMismatch, match=r"frame 0 \(d_model 100\): a plan in it, 6, is better than the"
    ):
        check(best=6.0 * (1 + 2e-9))
    with pytest.raises(InternalMismatch, match="bound 7 is above a plan in it, 6"):
        check(best=7.0, bound=7.0)
    with pytest.raises(InternalMismatch, match="the floors rule out every frame, but a plan was found"):
        check(best=None)


def test_the_same_where_more_is_better() -> None:
    """Keys below zero: the best plan has 8."""
    check(best=-8.0, floor=-8.0, bound=-8.0, sense=-1)
    noise = -8.0 * (1 - 5e-10)
    check(best=noise, floor=noise, bound=noise, sense=-1)
    with pytest.raises(InternalMismatch, match="its floor"):
        check(best=-9.0, floor=-8.0 * (1 - 2e-9), bound=-9.0, sense=-1)
    with pytest.raises(InternalMismatch, match="is better than the answer"):
        check(best=-8.0 * (1 - 2e-9), bound=-9.0, sense=-1)


def test_a_frame_that_its_bounds_call_empty_and_is_is_no_error() -> None:
    none = slices.table(
        {"q": (0.0, [1.0], [5.0]), "n_params": (0.0, [2.0], [8.0])},
        bounds=[("m_max", Bound(slices.Q, -INF, 3.0))],
    )
    found = look_again(search({0: [(none, [INF])]}, 1))
    assert (found.slices_enumerated, found.plans, found.frames_priced) == (1, 1, 1)
    with pytest.raises(InternalMismatch, match="its bound inf"):
        look_again(search({0: [(ONE, [INF])]}, 1, best=5.0))
    with pytest.raises(InternalMismatch, match="its floor inf is above a plan"):
        check(best=5.0, floor=INF)
    opened = search({0: [(ONE, [9.0])]}, 1, best=5.0, priced_at={0: 9.0})
    with pytest.raises(InternalMismatch, match="its bound 9 is above a plan in it, 6"):
        look_again(opened)


def test_a_bound_may_lie_above_a_plan_by_noise_alone() -> None:
    for best in (6.0, -6.0):
        require_bound(best + 5e-10 * abs(best), best, ONE, 0)
        with pytest.raises(InternalMismatch, match=r"slice d_model=64, n_layers=1: its bound"):
            require_bound(best + 2e-9 * abs(best), best, ONE, 0)
    require_bound(-INF, -6.0, ONE, 0)
