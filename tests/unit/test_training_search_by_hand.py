"""The search over training settings on made-up cells, against trying every setting; its parts by hand.

Guards the order of the search (what is opened and priced before what), what it says when it is stopped, and
the witness that prices what bounds ruled out.
"""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from optimizer import catalog
from optimizer.cost.training.flops import forward_flops
from optimizer.errors import InternalMismatch
from optimizer.questions.training import broken as broken_module
from optimizer.questions.training import lattice as lattice_module
from optimizer.questions.training import search as module
from optimizer.questions.training.broken import broken_everywhere
from optimizer.questions.training.lattice import Cell, Lattice, _cut
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.search import (
    Counts,
    Found,
    Limits,
    search,
    witness,
)
from optimizer.questions.training.splits import Domains
from optimizer.spec.architecture import Architecture
from optimizer.watch import UNWATCHED, Progress, Stopped, Watch

INF = np.inf
NO_LIMITS = Limits((), INF)


def step(step_s: Any, n_chips: Any, memory: Any) -> Any:
    return step_s


def chip_seconds(step_s: Any, n_chips: Any, memory: Any) -> Any:
    return step_s * n_chips


def chips_first(step_s: Any, n_chips: Any, memory: Any) -> Any:
    return n_chips + 0.0 * step_s


# Made-up cells.


@dataclass
class Made:
    """Splits, each with (step, memory) of its settings, its chips, and how far below them its bounds are."""

    settings: list[list[tuple[float, float]]]
    n_chips: Any
    slack: float = 1.0
    chip_seconds: float = 0.0
    opened: bool = False
    asked: list[int] = field(default_factory=list)
    domains: Any = None

    def __post_init__(self) -> None:
        own = np.array([[min(s), min(m)] for s, m in (zip(*rows, strict=True) for rows in self.settings)])
        least = self.slack * own.reshape(-1, 2)
        self.bounds = SimpleNamespace(step_s=least[:, 0], memory=least[:, 1])
        self.n_chips = np.array(self.n_chips)
        self.n_settings = sum(map(len, self.settings))

    def open(self, watch: Watch = UNWATCHED) -> "Made":
        watch.check()
        self.opened = True
        return self

    def __len__(self) -> int:
        return len(self.settings)

    def split(self, i: int) -> dict[str, int]:
        return {"split": i}

    def priced(self, i: int) -> Any:
        self.asked.append(i)
        step_s, memory = (np.array(values) for values in zip(*self.settings[i], strict=True))
        return range(len(self.settings[i])), step_s, memory


@dataclass
class MadeLattice:
    cells: list[Made]
    chips: int = 8
    flops_s: float = 0.0
    likely: Any = None

    def bound_cells(self, watch: Watch) -> None:
        watch.check()
        for cell in self.cells:
            costs = [
                cell.slack * s * n
                for rows, n in zip(cell.settings, cell.n_chips, strict=True)
                for s, _ in rows
            ]
            cell.chip_seconds = min(costs)

    least = Lattice.least


def drawn(seed: int, slack: float = 0.8) -> MadeLattice:
    rng = np.random.default_rng(seed)
    cells = []
    for _ in range(5):
        n = rng.integers(2, 7)
        settings = [
            [(float(rng.integers(1, 30)), float(rng.integers(1, 10))) for _ in range(rng.integers(1, 4))]
            for _ in range(n)
        ]
        cells.append(Made(settings, rng.integers(1, 9, n), slack))
    return MadeLattice(cells, likely=cells[int(rng.integers(5))] if seed % 3 else None)


def rank(lattice: MadeLattice, score: Any, limits: Limits) -> Any:
    """(score, step) of the best setting, by trying all."""
    found = []
    for cell in lattice.cells:
        for rows, n in zip(cell.settings, cell.n_chips.tolist(), strict=True):
            kept = [(s, m) for s, m in rows if m <= limits.memory]
            kept = [(s, m) for s, m in kept if all(f(s, n, m) <= most for f, most in limits.measures)]
            found += [(float(score(s, n, m)), s) for s, m in kept]
    return min(found, default=None)


