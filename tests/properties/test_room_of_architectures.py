"""Tokens that architectures have room for, against every plan of small lattices priced one by one.

Guards the row that stands for "room for so many tokens", the bounds below it, and the search that takes one
token more until nothing fits: what of a cache, a state or a window they overlook names a wrong optimum.
"""

from itertools import product
from typing import Any

import pytest
import samples
from drawn import Seeded
from test_kinds import PAIRS
from test_kinds import problem as drawn_problem

from optimizer import frontier, solve
from optimizer.anatomy.check import check
from optimizer.cost.memory_tokens import LONGEST
from optimizer.errors import InputError
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.most_room import most_room
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.architecture.witness import look_again

KV, LONG = "kv_cache_tokens", "max_context_tokens"


def every(space: Space) -> list[dict[str, float]]:
    """The metrics of all legal plans that keep every rule, one by one."""
    found = []
    for frame, n_layers in product(space.frames(), space.depths):
        for i, j in product(range(len(space.attention)), range(len(space.ffn))):
            a, f = space.attention.take(i), space.ffn.take(j)
            if space.illegal(a, f):
                continue
            model = space.architecture_of(frame, int(n_layers), a, f)
            if not check(frame, model, space.rules).broken:
                found.append(check(frame, model, space.rules, room=True).metrics)
    return found


MOST = 60
"""Points of a lattice that is enumerated: of the first of a few drawn that has no more, else the smallest."""


def small(mixer: str, ffn: str, first: int) -> Space:
    spaces = []
    for seed in range(first, first + 12):
        own = drawn_problem(Seeded(seed), mixer, ffn, "tpot_ms")
        spaces.append(resolve(own.changed(deployment=own.deployment.changed(tensor_parallel=(1,)))))
        if spaces[-1].lattice_points <= MOST:
            return spaces[-1]
    return min(spaces, key=lambda space: space.lattice_points)


@pytest.mark.parametrize(("mixer", "ffn"), PAIRS)
def test_the_most_room_is_that_of_enumeration(mixer: str, ffn: str) -> None:
    """And so is the fastest plan with room for some of it; a token more has no plan."""
    number = PAIRS.index((mixer, ffn))
    name, space = (KV, LONG)[number % 2], small(mixer, ffn, 1000 * number)
    plans = every(space)
    found, last = most_room(space, space.rules, name)
    assert found.finished
    if not plans:
        assert found.best is None
        return
    values = sorted(plan[name] for plan in plans)
    assert found.best is not None and found.bound == found.best.key == -values[-1]
    if values[-1] + 1000 < LONGEST:
        assert last.hunt.best is None
        look_again(last, few=10**6)
    for asked in {values[len(values) // 2], values[-1], values[-1] + 1}:
        if not 0 < asked <= LONGEST:
            continue
        rules = space.rules.with_value(f"{name}_min", asked)
        search = Search(space, rules, symbol("tpot_ms"), 1)
        best = search.run().best
        fast = [plan["tpot_ms"] for plan in plans if plan[name] >= asked]
        assert (best is None) is (not fast)
        assert best is None or best.key == pytest.approx(min(fast), rel=1e-9)
        look_again(search, few=10**6)


def test_studies_of_the_most_room() -> None:
    """A frontier against it is what bounds give; a bound out of reach names what would do."""
    few = samples.problem()
    best = solve(few.changed(minimize=None, maximize=(LONG,)))
    assert best.objective.value == best.metrics[LONG] == best.objective.bound
    trade = frontier(few, ["tpot_ms", LONG])
    assert trade.status == "complete" and trade.points[-1].metrics[LONG] == best.objective.value
    for point in trade.points:
        bounded = solve(few.changed(constraints={f"{LONG}_min": point.metrics[LONG]}))
        assert bounded.metrics["tpot_ms"] == pytest.approx(point.metrics["tpot_ms"], rel=1e-9)
    beyond = few.changed(constraints={f"{LONG}_min": best.metrics[LONG] + 1})
    conflict = solve(beyond).conflict
    assert conflict is not None and f"{LONG}_min" in conflict.constraints
    nearest = {change.constraint: change.to for change in conflict.relaxations}
    assert nearest[f"{LONG}_min"] == best.metrics[LONG]


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ({"kv_cache_tokens_max": 9}, "bounded from below alone; use kv_cache_tokens_min"),
        ({"kv_cache_token_min": 9}, "Did you mean kv_cache_tokens_min"),
        ({"max_context_tokens_min": 1e12}, "at most 134217728 tokens"),
        ({"max_context_tokens_min": "many"}, "'many' is not"),
    ],
)
def test_bounds_that_are_refused(bound: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        solve(samples.problem(constraints=bound))
