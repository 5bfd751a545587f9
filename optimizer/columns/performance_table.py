"""Replica configurations from a CSV file: the user's measurements, or another tool's predictions.

Lines that begin with `#` are comments. Columns (aliases in brackets), others are ignored:

    mode               aggregated (agg), prefill or decode
    chip               a catalogue name or alias, or any name that `hardware` offers
    chips              chips of one replica (gpus_per_replica)
    requests_per_s     steady rate of one replica; of a decode replica: requests completed
    ttft_ms            needed for aggregated and prefill rows
    tpot_ms            needed for aggregated and decode rows
    tensor_parallel (tp), pipeline_parallel (pp), expert_parallel (ep), data_parallel (dp)   default 1
    batch, weight_dtype, kv_dtype, memory_gib (memory_gb, in 1e9 bytes), row_id              optional
    expert_chip, expert_chips, expert_memory_gib, microbatches     decode rows: experts on other chips
"""

import csv
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from optimizer import catalog
from optimizer.columns.replicas import MODES, Replicas
from optimizer.errors import InputError, nearest

MAX_BYTES = 64 << 20
_ALIASES = {
    "gpus_per_replica": "chips",
    "tp": "tensor_parallel",
    "pp": "pipeline_parallel",
    "ep": "expert_parallel",
    "dp": "data_parallel",
    "row_id": "label",
}
_MODE = {"agg": "aggregated"} | {mode: mode for mode in MODES}
_DTYPE = {"bfloat16": "bf16", "float16": "bf16", "fp16": "bf16"}
_REQUIRED = ("mode", "chip", "chips", "requests_per_s", "ttft_ms", "tpot_ms")
_DEGREES = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel")
_GIB_PER_GB = 1e9 / 2**30


def read_table(path: Path, where: Mapping[str, str | int | float] | None = None) -> Replicas:
    """Read one table, keeping the rows whose columns have the values of `where`.

    InputError names file, line and field of the first row that cannot be meant.
    """
    header, lines = _lines(path)
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise InputError(f"{path}: the header lacks {', '.join(missing)}; it has {', '.join(header[:20])}")
    for name in where or {}:
        if name not in header:
            hint = nearest(name, header)
            raise InputError(f"{path}: performance_table_rows names '{name}', which is no column.{hint}")
    rows, seen = [], dict[tuple[str, ...], int]()
    for number, cells in lines:
        if len(cells) != len(header):
            raise InputError(f"{path}: line {number}: {len(cells)} cells under {len(header)} columns")
        raw = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        key = tuple(value for name, value in raw.items() if name != "label")
        if key in seen:
            raise InputError(f"{path}: line {number} repeats line {seen[key]}; give each row once")
        seen[key] = number
        if all(_same(raw[name], value) for name, value in (where or {}).items()):
            rows.append(_row(_Cell(path, number, raw)))
    if not rows:
        raise InputError(f"{path}: holds no row" + (" of those asked for" if where else ""))
    return Replicas.of(rows)


def _lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    if not path.is_file():
        raise InputError(f"{path}: {'is a directory' if path.is_dir() else 'no such file'}; name a CSV file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MB")
    try:
        text = path.read_text(encoding="utf-8-sig")
        kept = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
        kept = [(i, line) for i, line in kept if not line.startswith("#")]
        cells = [(i, row) for (i, _), row in zip(kept, csv.reader(line for _, line in kept), strict=True)]
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if not cells:
        raise InputError(f"{path}: is empty; the first line names the columns")
    header = [_ALIASES.get(name.strip(), name.strip()) for name in cells[0][1]]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the column {twice[0]} is given twice")
    return header, cells[1:]


class _Cell:
    """One line of the file, read field by field."""

    def __init__(self, path: Path, line: int, raw: Mapping[str, str]) -> None:
        self.path, self.line, self.raw = path, line, raw

    def wrong(self, field: str, accepted: str) -> InputError:
        got = self.raw.get(field, "")[:40]
        return InputError(f"{self.path}: line {self.line}: {field} '{got}' is not {accepted}")

    def positive(self, field: str) -> float:
        try:
            value = float(self.raw[field])
        except (KeyError, ValueError):
            raise self.wrong(field, "a positive number") from None
        if not (math.isfinite(value) and 0 < value < 1e12):
            raise self.wrong(field, "a positive number")
        return value

    def whole(self, field: str, default: int) -> int:
        if not self.raw.get(field):
            return default
        value = self.positive(field)
        if value != int(value) or value > 10**7:
            raise self.wrong(field, "a whole number from 1")
        return int(value)


def _row(cell: _Cell) -> dict[str, Any]:
    mode = _MODE.get(cell.raw["mode"])
    if mode is None:
        raise cell.wrong("mode", "aggregated, prefill or decode")
    if not cell.raw["chip"]:
        raise cell.wrong("chip", "the name of a chip")
    row: dict[str, Any] = {
        "mode": mode,
        "chip": chip_name(cell.raw["chip"]),
        "chips": cell.whole("chips", 0),
        "requests_per_s": cell.positive("requests_per_s"),
        "ttft_ms": 0.0 if mode == "decode" else cell.positive("ttft_ms"),
        "tpot_ms": 0.0 if mode == "prefill" else cell.positive("tpot_ms"),
        "memory_gib": _memory(cell),
        "batch": cell.whole("batch", 1),
        "label": cell.raw.get("label") or f"line {cell.line}",
    }
    row |= {name: cell.whole(name, 1) for name in _DEGREES}
    for name in ("weight_dtype", "kv_dtype"):
        text = cell.raw.get(name, "").lower()
        row[name] = _DTYPE.get(text, text) or "not given"
    row |= _apart(cell, mode)
    if row["chips"] < 1:
        raise cell.wrong("chips", "a whole number from 1")
    if row["chips"] % row["tensor_parallel"]:
        raise cell.wrong("chips", f"a multiple of tensor_parallel {row['tensor_parallel']}")
    return row


def _apart(cell: _Cell, mode: str) -> dict[str, Any]:
    """The chips that hold a decode replica's experts, if they are not those of its attention."""
    if not cell.raw.get("expert_chip"):
        if cell.raw.get("expert_chips"):
            raise cell.wrong("expert_chip", "the name of a chip, which expert_chips needs")
        return {}
    if mode != "decode":
        raise cell.wrong("expert_chip", f"possible in a row of mode {mode}: experts lie apart in decode rows")
    chips = cell.whole("expert_chips", 0)
    if chips < 1:
        raise cell.wrong("expert_chips", "a whole number from 1")
    held = cell.positive("expert_memory_gib") if cell.raw.get("expert_memory_gib") else 0.0
    return {
        "expert_chip": chip_name(cell.raw["expert_chip"]),
        "expert_chips": chips,
        "expert_memory_gib": held,
        "microbatches": cell.whole("microbatches", 1),
    }


def _memory(cell: _Cell) -> float:
    for field, unit in (("memory_gib", 1.0), ("memory_gb", _GIB_PER_GB)):
        if cell.raw.get(field):
            return cell.positive(field) * unit
    return 0.0


@cache
def chip_name(name: str) -> str:
    """The catalogue's name of a chip, or the name as given where the catalogue has none such."""
    try:
        return catalog.chip(name).name
    except InputError:
        return name


def _same(cell: str, wanted: str | int | float) -> bool:
    if isinstance(wanted, str):
        return cell == wanted
    try:
        return float(cell) == wanted
    except ValueError:
        return False
