"""Ctrl-C while points are scored or constants are fitted: what was done by then, marked partial, exit code 4.

The moment is a number of looks, never a time.
"""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from test_calibrate import START, kernels, saturated

from optimizer import catalog
from optimizer.cli import main
from optimizer.evidence.calibrate import calibrate
from optimizer.evidence.calibrate_chip import INTERRUPTED
from optimizer.evidence.validate import validate_points
from optimizer.report.calibrate import report as fitted
from optimizer.report.validation import report as scored
from optimizer.watch import Watch

POINTS = Path(__file__).parent.parent / "data" / "points.csv"
TRAINING = Path(__file__).parent.parent.parent / "benchmarks" / "points" / "training.csv"


def after(looks: int) -> Callable[[], bool]:
    """Somebody who interrupts at the n-th time of asking."""
    count = iter(range(10**9))
    return lambda: next(count) >= looks


def text_of(what: Any) -> str:
    out = StringIO()
    Console(file=out, width=80).print(what)
    return " ".join(out.getvalue().split())


def beginning(path: Path, rows: int, at: Path) -> Path:
    """A file of the first rows of another."""
    at.write_text("".join(path.read_text().splitlines(keepends=True)[: rows + 1]))
    return at


@pytest.mark.parametrize("file", [POINTS, TRAINING])
@pytest.mark.parametrize("looks", [0, 1, 5])
def test_the_rows_scored_by_then_are_a_file_of_their_own(file: Path, looks: int, tmp_path: Path) -> None:
    found = validate_points(file, Watch(cancelled=after(looks)))
    assert (found.rows_read, found.complete) == (looks, False)
    assert found.rows == len(file.read_text().splitlines()) - 1
    if looks:
        own = validate_points(beginning(file, looks, tmp_path / file.name))
        assert own.complete
        assert (own.scored, own.groups, own.unscored) == (found.scored, found.groups, found.unscored)
    assert f"PARTIAL interrupted: the first {looks} of {found.rows} rows alone" in text_of(scored(found))
    assert "PARTIAL" not in text_of(scored(validate_points(POINTS)))


def test_the_operators_fitted_by_then_are_those_of_the_whole(tmp_path: Path) -> None:
    path = kernels(tmp_path / "k.csv")
    whole = calibrate(path, START).report
    assert whole.complete
    sizes = []
    for looks in (0, 100, 1000):
        found = calibrate(path, START, watch=Watch(cancelled=after(looks))).report
        sizes.append(len(found.parts))
        assert not found.complete
        assert found.parts == whole.parts[: len(found.parts)]
        assert found.skipped == {part.name: INTERRUPTED for part in whole.parts[len(found.parts) :]}
        said = text_of(fitted(found, "mine.yaml"))
        assert "PARTIAL interrupted" in said and "Nothing written" in said
    assert sizes == sorted(sizes) and 0 == sizes[0] < sizes[-1] < len(whole.parts)


def test_an_engine_has_the_best_values_met(tmp_path: Path) -> None:
    """As the rows of the fit say, priced again; of the rows held out nothing is said."""
    path = saturated(tmp_path / "t.csv", cache_share=0.9, host_us_per_sequence=10.0)
    engine, names = catalog.engine("trtllm"), ("cache_share", "host_us_per_sequence")
    asked: list[None] = []
    calibrate(path, engine=engine, figures=names, watch=Watch(cancelled=lambda: bool(asked.append(None))))
    errors = []
    for share in (0.4, 0.7, 0.95):
        looks = int(len(asked) * share)
        found = calibrate(path, engine=engine, figures=names, watch=Watch(cancelled=after(looks)))
        assert not found.report.complete
        [part] = found.report.parts
        [error] = part.errors
        assert (error.name, error.rows, error.n) == ("all", "fitted", 8)
        assert error.mean_after <= error.mean_before
        errors.append(error.mean_after)
        assert {c.name: c.new for c in part.constants} == {n: getattr(found.item, n) for n in names}
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0]
    none = calibrate(path, engine=engine, figures=names, watch=Watch(cancelled=after(3))).report
    assert (none.complete, none.parts, none.skipped) == (False, (), {"trtllm": INTERRUPTED})
    assert np.isfinite(errors).all()


@pytest.mark.parametrize("looks", [2, 10**6])
def test_validate_interrupted_prints_its_score(
    looks: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("optimizer.commands.validate.interrupts", lambda: after(looks))
    picture = tmp_path / "parity.svg"
    code = main(["validate", str(POINTS), "--json", "--plot", str(picture)])
    out = capsys.readouterr()
    answer = json.loads(out.out)
    whole = looks > answer["rows"]
    assert (code, answer["rows_read"], picture.exists()) == ((0, 9, True) if whole else (4, 2, False))
    assert out.err == ("" if whole else f"archsat: interrupted, {picture} is not drawn\n")


def test_calibrate_interrupted_writes_no_chip(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("optimizer.commands.calibrate.interrupts", lambda: after(5))
    points, out = saturated(tmp_path / "t.csv", cache_share=0.9), tmp_path / "mine.yaml"
    code = main(["calibrate", str(points), "--engine", "trtllm", "--out", str(out)])
    said = capsys.readouterr()
    assert (code, out.exists(), said.err) == (4, False, "")
    assert "PARTIAL interrupted: nothing is fitted" in " ".join(said.out.split())
