"""Predicts every measured row with constants that were not set on it, and writes what comes of it.

    python benchmarks/left_out            some four minutes of CPU, two processes

Each source, model and chip is left out in turn: the constants that rows set (engines, some chips; of
training, each die's shares) are fitted again to the other rows, and the rows left out are predicted with
them by the cost model. Written: bands/groups.csv, the bands that answers show, and what docs/accuracy.py
prints, benchmarks/tables/left_out.json. Kernels, links and the form of the model stay: kernels set them.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import mean, median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import numpy as np  # noqa: E402
from ablation import Worth, worths  # noqa: E402
from accuracy import PREDICTED_FROM, digest  # noqa: E402
from constants import chip_parameters, engine_parameters  # noqa: E402
from folds import SCHEMES, Fold, folds, predicted  # noqa: E402
from predicting import Serving, Steps  # noqa: E402
from scored_rows import Row, served_rows, training_rows  # noqa: E402
from surrogate import Surrogate, value_of  # noqa: E402

from optimizer import catalog  # noqa: E402
from optimizer.bands import FILE  # noqa: E402
from optimizer.evidence.banding import Error, covered, csv_of, ends_of, reaches, stretches  # noqa: E402

TABLE = ROOT / "benchmarks" / "tables" / "left_out.json"
BANDS = ROOT / "bands" / FILE
_FEWEST = 8
Sizes = dict[str, list[float]]


@dataclass(frozen=True)
class Found:
    """What one world of rows, serving or training, gives."""

    rows: list[Row]
    by_scheme: dict[str, dict[int, float]]
    """Predictions: as shipped, with constants fitted to all rows, and with each scheme's."""
    errors: list[Error]
    worths: list[Worth]
    constants: int
    cpu_s: float


def main() -> None:
    """Run both worlds, write both files, print the headline."""
    with ProcessPoolExecutor(2) as pool:
        worlds = [job.result() for job in [pool.submit(_serving), pool.submit(_training)]]
    errors = [error for world in worlds for error in world.errors]
    made = digest(PREDICTED_FROM)
    head = f"Measured over predicted: the ends of eight in ten. Written by benchmarks/left_out. {made}"
    reached = reaches(errors)
    stretch = stretches(reached)
    BANDS.write_text(csv_of(ends_of(errors, stretch), head), encoding="utf-8")
    shown = {
        "made": made,
        "date": str(date.today()),
        "cpu_s": round(sum(world.cpu_s for world in worlds)),
        "constants": {"serving": worlds[0].constants, "training": worlds[1].constants},
        "headline": [row for world in worlds for row in _grouped(world, lambda row: row.table)],
        "source": [row for world in worlds for row in _grouped(world, lambda row: row.source, "source")],
        "model": _grouped(worlds[0], lambda row: row.model, "model"),
        "chip": [row for world in worlds for row in _grouped(world, lambda row: row.chip, "chip")],
        "worth": [asdict(worth) | {"verdict": worth.verdict} for worth in worlds[0].worths],
        "covered": covered(reached, stretch),
    }
    TABLE.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
    for row in shown["headline"]:
        print(row)
    print(f"{BANDS.relative_to(ROOT)} and {TABLE.relative_to(ROOT)} written, {shown['cpu_s']} s of CPU")


def _serving() -> Found:
    start = time.process_time()
    rows = served_rows()
    parameters = engine_parameters(catalog.engines().values()) + chip_parameters()
    shipped = {p.name: value_of(p, 1.0) for p in parameters}
    surrogate = Surrogate(Serving(rows, parameters), shipped)
    return _found(surrogate, start, judge=True)


def _training() -> Found:
    start = time.process_time()
    world = Steps(training_rows())
    surrogate = Surrogate(world, {p.name: value_of(p, 0.0) for p in world.parameters}, prior=1.0)
    return _found(surrogate, start, judge=False)


def _found(surrogate: Surrogate, start: float, judge: bool) -> Found:
    """Every fold of a world, its rows predicted."""
    rows = surrogate.world.rows
    used = np.array([row.used for row in rows])
    every = surrogate.fit(used)
    all_folds = list(folds(surrogate, every))
    shipped = surrogate.world.as_shipped(surrogate.base)
    by_scheme = {"shipped": shipped, "refitted": predicted(surrogate, every, np.ones(len(rows), bool))}
    errors = []
    for fold in all_folds:
        own = predicted(surrogate, fold.places, fold.held & used)
        own |= {int(i): shipped[int(i)] for i in np.flatnonzero(fold.held & ~used)}
        by_scheme.setdefault(fold.scheme, {}).update(own)
        errors += [_error(surrogate, fold, i, value) for i, value in sorted(own.items())]
    found = worths(surrogate, every, all_folds) if judge else []
    told = sum(surrogate.tells(p.name, used) for p in surrogate.parameters)
    return Found(rows, by_scheme, errors, found, told, time.process_time() - start)


def _error(surrogate: Surrogate, fold: Fold, i: int, value: float) -> Error:
    """The error of a row left out, and what was left of its kind."""
    row, world = surrogate.world.rows[i], surrogate.world
    own = [p.name for p in surrogate.parameters if not p.of_chip and world.meets(p, row)]
    return Error(
        row=row.name,
        source=row.source,
        key=row.key,
        ratio=row.measured / value,
        engine_seen=all(name in fold.told for name in own) or not row.used,
        chip_seen=(row.chip, row.key.engine) in fold.on_chip or (not row.used and fold.scheme != "chip"),
        scheme=fold.scheme,
    )


def _grouped(world: Found, name_of: Callable[[Row], str], scheme: str = "") -> list[dict[str, Any]]:
    """Median and mean errors by group: as shipped, fitted to all, and left out in each way or in one."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(world.rows):
        groups[name_of(row)].append(i)
    schemes = ("shipped", "refitted", *((scheme,) if scheme else SCHEMES))
    return [
        {"rows": name, "n": len(own)} | {s: _sizes(world.rows, world.by_scheme[s], own) for s in schemes}
        for name, own in sorted(groups.items())
        if len(own) >= _FEWEST
    ]


def _sizes(rows: list[Row], values: Mapping[int, float], own: list[int]) -> list[float]:
    size = [abs(values[i] / rows[i].measured - 1) for i in own]
    return [round(median(size), 4), round(mean(size), 4)]


if __name__ == "__main__":
    main()
