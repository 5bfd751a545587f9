"""The report of a solved problem for a person at a terminal; good in 80 columns."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.metrics import metric
from optimizer.plugins import plugins
from optimizer.questions.architecture.answer import ArchitectureAnswer, NearTiesShown
from optimizer.report.fitting import new_table
from optimizer.report.numbers import count, percent, signed, value_of
from optimizer.report.parts import (
    assumptions_part,
    bands_part,
    binding_part,
    blank_between,
    conflict_part,
    headline,
    operators_part,
    proof,
    titled_lines,
)
from optimizer.spec.plan import Dimensions, Plan

_HIDDEN = ("n_active_params", "n_params")


def report(result: ArchitectureAnswer, verbose: bool = False) -> Group:
    """The whole report of one result."""
    return Group(*blank_between(_sections(result, verbose)))


def _sections(result: ArchitectureAnswer, verbose: bool) -> Iterator[RenderableType]:
    yield headline(result)
    if result.plan:
        yield _plan(result, result.plan)
        yield _comparison(result)
        yield operators_part(result.operators, "decode", verbose)
        yield operators_part(result.operators, "prefill", verbose)
        yield _binding(result)
        if result.near_ties:
            yield _near_ties(result, result.near_ties)
    if result.conflict:
        yield conflict_part(result.conflict)
    elif result.status == "infeasible":
        yield Text("stopped before the conflict was found")
    yield proof(result)
    if result.assumptions:
        yield assumptions_part(result.assumptions, verbose)


def _plan(result: ArchitectureAnswer, plan: Plan) -> Text:
    a, pool = plan.dimensions, plan.pools[0]
    plural = "s" if pool.chips > 1 else ""
    tiles = f"; {result.tile_efficiency:.1%} of each tile useful" if result.tile_efficiency else ""
    return Text(
        f"{count(a.n_params)} parameters: {_shape(a)}{tiles}\n"
        f"on {pool.chips} {pool.chip} chip{plural}, tensor_parallel {pool.split.tensor_parallel},"
        f" batch {pool.batch}, {pool.formats.weight_dtype} weights, {pool.formats.kv_dtype} cache"
    )


def _comparison(result: ArchitectureAnswer) -> Group:
    base = result.baseline
    title = f"Against {base.name}, same chip, split, formats and traffic" if base else "Metrics"
    table = new_table("", "plan", *(["baseline", "difference", ""] if base else []), "unit")
    own = _dimensions(result.plan.dimensions if result.plan else None)
    other = _dimensions(base.dimensions) if base else {}
    rows = [(key, value, other.get(key), "") for key, value in own.items()]
    metrics = result.metrics
    rows += [
        (key, metrics[key], base.metrics.get(key) if base else None, str(metric(key, "UNIT").UNIT))
        for key in sorted(metrics, key=lambda m: (m != "n_params", m))
    ]
    for key, value, against, unit in rows:
        cells = [value_of(key, value)]
        if base:
            cells += _against(key, value, against)
        bold = "bold" if key == result.objective.name else None
        table.add_row(key, *cells, "" if key == "n_params" else unit, style=bold)
    return Group(Text(title, style="bold"), table, *bands_part(result.bands, metrics))


def _against(key: str, value: Any, other: Any) -> list[str]:
    if other is None:
        return ["-", "", ""]
    if isinstance(value, bool | str):
        return [value_of(key, other), "", ""]
    difference = value - other
    text = count(difference) if key == "n_params" and difference < 0 else signed(difference)
    if key == "n_params" and difference > 0:
        text = "+" + count(difference)
    return [value_of(key, other), text, percent(difference, other) if difference else ""]


def _dimensions(dims: Dimensions | None) -> dict[str, Any]:
    return {k: v for k, v in dims.model_dump().items() if k not in _HIDDEN} if dims else {}


def _binding(result: ArchitectureAnswer) -> Group:
    around: list[RenderableType] = [binding_part(result, "no rule: the lattice itself")]
    base = result.baseline
    if base and base.breaks:
        around.append(Text(f"  {base.name} itself breaks {', '.join(base.breaks)}"))
    return Group(*around)


def _near_ties(result: ArchitectureAnswer, ties: NearTiesShown) -> Group:
    o, other = result.objective, ties.conventional
    share = f"{ties.within:.2%}"
    if ties.plans == 1:
        return titled_lines("Near-ties", [f"no other plan within {share} of the optimum"])
    least = "" if ties.complete else "at least "
    items = [f"{least}{ties.plans:,} plans within {share} of the optimum: as good, to this cost model"]
    if other.architecture == result.architecture and other.deployment == result.deployment:
        items.append("this plan is the most conventional of them")
    else:
        value = other.metrics[o.name]
        cost = percent(value - (o.value or 0.0), o.value or 0.0)
        items.append(
            f"the most conventional: {_shape(other.dimensions)}, {o.name} {value_of(o.name, value)} "
            f"{o.unit} ({cost}); prefer: conventional asks for it"
        )
    return titled_lines("Near-ties", items)


def _shape(a: Dimensions) -> str:
    halves = (plugins("blocks")[kind].in_words(a) for kind in (a.mixer, a.ffn))
    return f"{a.n_layers} layers, d_model {a.d_model}, {', '.join(halves)}"
