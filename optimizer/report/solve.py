"""The report of a solved problem for a person at a terminal; good in 80 columns."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.metrics import metric
from optimizer.report.numbers import count, exact, percent, signed, value_of
from optimizer.report.parts import (
    assumptions_part,
    blank_between,
    conflict_part,
    headline,
    new_table,
    operators_part,
    proof,
    titled_lines,
)
from optimizer.spec.plan import DenseDimensions, Pool, Result

_HIDDEN = ("n_active_params", "n_params")


def report(result: Result, verbose: bool = False) -> Group:
    """The whole report of one result."""
    return Group(*blank_between(_sections(result, verbose)))


def _sections(result: Result, verbose: bool) -> Iterator[RenderableType]:
    yield headline(result)
    if result.architecture and result.deployment:
        yield _plan(result, result.architecture, result.deployment.pools[0])
        yield _comparison(result)
        yield operators_part(result.operators, "decode", verbose)
        yield operators_part(result.operators, "prefill", verbose)
        yield _binding(result)
    if result.conflict:
        yield conflict_part(result.conflict)
    elif result.status == "infeasible":
        yield Text("stopped before the conflict was found")
    yield proof(result)
    if result.assumptions:
        yield assumptions_part(result.assumptions, verbose)


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


def _comparison(result: Result) -> Group:
    base = result.baseline
    title = f"Against {base.name}, same chip, split, formats and traffic" if base else "Metrics"
    table = new_table("", "plan", *(["baseline", "difference", ""] if base else []), "unit")
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
    return titled_lines("What binds", items)
