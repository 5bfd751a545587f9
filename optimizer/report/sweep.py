"""A sweep for a person at a terminal: one row a problem."""

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.frontier import broken
from optimizer.report.numbers import value_of
from optimizer.report.parts import blank_between, cautions, titled_lines
from optimizer.report.plans import DIMENSIONS, STAGES, names_of
from optimizer.report.replicas import POOLS
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Sweep

_STYLE = {"complete": "bold green", "partial": "bold yellow"}
SHOWN = 60
_METRICS = ("tpot_ms", "ttft_ms", "loss", "memory_gib", "chips", "usd_per_hour", "step_s")
_SWEPT = {"hardware": "chip", "tensor_parallel": "TP", "weight_dtype": "weights", "kv_dtype": "cache"}


def _cells(plan: Plan, objective: str) -> dict[str, str]:
    """Dimensions, then the metrics that people choose by, then how it runs."""
    where = names_of(plan)
    metrics = {
        name: value_of(name, plan.metrics[name])
        for name in _METRICS
        if name != objective and name in plan.metrics
    }
    dimensions = {name: where.pop(name) for name in DIMENSIONS if name in where}
    return dimensions | metrics | where


def report(found: Sweep, verbose: bool = False) -> Group:
    """The whole report of a sweep."""
    head = Text()
    head.append(f"{found.problem['name']}\n", style="bold")
    head.append(found.status.upper(), style=_STYLE[found.status])
    aim = found.objective
    head.append(f"  {len(found.rows)} problems, {aim.sense} {aim.metric} ({aim.unit})", style="bold")
    head.append_text(cautions(found.assumptions))
    plans = [_cells(row.plan, aim.metric) for row in found.rows if row.plan]
    swept = {_SWEPT.get(last, last) for last in (name.split(".")[-1] for name in found.over)}
    differ = [n for n in (plans[0] if plans else {}) if n not in swept and len({p[n] for p in plans}) > 1]
    shown = found.rows if verbose else found.rows[:SHOWN]
    heads = (*(name.split(".")[-1] for name in found.over), aim.metric, *differ)
    table = new_table(*map(broken, heads))
    if differ and differ[-1] in (POOLS, STAGES):
        table.columns[-1].justify = "left"
    for row in shown:
        at = [str(value) for value in row.at.values()]
        if row.plan is None:
            table.add_row(*at, row.status, *[""] * len(differ))
            continue
        own = _cells(row.plan, aim.metric)
        table.add_row(*at, value_of(aim.metric, row.plan.metrics[aim.metric]), *(own[n] for n in differ))
    parts: list[RenderableType] = [head, table]
    if len(shown) < len(found.rows):
        parts.append(
            Text(f"{len(found.rows) - len(shown)} more (-v, --table and --json give all)", style="dim")
        )
    reasons = list(dict.fromkeys(row.reason for row in found.rows if row.reason))
    if reasons:
        parts.append(titled_lines("Not asked", reasons[:10]))
    parts.append(
        titled_lines(
            "Proof",
            [*(f"by {line}" for line in found.confirmed_by), f"archsat {found.version}"],
        )
    )
    return Group(*blank_between(iter(parts)))
