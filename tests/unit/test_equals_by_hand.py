"""Which of several equal plans is the answer, on made-up slices: the order of the rule, one part at a time.

Guards answers of studies that are compared with each other: the same question must end in the same plan,
however the search came to its end.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slices
from kinds import DenseFeedForward, GroupedQueryAttention

from optimizer.errors import InternalMismatch
from optimizer.questions.architecture import equals
from optimizer.questions.architecture.enumeration import slice_plans
from optimizer.questions.architecture.equals import Aim, chosen_among_equals
from optimizer.questions.architecture.kinds import kinds_like
from optimizer.scope import Symbol
from optimizer.watch import UNWATCHED

GQA = GroupedQueryAttention(n_heads=8, n_kv_heads=2, d_head=64)
DENSE = DenseFeedForward(d_ff=512)
TIME = Symbol("time", "t", True, lambda at, q: q)


def test_steps_are_rounded_to_the_worse_side() -> None:
    least, most = Aim(TIME, 1, 0.5), Aim(TIME, -1, 0.5)
    for value, up, down in ((1.0, 2, -2), (1.0 + 1e-12, 2, -2), (1.1, 3, -2), (1.4, 3, -2), (1.5, 3, -3)):
        assert least.steps(value) == up
        assert most.steps(value) == down
    assert (least.steps(0.5 * (2 + 9e-10)), least.steps(0.5 * (2 + 1.5e-9))) == (2, 3)  # noise of a step
    assert least.steps(np.array([0.2, 0.9])).tolist() == [1.0, 2.0]
    assert (least.at_most(3.0), most.at_most(-3.0)) == (1.5, 1.5)


def search(
    solved: list[Any],
    queued: list[Any] = [],  # noqa: B006
    sense: int = 1,
    kinds: dict[str, list[int]] | None = None,
) -> Any:
    """A finished search: (name, depth, costs of pairs, times of pairs) of slices; costs are sense x q.

    Two attention kinds and two feed-forward kinds; pair (a, f) costs a sum, so costs are given for a and f.
    """
    own = {"n_heads": [8, 8], "d_head": [64, 64], "n_kv_heads": [2, 2], "d_ff": [512, 512]} | (kinds or {})
    arrays = {name: np.array(values) for name, values in own.items()}
    limits: list[float] = []

    def made(row: Any) -> Any:
        name, depth, costs, times = row
        frame = SimpleNamespace(d_model=64, identity=(name,))
        # q and t are base + layers x (a + f): given so that they are as asked at this depth.
        columns = {
            "q": (0.0, [x / depth for x in costs[0]], [x / depth for x in costs[1]]),
            "t": (0.0, [x / depth for x in times[0]], [x / depth for x in times[1]]),
        }
        table = slices.table(columns, (depth,), frame=frame)
        return SimpleNamespace(table=table, row=0, n_layers=depth)

    waiting = [made(row) for row in queued]
    done = [made(row) for row in solved]
    plans = [slice_plans(s.table, 0, slices.Q, sense) for s in done]

    def pop(limit: float) -> Any:
        limits.append(limit)
        return waiting.pop(0) if waiting else None

    key = min((p.best for p in plans), default=None)
    return SimpleNamespace(
        hunt=SimpleNamespace(best=None if key is None else SimpleNamespace(key=key)),
        solved=list(zip(done, plans, strict=True)),
        cells=SimpleNamespace(pop=pop),
        space=SimpleNamespace(
            attention=kinds_like(GQA, **{n: arrays[n] for n in ("n_heads", "d_head", "n_kv_heads")}),
            ffn=kinds_like(DENSE, d_ff=arrays["d_ff"]),
        ),
        objective=slices.Q,
        sense=sense,
        watch=UNWATCHED,
        slices=SimpleNamespace(candidate=lambda t, n, a, f, key: (t.frame.identity[0], n, a, f, key)),
        limits=limits,
    )


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Tile efficiencies by frame, of the plans that are asked about; all the same unless a test says."""
    known: dict[str, Any] = {}

    def efficiency(frame: Any, attention: Any, ffn: Any) -> Any:
        return known.get(frame.identity[0], lambda a, f: 0.5)(attention, ffn)

    monkeypatch.setattr(equals, "tile_efficiency", efficiency)
    return known


SAME = ([1.0, 1.0], [1.0, 1.0])
AIM = (Aim(TIME, 1, 10.0),)


def chosen(own: Any, later: tuple[Aim, ...] = ()) -> Any:
    return chosen_among_equals(own, later)


def test_without_a_plan_there_is_none(tiles: Any) -> None:
    assert chosen(search([])) is None


def test_the_later_aim_decides_in_steps_and_then_exactly(tiles: Any) -> None:
    """Times 24, 27, 21 and 24: two steps of ten or three; the least of those of three is 21."""
    own = search([("x", 2, SAME, ([13.0, 10.0], [11.0, 14.0]))])
    assert chosen(own, AIM) == ("x", 2, 1, 0, 2.0)
    # A better tile counts within a step only where times are equal too.
    tiles["x"] = lambda a, f: np.arange(4) / 10
    assert chosen(own, AIM) == ("x", 2, 1, 0, 2.0)
    assert chosen(own) == ("x", 2, 1, 1, 2.0)
    # Of two aims the first one's steps come before the second's, and both before exact values.
    fast = Symbol("fast", "t", False, lambda at, q: -q % 7.0)
    two = (Aim(TIME, 1, 100.0), Aim(fast, 1, 1.0))
    assert chosen(own, two) == ("x", 2, 1, 0, 2.0)  # -24, -27, -21, -24 modulo 7 are 4, 1, 0, 4
    away = (Aim(TIME, 1, 100.0), Aim(fast, -1, 1.0))
    assert chosen(own, away) == ("x", 2, 1, 1, 2.0)  # 4 is most, twice: the better tile


