"""The report of a solved problem for a person at a terminal; good in 80 columns."""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optimizer.metrics import metric
from optimizer.report.numbers import count, exact, percent, short, signed, value_of
from optimizer.spec.plan import (
    Assumption,
    Conflict,
    DenseDimensions,
    Derivation,
    Estimate,
    OperatorRow,
    Pool,
    Result,
    Validation,
)

_STYLE = {
    "optimal": "bold green",
    "feasible": "bold yellow",
    "infeasible": "bold red",
    "unknown": "bold red",
}
_HIDDEN = ("n_active_params", "n_params")
_WHERE = {
    "chip": "chip",
    "tensor_parallel": "TP",
    "batch": "batch",
    "weight_dtype": "weights",
    "kv_dtype": "cache",
}


def solve_report(result: Result, verbose: bool = False) -> Group:
    """The whole report of one result."""
    return Group(*_blank_between(_sections(result, verbose)))


def _sections(result: Result, verbose: bool) -> Iterator[RenderableType]:
    yield _headline(result)
    if result.architecture and result.deployment:
        yield _plan(result, result.architecture, result.deployment.pools[0])
        yield _comparison(result)
        yield _operators(result.operators, "decode", verbose)
        yield _operators(result.operators, "prefill", verbose)
        yield _binding(result)
    if result.conflict:
        yield _conflict(result.conflict)
    yield _proof(result)
    if result.assumptions:
        yield _assumptions(result.assumptions, verbose)


def _blank_between(parts: Iterator[RenderableType]) -> list[RenderableType]:
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [Text(""), part] if spaced else [part]
    return spaced


def _lines(title: str, items: list[str]) -> Group:
    """A bold title and indented lines that wrap inside their indent."""
    return Group(Text(title, style="bold"), *(Padding(Text(item), (0, 0, 0, 2)) for item in items))


def _headline(result: Result) -> Text:
    text = Text()
    text.append(f"{result.problem['name']}\n", style="bold")
    if result.problem.get("question"):
        text.append(f"{result.problem['question']}\n", style="italic")
    o = result.objective
    text.append(result.status.upper(), style=_STYLE[result.status])
    if o.value is None:
        none = f"  no plan to {o.sense}imise {o.name}"
        text.append(none if result.status == "infeasible" else "  stopped before any plan was found")
        return text
    text.append(f"  {o.name} {value_of(o.name, o.value)} {o.unit}", style="bold")
    if result.status == "optimal":
        text.append(", and no point of the lattice is better" if o.gap == 0 else "")
    elif o.bound is not None and o.gap is not None:
        text.append(f", bound {short(o.bound)}, gap {o.gap:.2%}: stopped before the proof")
    else:
        text.append(", stopped before any bound was proven")
    return text


def _plan(result: Result, a: DenseDimensions, pool: Pool) -> Text:
    group = a.n_heads // a.n_kv_heads
    plural = "s" if pool.chips > 1 else ""
    tiles = f"; {result.tile_efficiency:.1%} of each tile useful" if result.tile_efficiency else ""
    return Text(
        f"{count(a.n_params)} parameters: {a.n_layers} layers, d_model {a.d_model}, {a.n_heads} query heads"
        f" of {a.d_head}\nin {a.n_kv_heads} groups of {group}, d_ff {a.d_ff}{tiles}\n"
        f"on {pool.chips} {pool.chip} chip{plural}, tensor_parallel {pool.tensor_parallel},"
        f" batch {pool.batch}, {pool.weight_dtype} weights, {pool.kv_dtype} cache"
    )


