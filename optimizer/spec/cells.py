"""CSV files in: every row has a cell for every column, and a cell that should be a number is a plain one."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from optimizer.errors import InputError
from optimizer.spec.loading import read_text
from optimizer.spec.scalars import decimal

MAX_BYTES = 64 << 20
_WHOLE = re.compile(r"[0-9]{1,18}(\.0*)?")


@dataclass(frozen=True)
class Cells:
    """A table of text: its columns, its rows, and the line of the file that each row begins on."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]


def read_cells(path: Path, most: int | None = None) -> Cells:
    """A CSV file in UTF-8, of so many rows at most; lines that begin with '#' are comments.

    InputError names file, line and column of the first row that has not one cell for each column.
    """
    text = read_text(path, "CSV file", MAX_BYTES, "utf-8-sig")
    if most is not None and (lines := text.count("\n")) > most + 1:
        raise InputError(f"{path}: has {lines:,} lines; at most {most:,} rows are read")
    return parse_cells(text, str(path))


def parse_cells(text: str, name: str) -> Cells:
    """The same for text."""
    try:
        found = list(_rows(text))
    except csv.Error as error:
        raise InputError(f"{name}: not a CSV file ({error})") from None
    if not found:
        raise InputError(f"{name}: is empty; the first line names the columns")
    columns = tuple(cell.strip() for cell in found[0][1])
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise InputError(f"{name}: the column {twice[0][:40]!r} is given twice")
    rows = [dict(zip(columns, _whole_row(name, line, row, columns), strict=True)) for line, row in found[1:]]
    return Cells(name, columns, tuple(rows), tuple(line for line, _ in found[1:]))


def cells_of(rows: Sequence[Mapping[str, str | int | float]], name: str) -> Cells:
    """A table given as rows of values; a row may leave columns out."""
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    texts = tuple({c: str(row.get(c, "")) for c in columns} for row in rows)
    return Cells(name, columns, texts, tuple(range(1, len(rows) + 1)))


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line they begin on; blank lines and comments left out."""
    reader, line = csv.reader(StringIO(text, newline=""), strict=True), 1
    for row in reader:
        if row and not row[0].startswith("#") and any(cell.strip() for cell in row):
            yield line, row
        line = reader.line_num + 1


def _whole_row(name: str, line: int, row: list[str], columns: tuple[str, ...]) -> list[str]:
    if len(row) < len(columns):
        missing = columns[len(row)][:40]
        raise InputError(
            f"{name}: line {line}: {len(row)} cells under {len(columns)} columns; '{missing}' has none "
            "(a line break or a comma lost?)"
        )
    if len(row) > len(columns):
        raise InputError(
            f"{name}: line {line}: {len(row)} cells under {len(columns)} columns (a comma in a cell? "
            "Put it in quotes)"
        )
    return row


def number(cell: str) -> float:
    """A number from 1e-9 to 1e15 in plain ASCII digits; ValueError says what the cell is not."""
    try:
        value = decimal(cell.strip(" "))
    except ValueError:
        raise ValueError("not a number") from None
    if not 1e-9 <= value <= 1e15:
        raise ValueError("not a positive number from 1e-9 to 1e15")
    return value


def whole(cell: str, least: int = 1, most: int = 10**7) -> int:
    """A whole number, also as 8.0; ValueError says what the cell is not."""
    text = cell.strip(" ")
    if not _WHOLE.fullmatch(text) or not least <= int(text.partition(".")[0]) <= most:
        raise ValueError(f"not a whole number from {least} to {most:,}")
    return int(text.partition(".")[0])
