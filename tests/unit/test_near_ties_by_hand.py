"""What counts as conventional, kind by kind, and which plans count as near: at the limit and beside it.

Guards the numbers of the order (powers of two, groups, widths, multiples) one by one, and a count that is
short of plans on the limit or says that it is complete where it was stopped.
"""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples
from kinds import GroupedQueryAttention

from optimizer import catalog
from optimizer.questions.architecture import near_ties as module
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.listing import best_plans
from optimizer.questions.architecture.near_ties import near_ties, oddities, oddity_of
from optimizer.questions.architecture.space import Space, resolve
from optimizer.watch import UNWATCHED, Watch


def odd(heads: int, kv: int, d_head: int, d_ff: int, d_model: int) -> list[int]:
    a = SimpleNamespace(n_heads=np.array([heads]), n_kv_heads=np.array([kv]), d_head=np.array([d_head]))
    f = SimpleNamespace(d_ff=np.array([d_ff]))
    kinds = {n: SimpleNamespace(take=lambda rows, k=k: k) for n, k in (("attention", a), ("ffn", f))}
    space: Any = SimpleNamespace(**kinds)
    zero = np.array([0])
    return [int(column[0]) for column in oddities(space, d_model, zero, zero)]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ((32, 8, 128, 14336, 4096), [0, 0, 0, 0, 0, 0]),
        ((64, 8, 64, 14336, 4096), [1, 0, 0, 0, 0, 0]),
        ((16, 8, 256, 14336, 4096), [1, 0, 0, 0, 0, 0]),
        ((32, 8, 96, 14336, 3072), [2, 0, 0, 0, 0, 0]),
        ((4096, 4096, 1, 14336, 4096), [1, 0, 0, 0, 0, 0]),
        ((32, 1, 128, 14336, 4096), [0, 0, 1, 0, 0, 0]),  # groups of 32 are rare, one shared head is a power
        ((30, 6, 128, 14336, 3840), [0, 1, 0, 0, 0, 0]),
        ((36, 4, 128, 14336, 4608), [0, 0, 1, 0, 0, 0]),  # groups of nine
        ((33, 11, 128, 14336, 4224), [0, 1, 0, 1, 0, 0]),
        ((32, 8, 128, 14336 + 512, 4096), [0, 0, 0, 0, 1, 0]),
        ((32, 8, 128, 14336 + 256, 4096), [0, 0, 0, 0, 2, 0]),
        ((32, 8, 128, 14336 + 128, 4096), [0, 0, 0, 0, 3, 0]),
        ((24, 8, 128, 14336, 4096), [0, 0, 0, 0, 0, 1]),
        ((40, 8, 128, 14336, 4096), [0, 0, 0, 0, 0, 1]),
    ],
)
def test_each_point_of_the_order(plan: tuple[int, ...], expected: list[int]) -> None:
    assert odd(*plan) == expected


def test_the_groups_and_widths_are_those_of_the_catalogue() -> None:
    """Groups of at least three models; widths of any."""
    models = [catalog.model(name) for name in catalog.models()]
    groups: Counter[int] = Counter()
    for model in models:
        mixers = [g.block.mixer for g in model.layers]
        groups.update({m.n_heads // m.n_kv_heads for m in mixers if isinstance(m, GroupedQueryAttention)})
    common = {n for n, models_with in groups.items() if models_with >= 3}
    assert [n for n in range(1, 130) if odd(n, 1, 128, 1024, 4096)[2] == 0] == sorted(common)
    widths = sorted({model.d_model for model in models})
    beside = {width + step for width in widths for step in (-1, 0, 1)} | set(range(256, 2 * widths[-1], 256))
    assert [n for n in sorted(beside) if odd(1, 1, 128, 1024, n)[3] == 0] == widths


@pytest.fixture(scope="module")
def space() -> Space:
    changes = {"d_head": [96, 128], "d_ff": [6144, 6656, 7168, 7424, 8192]}
    return resolve(samples.problem(architecture=samples.SPACE | changes, minimize="n_params"))


def plans_of(space: Space, name: str, sense: int) -> list[Any]:
    return best_plans(space, space.rules, symbol(name), sense, 10**6)


def asked(space: Space, name: str, sense: int, best: Any, within: float, watch: Watch = UNWATCHED) -> Any:
    return near_ties(space, space.rules, symbol(name), sense, best, within, watch)


@pytest.mark.parametrize(("name", "sense"), [("n_params", 1), ("tpot_ms", 1), ("output_tokens_per_s", -1)])
@pytest.mark.parametrize("within", [0.0, 0.01, 0.05, 0.3])
def test_all_plans_within_the_share_and_the_most_conventional_of_them(
    space: Space, name: str, sense: int, within: float
) -> None:
    plans = plans_of(space, name, sense)
    best = plans[0]
    near = [p for p in plans if p.key <= best.key + abs(best.key) * within]
    found = asked(space, name, sense, best, within)
    assert found.complete
    assert found.count == len(near)
    order = min((oddity_of(space, p), p.key) for p in near)
    assert (oddity_of(space, found.conventional), found.conventional.key) == order
    assert found.conventional in near


def test_a_plan_on_the_limit_counts_and_one_above_it_does_not(space: Space) -> None:
    plans = plans_of(space, "n_params", 1)
    best, keys = plans[0], [p.key for p in plans]
    for key in sorted(set(keys))[1::7]:
        within = (key - best.key) / best.key
        while best.key + best.key * within < key:
            within = float(np.nextafter(within, np.inf))
        assert best.key + best.key * within == key
        assert asked(space, "n_params", 1, best, within).count == sum(k <= key for k in keys)
        assert asked(space, "n_params", 1, best, within * (1 - 1e-12)).count == sum(k < key for k in keys)


def test_a_count_that_is_stopped_is_not_complete(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    best = plans_of(space, "tpot_ms", 1)[0]
    whole = asked(space, "tpot_ms", 1, best, 1.0)
    none = asked(space, "tpot_ms", 1, best, 1.0, Watch(cancelled=lambda: True))
    assert (none.count, none.complete, none.conventional) == (1, False, best)
    looks = iter(range(10**6))
    some = asked(space, "tpot_ms", 1, best, 1.0, Watch(cancelled=lambda: next(looks) > 6))
    assert not some.complete
    assert 1 < some.count < whole.count
    slices = {(p.frame.d_model, p.n_layers) for p in plans_of(space, "tpot_ms", 1)}
    monkeypatch.setattr(module, "_MOST_SLICES", len(slices))
    assert not asked(space, "tpot_ms", 1, best, 1e3).complete  # as many as are allowed: none was asked after
    monkeypatch.setattr(module, "_MOST_SLICES", len(slices) + 1)
    assert asked(space, "tpot_ms", 1, best, 1e3).complete
