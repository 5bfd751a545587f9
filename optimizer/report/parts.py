"""Parts that several reports share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from optimizer.questions.architecture.answer import ArchitectureAnswer, FrameWitnesses
from optimizer.report.fitting import new_table
from optimizer.report.numbers import exact, percent, short, signed, value_of
from optimizer.spec.answer import TOGETHER, Assumption, Binding, Conflict, Objective, Witnesses
from optimizer.spec.band import Around
from optimizer.spec.estimate import OperatorRow
from optimizer.spec.plan import Pool

_STYLE = {
    "optimal": "bold green",
    "feasible": "bold yellow",
    "infeasible": "bold red",
    "unknown": "bold red",
}


def blank_between(parts: Iterator[RenderableType]) -> list[RenderableType]:
    """The parts of a report with an empty line between each two."""
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [Text(""), part] if spaced else [part]
    return spaced


def titled_lines(title: str, items: list[str]) -> Group:
    """A bold title and indented lines that wrap inside their indent."""
    return Group(Text(title, style="bold"), *(Padding(Text(item), (0, 0, 0, 2)) for item in items))


def headline(result: Any, better: str = "point of the lattice", unmodelled: Sequence[str] = ()) -> Text:
    """Name, question, what is not modelled, status and objective of a result of any kind."""
    text = Text()
    text.append(f"{result.problem['name']}\n", style="bold")
    if result.problem.get("question"):
        text.append(f"{result.problem['question']}\n", style="italic")
    if unmodelled:
        text.append(f"not modelled: {'; '.join(unmodelled)}\n", style="yellow")
    text.append(result.status.upper(), style=_STYLE[result.status])
    _reached(text, result.objective, result.status, better)
    stopped = getattr(result, "stopped", "")
    text.append(f"; {stopped}" if stopped else "")
    deployed = getattr(result, "deployment", None)
    text.append(stored(deployed.pools if deployed else getattr(result, "stages", ())))
    return text.append_text(cautions(result.assumptions)) if result.objective.value is not None else text


def ends(bands: Mapping[str, Around], name: str) -> str:
    """What a figure may turn out to be, after it; '' where it has no band."""
    if name not in bands:
        return ""
    low, high = (value_of(name, float(f"{end:.3g}")) for end in (bands[name].low, bands[name].high))
    return f", {low}-{high}"


def bands_part(bands: Mapping[str, Around], metrics: Mapping[str, float]) -> list[Text]:
    """Figures with their ends, and what these stand on, below a table of metrics."""
    own = [name for name in sorted(bands) if name.removesuffix("_per_chip") not in bands.keys() - {name}]
    said = "; ".join(f"{name} {value_of(name, metrics[name])}{ends(bands, name)}" for name in own)
    return [Text(line, style="dim") for line in ([said] if said else []) + grounds(bands.values())]


def grounds(bands: Iterable[Around]) -> list[str]:
    """Which rows the ends of figures stand on, a line for each group."""
    return [
        f"ends: eight in ten of {rows} rows left out, {group}"
        for rows, group in dict.fromkeys((band.rows, band.group) for band in bands)
    ]


def cautions(assumptions: tuple[Assumption, ...]) -> Text:
    """A line, after a break, for each assumption that the answer may be far from the truth for."""
    lines = (f"\ncaution: {row.name} {row.value}" for row in assumptions if row.caveat)
    return Text("".join(lines), style="yellow")


def stored(pools: Iterable[Pool]) -> Text:
    """A line for each checkpoint that stays as it is: how it stores its weights."""
    text = Text()
    for words in dict.fromkeys(pool.checkpoint for pool in pools if pool.checkpoint):
        text.append(f"\nweights as the checkpoint has them, {words}", style="yellow")
    return text


def _reached(text: Text, o: Objective, status: str, better: str) -> None:
    """What was reached, and how good it is known to be."""
    if o.value is None:
        if status == "infeasible":
            text.append(f"  no plan to {o.sense}imise {o.name}")
            return
        text.append("  stopped before any plan was found, or shown not to be")
        if o.bound:
            text.append(f"; none has a better {o.name} than {value_of(o.name, o.bound)} {o.unit}")
        return
    text.append(f"  {o.name} {value_of(o.name, o.value)} {o.unit}", style="bold")
    if status == "optimal":
        if not o.gap:
            text.append(f", and no {better} is better")
        elif o.bound is not None:
            best = f"{value_of(o.name, o.bound)} is the optimum, {o.gap:.2%} better"
            text.append(f", the most conventional of the near-ties; {best}")
    elif o.bound is not None and o.gap is not None:
        text.append(f", bound {short(o.bound)}, gap {o.gap:.2%}: stopped before the proof")
    else:
        text.append(", stopped before any bound was proven")


def _bounds(rows: list[OperatorRow], total: float) -> str:
    """Share of the time by what bounds it, the bottleneck first."""
    shares: dict[str, float] = {}
    for row in rows:
        shares[row.bound_by] = shares.get(row.bound_by, 0.0) + row.time_ms
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return "".join(f", {name} {ms / total:.0%}" for name, ms in ordered[:3] if ms >= 0.005 * total)


def operators_part(operators: tuple[OperatorRow, ...], phase: str, verbose: bool) -> Group:
    """Where the time of a phase goes, the slowest operators first: six, or all if verbose."""
    rows = [row for row in operators if row.phase == phase]
    total = sum(row.time_ms for row in rows)
    what = "decode step" if phase == "decode" else "prefill of one prompt"
    table = new_table("operator", "times", "ms", "share", "GFLOP", "GB", "bound by")
    title = f"Where the {what} goes ({short(total)} ms{_bounds(rows, total)})"
    ordered = sorted(rows, key=lambda row: -row.time_ms)
    shown = ordered if verbose else ordered[:6]
    for row in shown:
        table.add_row(
            row.operator,
            str(row.count),
            short(row.time_ms),
            f"{row.time_ms / total:.1%}",
            short(row.flops / 1e9),
            short((row.bytes + row.link_bytes) / 1e9),
            row.bound_by,
        )
    rest = ordered[len(shown) :]
    if rest:
        left = sum(row.time_ms for row in rest)
        table.add_row(f"{len(rest)} more", "", short(left), f"{left / total:.1%}", "", "", "")
    return Group(Text(title, style="bold"), table)


def binding_part(result: Any, otherwise: str) -> Group:
    """The rules that bind, the largest gain first, each with what the optimum gains without it."""
    o = result.objective
    nothing = otherwise if result.status == "optimal" else "not tried: the search was stopped first"
    items = [_bears(row, o) for row in result.binding] or [nothing]
    if result.binding_untried:
        items.append(f"no time to drop {', '.join(result.binding_untried)}")
    return titled_lines("What binds", items)


def _bears(row: Binding, o: Objective) -> str:
    sits = ""
    if row.bound is not None and row.value is not None:
        sits = f" ({exact(row.value)} against {exact(row.bound)} {row.unit or ''}".rstrip() + ")"
    if row.gain is None:
        return f"{row.constraint}{sits}: nothing else limits {o.name}"
    relative = percent(row.gain, o.value or 0.0)
    return f"{row.constraint}{sits}: {o.name} {signed(row.gain)} {o.unit} without it, {relative}"


def conflict_part(conflict: Conflict) -> Group:
    """The rules that cannot hold together, and the nearest changes after which they can."""
    names = ", ".join(conflict.constraints)
    how = "cannot hold on this lattice" if len(conflict.constraints) == 1 else "cannot hold together"
    joint = any(r.sentence.endswith(TOGETHER) for r in conflict.relaxations)
    title = "Nearest changes, enough together" if joint else "Nearest changes, each enough by itself"
    changes = [f"{r.constraint}: {r.sentence.removesuffix(TOGETHER)}" for r in conflict.relaxations]
    return Group(titled_lines("The conflict", [f"{names}: {how}"]), titled_lines(title, changes))


def proof(result: ArchitectureAnswer) -> Group:
    """What the certificate of an answer counts, and what confirmed it."""
    c = result.certificate
    n = c.counts
    items = [
        f"{n['lattice_points']:.2e} lattice points in {n['frames']} frames; {n['slices']} slices priced, "
        f"{n['slices_solved']} solved ({n['columns']} columns)",
        f"{c.engine} {c.engine_version}, seed {c.seed}: {c.solves} solves, {n['band']} more plans in the "
        "rounding band",
        *(f"confirmed by {line}" for line in c.confirmed_by),
        *_witnesses(c.witnesses),
        f"checker: {c.checker}",
        f"{result.wall_s:.2f} s, archsat {result.version}",
    ]
    return titled_lines("Proof", items)


def _witnesses(seen: Witnesses | None) -> Iterator[str]:
    """What bounds left out and was looked at all the same."""
    if not isinstance(seen, FrameWitnesses):
        return
    which = "all" if seen.all_frames else f"a sample of {seen.frames_priced}"
    yield (
        f"looked at again: {which} of the {seen.frames_left_out} frames left out and "
        f"{seen.slices_enumerated} slices, {seen.plans} plans; none is better"
    )


def assumptions_part(assumptions: tuple[Assumption, ...], verbose: bool) -> RenderableType:
    """What was taken for granted, with its source if verbose; else how many such."""
    if not verbose:
        return Text(f"{len(assumptions)} assumptions (-v lists them)", style="dim")
    return titled_lines("Assumptions", [f"{a.name}: {a.value} ({a.source})" for a in assumptions])