def _table(*columns: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    return table


def _comparison(result: Result) -> Group:
    base = result.baseline
    title = f"Against {base.name}, same chip, split, formats and traffic" if base else "Metrics"
    table = _table("", "plan", *(["baseline", "difference", ""] if base else []), "unit")
    own = _dimensions(result.architecture)
    other = _dimensions(base.dimensions) if base else {}
    rows = [(key, value, other.get(key), "") for key, value in own.items()]
    metrics = result.metrics
    rows += [
        (key, metrics[key], base.metrics.get(key) if base else None, str(metric(key).UNIT))
        for key in sorted(metrics, key=lambda m: (m != "n_params", m))
    ]
    for key, value, against, unit in rows:
        cells = [value_of(key, value)]
        if base:
            cells += _against(key, value, against)
        bold = "bold" if key == result.objective.name else None
        table.add_row(key, *cells, "" if key == "n_params" else unit, style=bold)
    return Group(Text(title, style="bold"), table)


def _against(key: str, value: Any, other: Any) -> list[str]:
    if other is None:
        return ["-", "", ""]
    if isinstance(value, bool):
        return [value_of(key, other), "", ""]
    difference = value - other
    text = count(difference) if key == "n_params" and difference < 0 else signed(difference)
    if key == "n_params" and difference > 0:
        text = "+" + count(difference)
    return [value_of(key, other), text, percent(difference, other) if difference else ""]


def _dimensions(dims: DenseDimensions | None) -> dict[str, Any]:
    return {k: v for k, v in dims.model_dump().items() if k not in _HIDDEN} if dims else {}


def _operators(operators: tuple[OperatorRow, ...], phase: str, verbose: bool) -> Group:
    rows = [row for row in operators if row.phase == phase]
    total = sum(row.time_ms for row in rows)
    what = "decode step" if phase == "decode" else "prefill of one prompt"
    table = _table("operator", "times", "ms", "share", "GFLOP", "GB", "bound by")
    title = f"Where the {what} goes ({short(total)} ms)"
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


def _binding(result: Result) -> Group:
    items = [
        f"{row.constraint}: {exact(row.value)} against {exact(row.bound)} {row.unit}; "
        "a better plan exists without it"
        for row in result.binding
    ]
    if not items:
        items = ["no bound on a metric near the plan: shape rules, divisibility and the lattice do"]
    base = result.baseline
    if base and base.breaks:
        items.append(f"{base.name} itself breaks {', '.join(base.breaks)}")
    return _lines("What binds", items)


def _conflict(conflict: Conflict) -> Group:
    names = ", ".join(conflict.constraints)
    how = "cannot hold on this lattice" if len(conflict.constraints) == 1 else "cannot hold together"
    changes = [f"{r.constraint}: {r.sentence}" for r in conflict.relaxations]
    return Group(
        _lines("The conflict", [f"{names}: {how}"]),
        _lines("Nearest changes, each enough by itself", changes),
    )


def _proof(result: Result) -> Group:
    c = result.certificate
    items = [
        f"{c.lattice_points:.2e} lattice points in {c.frames} frames; {c.slices} slices priced, "
        f"{c.slices_solved} solved ({c.columns} columns)",
        f"{c.engine} {c.engine_version}, seed {c.seed}: {c.solves} solves, {c.band} more plans in the "
        "rounding band",
        *(f"confirmed by {line}" for line in c.confirmed_by),
        f"checker: {c.checker}",
        f"{result.wall_s:.2f} s, archsat {result.version}",
    ]
    return _lines("Proof", items)


def _assumptions(assumptions: tuple[Assumption, ...], verbose: bool) -> RenderableType:
    if not verbose:
        return Text(f"{len(assumptions)} assumptions (-v lists them)", style="dim")
    return _lines("Assumptions", [f"{a.name}: {a.value} ({a.source})" for a in assumptions])


def enumerate_report(result: Result) -> Group:
    """The plans of an enumeration, best first; where they run, only if that differs."""
    pools = [plan.deployment.pools[0] for plan in result.plans]
    differ = [f for f in _WHERE if len({getattr(pool, f) for pool in pools}) > 1]
    names = [_WHERE[f] for f in differ]
    objective = result.objective.name
    table = _table(
        "#", objective, "loss", "n_params", "layers", "d_model", "heads", "kv", "d_head", "d_ff", *names
    )
    for i, (plan, pool) in enumerate(zip(result.plans, pools, strict=True), 1):
        a = plan.architecture
        table.add_row(
            str(i),
            value_of(objective, plan.metrics[objective]),
            f"{plan.metrics['loss']:.4f}",
            count(a.n_params),
            *(str(v) for v in (a.n_layers, a.d_model, a.n_heads, a.n_kv_heads, a.d_head, a.d_ff)),
            *(str(getattr(pool, f)) for f in differ),
        )
    parts: list[RenderableType] = [_headline(result)]
    if result.plans:
        parts.append(table)
    if result.conflict:
        parts.append(_conflict(result.conflict))
    return Group(*_blank_between(iter([*parts, _proof(result)])))


def estimate_report(estimate: Estimate, verbose: bool = False) -> Group:
    """One model on one replica: metrics, memory by part, operators."""
    pool = estimate.deployment.pools[0]
    plural = "s" if pool.chips > 1 else ""
    head = Text()
    head.append(f"{estimate.model}\n", style="bold")
    head.append(
        f"on {pool.chips} {pool.chip} chip{plural}, tensor_parallel {pool.tensor_parallel},"
        f" batch {pool.batch}, {pool.weight_dtype} weights, {pool.kv_dtype} cache"
    )
    parts: list[RenderableType] = [head]
    if estimate.breaks:
        parts.append(Text(f"CANNOT RUN: breaks {', '.join(estimate.breaks)}; no times given", "bold red"))
    parts += [_metrics(estimate), _memory(estimate)]
    if estimate.operators:
        parts += [_operators(estimate.operators, phase, verbose) for phase in ("decode", "prefill")]
    parts.append(_assumptions(estimate.assumptions, verbose))
    return Group(*_blank_between(iter(parts)))


def _metrics(estimate: Estimate) -> Group:
    table = _table("", "value", "unit")
    for name, value in sorted(estimate.metrics.items()):
        unit = "J" if name == "joules_per_output_token" else str(metric(name).UNIT)
        table.add_row(name, value_of(name, value), "" if name == "n_params" else unit)
    return Group(Text("Metrics", style="bold"), table)


def _memory(estimate: Estimate) -> Group:
    total = sum(estimate.memory_gib.values())
    table = _table("part", "GiB", "share")
    for name, value in estimate.memory_gib.items():
        table.add_row(name, short(value), f"{value / total:.1%}")
    table.add_row("total", short(total), f"of {short(estimate.hbm_usable_gib)} usable", style="bold")
    return Group(Text("Memory on each chip", style="bold"), table)


def derivation_report(d: Derivation) -> Group:
    """The formula of an operator, the formula with its numbers, and the source of each constant."""
    lines = []
    for key, formula in d.formulas.items():
        lines += [f"{key} = {formula}", f"  = {d.numbers[key]}", f"  = {d.values[key]:.6g}"]
    terms = ", ".join(f"{name} {short(value)} us" for name, value in d.terms_us.items() if value)
    return Group(
        _lines(f"{d.operator}, {d.phase} step, one layer", lines),
        _lines("Terms", [f"{terms}; bound by {d.bound_by}"]),
        _lines("Sources", [f"{name}: {source}" for name, source in d.sources.items()]),
    )


def validation_report(validation: Validation) -> Group:
    """Errors by group, then the rows that were not scored, with the reason."""
    table = _table("points", "n", "median\npred/meas", "mean\nerror", "median\nerror", "within\n25 %")
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
    head = Text(f"{validation.file}: {validation.scored} points scored, {left} rows not", style="bold")
    reasons = [f"{n} x {reason}" for reason, n in validation.unscored.items()]
    return Group(*_blank_between(iter([head, table, *([_lines("Not scored", reasons)] if reasons else [])])))
