"""The report of an answer of any kind that has none of its own: what was found, what binds, its proof."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from rich.console import Group, RenderableType

from optimizer.report.numbers import value_of
from optimizer.report.parts import (
    assumptions_part,
    binding_part,
    blank_between,
    conflict_part,
    ends,
    grounds,
    headline,
    titled_lines,
)
from optimizer.spec.answer import Answer
from optimizer.spec.shown import decided_by


def report_of(kind: str) -> ModuleType:
    """The report of a kind of problem: the file of its name in this folder, else this one."""
    name = f"{__package__}.{kind}"
    return import_module(name if find_spec(name) else __name__)


def report(result: Answer, verbose: bool = False) -> Group:
    """The whole report of one answer."""
    return Group(*blank_between(_sections(result, verbose)))


def _sections(result: Answer, verbose: bool) -> Iterator[RenderableType]:
    yield headline(result, "plan")
    if result.plan is not None:
        decided = {name: value for name, value in decided_by(result.plan).items() if value not in ("", None)}
        if decided:
            yield titled_lines("Plan", [f"{name} {value}" for name, value in decided.items()])
        metrics = result.plan.metrics
        lines = [
            f"{name} {value_of(name, value)}{ends(result.bands, name)}" for name, value in metrics.items()
        ]
        yield titled_lines("Metrics", lines + grounds(result.bands.values()))
        yield binding_part(result, "no rule: the choices themselves do")
    if result.conflict:
        yield conflict_part(result.conflict)
    yield proof(result)
    if result.assumptions:
        yield assumptions_part(result.assumptions, verbose)


def proof(result: Answer) -> Group:
    """Why the answer can be believed, as its kind counts it."""
    c = result.certificate
    counts = ", ".join(f"{name} {value}" for name, value in c.counts.items())
    items = [counts] if counts else []
    items += [f"confirmed by {line}" for line in c.confirmed_by]
    items += [f"checker: {c.checker}", f"{result.wall_s:.2f} s, archsat {result.version}"]
    return titled_lines("Proof", items)
