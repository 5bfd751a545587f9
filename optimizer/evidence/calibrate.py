"""Fits constants to a user's own measurements: of a chip to kernels, of an engine to end-to-end points."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from optimizer.errors import InputError
from optimizer.evidence import kernels
from optimizer.evidence.calibrate_chip import INTERRUPTED, calibrate_chip
from optimizer.evidence.calibrate_engine import calibrate_engine
from optimizer.evidence.held_out import HoldOut, hold_out, worse
from optimizer.evidence.points import read_rows
from optimizer.spec.calibration import CalibratedPart, Calibration
from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine
from optimizer.watch import UNWATCHED, Stopped, Watch


@dataclass(frozen=True)
class Calibrated:
    """The chip or engine to be written, and what was found."""

    item: Chip | Engine
    report: Calibration


def calibrate(
    path: Path,
    chip: Chip | None = None,
    engine: Engine | None = None,
    held_out: str | None = None,
    figures: tuple[str, ...] = (),
    name: str | None = None,
    watch: Watch = UNWATCHED,
) -> Calibrated:
    """Fit a chip to a CSV of kernels (`optimizer.evidence.kernels`), or an engine to one of points.

    `held_out` is COLUMN=VALUE, `figures` the names of engine figures to fit, `name` that of the new item.
    InputError if the file, or what it is to calibrate, does not do. When the watch is over, what is fitted by
    then (`complete` is False), which is nothing to keep.
    """
    columns, rows = read_rows(path)
    held = hold_out(held_out, columns, rows)
    if columns >= kernels.COLUMNS:
        if chip is None or engine is not None or figures:
            raise InputError(
                f"{path}: measured kernels calibrate a chip; name the chip, and no engine or figures to fit"
            )
        return _chip(path, rows, chip, held, name or f"{chip.name}-calibrated", watch)
    if engine is None:
        raise InputError(
            f"{path}: end-to-end points calibrate an engine; name the engine, "
            f"or a file of kernels with the columns {', '.join(sorted(kernels.COLUMNS))}"
        )
    name = name or f"{engine.name}-calibrated"
    try:
        return _engine(path, rows, engine, chip, held, figures, name, watch)
    except Stopped:
        return _nothing_fitted(path, engine, held, name)


def _nothing_fitted(path: Path, engine: Engine, held: HoldOut, name: str) -> Calibrated:
    """Interrupted before the fit began."""
    report = _report(path, engine, held, name, [], {engine.name: INTERRUPTED}, {}, complete=False)
    return Calibrated(engine, report)


def _chip(
    path: Path, rows: list[dict[str, str]], chip: Chip, held: HoldOut, name: str, watch: Watch
) -> Calibrated:
    found = calibrate_chip(chip, rows, held, watch)
    if not found.parts and found.complete:
        reasons = [f"{part}: {reason}" for part, reason in found.skipped.items()]
        reasons += [f"{n} x {reason}" for reason, n in found.unscored.most_common(3)]
        raise InputError(
            f"{path}: no operator of {chip.name} can be fitted ({'; '.join(reasons) or 'no rows'})"
        )
    unscored = dict(found.unscored.most_common())
    report = _report(path, chip, held, name, found.parts, found.skipped, unscored, found.complete)
    source = f"{_source(path, found.parts, held)}. The rest: {chip.source('efficiency')}"
    item = found.chip.changed(
        name=name,
        title=f"{chip.title}, calibrated",
        aliases=tuple(dict.fromkeys((chip.name, *chip.aliases))),
        sources=chip.sources | {"efficiency": source},
    )
    return Calibrated(item, report)


def _engine(
    path: Path,
    rows: list[dict[str, str]],
    engine: Engine,
    chip: Chip | None,
    held: HoldOut,
    figures: tuple[str, ...],
    name: str,
    watch: Watch,
) -> Calibrated:
    found = calibrate_engine(path, rows, engine, chip, held, figures, watch)
    source = _source(path, [found.part], held)
    fitted = {c.name: source for c in found.part.constants if not c.left}
    item = found.engine.changed(
        name=name, title=f"{engine.title}, calibrated", sources=engine.sources | fitted
    )
    report = _report(path, engine, held, name, [found.part], {}, found.unscored, found.complete)
    return Calibrated(item, report)


def _report(
    path: Path,
    start: Chip | Engine,
    held: HoldOut,
    name: str,
    parts: list[CalibratedPart],
    skipped: dict[str, str],
    unscored: dict[str, int],
    complete: bool,
) -> Calibration:
    """What was fitted, from which file and which chip or engine on."""
    return Calibration(
        file=path.name,
        kind="chip" if isinstance(start, Chip) else "engine",
        name=name,
        starts_from=start.name,
        held_out=str(held),
        parts=tuple(parts),
        skipped=skipped,
        worse=worse(parts),
        unscored=unscored,
        complete=complete,
    )


def _source(path: Path, parts: list[CalibratedPart], held: HoldOut) -> str:
    """The file, the day, and for each part its rows and its error on those that the fit did not see."""
    what = []
    for part in parts:
        whole = {error.rows: error for error in part.errors if error.name == "all"}
        seen, unseen = whole["fitted"], whole.get("held out")
        told = f"median error {unseen.median_after:.1%} on {unseen.n} held out" if unseen else "none held out"
        what.append(f"{part.name}: fitted to {seen.n}, {told}")
    return f"archsat calibrate, {path.name}, {date.today()}, {held} held out; {'; '.join(what)}"
