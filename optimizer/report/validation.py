"""Errors by group, then the rows that were not scored, with the reason."""

from rich.console import Group
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.parts import blank_between, titled_lines
from optimizer.spec.validation import Validation


def report(validation: Validation) -> Group:
    """Errors by group, then the rows that were not scored, with the reason."""
    table = new_table("points", "n", "median\npred/meas", "mean\nerror", "median\nerror", "within\n25 %")
    table.columns[0].max_width = 38  # names may be cut, numbers not
    last = ""
    for g in validation.groups:
        if g.group != last:
            table.add_section()
            last = g.group
        table.add_row(
            g.value if g.group == "all" else f"{g.group} {g.value}",
            str(g.n),
            f"{g.median_ratio:.2f}",
            f"{g.mean_abs_error:.1%}",
            f"{g.median_abs_error:.1%}",
            f"{g.within_25_percent:.0%}",
        )
    left = sum(validation.unscored.values())
    head = Text()
    if not validation.complete:
        head.append("PARTIAL", style="bold yellow")
        done = f"{validation.rows_read} of {validation.rows}"
        head.append(f"  interrupted: the first {done} rows alone\n", style="bold")
    head.append(f"{validation.file}: {validation.scored} points scored, {left} rows not", style="bold")
    said = {"Not said by points, and taken to be": validation.assumed, "Not scored": validation.unscored}
    lists = [titled_lines(t, [f"{n} x {what}" for what, n in own.items()]) for t, own in said.items() if own]
    return Group(*blank_between(iter([head, table, *lists])))