@pytest.mark.parametrize("score", [step, chip_seconds, chips_first])
@pytest.mark.parametrize("seed", range(15))
def test_the_search_finds_the_best_and_prices_no_more_than_it_must(seed: int, score: Any) -> None:
    limits = [
        NO_LIMITS,
        Limits(((step, 12.0),), 6.0),
        Limits(((chip_seconds, 60.0), (chips_first, 5.0)), 4.0),
        Limits(((step, 0.5),), INF),
    ][seed % 4]
    lattice, counts, said = drawn(seed), Counts(), list[Progress]()
    found = search(lattice, score, limits, counts, Watch(tell=said.append))  # type: ignore[arg-type]
    truth = rank(lattice, score, limits)
    assert (None if found is None else found.rank) == truth
    if found is not None:
        assert said[-1].incumbent == found.score
        incumbents = [p.incumbent for p in said]
        assert incumbents == sorted(incumbents, reverse=True)
        bounds = [p.bound for p in said if p.bound is not None]
        assert len(bounds) == len(said) and max(bounds) <= found.score
    # Bounds that are out of memory, or out of another limit, or no better, are not priced.
    dived = set(lattice.likely.asked[:64]) if lattice.likely else set()
    for cell in lattice.cells:
        assert sorted(cell.asked) == sorted(set(cell.asked))
        b = cell.bounds
        for i in cell.asked:
            own = (float(score(b.step_s[i], cell.n_chips[i], b.memory[i])), float(b.step_s[i]))
            assert limits.hold(b.step_s[i], cell.n_chips[i], b.memory[i])
            assert truth is None or own < truth or (cell is lattice.likely and i in dived)
        for i in set(range(len(cell))) - set(cell.asked):
            own = (float(score(b.step_s[i], cell.n_chips[i], b.memory[i])), float(b.step_s[i]))
            assert not limits.hold(b.step_s[i], cell.n_chips[i], b.memory[i]) or own >= truth
    opened = [cell for cell in lattice.cells if cell.opened]
    assert (counts.unfinished, counts.witnesses) == (None, 0)
    assert (counts.cells, counts.cells_opened) == (5, len(opened))
    assert counts.settings == sum(c.n_settings for c in opened)
    assert counts.splits == sum(map(len, opened))
    assert counts.without_memory == sum(int((c.bounds.memory > limits.memory).sum()) for c in opened)
    assert counts.priced == sum(len(c.asked) for c in opened)
    assert counts.by_bound == counts.splits - counts.without_memory - counts.priced
    assert counts.settings_priced == sum(len(c.settings[i]) for c in opened for i in c.asked)
    assert len(counts.opened) == len(opened)
    assert all(sorted(priced) == sorted(cell.asked) for cell, priced in counts.opened)  # type: ignore[attr-defined]


def test_a_cell_is_opened_only_when_it_may_hold_something_better() -> None:
    good = Made([[(2.0, 1.0)], [(3.0, 1.0)]], [4, 4])
    poor = Made([[(9.0, 1.0)]], [4])
    found = search(MadeLattice([poor, good]), chip_seconds, NO_LIMITS, Counts())  # type: ignore[arg-type]
    assert found is not None and found.step_s == 2.0
    assert (good.asked, poor.opened) == ([0], False)
    # As good and no faster is no better; what may be as good and faster is looked into.
    for chips, opened in ((4, False), (8, True)):
        other = Made([[(2.0, 1.0)]], [4])
        search(MadeLattice([good, other], chips), chip_seconds, NO_LIMITS, Counts())  # type: ignore[arg-type]
        assert (other.opened, other.asked) == (opened, [])


def test_between_equals_the_faster_and_then_the_first_is_taken() -> None:
    cell = Made([[(5.0, 1.0), (3.0, 2.0), (3.0, 1.0)], [(3.0, 1.0)]], [2, 2])
    found = search(MadeLattice([cell]), chips_first, NO_LIMITS, Counts())  # type: ignore[arg-type]
    assert found is not None
    assert (found.split["split"], found.row, found.step_s, found.memory, found.score) == (0, 1, 3.0, 2.0, 2.0)
    cell = Made([[(3.0, 1.0)], [(3.0, 4.0)]], [2, 2], 0.5)  # both are priced
    found = search(MadeLattice([cell]), chips_first, NO_LIMITS, Counts())  # type: ignore[arg-type]
    assert found is not None and (found.memory, cell.asked) == (1.0, [0, 1])


