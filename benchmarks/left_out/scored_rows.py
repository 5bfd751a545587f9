"""Measured rows, each with the groups that may be left out and the band it is an error of."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optimizer import catalog
from optimizer.bands import Key, Regime, key_of, kind_of
from optimizer.cost.frame import frame_of
from optimizer.evidence.points import Point, points_of
from optimizer.evidence.train_cells import UnreadableRow
from optimizer.evidence.train_points import TrainingPoint, read_row
from optimizer.evidence.validate import unpredictable

POINTS = Path(__file__).resolve().parents[1] / "points"
_LOADED = ("serving", "served")
_SATURATED = {"trtllm"}
_FITTED = {"anl", "dstack", "fastertransformer", "splitwise"}
_DENSE = "trtllm_max_throughput_dense"
_ONLY_THERE = "meta-llama/Llama-3.1-70B"
"""The other rows of that file are in inference.csv too."""
_GPUS = ("gpu_layers_h100", "gpu_layers_h200")


@dataclass(frozen=True)
class Row:
    """One measurement: what it is of, and whether a fit of constants may see it."""

    name: str
    table: str
    source: str
    model: str
    chip: str
    engine: str
    key: Key
    measured: float
    used: bool
    item: Point | TrainingPoint


def served_rows() -> list[Row]:
    """Rows of serving, of every file, that the cost model can predict."""
    found = []
    for file in ("inference", *_LOADED, _DENSE, "single_user", *_GPUS):
        path = POINTS / f"{file}.csv"
        with path.open(encoding="utf-8", newline="") as text:
            cells = list(csv.DictReader(text))
        for point in points_of(path)[1]:
            if isinstance(point, Point) and _counts(file, point, cells[point.row - 2]):
                found.append(_row(file, point, cells[point.row - 2]))
    return found


def _counts(file: str, point: Point, cells: dict[str, str]) -> bool:
    """Whether a row is predicted, and no row of another file, nor one that set its own chip's figures."""
    if point.unknown_engine or unpredictable(point, frame_of(point.model, point.chip, point.setup)):
        return False
    if file == _DENSE:
        return point.model.name == _ONLY_THERE
    return file != "single_user" or cells["split"] != "fitted"


def _row(file: str, point: Point, cells: dict[str, str]) -> Row:
    source = point.source
    if file == "serving":
        source = "aic-silicon" if cells["backend_version"] else "inferencemax"
    used = file in _LOADED or (
        file == "inference" and (source in _FITTED or (source in _SATURATED and point.regime == "saturation"))
    )
    engine = str(point.setup.engine)
    key = key_of(point.chip, catalog.engine(engine), point.model, point.metric, regime_of(point))
    return Row(
        name=f"{file}:{point.row}:{point.metric}",
        table=_table(file, point),
        source=source,
        model=point.model.name,
        chip=point.chip.name,
        engine=engine,
        key=key,
        measured=point.measured,
        used=used,
        item=point,
    )


def regime_of(point: Point) -> Regime:
    """Which regime of bands a point is of."""
    if point.regime == "fixed_batch":
        return "single" if point.setup.batch == 1 else "batch"
    return "load"


def _table(file: str, point: Point) -> str:
    """Which line of the headline a row belongs to."""
    metric = {"ttft_ms": "TTFT", "tpot_ms": "TPOT"}.get(point.metric, "throughput")
    if point.regime == "saturation":
        return f"maximum throughput, {kind_of(point.model)}"
    if file in _LOADED or point.regime == "concurrency":
        return f"{metric} under load"
    if file == "single_user":
        return "one user, TPOT"
    return "decode steps on GPUs" if file in _GPUS else f"fixed batches, {metric}"


def training_rows() -> list[Row]:
    """Rows of training steps."""
    return list(_training())


def _training() -> Iterator[Row]:
    with (POINTS / "training.csv").open(encoding="utf-8", newline="") as text:
        for line, cells in enumerate(csv.DictReader(text), 2):
            try:
                point = read_row(line, cells)
            except UnreadableRow:
                continue
            yield Row(
                name=f"training:{line}",
                table=f"training, tier {point.tier}",
                source=point.source,
                model=point.model.name,
                chip=point.chip.name,
                engine="",
                key=key_of(point.chip, None, point.model, "tokens_per_s", "training"),
                measured=point.measured,
                used=point.tier in ("A", "B") and cells.get("latest", "1") == "1",
                item=point,
            )