def test_a_plan_that_is_in_no_slice_is_an_error(tiles: Any) -> None:
    own = search([("x", 2, SAME, SAME)])
    own.hunt.best = SimpleNamespace(key=1.0)
    with pytest.raises(InternalMismatch, match="is in no slice"):
        chosen(own)


def test_plans_that_cost_nothing_are_equal_too(tiles: Any) -> None:
    free = ([0.0, 0.0], [0.0, 0.0])
    own = search([("x", 2, free, ([13.0, 10.0], [11.0, 14.0]))])
    assert chosen(own, AIM) == ("x", 2, 1, 0, 0.0)


def test_an_aim_to_have_more(tiles: Any) -> None:
    own = search([("x", 2, SAME, ([13.0, 10.0], [11.0, 14.0]))])
    assert chosen(own, (Aim(TIME, -1, 10.0),)) == ("x", 2, 0, 1, 2.0)


def test_only_equal_plans_are_looked_at(tiles: Any) -> None:
    """The faster pairs cost more, or more by a hair than noise; within noise they are equal."""
    times = ([9.0, 1.0], [9.0, 9.0])
    for more, a in ((1e-13, 1), (3e-12, 0), (0.5, 0)):
        for sense in (1, -1):
            costs = ([1.0, 1.0 + sense * 2 * more], [1.0, 9.0 if sense > 0 else -9.0])
            found = chosen(search([("x", 2, costs, times)], sense=sense), AIM)
            assert found[:4] == ("x", 2, a, 0)
            assert found[4] == pytest.approx(2.0 * sense)


def test_tiles_and_then_the_smaller_kind_decide(tiles: Any) -> None:
    words = {"n_heads": [8, 4], "d_head": [64, 128], "n_kv_heads": [2, 1], "d_ff": [512, 256]}
    slow = [("x", 2, SAME, SAME)]
    tiles["x"] = lambda a, f: np.where(np.asarray(a.n_heads) == 8, 0.9, 0.8)
    assert chosen(search(slow, kinds=words))[2:4] == (0, 1)  # the better tile, the narrower feed-forward
    tiles["x"] = lambda a, f: np.where(np.asarray(a.n_heads) == 8, 0.8 + 1e-10, 0.8)
    assert chosen(search(slow, kinds=words))[2:4] == (1, 1)  # the same to nine digits: fewer heads
    del tiles["x"]
    for name in ("n_heads", "d_head", "n_kv_heads"):
        assert chosen(search(slow, kinds={name: [8, 4]}))[2:4] == (1, 0)
        assert chosen(search(slow, kinds={name: [4, 8], "d_ff": [512, 256]}))[2:4] == (0, 1)
    # In this order: heads, width of a head, key-value heads, feed-forward width.
    assert chosen(search(slow, kinds={"n_heads": [8, 4], "d_head": [1, 2]}))[2] == 1
    assert chosen(search(slow, kinds={"d_head": [8, 4], "n_kv_heads": [1, 2]}))[2] == 1
    assert chosen(search(slow, kinds={"n_kv_heads": [4, 8], "d_ff": [512, 256]}))[2:4] == (0, 1)


def test_between_slices_the_shallower_and_then_the_frames_name(tiles: Any) -> None:
    b, deep = ("b", 2, SAME, SAME), ("a", 3, SAME, SAME)
    assert chosen(search([deep, b]))[:2] == ("b", 2)
    assert chosen(search([b, deep]))[:2] == ("b", 2)
    for order in ((b, ("a", 2, SAME, SAME)), (("a", 2, SAME, SAME), b)):
        assert chosen(search(list(order)))[:2] == ("a", 2)
    fast = ("z", 9, SAME, ([0.5, 0.5], [0.1, 0.1]))
    assert chosen(search([b, fast]), (Aim(TIME, 1, 0.01),))[:2] == ("z", 9)


def test_slices_that_were_not_solved_may_hold_the_answer(tiles: Any) -> None:
    """All whose bound is not above the optimum, noise included, are enumerated."""
    waits = [("a", 1, SAME, SAME), ("c", 1, ([2.0, 2.0], [2.0, 2.0]), SAME)]
    for sense, key in ((1, 2.0), (-1, -2.0)):
        costs = SAME if sense > 0 else ([1.0, 1.0], [1.0, 1.0])
        own = search([("b", 2, costs, SAME)], waits[: 1 if sense < 0 else 2], sense)
        assert chosen(own)[:2] == ("a", 1)
        limit = key + abs(key) * 1e-12
        assert set(own.limits) == {float(np.nextafter(limit, np.inf))}
        assert len(own.solved) == 1  # the search is left as it was
