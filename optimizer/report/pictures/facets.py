"""A sweep: the objective over the first field, a line for each value of the second, a panel for the rest."""

from itertools import product
from typing import Any

from optimizer.report.pictures._write import COLOURS, HEIGHT, INK, WIDTH, figure, save
from optimizer.spec.studies import Sweep, SweepRow

_COLUMNS = 3


def draw(found: Sweep, plot: str) -> None:
    """Write the picture."""
    save(picture(found), plot)


def picture(found: Sweep) -> Any:
    """The figure."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    x, *others = found.over
    lines, panels = others[:1], others[1:]
    facets = list(product(*(found.over[name] for name in panels)))
    columns = min(_COLUMNS, len(facets))
    rows = -(-len(facets) // columns)
    drawn = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[
            ", ".join(f"{n.split('.')[-1]} {v}" for n, v in zip(panels, f, strict=True)) for f in facets
        ],
        shared_yaxes=True,
        shared_xaxes=True,
    )
    style = figure(f"{found.problem['name']}: {found.objective.metric} over {x}").layout
    drawn.update_layout(style, width=WIDTH, height=max(HEIGHT, 330 * rows), margin={"t": 120})
    drawn.update_layout(title={"y": 0.96}, legend={"yref": "container", "y": 0.87})
    for i, facet in enumerate(facets):
        chosen = dict(zip(panels, facet, strict=True))
        for j, value in enumerate(found.over[lines[0]] if lines else [None]):
            at = chosen | ({lines[0]: value} if lines else {})
            own = [row for row in found.rows if row.plan and all(row.at[n] == v for n, v in at.items())]
            drawn.add_trace(
                go.Scatter(
                    x=[_axis(row.at[x]) for row in own],
                    y=[row.plan.metrics[found.objective.metric] for row in own if row.plan],
                    mode="lines+markers",
                    name=f"{lines[0].split('.')[-1]} {value}" if lines else found.objective.metric,
                    legendgroup=str(value),
                    showlegend=i == 0 and bool(lines),
                    line={"color": COLOURS[j % len(COLOURS)]},
                    text=[_hover(row) for row in own],
                    hovertemplate="%{x}: %{y:.5g}<br>%{text}<extra></extra>",
                ),
                row=i // columns + 1,
                col=i % columns + 1,
            )
    drawn.update_xaxes(linecolor=INK)
    for column in range(1, columns + 1):
        drawn.update_xaxes(title=x, row=rows, col=column)
    for row in range(1, rows + 1):
        drawn.update_yaxes(title=f"{found.objective.metric} ({found.objective.unit})", row=row, col=1)
    return drawn


def _title(names: list[str], values: tuple[Any, ...]) -> str:
    return ", ".join(f"{name.split('.')[-1]} {value}" for name, value in zip(names, values, strict=True))


def _axis(value: Any) -> Any:
    return value if isinstance(value, int | float) else str(value)


def _hover(row: SweepRow) -> str:
    if row.plan is None:
        return ""
    a, pool = row.plan.architecture, row.plan.deployment.pools[0]
    return (
        f"{a.n_layers} layers, d_model {a.d_model}, d_ff {a.d_ff}<br>{pool.chip}, TP {pool.tensor_parallel}"
    )
