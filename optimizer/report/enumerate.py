"""The plans of an enumeration, best first; where they run, only if that differs."""

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.questions.architecture.answer import ArchitectureAnswer
from optimizer.report.fitting import new_table
from optimizer.report.numbers import count, value_of
from optimizer.report.parts import blank_between, conflict_part, headline, proof

_WHERE = {
    "chip": "chip",
    "tensor_parallel": "TP",
    "batch": "batch",
    "weight_dtype": "weights",
    "kv_dtype": "cache",
}


def report(result: ArchitectureAnswer, verbose: bool = False) -> Group:
    """The plans of an enumeration, best first; where they run, only if that differs."""
    pools = [plan.pools[0] for plan in result.plans]
    differ = [f for f in _WHERE if len({getattr(pool, f) for pool in pools}) > 1]
    names = [_WHERE[f] for f in differ]
    objective = result.objective.name
    table = new_table(
        "#", objective, "loss", "n_params", "layers", "d_model", "heads", "kv", "d_head", "d_ff", *names
    )
    for i, (plan, pool) in enumerate(zip(result.plans, pools, strict=True), 1):
        a = plan.dimensions
        table.add_row(
            str(i),
            value_of(objective, plan.metrics[objective]),
            f"{plan.metrics['loss']:.4f}",
            count(a.n_params),
            *(str(v) for v in (a.n_layers, a.d_model, a.n_heads, a.n_kv_heads, a.d_head, a.d_ff)),
            *(str(getattr(pool, f)) for f in differ),
        )
    parts: list[RenderableType] = [headline(result)]
    if not result.plans_complete:
        how = "these plans are the best" if result.plans else "no plan was sure to be among the best"
        parts.append(Text(f"stopped before all plans were listed; {how}"))
    if result.plans:
        parts.append(table)
    if result.conflict:
        parts.append(conflict_part(result.conflict))
    return Group(*blank_between(iter([*parts, proof(result)])))
