"""Layers over stages: bounds and witnesses worked out by hand, free kinds of layers by brute force.

Guards what a question of fixed kinds does not reach: totals and budgets of kinds that are free, and a
witness that must not speak for several kinds.
"""

from dataclasses import replace
from itertools import product
from random import Random

import pytest

from optimizer.questions.pipeline.programme import Cut, _nothing_faster, slowest_stage

UNLIMITED = [99, 99]


def fastest(split: Cut) -> int | None:
    """By trying every way to place every mix of kinds."""
    kinds, stages = range(len(split.time)), range(len(split.capacity))
    best = None
    for flat in product(range(split.total + 1), repeat=len(kinds) * len(stages)):
        n = [flat[k * len(stages) : (k + 1) * len(stages)] for k in kinds]
        whole = [sum(row) for row in n]
        if whole != list(split.counts or whole) or sum(whole) != split.total:
            continue
        if any(sum(n[k][s] for k in kinds) < 1 for s in stages):
            continue
        if any(sum(split.memory[k][s] * n[k][s] for k in kinds) > split.capacity[s] for s in stages):
            continue
        sums = [
            (sum(f * w for f, w in zip(figure, whole, strict=True)), a, b) for figure, a, b in split.budgets
        ]
        if any(not low <= value <= high for value, low, high in sums):
            continue
        slowest = max(sum(split.time[k][s] * n[k][s] for k in kinds) for s in stages)
        best = slowest if best is None else min(best, slowest)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_free_kinds_are_the_best_mix_within_their_budgets(seed: int) -> None:
    rng = Random(seed)
    time = [[rng.randint(1, 9) for _ in range(2)] for _ in range(2)]
    memory = [[rng.randint(0, 3) for _ in range(2)] for _ in range(2)]
    figure = [rng.randint(1, 4), rng.randint(5, 9)]
    low = rng.randint(8, 20)
    asked = Cut(time, memory, [7, 8], None, 4, budgets=((figure, low, low + rng.randint(0, 12)),))
    proved, counts = slowest_stage(asked)
    truth = fastest(asked)
    assert (proved.status, proved.objective) == ("infeasible" if truth is None else "optimal", truth)
    if truth is not None:
        assert sum(map(sum, counts)) == 4
        whole = [sum(row) for row in counts]
        mix = sum(f * n for f, n in zip(figure, whole, strict=True))
        assert asked.budgets[0][1] <= mix <= asked.budgets[0][2]


def test_a_budget_decides_the_mix() -> None:
    """Slow layers count 3, fast ones 1; of four layers at least one, at most two must be slow."""
    asked = Cut([[9, 9], [1, 1]], [[0, 0], [0, 0]], UNLIMITED, None, 4)
    assert slowest_stage(asked)[0].objective == 2
    slow = ([3, 1], 6, 8)
    proved, counts = slowest_stage(replace(asked, budgets=(slow,)))
    assert proved.objective == 9  # the slow one alone, three fast ones on the other stage
    assert [sum(row) for row in counts] == [1, 3]
    assert slowest_stage(replace(asked, budgets=(([3, 1], 7, 7),)))[0].status == "infeasible"


def test_the_witness_speaks_for_one_kind_of_layers_only() -> None:
    """Five layers of 2 and 3 s: at best three on the fast stage and two on the slow one, 6 s."""
    one = Cut([[2, 3]], [[1, 1]], [9, 9], [5], 5)
    assert [_nothing_faster(one, best) for best in (5, 6, 7)] == [True, True, False]
    two = Cut([[2, 3], [2, 3]], [[1, 1], [1, 1]], [9, 9], [3, 2], 5)
    assert not any(_nothing_faster(two, best) for best in (1, 6, 7))
    assert slowest_stage(two)[0].objective == 6


def test_the_witness_counts_layers_that_need_no_memory_by_time_alone() -> None:
    """In less than 7 s two stages do three layers each; room is for none, and none is needed."""
    light = Cut([[2, 2]], [[0, 0]], [0, 0], [6], 6)
    assert [_nothing_faster(light, best) for best in (6, 7)] == [True, False]
    full = Cut([[2, 2]], [[2, 2]], [5, 5], [4], 4)  # two layers each, however long it takes
    assert [_nothing_faster(full, best) for best in (4, 5, 99)] == [True, False, False]
    assert _nothing_faster(replace(full, counts=[5], total=5), 99)


def test_a_stage_without_time_for_a_layer_is_no_stage() -> None:
    """In less than 3 s the second stage does nothing, and it must do something."""
    assert _nothing_faster(Cut([[1, 3]], [[0, 0]], [9, 9], [2], 2), 3)
    assert not _nothing_faster(Cut([[1, 3]], [[0, 0]], [9, 9], [2], 2), 4)
