"""A comparison for a person at a terminal: one table a section, what differs marked, the rest on request."""

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.numbers import percent, value_of
from optimizer.report.parts import blank_between, titled_lines
from optimizer.spec.comparison import Comparison, ComparisonRow

_TITLES = {"decided": "What each decides", "metric": "What each reaches", "assumption": "What each assumes"}
_WIDE = 56
"""Columns that all values of a row have together, about."""


def report(found: Comparison, verbose: bool = False) -> Group:
    """The whole report of a comparison."""
    return Group(*blank_between(_sections(found, verbose)))


def _sections(found: Comparison, verbose: bool) -> Iterator[RenderableType]:
    letters = [chr(ord("A") + i) for i in range(len(found.sides))]
    head = Text()
    for letter, side in zip(letters, found.sides, strict=True):
        head.append(f"{letter}  {side.name}: ", style="bold")
        head.append(f"{side.status}\n")
    differ = sum(row.differs for row in found.rows)
    head.append(f"{differ} of {len(found.rows)} rows differ, marked *", style="dim")
    yield head
    for section, title in _TITLES.items():
        rows = [row for row in found.rows if row.section == section]
        shown = rows if verbose or section != "assumption" else [row for row in rows if row.differs]
        if not shown:
            continue
        if len(shown) < len(rows):
            title += f" (those that differ; -v shows all {len(rows)})"
        if section == "assumption":
            yield titled_lines(title, [_assumed(row, letters) for row in shown])
        else:
            yield Group(Text(title, style="bold"), _table(shown, letters, section))


def _table(rows: list[ComparisonRow], letters: list[str], section: str) -> RenderableType:
    two = len(letters) == 2 and section == "metric"
    table = new_table(
        "", "", *letters, *(["B to A"] if two else []), *(["unit"] if section == "metric" else [])
    )
    for row in rows:
        cells = [_cell(row.name, value, section, _WIDE // len(letters)) for value in row.values]
        more = [_relative(row.values)] if two else []
        unit = [row.unit] if section == "metric" else []
        style = "bold" if row.differs else None
        table.add_row("*" if row.differs else "", row.name, *cells, *more, *unit, style=style)
    table.columns[1].justify = "left"
    return table


def _cell(name: str, value: Any, section: str, width: int) -> str:
    if value is None:
        return "-"
    if section == "metric":
        return value_of(name, float(value))
    return "\n".join(wrap(str(value), width)) or "-"


def _relative(values: tuple[Any, ...]) -> str:
    old, new = values
    if old is None or new is None:
        return ""
    return "=" if old == new else percent(new - old, old)


def _assumed(row: ComparisonRow, letters: list[str]) -> str:
    """An assumption and what each makes of it; once where they agree."""
    if not row.differs:
        return f"{row.name}: {row.values[0]}"
    said = zip(letters, row.values, strict=True)
    return f"* {row.name}: " + "; ".join(f"{letter} {'nothing' if v is None else v}" for letter, v in said)
