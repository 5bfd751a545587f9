"""A frontier for a person at a terminal: its points, what stands beside it, and why it is complete."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.at_hand import at_hand
from optimizer.report.chart import scatter
from optimizer.report.fitting import new_table
from optimizer.report.numbers import short, signed, value_of
from optimizer.report.parts import blank_between, cautions, conflict_part, ends, grounds, titled_lines
from optimizer.report.plans import MORE, STAGES, TELLING, names_of
from optimizer.report.replicas import POOLS
from optimizer.spec.studies import Aim, Frontier, Placed

SHOWN = 40
WIDTH = 80
_ENDS, _GROUNDS = "ends of\n", 4
_STYLE = {"complete": "bold green", "partial": "bold yellow", "infeasible": "bold red", "unknown": "bold red"}
_SAYS = {
    "complete": "no plan of the lattice is missing",
    "partial": "stopped before the end; every point shown is on the frontier",
    "infeasible": "no plan",
    "unknown": "stopped before any point was found",
}


def report(found: Frontier, verbose: bool = False) -> Group:
    """The whole report of a frontier."""
    return Group(*blank_between(_sections(found, verbose)))


def _sections(found: Frontier, verbose: bool) -> Iterator[RenderableType]:
    yield _headline(found)
    if found.points:
        if len(found.points) > 2:
            yield _chart(found)
        yield _points(found, verbose)
    yield from at_hand(found, found.objectives)
    if found.gaps:
        yield titled_lines("Not searched yet", _gaps(found))
    if found.placed:
        yield titled_lines("Beside it", [_placed(found, row) for row in found.placed])
    if found.conflict:
        yield conflict_part(found.conflict)
    if found.notes:
        yield titled_lines("Note", list(found.notes))
    yield titled_lines("Proof", _proof(found))


def _headline(found: Frontier) -> Text:
    text = Text()
    text.append(f"{found.problem['name']}\n", style="bold")
    text.append(found.status.upper(), style=_STYLE[found.status])
    names = " against ".join(f"{aim.sense} {aim.metric}" for aim in found.objectives)
    text.append(f"  {len(found.points)} points, {names}: {_SAYS[found.status]}", style="bold")
    text.append(f"; {found.stopped}" if found.stopped else "")
    return text.append_text(cautions(found.assumptions))


def _chart(found: Frontier) -> Text:
    x, y = found.objectives[0], found.objectives[1]
    points = [(plan.metrics[x.metric], plan.metrics[y.metric]) for plan in found.points]
    beside = [(row.metrics[x.metric], row.metrics[y.metric]) for row in found.placed]
    marked = {"o": points, "x": beside}
    title = f"{y.metric} ({y.unit}) over {x.metric} ({x.unit})" + ("; x: models beside it" if beside else "")
    return Text(scatter(marked, title))


def _points(found: Frontier, verbose: bool) -> Group:
    rows = list(enumerate(found.points, 1))
    step = 1 if verbose or len(rows) <= SHOWN else (len(rows) - 1) / (SHOWN - 1)
    chosen = rows if step == 1 else [rows[round(i * step)] for i in range(SHOWN)]
    columns = {"#": [str(number) for number, _ in chosen]}
    for aim in found.objectives:
        cells = [value_of(aim.metric, plan.metrics[aim.metric]) for _, plan in chosen]
        columns[broken(aim.metric)] = cells
        if any(aim.metric in bands for bands in found.bands):
            sides = [ends(found.bands[number - 1], aim.metric).removeprefix(", ") for number, _ in chosen]
            columns[_ENDS + broken(aim.metric)] = sides
    where = [names_of(plan) for plan in found.points]
    for name in where[0]:
        if len({row[name] for row in where}) > 1:
            columns[name] = [where[number - 1][name] for number, _ in chosen]
    fitting(columns)
    table = new_table(*columns)
    if columns.keys() & {POOLS, STAGES}:
        table.columns[-1].justify = "left"
    for cells_of_row in zip(*columns.values(), strict=True):
        table.add_row(*cells_of_row)
    title = "Points"
    if len(chosen) < len(rows):
        title += f": {len(chosen)} of {len(rows)}, evenly (-v and --json give all)"
    stood = grounds(band for bands in found.bands for band in bands.values())
    return Group(Text(title, style="bold"), table, *(Text(line, style="dim") for line in stood[:_GROUNDS]))


def broken(name: str) -> str:
    """A metric's name over several lines, for the head of a narrow column."""
    lines = [""]
    for part in name.split("_"):
        if lines[-1] and len(lines[-1]) + len(part) > 8:
            lines.append("")
        lines[-1] += ("_" if lines[-1] else "") + part
    return "_\n".join(lines)


def fitting(columns: dict[str, list[str]]) -> None:
    """Leave out columns, the least telling first, until a table fits; numbers are never cut."""
    for name in (
        *[name for name in columns if name.startswith(_ENDS)],
        *("mode", "cache", "weights", "params"),
        *reversed(MORE),
        *("batch", "TP"),
        *TELLING,
        "chip",
    ):
        widths = [max(map(len, [*head.split("\n"), *cells])) + 1 for head, cells in columns.items()]
        if sum(widths) <= WIDTH:
            return
        columns.pop(name, None)


def _gaps(found: Frontier) -> list[str]:
    units = {aim.metric: aim.unit for aim in found.objectives}
    lines = []
    for gap in found.gaps[:SHOWN]:
        parts = [
            f"{name} from {short(limit)} to {short(gap.beyond[name])} {units[name]}"
            if name in gap.beyond
            else f"{name} {short(limit)} {units[name]} or better"
            for name, limit in gap.bounds.items()
        ]
        lines.append(" and ".join(parts) or "everything")
    if len(found.gaps) > SHOWN:
        lines.append(f"and {len(found.gaps) - SHOWN} more")
    return lines


def _placed(found: Frontier, row: Placed) -> str:
    values = ", ".join(f"{a.metric} {value_of(a.metric, row.metrics[a.metric])}" for a in found.objectives)
    if row.verdict == "dominated" and row.point is not None:
        better = ", ".join(_better(aim, row) for aim in found.objectives)
        says = f"dominated by point {row.point + 1}, which is better by {better}"
    elif row.verdict == "on the frontier":
        says = f"on the frontier, equal to point {(row.point or 0) + 1}"
    elif row.verdict == "outside":
        says = "no point dominates it"
    else:
        says = "not decided: the frontier is not complete"
    if row.unlike:
        says += f"; the lattice has nothing like its {'; '.join(row.unlike[:3])}"
    breaks = f"; it breaks {', '.join(row.breaks)}" if row.breaks else ""
    return f"{row.name} ({values}): {says}{breaks}"


def _better(aim: Aim, row: Placed) -> str:
    own = row.metrics[aim.metric]
    difference = row.difference[aim.metric]
    share = f" ({difference / own:+.2%})" if own else ""
    return f"{aim.metric} {signed(difference)} {aim.unit}{share}"


def _proof(found: Frontier) -> list[str]:
    first, *later = found.objectives
    exact = ", ".join(f"{aim.metric} at {aim.step:g} {aim.unit}" for aim in later)
    deployed = not all(plan.designed for plan in found.points)
    what = (
        f"{found.lattice_points} configurations" if deployed else f"{found.lattice_points:.2e} lattice points"
    )
    return [
        f"{what}; exact in {first.metric}, and {exact}",
        *(f"by {line}" for line in found.confirmed_by),
        f"archsat {found.version}",
    ]
