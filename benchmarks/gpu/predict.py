"""Measured rows beside this version's predictions, as files of points. Needs archsat, not torch."""

import csv
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import results
from grid import EXCHANGES, Case

from optimizer import catalog
from optimizer.blocks import operators as ops
from optimizer.cost import collectives
from optimizer.cost.frame import frame_of
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.roofline import Roofline
from optimizer.errors import ArchsatError
from optimizer.evidence.kernels import UnreadableKernel, predicted, read_kernel
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.setup import Setup
from optimizer.spec.split import Formats

KERNELS = [name for name in results.COLUMNS if name not in ("part", "model", "layers")]
KERNELS.insert(KERNELS.index("measured_us") + 1, "predicted_us")
LAYERS = [
    *("source_key", "model", "chip", "tp", "weight_dtype", "kv_dtype", "engine", "batch_or_concurrency"),
    *("isl", "osl", "metric", "value", "point_type", "layers", "context", "measured_us", "predicted_us"),
    *("spread", "calls", "launch", "backend", "others", "skipped"),
]
SOURCE = "benchmarks/gpu"


def predicted_us(case: Case, chip: Chip) -> float:
    """Microseconds of a case by the cost model."""
    c: Any = case
    if case.operator == "layers":
        return 1e6 * step_s(case, chip)
    if case.operator in EXCHANGES:
        group = collectives.group_of(c.n_chips, chip)
        seconds, _ = getattr(collectives, f"{case.operator}_s")(float(c.size), group, chip)
        return 1e6 * float(seconds)
    if case.operator == "experts":
        operator: ops.Operator = ops.Experts("", c.m, c.k, c.n, c.experts, c.active, c.experts, True)
        return 1e6 * float(Roofline(chip, formats=Formats(case.dtype)).cost(operator).seconds)
    row = {name: str(value) for name, value in vars(case).items() if value is not None}
    try:
        kernel = read_kernel(0, row | {"measured_us": "1"}, chip)
    except UnreadableKernel:  # a small kernel that `archsat calibrate` does not fit
        return 1e6 * float(Roofline(chip).cost(ops.Elementwise("", c.size or 0)).seconds)
    return 1e6 * float(predicted(kernel.part, [kernel], chip)[0])


def step_s(case: Case, chip: Chip) -> float:
    """Seconds of a decode step: what `archsat estimate --engine ideal` says, of so many of the layers."""
    c: Any = case
    model = shortened(catalog.model(c.model), c.layers)
    return float(QUANTITIES["decode_s"].total(frame_of(model, chip, setup_of(case)), model))


def setup_of(case: Case) -> Setup:
    """A decode step at the context of a case: the prompt and half of an answer of two tokens."""
    c: Any = case
    return Setup(batch=c.batch, input_tokens=c.context - 1, output_tokens=2, engine="ideal")


def shortened(model: Architecture, layers: int | None) -> Architecture:
    """The model with its first layers; all are alike."""
    if layers is None:
        return model
    (group,) = model.layers
    return model.model_copy(update={"layers": (group.model_copy(update={"count": layers}),)})


def case_of(row: dict[str, str]) -> Case:
    """The case of a row."""
    words = ("part", "operator", "dtype", "model")
    own = {name: row[name] for name in words if row[name]}
    dims = {name: int(row[name]) for name in Case.__dataclass_fields__ if name not in words and row[name]}
    return Case(**own, **dims)  # type: ignore[arg-type]


def kernel_row(row: dict[str, str], us: float) -> dict[str, str]:
    """A row of the file of kernels."""
    return {name: row.get(name, "") for name in KERNELS} | {"predicted_us": f"{us:.3f}"}


def layers_row(row: dict[str, str], case: Case, us: float) -> dict[str, Any]:
    """A row of the file of decode steps, which is one of inference points."""
    setup = setup_of(case)
    return {name: row.get(name, "") for name in LAYERS} | {
        "source_key": SOURCE,
        "model": catalog.model(str(case.model)).name,
        "tp": setup.tensor_parallel,
        "weight_dtype": setup.weight_dtype,
        "kv_dtype": setup.kv_dtype,
        "engine": setup.engine,
        "batch_or_concurrency": case.batch,
        "isl": setup.input_tokens,
        "osl": setup.output_tokens,
        "metric": "tpot_ms",
        "value": f"{float(row['measured_us']) / 1e3:.6g}" if row["measured_us"] else "",
        "point_type": "fixed_batch" if case.layers is None else "part_of_model",
        "predicted_us": f"{us:.3f}",
    }


def table(pairs: list[tuple[Case, float, float]]) -> str:
    """Predicted against measured, one line per case and a median per operator and format."""
    lines = [f"{'operator':18} {'dtype':5} {'case':52} {'measured us':>12} {'predicted us':>13} {'ratio':>6}"]
    ratios: dict[str, list[float]] = {}
    for case, measured, us in pairs:
        what = f"{case.operator:18} {case.dtype:5}"
        ratios.setdefault(what, []).append(us / measured)
        lines.append(f"{what} {case.dims:52} {measured:12.2f} {us:13.2f} {us / measured:6.2f}")
    lines.append("")
    for what, values in ratios.items():
        errors = [abs(value - 1) for value in values]
        lines.append(
            f"{what} {len(values):4} cases, median ratio {statistics.median(values):.2f}, "
            f"median error {statistics.median(errors):.0%}"
        )
    return "\n".join(lines)


def main(folder: Path, to: Path) -> int:
    """Write the files of points of a measured folder; 2 if its chip is unknown."""
    found = results.read(folder / "rows.csv")
    try:
        if not found:
            raise ArchsatError(f"no rows in {folder / 'rows.csv'}")
        chip = catalog.chip(found[0]["chip"])
        cases = [case_of(row) for row in found]
        times = [predicted_us(case, chip) for case in cases]
    except ArchsatError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    every = list(zip(found, cases, times, strict=True))
    print(table([(case, float(row["measured_us"]), us) for row, case, us in every if row["measured_us"]]))
    kernels = [kernel_row(row, us) for row, case, us in every if case.operator != "layers"]
    steps = [layers_row(row, case, us) for row, case, us in every if case.operator == "layers"]
    short = chip.name.removeprefix("nvidia-").removesuffix("-sxm")
    to.mkdir(parents=True, exist_ok=True)
    for name, columns, own in (("kernels", KERNELS, kernels), ("layers", LAYERS, steps)):
        path = to / f"gpu_{name}_{short}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(own)
        print(f"{len(own)} rows in {path}")
    if (folder / "machine.json").exists():
        shutil.copy(folder / "machine.json", to / f"gpu_machine_{short}.json")
    return 0
