"""Replica configurations from a CSV file: the user's measurements, or another tool's predictions.

Lines that begin with `#` are comments. Columns (aliases in brackets), others are ignored:

    mode               aggregated (agg), prefill or decode
    chip               a catalogue name or alias, or any name that `hardware` offers
    chips              chips of one replica (gpus_per_replica)
    requests_per_s     steady rate of one replica; of a decode replica: requests completed
    ttft_ms            needed for aggregated and prefill rows
    tpot_ms            needed for aggregated and decode rows
    degrees of parallelism (tensor_parallel, or tp; ...: `spec.split`)                       default 1
    batch, weight_dtype, kv_dtype, memory_gib (memory_gb, in 1e9 bytes), row_id              optional
    expert_chip, expert_chips, expert_memory_gib, microbatches     decode rows: experts on other chips
    domains            chips of the replica in each scale-up domain as it was measured: 8, 4+2, 2x4; if not
                       given, each tensor-parallel group lies in one, wherever
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from optimizer import catalog
from optimizer.columns.replicas import MODES, Replicas
from optimizer.cost.placement import read, written
from optimizer.errors import InputError, nearest
from optimizer.spec.cells import Cells, cells_of, number, parse_cells, read_cells, whole
from optimizer.spec.documents import CATALOGUE, Documents
from optimizer.spec.split import DEGREES, FORMATS
from optimizer.spec.values import MOST_REQUESTS_PER_S

_ALIASES = {
    "gpus_per_replica": "chips",
    **{degree.short: name for name, degree in DEGREES.items()},
    "row_id": "label",
}
_MODE = {"agg": "aggregated"} | {mode: mode for mode in MODES}
_DTYPE = {"bfloat16": "bf16", "float16": "bf16", "fp16": "bf16"}
_REQUIRED = ("mode", "chip", "chips", "requests_per_s", "ttft_ms", "tpot_ms")
_KNOWN = (*_REQUIRED, *DEGREES, *FORMATS, "batch", "memory_gib", "memory_gb", "label", "expert_chip")
_GIB_PER_GB = 1e9 / 2**30
_LONGEST = 100


def read_table(path: Path, where: Mapping[str, str | int | float] | None = None) -> Replicas:
    """Read one table, keeping the rows whose columns have the values of `where`.

    InputError names file, line and field of the first row that cannot be meant.
    """
    return replicas_of(read_cells(path), where)


def table_of(
    name: str, documents: Documents, where: Mapping[str, str | int | float] | None = None
) -> Replicas:
    """The table that a problem names: of its documents, or a file where files may be read."""
    table = documents.tables.get(name)
    if isinstance(table, str):
        return replicas_of(parse_cells(table, f"performance_table {name[:64]}"), where)
    if table is not None:
        return replicas_of(cells_of(table, f"performance_table {name[:64]}"), where)
    if not documents.files:
        raise InputError(f"performance_table: no table has the name '{name[:64]}', and no file is read here")
    return read_table(Path(name), where)


def replicas_of(cells: Cells, where: Mapping[str, str | int | float] | None = None) -> Replicas:
    """The replicas of a table that was read."""
    name, header = cells.name, [_ALIASES.get(column, column) for column in cells.columns]
    missing = [column for column in _REQUIRED if column not in header]
    if missing:
        known = [column for column in header if column in _KNOWN]
        raise InputError(
            f"{name}: the header lacks {', '.join(missing)}; it has {', '.join(known) or 'none'}"
        )
    if twice := [column for column in _KNOWN if header.count(column) > 1]:
        raise InputError(f"{name}: the column {twice[0]} is given twice, once by another name")
    for column in where or {}:
        if column not in header:
            hint = nearest(column, header)
            raise InputError(
                f"{name}: performance_table_rows names '{column[:40]}', which is no column.{hint}"
            )
    rows, seen = [], dict[tuple[str, ...], int]()
    for line, row in zip(cells.lines, cells.rows, strict=True):
        raw = dict(zip(header, (cell.strip() for cell in row.values()), strict=True))
        key = tuple(value for column, value in raw.items() if column != "label")
        if key in seen:
            raise InputError(f"{name}: line {line} repeats line {seen[key]}; give each row once")
        seen[key] = line
        if all(_same(raw[column], value) for column, value in (where or {}).items()):
            rows.append(_row(_Cell(name, line, raw)))
    if not rows:
        raise InputError(f"{name}: holds no row" + (" of those asked for" if where else ""))
    return Replicas.of(rows)


class _Cell:
    """One line of the file, read field by field."""

    def __init__(self, name: str, line: int, raw: Mapping[str, str]) -> None:
        self.name, self.line, self.raw = name, line, raw

    def wrong(self, field: str, accepted: str) -> InputError:
        got = self.raw.get(field, "")[:40]
        return InputError(f"{self.name}: line {self.line}: {field} '{got}' is not {accepted}")

    def positive(self, field: str) -> float:
        try:
            return number(self.raw.get(field, ""))
        except ValueError:
            raise self.wrong(field, "a positive number from 1e-9 to 1e15") from None

    def rate(self, field: str) -> float:
        found = self.positive(field)
        if found > MOST_REQUESTS_PER_S:
            raise self.wrong(field, f"a rate of at most {MOST_REQUESTS_PER_S:.0e} requests per second")
        return found

    def whole(self, field: str, default: int) -> int:
        if not self.raw.get(field):
            return default
        try:
            return whole(self.raw[field])
        except ValueError:
            raise self.wrong(field, "a whole number from 1 to 1e7") from None

    def number_format(self, field: str, known: tuple[str, ...]) -> str:
        text = self.raw.get(field, "").lower()
        found = _DTYPE.get(text, text)
        if found and found not in known:
            raise self.wrong(field, f"a format known here; use {', '.join(known)}, or leave the cell empty")
        return found or "not given"


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
        "requests_per_s": cell.rate("requests_per_s"),
        "ttft_ms": 0.0 if mode == "decode" else cell.positive("ttft_ms"),
        "tpot_ms": 0.0 if mode == "prefill" else cell.positive("tpot_ms"),
        "memory_gib": _memory(cell),
        "batch": cell.whole("batch", 1),
        "label": cell.raw.get("label") or f"line {cell.line}",
    }
    row |= {name: cell.whole(name, 1) for name in DEGREES}
    for name, own in FORMATS.items():
        row[name] = cell.number_format(name, own.options)
    row |= _apart(cell, mode)
    if row["chips"] < 1:
        raise cell.wrong("chips", "a whole number from 1")
    if row["chips"] % row["tensor_parallel"]:
        raise cell.wrong("chips", f"a multiple of tensor_parallel {row['tensor_parallel']}")
    return row | _domains(cell, row["chips"])


def _domains(cell: _Cell, chips: int) -> dict[str, str]:
    """The blocks of chips that lay in one scale-up domain each."""
    if not cell.raw.get("domains"):
        return {}
    accepted = f"blocks that add up to the {chips} chips, such as 4+2 or 2x4"
    try:
        blocks = read(cell.raw["domains"]) if len(cell.raw["domains"]) < _LONGEST else ()
    except ValueError:
        raise cell.wrong("domains", accepted) from None
    if sum(size * n for size, n in blocks) != chips:
        raise cell.wrong("domains", accepted)
    return {"domains": written(dict(blocks))}


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
        return catalog.chip(name, CATALOGUE).name
    except InputError:
        return name


def _same(cell: str, wanted: str | float) -> bool:
    if isinstance(wanted, str):
        return cell == wanted
    try:
        return float(cell) == wanted
    except ValueError:
        return False
