"""Tables that fit the screen by leaving out whole columns: a figure is never cut."""

from copy import copy
from dataclasses import replace

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_FEWEST = 2
"""Columns that are always kept: what a row is, and its first figure."""


class FittingTable(Table):
    """A table that drops its last columns, and says which, where the screen is too narrow for all."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The columns that fit, then the names of those left out."""
        shown, left_out = copy(self), []
        shown.columns = list(self.columns)
        while len(shown.columns) > _FEWEST and _width(shown, console, options) > options.max_width:
            left_out.append(_name(shown.columns.pop().header))
        if _width(shown, console, options) > options.max_width:
            shown.columns[0] = replace(shown.columns[0], no_wrap=False)  # words may wrap, figures may not
        yield from Table.__rich_console__(shown, console, options)
        if left_out:
            names = ", ".join(name for name in reversed(left_out) if name)
            yield Text(f"too narrow for: {names}" if names else "", style="dim")


def new_table(*columns: str, widest_first: int | None = None) -> FittingTable:
    """A table whose first column is text and whose others are figures, set right."""
    table = FittingTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for i, name in enumerate(columns):
        table.add_column(
            name,
            justify="left" if i == 0 else "right",
            no_wrap=True,
            max_width=widest_first if i == 0 else None,
        )
    return table


def _width(table: Table, console: Console, options: ConsoleOptions) -> int:
    """Columns that the table would take on a screen without an end."""
    plain = copy(table)
    plain.__class__ = Table
    return Measurement.get(console, options.update(width=10_000), plain).maximum


def _name(header: object) -> str:
    return str(header).replace("_\n", "_").replace("\n", " ")
