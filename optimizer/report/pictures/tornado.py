"""A perturbation as a tornado: one bar a change, the largest effect on top."""

from typing import Any

from optimizer.report.pictures._write import COLOURS, figure, save
from optimizer.spec.studies import Change, Perturbation

SHOWN = 30
_COLOUR = {"constraint": COLOURS[0], "dimension": COLOURS[2], "constant": COLOURS[3]}


def draw(found: Perturbation, plot: str) -> None:
    """Write the picture."""
    save(picture(found), plot)


def picture(found: Perturbation) -> Any:
    """The figure."""
    import plotly.graph_objects as go

    moved = [change for change in found.changes if change.difference][:SHOWN]
    aim = found.objective
    title = f"{found.problem['name']}: what each change does to {aim.metric}"
    drawn = figure(title, height=max(320, 130 + 24 * len(moved)))
    order = [_name(change) for change in moved]
    for kind, colour in _COLOUR.items():
        own = [change for change in moved if change.kind == kind]
        if not own:
            continue
        drawn.add_trace(
            go.Bar(
                y=[_name(change) for change in own],
                x=[change.difference for change in own],
                orientation="h",
                name=kind,
                marker={"color": colour},
                text=[f"{change.difference:+.3g}" for change in own],
                textposition="outside",
                cliponaxis=False,
                customdata=[_plan(change) for change in own],
                hovertemplate="%{y}: %{x:+.5g}<br>%{customdata}<extra></extra>",
            )
        )
    value = "" if found.value is None else f" from {found.value:.5g}"
    ends = [0.0, *(change.difference or 0.0 for change in moved)]
    room = 0.15 * (max(ends) - min(ends))  # for the numbers beside the bars
    drawn.update_xaxes(range=[min(ends) - room, max(ends) + room])
    better = "left" if aim.sense == "min" else "right"
    drawn.update_xaxes(title=f"{aim.metric}{value} ({aim.unit}), better to the {better}", zerolinewidth=2)
    drawn.update_yaxes(categoryorder="array", categoryarray=order[::-1], automargin=True)
    drawn.update_layout(bargap=0.25, barmode="overlay")
    return drawn


def _name(change: Change) -> str:
    return f"{change.name} {change.move}"


def _plan(change: Change) -> str:
    return "<br>".join(f"{name} {old} to {new}" for name, (old, new) in change.plan.items()) or "same plan"
