"""What a plan stands when things go wrong, and what that costs, for a person at a terminal."""

from collections.abc import Iterator

from rich.console import Group
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.numbers import exact, percent, short, signed
from optimizer.report.parts import titled_lines
from optimizer.spec.answer import Objective
from optimizer.spec.robustness import PriceOf, Robustness

_MOST = 8
"""Cases shown; the others are milder."""


def robustness_part(found: Robustness, objective: Objective, verbose: bool = False) -> Iterator[Group]:
    """The cases, the tightest first, and the price of each part."""
    if found.cases:
        shown = found.cases if verbose else found.cases[:_MOST]
        table = new_table("what goes wrong", "holds requests/s", "to spare")
        for row in shown:
            spare = "" if row.to_spare is None else f"{row.to_spare:.1%}"
            table.add_row(row.case, short(row.requests_per_s), spare)
        left = len(found.cases) - len(shown)
        more = [Text(f"  {left} more cases, each milder (-v lists them)")] if left else []
        title = "What it holds when things go wrong, of the traffic asked for"
        yield Group(Text(title, style="bold"), table, *more)
    lines = [_price(row, objective) for row in found.prices]
    if found.untried:
        lines.append(f"not tried: without {', '.join(found.untried)}")
    if lines:
        yield titled_lines("The price of it", lines)


def _price(row: PriceOf, o: Objective) -> str:
    without = "without all of robust" if row.without == "robust" else f"without {row.without}"
    if row.value is None or row.difference is None:
        return f"{without}: nothing else limits {o.name}"
    value = f"{without}: {exact(row.value)} {o.unit}"
    if not row.difference:
        return f"{value}, the same"
    return f"{value}; it costs {signed(row.difference)} {o.unit}, {percent(row.difference, row.value)}"
