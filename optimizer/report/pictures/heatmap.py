"""A lattice as a heat map: the best objective at each pair of values of two dimensions."""

from typing import Any

from optimizer.report.pictures._write import INK, figure, save
from optimizer.spec.plan import Plan, Result


def draw(result: Result, names: tuple[str, str], plot: str) -> None:
    """Write the picture of plans that are distinct in two dimensions."""
    save(picture(result, names), plot)


def picture(result: Result, names: tuple[str, str]) -> Any:
    """The figure; cells without a plan stay empty."""
    import plotly.graph_objects as go

    objective = result.objective
    best = {tuple(_value(plan, n) for n in names): plan.metrics[objective.name] for plan in result.plans}
    xs = sorted({key[0] for key in best}, key=_order)
    ys = sorted({key[1] for key in best}, key=_order)
    drawn = figure(f"{result.problem['name']}: best {objective.name} at each {names[0]} and {names[1]}")
    drawn.add_trace(
        go.Heatmap(
            x=[str(x) for x in xs],
            y=[str(y) for y in ys],
            z=[[best.get((x, y)) for x in xs] for y in ys],
            colorscale="Viridis" if objective.sense == "max" else "Viridis_r",
            colorbar={"title": {"text": f"{objective.name} ({objective.unit})"}},
            hoverongaps=False,
            hovertemplate=f"{names[0]} %{{x}}, {names[1]} %{{y}}: %{{z:.5g}}<extra></extra>",
        )
    )
    first = result.plans[0] if result.plans else None
    if first:
        drawn.add_trace(
            go.Scatter(
                x=[str(_value(first, names[0]))],
                y=[str(_value(first, names[1]))],
                mode="markers",
                marker={"symbol": "star", "size": 14, "color": "white", "line": {"color": INK, "width": 1}},
                name="optimum",
                showlegend=True,
            )
        )
    drawn.update_xaxes(title=names[0], type="category", linecolor=INK)
    drawn.update_yaxes(title=names[1], type="category", linecolor=INK)
    return drawn


def _value(plan: Plan, name: str) -> Any:
    pool = plan.deployment.pools[0]
    if name == "hardware":
        return pool.chip
    return getattr(plan.architecture, name) if hasattr(plan.architecture, name) else getattr(pool, name)


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
