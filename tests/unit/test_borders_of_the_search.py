"""Queue, listing, oracle and search at their borders: what lies on a limit, just inside it and just outside.

Each test here stands for a small change of the code that no test had seen.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples

from optimizer import frontier
from optimizer.questions.architecture.bounds import depth_bounds
from optimizer.questions.architecture.cells import SliceCells
from optimizer.questions.architecture.enumeration import metric_of, quantities_in_use, slice_plans
from optimizer.questions.architecture.frame_rules import Compiler, symbol
from optimizer.questions.architecture.listing import best_plans
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.slice_search import tile_efficiency
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.architecture.table import frame_table

FEW_REQUESTS = {"minimize": "chips", "workload": samples.PROBLEM["workload"] | {"requests_per_s": 0.01}}
"""One chip does, whatever the plan: all plans are equal."""
SIDES = (("n_params_max", 1.0, np.less_equal), ("n_params_min", -1.0, np.greater_equal))
METRICS = ["tpot_ms", "n_params", "loss", "memory_gib"]


@pytest.fixture(scope="module")
def space() -> Space:
    return resolve(samples.problem(deployment={"batch": [1, 4], "tensor_parallel": [1, 2]}))


def slices(space: Space, name: str, limit: float) -> list[Any]:
    queue = SliceCells(space, space.rules, symbol(name), 1)
    found = []
    while (queued := queue.pop(limit)) is not None:
        found.append(queued)
    return found


@pytest.mark.parametrize("name", METRICS)
def test_every_slice_up_to_a_limit_leaves_the_queue(space: Space, name: str) -> None:
    whole = [(s.bound, s.frame_number, s.n_layers) for s in slices(space, name, np.inf)]
    assert len(whole) > 8
    for bound, *_ in whole:
        up_to = slices(space, name, float(np.nextafter(bound, np.inf)))
        assert [(s.bound, s.frame_number, s.n_layers) for s in up_to] == [w for w in whole if w[0] <= bound]


@pytest.mark.parametrize("name", METRICS)
def test_the_bound_of_a_slice_is_the_better_of_floor_and_columns(space: Space, name: str) -> None:
    queue = SliceCells(space, space.rules, symbol(name), 1)
    while (queued := queue.pop(np.inf)) is not None:
        floor = queue.priced_at[queued.frame_number]
        assert queued.bound == max(floor, queued.bounds.key[queued.row])
        assert queued.bound <= slice_plans(queued.table, queued.row, symbol(name), 1).best * (1 + 1e-12)


def test_a_plan_on_the_limit_is_listed(space: Space) -> None:
    """The bound of its slice is the plan's own value: the smallest model of a slice is known beforehand."""
    asked = (space, space.rules, symbol("n_params"), 1, 10**6)
    whole = best_plans(*asked)
    for plan in (whole[0], whole[len(whole) // 2], whole[-1]):
        found = best_plans(*asked, plan.key)
        assert found == [p for p in whole if p.key <= plan.key]


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_the_k_best_are_the_first_k_of_all(space: Space, most: int) -> None:
    asked = (space, space.rules, symbol("tpot_ms"), 1)
    assert best_plans(*asked, most) == best_plans(*asked, 10**6)[:most]


def test_a_limit_on_parameters_cuts_where_it_says(space: Space) -> None:
    """At a plan's own number it stays, a parameter below it goes; from either side."""
    name = symbol("n_params")
    sizes = sorted({plan.key for plan in best_plans(space, space.rules, name, 1, 10**6)})
    for size in sizes[:: max(1, len(sizes) // 6)]:
        for rule, step, side in (
            ("n_params_max", 1.0, np.less_equal),
            ("n_params_min", -1.0, np.greater_equal),
        ):
            on = values(space, space.rules.with_value(rule, size))
            assert on == [s for s in sizes if side(s, size)]
            off = values(space, space.rules.with_value(rule, size - step))
            assert off == [s for s in sizes if side(s, size - step)]


def values(space: Space, rules: Any) -> list[float]:
    """Sizes of all plans, by enumeration of every slice."""
    name, compiler, found = symbol("n_params"), Compiler(space, rules), set()
    for frame in space.frames():
        compiled = compiler.compile(frame)
        if not compiled.alive:
            continue
        table = frame_table(space, frame, compiled, quantities_in_use(name, compiled))
        for row in range(len(table.depths)):
            plans = slice_plans(table, row, name, 1)
            found |= set(metric_of(table, row, plans, name).tolist())
            key = depth_bounds(table, name, 1).key[row]
            assert not len(plans.key) or key <= plans.best
    return sorted(found)


def test_only_what_is_better_improves_on_an_incumbent(space: Space) -> None:
    search = Search(space, space.rules, symbol("tpot_ms"), 1)
    search.run()
    assert search.hunt.best is not None
    assert search.hunt.limit[0] < search.hunt.best.key
    assert search.hunt.limit[0] > search.hunt.best.key * (1 - 1e-9)
    for factor, better in ((1 - 1e-6, False), (1 + 1e-6, True)):
        again = Search(space, space.rules, symbol("tpot_ms"), 1, beat=search.hunt.best.key * factor).run()
        assert (again.best is not None) == better


def test_among_equal_plans_of_a_slice_tiles_decide_and_then_size() -> None:
    """Whole chips are a coarse aim: many plans are equal."""
    space = resolve(samples.problem(**FEW_REQUESTS))
    search = Search(space, space.rules, symbol("chips"), 1)
    search.run()
    queued, _ = search.solved[-1]
    plans = slice_plans(queued.table, queued.row, symbol("chips"), 1)
    equal = np.flatnonzero(plans.key == search.hunt.best.key)
    rules = queued.table.rules
    a = space.attention.take(rules.attention[plans.attention[equal]])
    f = space.ffn.take(rules.ffn[plans.ffn[equal]])
    tiles = np.round(tile_efficiency(queued.table.frame, a, f), 9)
    order = sorted(zip(-tiles, a.n_heads, a.d_head, a.n_kv_heads, f.d_ff, strict=True))
    assert len(set(order)) > 2
    best = search.hunt.best
    kinds = space.attention.take(best.attention), space.ffn.take(best.ffn)
    own = (kinds[0].n_heads, kinds[0].d_head, kinds[0].n_kv_heads, kinds[1].d_ff)
    assert own == order[0][1:]


def test_equal_tiles_are_decided_by_the_smaller_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "optimizer.questions.architecture.slice_search.tile_efficiency",
        lambda frame, a, f: np.zeros(np.shape(a.n_heads)),
    )
    space = resolve(samples.problem(**FEW_REQUESTS))
    search = Search(space, space.rules, symbol("chips"), 1)
    search.run()
    queued, _ = search.solved[-1]
    plans = slice_plans(queued.table, queued.row, symbol("chips"), 1)
    equal = np.flatnonzero(plans.key == search.hunt.best.key)
    a = space.attention.take(queued.table.rules.attention[plans.attention[equal]])
    f = space.ffn.take(queued.table.rules.ffn[plans.ffn[equal]])
    order = sorted(zip(a.n_heads, a.d_head, a.n_kv_heads, f.d_ff, strict=True))
    assert len({row[-1] for row in order if row[:3] == order[0][:3]}) > 1  # some differ in d_ff alone
    kinds = space.attention.take(search.hunt.best.attention), space.ffn.take(search.hunt.best.ffn)
    assert (kinds[0].n_heads, kinds[0].d_head, kinds[0].n_kv_heads, kinds[1].d_ff) == order[0]


def test_an_answer_is_on_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, honest = tmp_path / "j", os.fsync
    synced: list[int] = []

    def fsync(number: int) -> None:
        honest(number)
        assert os.path.samestat(os.fstat(number), path.stat())
        synced.append(path.stat().st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    frontier(samples.problem(), ("tpot_ms", "loss"), {"loss": 2e-5}, points=3, journal=path)
    ends = [len(part) for part in path.read_bytes().splitlines(keepends=True)]
    assert synced == np.cumsum(ends).tolist()
