"""Measured points: a CSV of the two kinds people keep, read row by row; what cannot be read says why.

Inference points have the columns model, chip, tp, weight_dtype, kv_dtype, batch_or_concurrency, isl, osl,
metric, value, point_type and source_key; serving points have system, backend, precision, tp_size, isl, osl,
concurrency, silicon_ttft_ms and silicon_tpot_ms. Of clients in a closed loop `n_prompts`, `range_ratio` and
`stream_interval` say how they ask (`spec.protocol`); without them as InferenceMAX does. Other columns are
ignored. A row with `bits` is of a checkpoint that stores all its weights so, tables too; `expert_bits` are
those of its routed experts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optimizer.blocks import n_experts
from optimizer.errors import InputError
from optimizer.evidence.names import chip_of, engine_of, model_of, unknown_engine
from optimizer.evidence.protocols import assumed_of, protocol_of
from optimizer.evidence.readings import Unreadable, count_of, number_of
from optimizer.spec.architecture import Architecture
from optimizer.spec.cells import read_cells
from optimizer.spec.checkpoint import COMPONENTS, Checkpoint, Storage
from optimizer.spec.chip import Chip
from optimizer.spec.dtypes import BYTES
from optimizer.spec.setup import Setup
from optimizer.spec.split import DEGREES

REGIMES = ("fixed_batch", "saturation", "concurrency")
METRICS = ("ttft_ms", "tpot_ms", "output_tok_s_total", "total_tok_s")
_INFERENCE = {"model", "chip", "tp", "weight_dtype", "isl", "osl", "metric", "value", "point_type"}
_BATCHED = ("fixed_batch", "concurrency")
_SERVING = {"model", "system", "tp_size", "isl", "osl", "silicon_ttft_ms", "silicon_tpot_ms", "concurrency"}
_FORMATS = {"fp16": "bf16", "fp16/bf16": "bf16", "bfloat16": "bf16", "fp4": "nvfp4", "": "bf16"}


@dataclass(frozen=True)
class Point:
    """One measurement and everything needed to predict it."""

    row: int
    source: str
    model: Architecture
    chip: Chip
    setup: Setup
    regime: str
    metric: str
    measured: float
    unknown_engine: str = ""
    """The engine's name where it has no profile: the setup's engine is then `ideal`."""
    assumed: tuple[str, ...] = ()
    """What its row does not say, and is taken to be as usual."""


@dataclass(frozen=True)
class Unscored:
    """A row that cannot be predicted, and why."""

    row: int
    reason: str


def read_points(path: Path) -> list[Point | Unscored]:
    """All points of a file, in order; a serving row gives one point per latency.

    InputError if the file cannot be read, has the columns of neither kind, or a row without all its cells.
    """
    return list(points_of(path)[1])


def points_of(path: Path) -> tuple[int, Iterator[Point | Unscored]]:
    """How many rows a file has, and its points, each read when asked for. InputError as `read_points`."""
    columns, rows = read_rows(path)
    if not (columns >= _INFERENCE or columns >= _SERVING):
        nearer = min((_INFERENCE, _SERVING), key=lambda kind: len(kind - columns))
        kind = "inference" if nearer is _INFERENCE else "serving"
        missing = ", ".join(sorted(nearer - columns))
        raise InputError(f"{path}: not a file of points; {kind} points need the columns {missing} too")
    serving = columns >= _SERVING
    if "batch_or_concurrency" not in columns and any(
        row["point_type"] in _BATCHED for row in rows if not serving
    ):
        raise InputError(
            f"{path}: points of {' and '.join(_BATCHED)} need the column batch_or_concurrency too"
        )
    return len(rows), (p for i, row in enumerate(rows, 2) for p in _points(i, row, serving))


def read_rows(path: Path) -> tuple[set[str], list[dict[str, str]]]:
    """The columns and the rows of a CSV file, the first on line 2. InputError if it cannot be read."""
    cells = read_cells(path)
    return set(cells.columns), list(cells.rows)


def _points(line: int, row: dict[str, str], serving: bool) -> Iterator[Point | Unscored]:
    for read in (_serving_ttft, _serving_tpot) if serving else (_inference,):
        try:
            yield read(line, row)
        except Unreadable as reason:
            yield Unscored(line, str(reason))


def _inference(line: int, row: dict[str, str]) -> Point:
    regime = row["point_type"]
    if regime not in REGIMES:
        raise Unreadable(f"point_type '{regime[:30]}' is not predicted")
    if row["metric"] not in METRICS:
        raise Unreadable(f"metric '{row['metric'][:30]}' is not predicted")
    weight_dtype = _format(row["weight_dtype"])
    model = model_of(row["model"])
    if row.get("bits"):
        model = model.changed(checkpoint=_checkpoint(row, weight_dtype))
    own = model.checkpoint if weight_dtype != "bf16" else None
    setup = Setup(
        **_split(row, model, regime),
        weight_dtype=own.weight_dtype if own else weight_dtype,
        kv_dtype=_cache_format(row.get("kv_dtype", ""), weight_dtype),
        batch=1 if regime == "saturation" else count_of(row, "batch_or_concurrency"),
        **protocol_of(row, row.get("batch_or_concurrency", ""), regime),
        input_tokens=count_of(row, "isl"),
        output_tokens=count_of(row, "osl"),
        engine=engine_of(
            row.get("engine") or row.get("source_key", ""),
            row.get("engine_version", ""),
            regime,
            row.get("source_commit_or_date", ""),
        ),
    )
    return Point(
        row=line,
        source=row.get("source_key") or "unnamed",
        model=model,
        chip=_joined(chip_of(row["chip"]), setup.tensor_parallel),
        setup=setup,
        regime=regime,
        metric=row["metric"],
        measured=number_of(row, "value"),
        unknown_engine=unknown_engine(row.get("engine", ""), setup),
        assumed=assumed_of(row, regime),
    )


def _checkpoint(row: dict[str, str], weight_dtype: str) -> Checkpoint:
    """How all weights are stored where a row says the mean bits of one, scales included."""
    given = {name: row.get(name) or row["bits"] for name in ("bits", "expert_bits")}
    bits = {name: number_of(given, name) for name in given}
    if not all(0 < size <= 16 for size in bits.values()):
        raise Unreadable(f"bits are {' and '.join(given.values())}: give more than 0 and at most 16")
    stored = {name: Storage(dtype=weight_dtype, bits=bits["bits"]) for name in COMPONENTS}
    stored["experts"] = Storage(dtype=weight_dtype, bits=bits["expert_bits"])
    return Checkpoint(method="as measured", **stored)


def _serving_ttft(line: int, row: dict[str, str]) -> Point:
    return _serving(line, row, "ttft_ms")


def _serving_tpot(line: int, row: dict[str, str]) -> Point:
    return _serving(line, row, "tpot_ms")


def _serving(line: int, row: dict[str, str], metric: str) -> Point:
    weight_dtype = _format(row.get("precision", ""))
    users = row.get("batch_size") or row["concurrency"]
    setup = Setup(
        tensor_parallel=count_of(row, "tp_size"),
        weight_dtype=weight_dtype,
        kv_dtype=_cache_format(row.get("kv_dtype", ""), weight_dtype),
        batch=count_of({"batch": users}, "batch"),
        **protocol_of(row, users, "concurrency"),
        input_tokens=count_of(row, "isl"),
        output_tokens=count_of(row, "osl"),
        engine=engine_of(row.get("backend", ""), row.get("backend_version", ""), "concurrency"),
    )
    return Point(
        row=line,
        source=row.get("backend") or "unnamed",
        model=model_of(row["model"]),
        chip=chip_of(row["system"]),
        setup=setup,
        regime="concurrency",
        metric=metric,
        measured=number_of(row, f"silicon_{metric}"),
        unknown_engine=unknown_engine(row.get("backend", ""), setup),
        assumed=assumed_of(row, "concurrency"),
    )


def _split(row: dict[str, str], model: Architecture, regime: str) -> dict[str, int]:
    """Degrees of parallelism.

    A saturated mixture of experts for which a source names tensor parallelism only is read as attention ranks
    with shared experts on those chips: what its engines run for throughput.
    """
    given = {name: degree.short for name, degree in DEGREES.items() if row.get(degree.short)}
    split = {name: count_of(row, short) for name, short in ({"tensor_parallel": "tp"} | given).items()}
    experts = any(n_experts(group.block.ffn) for group in model.layers)
    tp, spread = split["tensor_parallel"], given.keys() & {"expert_parallel", "data_parallel"}
    if regime == "saturation" and experts and tp > 1 and not spread:
        return split | {"tensor_parallel": 1, "data_parallel": tp, "expert_parallel": tp}
    return split


def _joined(chip: Chip, ranks: int) -> Chip:
    """A chip that is alone in its server, where a row has a group: joined by its links (GH200 NVL32)."""
    if chip.scaleup.topology != "switch" or chip.scaleup.domain > 1 or ranks == 1:
        return chip
    return chip.changed(scaleup=chip.scaleup.changed(domain=ranks))


def _format(text: str) -> str:
    wanted = _FORMATS.get(text.strip().lower(), text.strip().lower())
    if wanted not in BYTES:
        raise Unreadable(f"format '{text[:20]}' is not known")
    return wanted


def _cache_format(text: str, weight_dtype: str) -> str:
    """The cache's format; where a source does not say, fp8 beside weights of at most 8 bit, else bf16."""
    if not text.strip():
        return "bf16" if BYTES[weight_dtype] > 1.5 else "fp8"
    if re.match(r"(fp8|int8)\b", text.strip().lower()):
        return "fp8"
    if _FORMATS.get(text.strip().lower(), text.strip().lower()) != "bf16":
        raise Unreadable(f"cache format '{text[:20]}' is not known")
    return "bf16"
