"""Requests as they were recorded: a CSV with the columns arrival_s, input_tokens and output_tokens.

`reusable_prefix_tokens`, where there are any, are tokens of the prompt that an endless cache of prefixes
would hold. Other columns are passed over. Times count from the first request's; lengths and numbers asked
for do not count.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from optimizer.errors import InputError
from optimizer.simulation.asked import Arriving, Asked
from optimizer.simulation.requests import MOST, MOST_TOKENS, requests_of
from optimizer.spec.cells import Cells, read_cells, whole
from optimizer.spec.scalars import decimal

WORDS = "a CSV file of requests"
EXAMPLE = "trace:requests.csv"
_COLUMNS = ("arrival_s", "input_tokens", "output_tokens")
_PREFIX = "reusable_prefix_tokens"
_LONGEST_S = 1e9


def drawn(text: str, at: Asked) -> Arriving:
    """The requests of a file. InputError names line, column and cell of the first that cannot be."""
    if at.mix:
        raise InputError(
            f"arrivals: a trace does not say which of {len(at.mix)} kinds each request is; draw them,"
            " as with poisson:2.5"
        )
    cells = read_cells(Path(text), MOST)
    missing = [name for name in _COLUMNS if name not in cells.columns]
    if missing:
        wanted = ", ".join(_COLUMNS)
        raise InputError(f"{cells.name}: a trace needs the columns {wanted}; {missing[0]} is missing")
    if not cells.rows:
        raise InputError(f"{cells.name}: has no requests under its header")
    times = np.array(_read(cells, "arrival_s", _seconds))
    falls = np.diff(times) < 0
    if np.any(falls):
        line = cells.lines[int(np.argmax(falls)) + 1]
        raise InputError(f"{cells.name}: line {line}: arrival_s is before the line above; sort by it")
    prompts, answers = (_read(cells, name, _tokens) for name in _COLUMNS[1:])
    cached = (
        _read(cells, _PREFIX, lambda cell: whole(cell, 0, MOST_TOKENS)) if _PREFIX in cells.columns else 0
    )
    span = float(times[-1] - times[0])
    found = requests_of(times - times[0], prompts, answers, cached)
    return Arriving(found, rate=len(times) / span if span else None, recorded=True)


def _read(cells: Cells, column: str, read: Callable[[str], float]) -> list[float]:
    found = []
    for line, row in zip(cells.lines, cells.rows, strict=True):
        try:
            found.append(read(row[column]))
        except ValueError as reason:
            given = row[column][:40]
            raise InputError(f"{cells.name}: line {line}: {column} is '{given}', {reason}") from None
    return found


def _tokens(cell: str) -> int:
    return whole(cell, 1, MOST_TOKENS)


def _seconds(cell: str) -> float:
    try:
        value = decimal(cell.strip(" "))
    except ValueError:
        raise ValueError("not a number of seconds") from None
    if not 0 <= value <= _LONGEST_S:
        raise ValueError(f"not a number of seconds from 0 to {_LONGEST_S:g}")
    return value
