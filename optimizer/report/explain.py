"""An explanation for a person at a terminal: the conflicts, and what would end them."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.parts import blank_between, titled_lines
from optimizer.spec.studies import Explanation

_STYLE = {"infeasible": "bold red", "feasible": "bold green", "unknown": "bold yellow"}
_SAYS = {
    "infeasible": "no plan keeps every rule",
    "feasible": "there is a plan; `archsat solve` finds the best",
    "unknown": "stopped before this was decided",
}


def report(found: Explanation, verbose: bool = False) -> Group:
    """The whole report of an explanation."""
    return Group(*blank_between(_sections(found)))


def _sections(found: Explanation) -> Iterator[RenderableType]:
    text = Text()
    text.append(f"{found.problem['name']}\n", style="bold")
    text.append(found.status.upper(), style=_STYLE[found.status])
    text.append(f"  {_SAYS[found.status]}", style="bold")
    text.append(f"; {found.stopped}" if found.stopped else "")
    yield text
    if found.conflicts:
        all_ = "all there are" if found.complete else "there may be more"
        yield titled_lines(
            f"Minimal conflicts ({len(found.conflicts)}, {all_})",
            [f"{i}. {_set(names)}" for i, names in enumerate(found.conflicts, 1)],
        )
    if found.relaxations:
        enough = [f"{r.constraint}: {r.sentence}" for r in found.relaxations if r.to is not None]
        none = [r.constraint for r in found.relaxations if r.to is None]
        lines = enough or ["no single change is enough"]
        if none:
            lines.append(f"not enough alone, whatever the value: {', '.join(none)}")
        yield titled_lines("Each of these changes is enough by itself, and was tried", lines)
    asked = f"{found.work.asked} sets of rules, each with a plan or a proof that there is none"
    yield titled_lines("Proof", [asked, f"archsat {found.version}"])


def _set(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"{names[0]}: cannot hold on this lattice"
    return f"{', '.join(names)}: cannot hold together"
