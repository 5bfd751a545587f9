"""A sweep as one table: a row a problem, for CSV and Parquet."""

import contextlib
import csv
import io
import os
from pathlib import Path
from typing import Any

from optimizer.errors import InputError
from optimizer.spec.studies import Sweep


def write_table(found: Sweep, name: str) -> None:
    """Write the table, whole or not at all. InputError if it cannot be written."""
    path = Path(name)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    rows = found.table()
    try:
        if path.suffix == ".parquet":
            _parquet(rows, part)
        else:
            part.write_text(_csv(rows), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"table {name}: {error.strerror or error}") from None


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
