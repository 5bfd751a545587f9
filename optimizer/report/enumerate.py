"""The plans of a list, best first: the objective, what it costs, and what differs between them."""

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.questions.kinds import kind_of
from optimizer.report.fitting import new_table
from optimizer.report.frontier import broken, fitting
from optimizer.report.numbers import value_of
from optimizer.report.parts import blank_between, conflict_part, headline
from optimizer.report.plans import DIMENSIONS, STAGES, names_of
from optimizer.report.replicas import POOLS
from optimizer.report.solved import report_of
from optimizer.spec.answer import Answer

_ALWAYS = ("params", *DIMENSIONS, POOLS, STAGES)
"""Shown even where all plans have the same."""
_BESIDE = ("loss", "chips", "usd_per_hour", "tpot_ms", "ttft_ms", "output_tokens_per_s", "step_s")
"""Metrics shown beside the objective, where they differ."""


def report(result: Answer, verbose: bool = False) -> Group:
    """The whole report of a list."""
    parts: list[RenderableType] = [headline(result)]
    if not result.plans_complete:
        how = "these plans are the best" if result.plans else "no plan was sure to be among the best"
        parts.append(Text(f"stopped before all plans were listed; {how}"))
    if result.plans:
        parts.append(_table(result))
    if result.conflict:
        parts.append(conflict_part(result.conflict))
    proof = report_of(kind_of(result.problem).name).proof(result)
    return Group(*blank_between(iter([*parts, proof])))


def _table(result: Answer) -> RenderableType:
    objective, plans = result.objective.name, result.plans
    columns = {
        "#": [str(i) for i in range(1, len(plans) + 1)],
        broken(objective): [value_of(objective, plan.metrics[objective]) for plan in plans],
    }
    for name in _BESIDE:
        cells = [value_of(name, plan.metrics[name]) for plan in plans if name in plan.metrics]
        if name != objective and len(cells) == len(plans) and (len(set(cells)) > 1 or name == "loss"):
            columns[broken(name)] = cells
    where = [names_of(plan) for plan in plans]
    for name in where[0]:
        cells = [row.get(name, "") for row in where]
        if len(set(cells)) > 1 or name in _ALWAYS:
            columns[name] = cells
    fitting(columns)
    table = new_table(*columns)
    if {POOLS, STAGES} & columns.keys():
        table.columns[-1].justify = "left"
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table
