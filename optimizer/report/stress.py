"""The report of a plan under stress for a person at a terminal; good in 80 columns."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.numbers import short
from optimizer.report.parts import blank_between, titled_lines
from optimizer.spec.stress import Stress, Stressed

_UNSERVED = "*"


def report(found: Stress) -> Group:
    """The whole report."""
    return Group(*blank_between(_sections(found)))


def _sections(found: Stress) -> Iterator[RenderableType]:
    yield _head(found)
    rows = [(f"traffic x{t:g}", t, "") for t in found.traffics]
    lost = dict.fromkeys(cell.lost for cell in found.cells if cell.lost)
    rows += [(f"one {words} lost", 1.0, words) for words in lost]
    table = new_table("times", *(f"x{d:g}" for d in found.delays))
    for title, traffic, words in rows:
        table.add_row(title, *(_cell(found.at(d, traffic, words)) for d in found.delays))
    yield Group(Text("Share of requests within all bounds", style="bold"), table)
    notes = ["times: of everything a replica does, so many times as long as predicted"]
    if any(cell.grows for cell in found.cells):
        notes.append(f"{_UNSERVED} requests come faster than they are served: the share falls with the run")
    yield titled_lines("How it was replayed", notes)


def _head(found: Stress) -> Text:
    text = Text()
    text.append(f"{found.name}\n", style="bold")
    text.append(f"{found.plan}\n")
    text.append(
        f"{found.requests:,} requests, {found.arrivals}, seed {found.seed}, {found.counted:,} counted;"
        f" {found.replays} replays\n"
    )
    for kind, limits in found.limits.items():
        said = ", ".join(f"{name} {short(limit)}" for name, limit in limits.items())
        text.append(f"{kind}: {said or 'no bound'}\n")
    text.rstrip()
    return text


def _cell(cell: Stressed) -> str:
    return f"{cell.share:.1%}{_UNSERVED if cell.grows else ''}"
