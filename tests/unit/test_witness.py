"""Bounds that are too high are caught at run time, wherever they are, or no answer is given.

Guards the second look at what a search leaves out on the word of a bound: floors of frames never opened,
bounds of slices never solved, bounds that call a frame empty; with and without a plan, small and wide.
"""

from typing import Any

import numpy as np
import pytest
import samples

import optimizer.questions.architecture.cells as cells_module
from optimizer import InternalMismatch, frontier, solve
from optimizer.questions import problems
from optimizer.questions.architecture import witness
from optimizer.questions.architecture.floors import Floors
from optimizer.questions.architecture.space import resolve

BATCHES = {"deployment": {"batch": {"min": 1, "max": 140}}}
NO_PLAN = {"constraints": {"tpot_ms_max": 1e-3}}
WIDE = {
    "architecture": samples.SPACE | {"d_model": {"min": 512, "max": 8192, "multiple_of": 8}},
    "deployment": {"batch": {"min": 1, "max": 64}},
}


def spoil_floors(monkeypatch: pytest.MonkeyPatch, factor: float, widths: Any = None) -> None:
    """Floors times a factor, at some widths or all."""
    honest = Floors.key

    def key(self: Floors, setting: Any) -> Any:
        wrong = np.ones(len(setting.d_model), bool) if widths is None else np.isin(setting.d_model, widths)
        return np.where(wrong, honest(self, setting) * factor, honest(self, setting))

    monkeypatch.setattr(Floors, "key", key)


def spoil_columns(monkeypatch: pytest.MonkeyPatch, factor: float, width: int) -> None:
    """Bounds of slices times a factor, at one width."""
    honest = cells_module.depth_bounds

    def bounds(table: Any, objective: Any, sense: int) -> Any:
        found = honest(table, objective, sense)
        if table.frame.d_model == width:
            found.key[:] *= factor
            found.by_attention[:] *= factor
        return found

    monkeypatch.setattr(cells_module, "depth_bounds", bounds)


@pytest.fixture(scope="module")
def width() -> int:
    """The optimum's, of the shipped 8B problem."""
    return solve(problems.load("dense-8b-b200")).architecture.d_model


@pytest.mark.parametrize("factor", [1.22, 1.05, np.inf])
def test_floors_too_high_at_the_optimums_width(
    monkeypatch: pytest.MonkeyPatch, width: int, factor: float
) -> None:
    spoil_floors(monkeypatch, factor, [width])
    with pytest.raises(InternalMismatch, match="no answer is given"):
        solve(problems.load("dense-8b-b200"))


@pytest.mark.parametrize("factor", [1.22, np.inf])
def test_bounds_of_slices_too_high_at_the_optimums_width(
    monkeypatch: pytest.MonkeyPatch, width: int, factor: float
) -> None:
    spoil_columns(monkeypatch, factor, width)
    with pytest.raises(InternalMismatch, match="no answer is given"):
        solve(problems.load("dense-8b-b200"))


def test_floors_too_high_elsewhere(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """The answer would be right; the bound that stands for a proof is not."""
    others = [w for w in problems.load("dense-8b-b200").architecture.d_model if w > width]
    spoil_floors(monkeypatch, 3.0, others)
    with pytest.raises(InternalMismatch, match="its floor"):
        solve(problems.load("dense-8b-b200"))


def test_a_floor_above_a_plan_of_an_opened_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_floors(monkeypatch, 1.5)
    with pytest.raises(InternalMismatch, match="is above a plan in it"):
        solve(samples.problem())


def test_floors_too_high_in_a_study_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_floors(monkeypatch, 1.22)
    with pytest.raises(InternalMismatch, match="no answer is given"):
        frontier(samples.problem(), ("tpot_ms", "loss"))


@pytest.mark.parametrize("problem", [samples.problem(), samples.problem(**BATCHES), samples.problem(**WIDE)])
def test_floors_that_call_everything_empty(monkeypatch: pytest.MonkeyPatch, problem: Any) -> None:
    """Also with more frames than are all priced again."""
    spoil_floors(monkeypatch, np.inf)
    monkeypatch.setattr("optimizer.questions.architecture.search.coarse", lambda space: ())
    monkeypatch.setattr("optimizer.questions.architecture.proof.FEW_WITHOUT_PLAN", 100)
    with pytest.raises(InternalMismatch, match="without them"):
        solve(problem)


def test_the_certificate_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.questions.architecture.proof.FEW_WITHOUT_PLAN", 100)
    few = solve(samples.problem()).certificate
    assert few.witnesses.all_frames
    assert few.witnesses.frames_priced == few.witnesses.frames_left_out <= few.counts["frames"]
    assert few.witnesses.slices_enumerated > 0
    none = solve(samples.problem(**NO_PLAN)).certificate
    assert none.witnesses.frames_priced == none.counts["frames"] == 2
    assert "pricing all 2 frames, without the floors" in none.confirmed_by
    many = solve(samples.problem(**NO_PLAN, **BATCHES)).certificate
    assert not many.witnesses.all_frames
    assert witness.SAMPLE <= many.witnesses.frames_priced < many.counts["frames"]
    assert not any("pricing all" in line for line in many.confirmed_by)


def test_the_sample_follows_from_the_seed() -> None:
    problem = samples.problem(**BATCHES)
    assert not solve(problem).certificate.witnesses.all_frames
    assert solve(problem).certificate.witnesses == solve(problem).certificate.witnesses


def test_a_wide_space_is_one_that_takes_long_to_bound() -> None:
    assert resolve(samples.problem(**WIDE)).wide
    assert not resolve(problems.load("dense-8b-b200")).wide
