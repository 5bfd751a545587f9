"""A frontier: two objectives as axes, a third as colour; hover shows each plan."""

from typing import Any

from optimizer.report.frontier import names_of
from optimizer.report.numbers import value_of
from optimizer.report.pictures._write import COLOURS, INK, figure, save
from optimizer.spec.studies import Aim, AnyPlan, Frontier


def draw(found: Frontier, plot: str) -> None:
    """Write the picture."""
    save(picture(found), plot)


def picture(found: Frontier) -> Any:
    """The figure."""
    import plotly.graph_objects as go

    x, y, *third = found.objectives
    says = "complete" if found.status == "complete" else f"{found.status}, {len(found.gaps)} gaps"
    drawn = figure(f"{found.problem['name']}: {len(found.points)} points, {says}")
    marker: dict[str, Any] = {"size": 8, "color": COLOURS[0]}
    if third:
        colour = [plan.metrics[third[0].metric] for plan in found.points]
        bar = {"title": {"text": _label(third[0])}}
        marker = {"size": 9, "color": colour, "colorscale": "Viridis", "colorbar": bar}
    drawn.add_trace(
        go.Scatter(
            x=[plan.metrics[x.metric] for plan in found.points],
            y=[plan.metrics[y.metric] for plan in found.points],
            mode="markers" if third else "lines+markers",
            line={"shape": "hv" if x.sense == "min" else "vh", "width": 1},
            marker=marker,
            name="frontier",
            text=[_hover(found, i, plan) for i, plan in enumerate(found.points)],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    for i, row in enumerate(found.placed, 1):
        drawn.add_trace(
            go.Scatter(
                x=[row.metrics[x.metric]],
                y=[row.metrics[y.metric]],
                mode="markers+text",
                marker={"symbol": "x", "size": 11, "color": COLOURS[i % len(COLOURS)]},
                text=[row.name.split("/")[-1]],
                textposition="top center",
                name=row.name,
                hovertemplate=f"{row.name}: {row.verdict}<extra></extra>",
            )
        )
    drawn.update_xaxes(title=_label(x), linecolor=INK)
    drawn.update_yaxes(title=_label(y), linecolor=INK)
    return drawn


def _label(aim: Aim) -> str:
    better = "lower" if aim.sense == "min" else "higher"
    return f"{aim.metric} ({aim.unit}, {better} is better)"


def _hover(found: Frontier, row: int, plan: AnyPlan) -> str:
    lines = [f"point {row + 1}"]
    lines += [f"{name} {value_of(name, value)}" for name, value in plan.metrics.items()]
    lines += [f"{name} {value}".replace("\n", ", ") for name, value in names_of(plan).items()]
    return "<br>".join(lines)
