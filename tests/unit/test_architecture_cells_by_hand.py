"""The queue of slices: what is cut into what, what leaves it when, and by which bound a frame was left out.

Guards an order that depends on how cells were cut, work that is done twice, and a second look that is told a
bound other than the one that hid a frame.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.errors import InternalMismatch
from optimizer.questions.architecture import cells as module
from optimizer.questions.architecture import space as space_module
from optimizer.questions.architecture import table as table_module
from optimizer.questions.architecture.cells import Frames, OneFrame, SliceCells, _edge, is_below
from optimizer.questions.architecture.enumeration import slice_plans
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.space import Space, resolve
from optimizer.search.cells import Cell, Cells
from optimizer.watch import Stopped, Watch

INF = np.inf
DEPLOYMENT = {"batch": [1, 2, 4, 8, 16], "tensor_parallel": [1, 2], "weight_dtype": ["bf16", "fp8"]}
WIDTHS = [1536, 1792, 2048, 2304, 2560]
METRICS = [("tpot_ms", 1), ("output_tokens_per_s", -1), ("n_params", 1), ("n_params", -1), ("loss", 1)]


@pytest.fixture(scope="module")
def space() -> Space:
    return resolve(samples.problem(architecture=samples.SPACE | {"d_model": WIDTHS}, deployment=DEPLOYMENT))


@pytest.fixture(scope="module")
def uncut(space: Space) -> dict[tuple[str, int], SliceCells]:
    """Queues of the space in one run of widths."""
    found = {own: queue(space, *own) for own in METRICS}
    assert all(len(own._floors) == 1 for own in found.values())
    return found


@pytest.fixture(scope="module")
def best(space: Space) -> dict[tuple[str, int], list[float]]:
    """The best key of each frame, by enumeration."""
    found = {}
    for name, sense in METRICS:
        own = queue(space, name, sense)
        found[name, sense] = [
            min(
                slice_plans(table, row, symbol(name), sense).best
                for table, _ in own.priced(number)
                for row in range(len(table.depths))
            )
            for number in range(space.n_frames)
        ]
    return found


@pytest.fixture
def cut(space: Space, monkeypatch: pytest.MonkeyPatch) -> Space:
    """The same in runs of two widths, of families in pairs and of two batches."""
    monkeypatch.setattr(space_module, "_PART_CELLS", 2 * len(space.depths))
    monkeypatch.setattr(module, "_SPLIT", 2)
    monkeypatch.setattr(module, "_BATCHES", 2)
    own = replace(space)
    assert [run for run, _ in own.parts()] == [range(2), range(2, 4), range(4, 5)]
    return own


def queue(space: Space, name: str = "tpot_ms", sense: int = 1, **own: Any) -> SliceCells:
    return SliceCells(space, space.rules, symbol(name), sense, **own)


def popped(own: SliceCells, limit: float = INF) -> list[tuple[float, int, int]]:
    found = []
    while (queued := own.pop(limit)) is not None:
        found.append((queued.bound, queued.frame_number, queued.n_layers))
    return found


def best_of_frames(space: Space, name: str, sense: int) -> list[float]:
    """The best key of each frame, by enumeration."""
    own = queue(space, name, sense)
    found = []
    for number in range(space.n_frames):
        plans = [
            slice_plans(table, row, symbol(name), sense).best
            for table, _ in own.priced(number)
            for row in range(len(table.depths))
        ]
        found.append(min(plans, default=INF))
    return found


# Cutting.


@pytest.mark.parametrize(
    ("batches", "settings", "sizes"),
    [
        (3, range(12), [3, 3, 3, 3]),  # families
        (3, range(6, 12), [3, 3]),
        (3, range(3), [3]),
        (1, range(64), [1] * 64),
        (1, range(65), [2] * 32 + [1]),  # 65 families in runs of two
        (3, range(3 * 300), [15] * 60),  # 300 in runs of five
        (512, range(512), [512]),
        (513, range(513), [512, 1]),  # batches of one family
        (513, range(1026), [513, 513]),
        (2000, range(1500), [512, 512, 476]),
        (100_000, range(100_000), [512] * 195 + [160]),
    ],
)
def test_settings_are_cut_into_families_and_those_into_runs_of_batches(
    batches: int, settings: range, sizes: list[int]
) -> None:
    own: Any = SimpleNamespace(space=SimpleNamespace(batches=range(batches)))
    runs = SliceCells._settings_within(own, settings)
    assert [len(run) for run in runs] == sizes
    assert [i for run in runs for i in run] == list(settings)


@pytest.mark.parametrize(("name", "sense"), METRICS)
def test_the_order_does_not_depend_on_how_cells_are_cut(
    uncut: Any, cut: Space, name: str, sense: int
) -> None:
    whole = popped(replace(uncut[name, sense]))
    assert whole == sorted(whole)
    assert popped(queue(cut, name, sense)) == whole
    assert len({(frame, depth) for _, frame, depth in whole}) == len(whole) > 100
    for limit in (whole[0][0], whole[30][0], whole[-1][0]):
        assert popped(queue(cut, name, sense), limit) == [row for row in whole if row[0] < limit]


@pytest.mark.parametrize(("name", "sense"), METRICS)
def test_the_bound_of_what_waits_is_of_all_that_is_inside(cut: Space, name: str, sense: int) -> None:
    own = queue(cut, name, sense)
    assert own.waiting.rank[0] <= 0.0
    last = own.waiting.rank[0]
    while (queued := own.pop(INF)) is not None:
        assert last <= queued.bound <= own.waiting.rank[0]
        last = queued.bound
    assert own.waiting.rank == (INF,)
    assert own.pop(INF) is None


def test_a_queue_is_left_as_it_is_by_a_watch_that_ends(cut: Space) -> None:
    """Until what is on top is replaced, its bound is that of what is inside."""
    whole = popped(queue(cut))
    for most in (0, 5, 17, 40):
        looks = iter(range(10**6))
        own = queue(cut, watch=Watch(cancelled=lambda looks=looks, most=most: next(looks) >= most))
        with pytest.raises(Stopped):
            popped(own)
        found = {queued for queued in whole if queued[0] < own.waiting.rank[0]}
        own.watch = own.waiting.watch = Watch()
        assert set(popped(own)) >= set(whole) - found


def test_cells_that_are_cut_begin_at_their_first_frame(cut: Space) -> None:
    own = queue(cut)
    entry = own._cell(Frames(range(3, 5), range(2, 4)))
    assert (entry.rank, entry.order) == ((0.0,), (3 * len(WIDTHS) + 2, 0))
    assert queue(cut, "output_tokens_per_s", -1)._cell(Frames(range(1), range(1))).rank == (-INF,)


def test_what_a_run_of_settings_is_split_into(cut: Space) -> None:
    own = queue(cut)  # 20 settings: four families of five batches; three runs of widths

    def split(settings: range, widths: range) -> list[Any]:
        found = own._split(Frames(settings, widths), -INF, INF)
        return [
            e.what.number if isinstance(e.what, OneFrame) else (e.what.settings, e.what.widths) for e in found
        ]

    whole = range(5)
    assert split(range(20), whole) == [(range(10), whole), (range(10, 20), whole)]
    assert split(range(10), whole) == [(range(5), whole), (range(5, 10), whole)]
    assert split(range(5, 10), whole) == [(range(5, 7), whole), (range(7, 9), whole), (range(9, 10), whole)]
    assert split(range(7, 9), whole) == [(range(7, 8), whole), (range(8, 9), whole)]
    assert split(range(7, 8), whole) == [(range(7, 8), r) for r in (range(2), range(2, 4), range(4, 5))]
    assert split(range(7, 8), range(2, 4)) == [7 * 5 + 2, 7 * 5 + 3]
    assert split(range(7, 8), range(4, 5)) == [7 * 5 + 4]


def test_a_narrow_space_is_split_into_frames_at_once(space: Space) -> None:
    own = queue(space)
    found = own._split(Frames(range(7, 8), range(5)), -INF, INF)
    assert [(e.order, e.what) for e in found] == [((35 + i, 0), OneFrame(35 + i)) for i in range(5)]
    floors = own.floors_of(7, 0)
    assert [e.rank[0] for e in found] == floors.tolist()
    # Up to the limit, what may be equal to it too.
    limit = float(np.sort(floors)[2])
    for factor, kept in ((1.0, 3), (1 - 5e-10, 3), (1 - 2e-9, 2)):
        assert len(own._split(Frames(range(7, 8), range(5)), -INF, limit * factor)) == kept


def test_frames_that_hold_nothing_are_not_opened(space: Space) -> None:
    own = queue(space)
    own.floors[7, 0] = np.array([5.0, INF, 4.0, INF, 6.0])
    assert [e.what.number for e in own._frames(Frames(range(7, 8), range(5)), 4.0, INF)] == [35, 37, 39]


def test_coarse_bounds_leave_cells_out_at_the_limit(cut: Space) -> None:
    cells = [Frames(range(i, i + 1), range(5)) for i in range(5)]
    own = queue(cut)
    whole = own._bounded(cells, INF)
    assert [e.what for e in whole] == cells and not own.empty
    keys = own._coarse.keys(range(5), [range(5)])[:, 0].tolist()
    assert [e.rank[0] for e in whole] == keys
    limit = sorted(keys)[2]
    for factor, kept in ((1.0, 3), (1 - 5e-10, 3), (1 - 2e-9, 2)):
        own = queue(cut)
        found = own._bounded(cells, limit * factor)
        assert len(found) == kept
        out = [
            (key, cell) for key, cell in zip(keys, cells, strict=True) if key > limit * factor * (1 + 1e-9)
        ]
        assert [(c.rank[0], c.what) for c in own.empty] == out
        assert [e.what for e in found] == [cell for cell in cells if cell not in [c for _, c in out]]


def test_cells_that_nothing_can_be_in_are_left_out_without_a_limit(cut: Space) -> None:
    rules = cut.rules.with_value("n_params_max", 10.0)
    own = SliceCells(cut, rules, symbol("tpot_ms"), 1)
    assert own.pop(INF) is None
    assert own.priced_at == {}
    assert {cell.rank for cell in own.empty} == {(INF,)}
    assert all(own.left_out_by(number) == INF for number in range(cut.n_frames))


@pytest.mark.parametrize("choice", [{"n_heads": 7}, {"d_ff": 7}])
def test_a_space_without_kinds_of_a_half_is_empty(space: Space, choice: dict[str, int]) -> None:
    own = queue(space.restricted(choice))
    assert own.pop(INF) is None
    assert own.waiting.rank == (INF,)


def test_the_edge_of_a_limit_is_on_its_far_side() -> None:
    assert _edge(2.0) == pytest.approx(2.0 + 2e-9, abs=1e-12)
    assert _edge(-2.0) == pytest.approx(-2.0 + 2e-9, abs=1e-12)
    assert _edge(INF) == INF
    assert is_below(1.0, INF) and not is_below(INF, INF) and not is_below(1.0, -INF)


def test_a_floor_below_the_bound_of_its_cell_is_an_error(space: Space) -> None:
    for name, sense in (("tpot_ms", 1), ("output_tokens_per_s", -1)):
        own = queue(space, name, sense)
        least = float(own.floors_of(7, 0).min())
        if not np.isfinite(least):
            own.floors[7, 0] = np.full(5, -8.0)
            least = -8.0
        cell = Frames(range(7, 8), range(5))
        assert own._frames(cell, least + 5e-10 * abs(least), INF)
        with pytest.raises(
            InternalMismatch, match=r"setting 7: the bound of all its widths, .* is above that"
        ):
            own._frames(cell, least + 2e-9 * abs(least), INF)


# Floors and what was left out.


def test_floors_are_worked_out_once_and_never_below_the_least(
    cut: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = queue(cut)
    found = own.floors_of(7, 2)
    assert found.shape == (2,)
    assert (found > 0).all()
    assert set(own.floors) == {(7, 2)}
    for _, floors in own._floors:
        monkeypatch.setattr(floors, "key", lambda setting: np.full(len(setting.d_model), -5.0))
    assert own.floors_of(7, 2) is found
    assert own.floors_of(8, 4).tolist() == [0.0]  # no time is below zero


@pytest.mark.parametrize(("name", "sense"), METRICS)
def test_floors_are_of_the_widths_they_say(uncut: Any, cut: Space, name: str, sense: int) -> None:
    whole, parts = uncut[name, sense], queue(cut, name, sense)
    for setting in (0, 7, 19):
        own = np.concatenate([parts.floors_of(setting, start) for start in (0, 2, 4)])
        np.testing.assert_array_equal(own, whole.floors_of(setting, 0))


@pytest.mark.parametrize(("name", "sense"), METRICS)
def test_what_a_frame_was_left_out_by_is_no_more_than_its_plans(
    best: Any, cut: Space, name: str, sense: int
) -> None:
    keys = best[name, sense]
    for place in (0, len(keys) // 3, -1):
        limit = float(np.nextafter(sorted(keys)[place], INF))
        own = queue(cut, name, sense)
        popped(own, limit)
        for number in range(cut.n_frames):
            if number not in own.priced_at:
                bound = own.left_out_by(number)
                assert limit * (1 - 1e-9 * np.sign(limit)) <= bound <= keys[number] + 1e-9 * abs(keys[number])


def test_the_bound_that_is_named_is_that_of_the_frame_or_of_its_cell(cut: Space) -> None:
    own = queue(cut)
    own.waiting = Cells()
    own.waiting.add(
        [
            Cell((7.0,), (0, 0), Frames(range(5), range(5))),
            Cell((8.0,), (25, 0), Frames(range(5, 6), range(2))),
            Cell((0.5,), (99, 0), OneFrame(99)),
        ]
    )
    left_out = {9.0: Frames(range(5, 6), range(2, 5)), 3.0: Frames(range(6, 7), range(5))}
    own.empty = [Cell((key,), (0, 0), part) for key, part in left_out.items()]
    own.floors[4, 2] = np.array([41.0, 42.0])
    expected = {(0, 0): 7.0, (4, 1): 7.0, (4, 2): 41.0, (4, 3): 42.0, (4, 4): 7.0, (5, 1): 8.0, (5, 2): 9.0}
    expected |= {(5, 4): 9.0, (6, 0): 3.0, (7, 0): INF}
    for (setting, width), bound in expected.items():
        assert own.left_out_by(5 * setting + width) == bound


# Pricing.


def test_a_frame_is_replaced_by_its_slices_up_to_the_limit(space: Space) -> None:
    own = queue(space)
    number = 7 * len(WIDTHS) + 2
    floor = float(own.floors_of(7, 0)[2])
    found = own._price(OneFrame(number), floor, INF)
    assert own.priced_at == {number: floor}
    [(table, bounds)] = own.priced(number)
    assert [e.order[1] for e in found] == table.depths.tolist() == [16, 20]
    assert own.slices_priced == 2
    for row, entry in enumerate(found):
        assert entry.rank[0] == entry.what.bound == max(floor, bounds.key[row])
        assert (entry.order[0], entry.what.frame_number, entry.what.row) == (number, number, row)
    high = 2.0 * float(bounds.key.max())
    assert [e.rank[0] for e in own._price(OneFrame(number), high, INF)] == [
        high
    ] * 2  # the floor, where it is higher
    assert own.slices_priced == 4
    least = float(bounds.key.min())
    for factor, kept in ((1.0, 1), (1 - 5e-10, 1), (1 - 2e-9, 0)):
        assert len(own._price(OneFrame(number), floor, least * factor)) == kept


def test_columns_are_made_once_for_a_space(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later search over the space pays for what it asks for beyond the first."""
    own, honest, made = resolve(space.problem), table_module.frame_table, list[list[str]]()

    def frame_table(space: Space, frame: Any, rules: Any, quantities: list[str]) -> Any:
        made.append(quantities)
        return honest(space, frame, rules, quantities)

    monkeypatch.setattr(table_module, "frame_table", frame_table)
    [(first, _)] = queue(own).priced(3)
    assert set(first.columns) == {"n_params", "decode_s", "memory_bytes"}
    [(again, _)] = queue(own).priced(3)
    [(more, _)] = queue(own, "ttft_ms", 1, also=("mixed_s",)).priced(3)
    assert [set(names) for names in made] == [set(first.columns), set(), {"prefill_s", "mixed_s"}]
    assert set(more.columns) == {*first.columns, "prefill_s", "mixed_s"}
    assert again.columns["decode_s"] is first.columns["decode_s"] is more.columns["decode_s"]
    assert again.grids is first.grids
    queue(own).priced(4)  # another frame
    assert set(made[-1]) == set(first.columns)


def test_a_frame_that_the_rules_leave_nothing_of_has_no_columns(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = space.rules.with_value("aspect_ratio", (1e6, 1e7))
    own = SliceCells(space, rules, symbol("tpot_ms"), 1)
    monkeypatch.setattr(table_module, "frame_table", None)
    assert own.priced(3) == []
    with pytest.raises(Stopped):
        queue(space, watch=Watch(cancelled=lambda: True)).pop(INF)


def test_columns_of_many_depths_come_in_runs(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.questions.architecture.table._CELLS", 1)
    own = queue(space)
    assert [table.depths.tolist() for table, _ in own.priced(3)] == [[16], [20]]
    found = own._price(OneFrame(3), 0.0, INF)
    assert [(e.order[1], e.what.row) for e in found] == [(16, 0), (20, 0)]
    looks = iter(range(10))
    own.watch = Watch(cancelled=lambda: next(looks) >= 1)
    with pytest.raises(Stopped):
        own.priced(3)  # one look for each run
