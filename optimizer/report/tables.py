"""A sweep as one table: a row a problem, for CSV and Parquet."""

import contextlib
import csv
import io
import os
from pathlib import Path
from typing import Any

from optimizer.errors import InputError
from optimizer.spec.studies import Sweep, SweepRow

_DIMENSIONS = ("n_params", "n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_ff")
_POOL = ("chip", "tensor_parallel", "batch", "weight_dtype", "kv_dtype", "chips")


def rows_of(found: Sweep) -> list[dict[str, Any]]:
    """Every row with the same columns: the fields swept, the status, the plan, its metrics, the reason."""
    metrics = sorted({name for row in found.rows if row.plan for name in row.plan.metrics})
    return [_row(found, row, metrics) for row in found.rows]


def _row(found: Sweep, row: SweepRow, metrics: list[str]) -> dict[str, Any]:
    cells: dict[str, Any] = {name: _cell(row.at[name]) for name in found.over}
    cells["status"] = row.status
    plan = row.plan
    for name in _DIMENSIONS:
        cells[f"plan.{name}"] = getattr(plan.architecture, name) if plan else None
    for name in _POOL:
        cells[f"plan.{name}"] = getattr(plan.deployment.pools[0], name) if plan else None
    cells |= {name: plan.metrics.get(name) if plan else None for name in metrics}
    cells["reason"] = row.reason
    return cells


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)


def write_table(found: Sweep, name: str) -> None:
    """Write the table, whole or not at all. InputError if it cannot be written."""
    path = Path(name)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    rows = rows_of(found)
    try:
        if path.suffix == ".parquet":
            _parquet(rows, part)
        else:
            part.write_text(_csv(rows), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"--table {name}: {error.strerror or error}") from None


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _parquet(rows: list[dict[str, Any]], path: Path) -> None:
    from importlib import import_module

    pandas: Any = import_module("pandas")  # OR-Tools brings it
    pandas.DataFrame(rows).to_parquet(path, index=False)
