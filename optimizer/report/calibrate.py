"""Constants before and after, errors on the rows fitted and held out, what was left alone and why."""

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.numbers import short
from optimizer.report.parts import blank_between, titled_lines
from optimizer.spec.calibration import CalibratedPart, Calibration


def report(calibration: Calibration, out: str | None = None) -> Group:
    """Constants, then errors, then what was left out; `out` is the file written."""
    head = Text()
    if not calibration.complete:
        head.append("PARTIAL", style="bold yellow")
        what = "the best values met" if calibration.kind == "engine" else "the operators fitted by then"
        head.append(f"  interrupted: {what if calibration.parts else 'nothing is fitted'}\n", style="bold")
    head.append(
        f"{calibration.file}: {calibration.kind} {calibration.starts_from}, {calibration.held_out} held out",
        style="bold",
    )
    parts: list[RenderableType] = [head]
    if calibration.parts:
        parts += [_constants(calibration.parts), _errors(calibration.parts)]
    left = [f"{part.name} {c.name}: {c.left}" for part in calibration.parts for c in part.constants if c.left]
    if left:
        parts.append(titled_lines("Left at the old value", left))
    if calibration.worse:
        parts.append(titled_lines("Worse than before on the rows held out", list(calibration.worse)))
    if calibration.skipped:
        lines = [f"{name}: {why}" for name, why in calibration.skipped.items()]
        parts.append(titled_lines("Not fitted", lines))
    if calibration.unscored:
        lines = [f"{n} x {reason}" for reason, n in calibration.unscored.items()]
        parts.append(titled_lines("Rows left out", lines))
    option = "--chip" if calibration.kind == "chip" else "--engine"
    path = "" if not out else out if out.startswith((".", "/", "~")) else f"./{out}"
    kept = f"{out} written: use it as {option} {path}" if out else "Nothing written; --out FILE.yaml keeps it"
    kept = kept if calibration.complete else "Nothing written: what is not fitted whole is no chip or engine"
    return Group(*blank_between(iter([*parts, Text(kept)])))


def _constants(parts: tuple[CalibratedPart, ...]) -> RenderableType:
    table = new_table("constant", "old", "new", "unit")
    table.columns[0].max_width = 50
    for part in parts:
        table.add_section()
        for c in part.constants:
            new = "left" if c.left else short(c.new)
            table.add_row(f"{part.name} {c.name}", short(c.old), new, c.unit)
    return table


def _errors(parts: tuple[CalibratedPart, ...]) -> RenderableType:
    table = new_table("absolute error", "rows", "n", "median\nbefore", "after", "mean\nbefore", "after")
    table.columns[0].max_width = 34
    for part in parts:
        table.add_section()
        for e in part.errors:
            name = part.name if e.name == "all" else e.name
            table.add_row(
                name,
                e.rows,
                str(e.n),
                f"{e.median_before:.1%}",
                f"{e.median_after:.1%}",
                f"{e.mean_before:.1%}",
                f"{e.mean_after:.1%}",
            )
    return table
