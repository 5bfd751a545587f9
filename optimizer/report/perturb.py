"""A perturbation for a person at a terminal: what binds, then every change, the largest effect first."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.at_hand import at_hand
from optimizer.report.chart import bars
from optimizer.report.fitting import new_table
from optimizer.report.numbers import percent, short, signed, value_of
from optimizer.report.parts import blank_between, cautions, conflict_part, titled_lines
from optimizer.spec.studies import Change, Critical, Perturbation

SHOWN = 12
_PLANS = 5
_STYLE = {"complete": "bold green", "partial": "bold yellow", "infeasible": "bold red", "unknown": "bold red"}


def report(found: Perturbation, verbose: bool = False) -> Group:
    """The whole report of a perturbation."""
    return Group(*blank_between(_sections(found, verbose)))


def _sections(found: Perturbation, verbose: bool) -> Iterator[RenderableType]:
    yield _headline(found)
    if found.value is not None:
        yield _bearings(found)
        yield _bars(found)
        for kind, title in _TITLES.items():
            own = [change for change in found.changes if change.kind == kind]
            if own:
                yield _changes(found, own, title, verbose)
        moved = [change for change in found.changes if change.plan]
        if moved:
            shown = moved if verbose else moved[:_PLANS]
            more = "" if verbose or len(moved) <= _PLANS else f" (the first {_PLANS}; -v shows all)"
            yield titled_lines(f"What the plan becomes{more}", [_plan(change) for change in shown])
        if found.critical:
            yield titled_lines("How wrong a constant may be before the plan changes", _critical(found))
    yield from at_hand(found, (found.objective,))
    if found.conflict:
        yield conflict_part(found.conflict)
    yield titled_lines("Proof", _proof(found))


_TITLES = {
    "band": "The cost model at the far end of its bands, the plan re-optimised (alone: the same plan; in "
    "brackets the rules that it would break)",
    "constraint": "Constraints moved and dropped, the rest re-optimised",
    "dimension": "Dimensions held at other values, the rest re-optimised (alone: nothing else changed; "
    "in brackets the rules that breaks)",
    "constant": "Constants changed, the plan re-optimised (alone: the same plan, so the slope; the rest of "
    "the difference is the step to another plan)",
}


def _headline(found: Perturbation) -> Text:
    text = Text()
    text.append(f"{found.problem['name']}\n", style="bold")
    text.append(found.status.upper(), style=_STYLE[found.status])
    if found.value is not None:
        aim = found.objective
        text.append(f"  {aim.metric} {value_of(aim.metric, found.value)} {aim.unit}", style="bold")
        text.append(f", and {len(found.changes)} changes, each a proven optimum")
        for change in found.changes:
            text.append(_at_the_end(change) if change.kind == "band" else "")
    if found.status == "unknown":
        text.append("  stopped before the first optimum was proven", style="bold")
        text.append(f"; {found.stopped}" if found.stopped else "")
    return text.append_text(cautions(found.assumptions))


def _at_the_end(change: Change) -> str:
    """Whether the plan is the same where the cost model is as wrong as it was on rows left out."""
    if change.objective is None:
        says = "there is no plan"
    else:
        says = "the plan is another" if change.plan else "the plan is the same"
    return f"\nat the far end of the cost model's bands ({change.move}) {says}"


def _bearings(found: Perturbation) -> Group:
    binding = [b for b in found.bearings if b.binds]
    ordered = sorted(binding, key=lambda b: -abs(b.gain or 0.0))
    unit = found.objective.unit
    items = [f"{b.constraint}: {signed(b.gain or 0.0)} {unit} without it" for b in ordered]
    idle = [b.constraint for b in found.bearings if b.binds is False]
    items += [f"free of charge: {', '.join(idle)}"] if idle else []
    fixed = [b.constraint for b in found.bearings if b.binds is None]
    items += [f"not droppable, or no plan to compare: {', '.join(fixed)}"] if fixed else []
    return titled_lines("What each constraint costs", items)


def _bars(found: Perturbation) -> Text:
    moved = [change for change in found.changes if change.difference][:SHOWN]
    values = {f"{c.name} {c.move}"[:36]: c.difference or 0.0 for c in moved}
    return Text(bars(values, found.objective.unit, width=12))


def _changes(found: Perturbation, own: list[Change], title: str, verbose: bool) -> Group:
    kept = own[0].kind != "constraint"
    table = new_table("changed", "optimum", "difference", "", "alone" if kept else "per unit")
    whole = verbose or own[0].kind in ("constant", "band")  # every constant was asked for
    moved = own if whole else [c for c in own if c.difference]
    for change in moved:
        named = change.name if change.kind == "band" else f"{change.name} {change.move}"
        table.add_row(named[:40], *_cells(found, change, kept))
    same = [] if whole else [c for c in own if c.difference == 0.0]
    none = [] if whole else [c for c in own if c.difference is None]
    rest = []
    if not verbose and same:
        rest.append(f"the optimum stays at {_joined(same)}")
    if not verbose and none:
        rest.append("no plan at " + _joined(none))
    return Group(Text(title, style="bold"), table, *(Text(line, style="dim") for line in rest))


def _cells(found: Perturbation, change: Change, kept: bool) -> list[str]:
    metric, base = found.objective.metric, found.value or 0.0
    last = _alone(change, metric) if kept else "" if change.price is None else _price(change.price)
    if change.difference is None or change.objective is None:
        return ["no limit" if change.move == "dropped" else "no plan", "", "", last]
    moved = signed(change.difference) if change.difference else "="
    return [value_of(metric, change.objective), moved, percent(change.difference, base), last]


def _plan(change: Change) -> str:
    differs = ", ".join(f"{name} {old} to {new}" for name, (old, new) in change.plan.items())
    return f"{change.name} {change.move}: {differs}"


def _alone(change: Change, metric: str) -> str:
    if change.alone is None or metric not in change.alone:
        return "no plan"
    broken = f" ({len(change.alone_breaks)})" if change.alone_breaks else ""
    return signed(change.alone[metric]) + broken


def _price(price: float) -> str:
    return short(price)


def _joined(changes: list[Change]) -> str:
    by_name: dict[str, list[Any]] = {}
    for change in changes:
        by_name.setdefault(change.name, []).append(change.move.removeprefix("= "))
    return "; ".join(f"{name} {', '.join(moves)}" for name, moves in by_name.items())


def _critical(found: Perturbation) -> list[str]:
    return [_one_critical(row) for row in found.critical]


def _one_critical(row: Critical) -> str:
    name = f"{row.name} {row.direction}"
    if row.changes_at is None:
        return f"{name}: the same plan at every change tried, up to {row.same_until:+.0%}"
    differs = ", ".join(f"{name} {old} to {new}" for name, (old, new) in row.plan.items())
    return f"{name}: the same plan at {row.same_until:+.2%}, another at {row.changes_at:+.2%} ({differs})"


def _proof(found: Perturbation) -> list[str]:
    return [*found.confirmed_by, f"archsat {found.version}"]