def test_a_dive_ends_with_the_first_setting_or_after_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before all cells are bounded: the likely cell in the order of its bounds."""

    def bounded(self: Any, watch: Watch) -> None:
        raise Stopped

    monkeypatch.setattr(MadeLattice, "bound_cells", bounded)
    likely = Made([[(9.0, 1.0)], [(3.0, 9.0)], [(5.0, 1.0)], [(4.0, 9.0)]], [1, 1, 1, 1])
    likely.bounds.memory[:] = 0.0  # too low, so that all look as if they fit
    lattice, counts = MadeLattice([Made([[(1.0, 1.0)]], [1]), likely], likely=likely), Counts()
    limits = Limits((), 5.0)
    found = search(lattice, step, limits, counts)  # type: ignore[arg-type]
    assert found is not None and found.step_s == 5.0
    assert likely.asked == [1, 3, 2]
    assert not lattice.cells[0].opened
    assert counts.unfinished == 0.0  # nothing is known of other cells
    assert (counts.cells_opened, counts.priced, counts.by_bound) == (1, 3, 1)
    monkeypatch.setattr(module, "_DIVE", 2)
    likely.asked.clear()
    assert search(lattice, step, limits, Counts()) is None  # type: ignore[arg-type]
    assert likely.asked == [1, 3]
    assert search(replace(lattice, flops_s=16.0), step, limits, counts) is None  # type: ignore[arg-type]
    assert counts.unfinished == 2.0  # 16 chip-seconds at the peak on 8 chips


def test_a_dive_looks_at_the_watch_before_it_prices() -> None:
    likely, looks, counts = Made([[(3.0, 1.0)]], [1]), iter(range(9)), Counts()
    watch = Watch(cancelled=lambda: next(looks) >= 2)
    lattice = MadeLattice([likely], likely=likely)
    assert search(lattice, step, NO_LIMITS, counts, watch) is None  # type: ignore[arg-type]
    assert (likely.opened, likely.asked, counts.unfinished) == (True, [], 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_what_a_stopped_search_says_is_true(seed: int) -> None:
    """After any number of looks: the best so far, and a bound that no setting is below; at the end exact."""
    truth = rank(drawn(seed), chip_seconds, NO_LIMITS)
    last, ended = 0.0, False
    for most in range(200):
        looks, lattice, counts = iter(range(10**6)), drawn(seed), Counts()
        watch = Watch(cancelled=lambda looks=looks, most=most: next(looks) >= most)
        found = search(lattice, chip_seconds, NO_LIMITS, counts, watch)  # type: ignore[arg-type]
        if counts.unfinished is None:
            assert found is not None and found.rank == truth
            ended = True
            break
        assert last <= counts.unfinished <= truth[0]
        assert found is None or found.score >= counts.unfinished
        last = counts.unfinished
    assert ended


def test_a_stopped_search_has_the_bound_of_what_is_next() -> None:
    """One look to bound the cells, one before the first of them is opened, one to open it, and so on."""
    for most, bound in ((0, 0.0), (1, 8.0), (2, 8.0), (3, 8.0), (4, 9.6), (5, None)):
        cells = [Made([[(4.0, 1.0)], [(2.5, 9.0)]], [3, 4], 0.8), Made([[(9.0, 1.0)]], [4])]
        cells[0].bounds.memory[:] = 1.0
        looks, counts = iter(range(10**6)), Counts()
        watch = Watch(cancelled=lambda looks=looks, most=most: next(looks) >= most)
        limits = Limits((), 5.0)
        found = search(MadeLattice(cells), chip_seconds, limits, counts, watch)  # type: ignore[arg-type]
        assert (None if found is None else found.score) == (12.0 if most == 5 else None)
        assert counts.unfinished == (None if bound is None else pytest.approx(bound))


def test_a_cell_may_be_bounded_better_than_its_splits() -> None:
    """Its 8 chip-seconds hold for them too."""
    cells = [Made([[(4.0, 9.0)], [(2.0, 1.0)]], [2, 5])]
    cells[0].bounds.step_s[:] = [1.0, 2.0]
    cells[0].bounds.memory[:] = 1.0
    looks, counts = iter(range(9)), Counts()
    watch = Watch(cancelled=lambda: next(looks) >= 4)
    assert search(MadeLattice(cells), chip_seconds, Limits((), 5.0), counts, watch) is None  # type: ignore[arg-type]
    assert (cells[0].asked, counts.unfinished) == ([0], 10.0)
    cells[0].bounds.step_s[:] = [1.0, 1.2]
    looks = iter(range(9))
    assert search(MadeLattice(cells), chip_seconds, Limits((), 5.0), counts, watch) is None  # type: ignore[arg-type]
    assert counts.unfinished == 8.0


def test_a_search_that_is_stopped_with_its_optimum_at_hand_is_no_better_than_that() -> None:
    """The incumbent is 3; the next bound, 8, is not what may still be found."""
    first, other = Made([[(3.0, 1.0)]], [1]), Made([[(8.0, 1.0)]], [1])
    lattice, counts = MadeLattice([first, other], flops_s=32.0, likely=first), Counts()

    def cancelled() -> bool:
        return bool(first.asked)

    found = search(lattice, step, NO_LIMITS, counts, Watch(cancelled=cancelled))  # type: ignore[arg-type]
    assert found is not None
    assert counts.unfinished == 3.0 == min(32.0 / 8, found.score)


# The witness.


def test_limits_hold_at_their_numbers() -> None:
    limits = Limits(((step, 3.0), (chips_first, 4.0)), 5.0)
    assert limits.hold(3.0, 4, 5.0)
    for worse in ((3.1, 4, 5.0), (3.0, 5, 5.0), (3.0, 4, 5.1)):
        assert not limits.hold(*worse)
    assert limits.hold(np.array([3.0, 3.1]), 4, np.array([5.0, 5.0])).tolist() == [True, False]


def looked(
    cells: list[Made], opened: list[tuple[int, list[int]]], best: float | None, watch: Watch = UNWATCHED
) -> Counts:
    counts = Counts(opened=[(cells[i], priced) for i, priced in opened])  # type: ignore[misc]
    known = None if best is None else Found({}, None, 0, best, best, 0.0)  # type: ignore[arg-type]
    witness(MadeLattice(cells), step, Limits((), 5.0), counts, known, watch)  # type: ignore[arg-type]
    return counts


def test_the_witness_prices_what_was_left_out_and_nothing_twice() -> None:
    cells = [Made([[(4.0 + i, 1.0)] for i in range(9)], [1] * 9) for _ in range(5)]
    counts = looked(cells, [(0, [0, 2]), (3, list(range(9)))], 4.0)
    assert sorted(cells[0].asked) == [1, 3, 4, 5, 6, 7, 8]
    assert cells[3].asked == []
    others = [sorted(cells[i].asked) for i in (1, 2, 4)]
    assert sorted(others) == [[], list(range(9)), list(range(9))]  # two of the cells that were never opened
    assert counts.witnesses == 7 + 18
    assert counts.settings_priced == 0


def test_the_witness_prices_a_sample_where_there_is_much() -> None:
    cells = [Made([[(4.0, 1.0)]] * 100, [1] * 100) for _ in range(3)]
    assert looked(cells, [(0, []), (1, []), (2, [])], 4.0).witnesses == 32
    asked = [own.asked for own in cells]
    assert all(len(set(own)) == len(own) for own in asked)
    assert all(len(own) > 3 for own in asked)  # of all cells, not of the first
    large, small = (Made([[(4.0, 1.0)]] * n, [1] * n) for n in (3000, 32))
    looked([large, small], [(0, []), (1, [])], 4.0)
    assert len(small.asked) > 5  # as much of a small cell as of a large one
    alone = Made([[(4.0, 1.0)]] * 100, [1] * 100)
    assert looked([alone], [(0, [])], 4.0).witnesses == 32
    assert max(alone.asked) > 50
    exact = Made([[(4.0, 1.0)]] * 32, [1] * 32)
    looked([exact], [(0, [])], 4.0)
    assert sorted(exact.asked) == list(range(32))


@pytest.mark.parametrize(
    ("best", "fault"), [(4.0, False), (4.0 * (1 + 9e-10), False), (4.0 * (1 + 2e-9), True)]
)
def test_a_witness_that_is_better_by_more_than_noise_is_an_error(best: float, fault: bool) -> None:
    cell = Made([[(4.0, 1.0), (1.0, 9.0)], [(6.0, 1.0)]], [1, 1])  # 1.0 does not fit
    if fault:
        with pytest.raises(InternalMismatch, match=r"split \{'split': 0\} was ruled out unseen"):
            looked([cell], [(0, [1])], best)
    else:
        assert looked([cell], [(0, [1])], best).witnesses == 1


def test_a_witness_where_more_is_better_and_where_there_was_no_answer() -> None:
    def rate(step_s: Any, n: Any, memory: Any) -> Any:
        return -1.0 / step_s

    cell = Made([[(4.0, 1.0)]], [1])
    for best, fault in (
        (-0.25, False),
        (-0.25 * (1 - 5e-10), False),
        (-0.25 * (1 - 2e-9), True),
        (None, True),
    ):
        counts = Counts(opened=[(cell, [])])  # type: ignore[list-item]
        known = None if best is None else Found({}, None, 0, best, 4.0, 0.0)  # type: ignore[arg-type]
        args: Any = (MadeLattice([cell]), rate, NO_LIMITS, counts, known, UNWATCHED)
        if fault:
            with pytest.raises(InternalMismatch):
                witness(*args)
        else:
            witness(*args)
        assert counts.witnesses == 1
    assert looked([Made([[(4.0, 9.0)]], [1])], [(0, [])], None).witnesses == 1  # it does not fit


def test_the_witness_ends_with_the_watch() -> None:
    cell = Made([[(4.0, 1.0)]] * 9, [1] * 9)
    with pytest.raises(Stopped):
        looked([cell], [(0, [])], 4.0, Watch(cancelled=lambda: len(cell.asked) >= 3))
    assert len(cell.asked) == 3


# A small lattice of real settings.

SMALL = Architecture.model_validate(
    {
        "name": "small", "d_model": 512, "n_layers": 4, "n_heads": 8, "n_kv_heads": 4, "d_head": 64,
        "d_ff": 1024, "vocab_size": 1000,
    }
)  # fmt: skip
CHIP = catalog.chip("h100")


def problem(**own: Any) -> TrainingProblem:
    base = {
        "name": "small", "train_model": "small", "hardware": "h100", "chips": 8, "global_batch": 8,
        "sequence_length": 512, "maximize": "train_tokens_per_s",
    }  # fmt: skip
    return TrainingProblem.model_validate(base | own)


@pytest.fixture
def lattice() -> Lattice:
    return Lattice(problem(), SMALL, CHIP, 8)


def test_chip_seconds_on_the_best_number_of_chips(lattice: Lattice) -> None:
    """80 chip-seconds on up to 8 chips take 10 s at least; a chip and a second each weighed, 8 + 80 / 8."""
    assert lattice.least(80.0, step) == 10.0
    assert lattice.least(80.0, lambda s, n, m: s + n) == 18.0
    assert lattice.least(9.0, lambda s, n, m: s + n + m) == 6.0  # 3 chips, 3 s, no memory
    assert lattice.least(9.0, chips_first) == 1.0


def test_the_peak_is_a_bound_of_chip_seconds(lattice: Lattice) -> None:
    """Three passes over the batch would be more; the fastest format of the chip."""
    flops = forward_flops(SMALL, 512).model(causal=True)
    assert lattice.flops_s == pytest.approx(flops * 8 * 512 / max(CHIP.dense_flops.values()), rel=1e-12)


def test_cells_are_bounded_once(lattice: Lattice, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Lattice(problem(), SMALL, CHIP, 8)
    assert not own.bounded and all(cell.chip_seconds == 0.0 for cell in own.cells)
    own.bound_cells(UNWATCHED)
    assert own.bounded and all(cell.chip_seconds > 0.0 for cell in own.cells)
    monkeypatch.setattr(lattice_module, "ChipSeconds", None)
    own.bound_cells(UNWATCHED)


def test_no_more_chips_are_bounded_than_are_wired_together(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def chip_seconds(works: Any, domains: Any, chips: float, watch: Watch) -> Any:
        seen.append(chips)
        return SimpleNamespace(of=lambda domains: 3.0)

    monkeypatch.setattr(lattice_module, "ChipSeconds", chip_seconds)
    alone = CHIP.model_copy(update={"scaleout_bandwidth": None})
    for chip, chips in ((CHIP, 64), (alone, 64), (alone, 4)):
        own = Lattice(problem(chips=chips), SMALL, chip, chips)
        own.bound_cells(UNWATCHED)
        assert {cell.chip_seconds for cell in own.cells} == {3.0}
    assert seen == [64, 8, 4]


def test_a_cell_is_opened_once_and_knows_nothing_before(lattice: Lattice) -> None:
    cell = Cell(lattice, lattice.domains)
    assert len(cell) == 0
    with pytest.raises(ValueError, match="not open"):
        cell.split(0)
    assert cell.open() is cell
    splits = cell.splits
    assert len(cell) == len(cell.n_chips) > 10
    assert cell.open(Watch(cancelled=lambda: True)).splits is splits
    assert cell.choices.count().min() >= 1
    assert cell.n_settings == int(cell.choices.count().sum())
    with pytest.raises(Stopped):
        Cell(lattice, lattice.domains).open(Watch(cancelled=lambda: True))


@pytest.mark.parametrize(
    ("what", "match"),
    [("step_s", "step"), ("memory", "memory"), ("chip_seconds", "step"), ("flops_s", "step")],
)
def test_each_bound_that_could_have_ruled_a_split_out_is_held_against_its_prices(
    what: str, match: str
) -> None:
    """At the least of its settings, a hair of noise above, and above noise."""
    own = Lattice(problem(), SMALL, CHIP, 8)
    cell = Cell(own, own.domains).open()
    for i in (0, len(cell) // 2, len(cell) - 1):
        inner, step_s, memory = cell.priced(i)
        assert len(inner) == len(step_s) == len(memory)
        for factor, fault in ((1.0, False), (1 + 9e-10, False), (1 + 2e-9, True)):
            cell = Cell(own, own.domains).open()
            own.flops_s = 0.0
            if what in ("step_s", "memory"):
                getattr(cell.bounds, what)[i] = factor * (step_s if what == "step_s" else memory).min()
            elif what == "chip_seconds":
                cell.chip_seconds = factor * step_s.min() * cell.n_chips[i]
            else:
                own.flops_s = factor * step_s.min() * cell.n_chips[i]
            if fault:
                with pytest.raises(InternalMismatch, match=f"a setting's {match} of .* is below the bound"):
                    cell.priced(i)
            else:
                cell.priced(i)


def domains(**own: tuple[int, ...]) -> Domains:
    base = dict.fromkeys(
        (
            "tensor_parallel",
            "pipeline_parallel",
            "context_parallel",
            "data_parallel",
            "expert_parallel",
            "microbatch",
        ),
        (1,),
    )
    return Domains(**(base | own))


def test_domains_are_cut_until_each_part_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = domains(tensor_parallel=(1, 2), context_parallel=(1, 2, 4), pipeline_parallel=(1, 2, 3, 4, 5))
    monkeypatch.setattr(lattice_module, "_CELL", 30)
    assert _cut(whole) == [whole]
    monkeypatch.setattr(lattice_module, "_CELL", 29)
    assert [part.tensor_parallel for part in _cut(whole)] == [(1,), (2,)]
    monkeypatch.setattr(lattice_module, "_CELL", 5)
    parts = [(part.tensor_parallel, part.context_parallel) for part in _cut(whole)]
    assert parts == [((t,), (c,)) for t in (1, 2) for c in (1, 2, 4)]
    monkeypatch.setattr(lattice_module, "_CELL", 4)  # no more degrees can be held: the pipeline is never cut
    assert len(_cut(whole)) == 6


def test_a_likely_cell_fills_a_domain_and_keeps_sequences_whole() -> None:
    own = Lattice(problem(), SMALL, CHIP, 8)
    assert CHIP.scaleup.domain == 8
    cells = [
        domains(tensor_parallel=(16,)),
        domains(tensor_parallel=(1,), context_parallel=(2,)),
        domains(tensor_parallel=(4, 16), context_parallel=(2, 4)),
        domains(tensor_parallel=(8, 16), context_parallel=(2,)),
        domains(tensor_parallel=(8,), context_parallel=(1, 2), microbatch=(2, 4)),
        domains(tensor_parallel=(2, 8), context_parallel=(1,), microbatch=(1, 4)),
        domains(tensor_parallel=(8,), microbatch=()),  # nothing in it
    ]
    for last in (7, 5, 4, 3, 2, 1):
        own.cells = [Cell(own, part) for part in cells[:last]]
        assert own.likely is own.cells[min(last, 6) - 1]
    own.cells = [Cell(own, cells[6])]
    assert own.likely is None
    own.cells = []
    assert own.likely is None


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        ([({"a", "b"}, {"a", "b", "c"}), ({"b"}, {"b", "d"})], ("b",)),
        ([({"a"}, {"a", "c"}), ({"b"}, {"b"})], ("a", "b", "c")),
        ([({"z", "a"}, set())], ("a", "z")),
        ([], ()),
    ],
)
def test_what_nothing_can_keep_is_what_every_cell_breaks(
    rules: Any, broken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(rules)
    monkeypatch.setattr(broken_module, "broken_rules", lambda *rest: next(said))
    own: Any = SimpleNamespace(cells=[SimpleNamespace(domains=None)] * len(rules), facts=None, chips=8)
    assert broken_everywhere(problem(), own) == broken
