"""Bounds of whole runs of settings and widths are not above the floors inside them, and order nothing."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_optimum import problems

from optimizer.questions.architecture import cells as cells_module
from optimizer.questions.architecture import coarse as coarse_module
from optimizer.questions.architecture import space as space_module
from optimizer.questions.architecture.cells import SliceCells
from optimizer.questions.architecture.coarse import CoarseBounds
from optimizer.questions.architecture.early import coarse, ends, spread
from optimizer.questions.architecture.enumeration import brute_force
from optimizer.questions.architecture.floors import Floors
from optimizer.questions.architecture.frame_rules import Compiler, symbol
from optimizer.questions.architecture.space import resolve


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems(), st.integers(1, 4), st.sampled_from([1, 2, 8]))
def test_a_coarse_bound_is_not_above_a_floor(problem, n, boxes) -> None:
    """However few boxes the widths and depths are cut into."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coarse_module, "_WIDTHS", boxes)
        patch.setattr(coarse_module, "_DEPTHS", boxes)
        coarse_is_below(problem, n)


def coarse_is_below(problem, n) -> None:
    space = resolve(problem)
    (name, sense), *_ = problem.objectives
    compiler = Compiler(space, space.rules)
    bounds, floors = (make(space, compiler, symbol(name), sense) for make in (CoarseBounds, Floors))
    widths = np.array_split(np.arange(len(space.architecture.d_model)), n)
    runs = [range(int(w[0]), int(w[-1]) + 1) for w in widths if len(w)]
    batches = len(space.batches)
    for start in range(0, space.n_settings, batches):
        keys = bounds.keys(range(start, start + batches), runs)
        for i, own in enumerate(keys):
            floor = floors.key(space.setting(start + i))
            for run, key in zip(runs, own, strict=True):
                least = max(bounds.least, floor[run.start : run.stop].min())
                assert key <= least or key - least <= 1e-9 * abs(least)


def slices(queue: SliceCells) -> list[tuple[float, int, int]]:
    found = []
    while (queued := queue.pop(np.inf)) is not None:
        found.append((queued.bound, queued.frame_number, queued.n_layers))
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems())
def test_slices_come_in_one_order_however_cells_are_split(problem) -> None:
    """By bound, then by number, then by depth; none is lost and none comes twice."""
    space = resolve(problem)
    (name, sense), *_ = problem.objectives
    asked = (space.rules, symbol(name), sense)
    whole = slices(SliceCells(space, *asked))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space_module, "_PART_CELLS", 1)
        patch.setattr(cells_module, "_SPLIT", 2)
        patch.setattr(cells_module, "_BATCHES", 2)
        assert slices(SliceCells(resolve(problem), *asked)) == whole
    assert whole == sorted(whole)
    assert len(set(whole)) == len(whole)


def test_round_values_are_spread() -> None:
    assert spread(range(1, 101), 4) == (16, 32, 64, 96)
    assert spread((3, 5), 4) == (3, 5)
    assert ends((1, 2, 4, 8, 16), 2) == (1, 16)
    assert ends((1, 2, 4, 8, 16), 3) == (1, 4, 16)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems())
def test_parts_of_a_space_are_parts(problem) -> None:
    """Their kinds are those of the whole at the rows they say, and every frame is a frame of the whole."""
    space = resolve(problem)
    frames = {frame.identity for frame in space.frames()}
    for part in coarse(space):
        assert {replace(f, d_model=int(f.d_model)).identity for f in part.space.frames()} <= frames
        own, of = part.space.attention, space.attention.take(part.attention)
        assert [*own.n_heads, *own.d_head] == [*of.n_heads, *of.d_head]
        assert part.space.ffn.d_ff.tolist() == space.ffn.d_ff[part.ffn].tolist()


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("boxes", [1, 8])
@pytest.mark.parametrize("goal", [{"minimize": "n_params"}, {"minimize": None, "maximize": "n_params"}])
def test_the_parameter_count_has_a_bound_before_anything_is_opened(goal, boxes, runs, monkeypatch) -> None:
    """Though no rule limits it: the lattice does. It is not above a floor, nor is any plan better."""
    monkeypatch.setattr(coarse_module, "_WIDTHS", boxes)
    monkeypatch.setattr(coarse_module, "_DEPTHS", boxes)
    problem = samples.problem(**goal)
    coarse_is_below(problem, runs)
    space = resolve(problem)
    (name, sense), *_ = problem.objectives
    bounds = CoarseBounds(space, Compiler(space, space.rules), symbol(name), sense)
    keys = bounds.keys(range(1), [range(2)])
    truth = brute_force(space, space.rules, symbol(name), sense)
    assert np.isfinite(keys).all()
    near = 0.5 if boxes == 8 else 2.0
    assert keys.min() <= truth <= keys.min() + near * abs(truth)


def test_bounds_kept_for_the_next_search_are_of_its_own_question() -> None:
    """One space asked many things answers each as a space of its own does."""
    problem = samples.problem(deployment={"batch": [8, 64]})
    shared = resolve(problem)
    n = len(shared.architecture.d_model)
    for metric, sense, window, settings_, runs in product(
        ("n_params", "tpot_ms"),
        (1, -1),
        (None, [1.0e9, 1.3e9], [1.0e9, 1.2e9]),
        (range(1), range(2)),
        ([range(n)], [range(1), range(1, n)]),
    ):
        asked = []
        for space in (shared, resolve(problem)):
            rules = space.rules if window is None else space.rules.with_value("parameter_window", window)
            own = CoarseBounds(space, Compiler(space, rules), symbol(metric), sense)
            asked.append(own.keys(settings_, runs))
        assert asked[0].shape == (len(settings_), len(runs))
        assert np.array_equal(*asked), (metric, sense, window, settings_, runs)
