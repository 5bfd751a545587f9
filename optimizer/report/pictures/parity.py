"""Predicted against measured, on logarithmic axes, by source: on the line is right."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from optimizer.report.pictures._write import COLOURS, INK, SOFT, figure, save

MARGIN = 0.25


class Pair(NamedTuple):
    """One measured point: where it comes from, what it is, both values."""

    source: str
    label: str
    measured: float
    predicted: float


def draw(points: Sequence[Pair], plot: str, title: str = "Predicted against measured") -> None:
    """Write the picture."""
    save(picture(points, title), plot)


def picture(points: Sequence[Pair], title: str) -> Any:
    """The figure."""
    import plotly.graph_objects as go

    good = [p for p in points if p.measured > 0 and p.predicted > 0]
    drawn = figure(f"{title}: {len(good)} points", height=800)
    if good:
        ends = [
            min(min(p.measured, p.predicted) for p in good),
            max(max(p.measured, p.predicted) for p in good),
        ]
        ends = [ends[0] / 1.3, ends[1] * 1.3]
        for factor, name, dash in (
            (1.0, "equal", "solid"),
            (1 + MARGIN, f"within {MARGIN:.0%}", "dot"),
            (1 - MARGIN, None, "dot"),
        ):
            drawn.add_trace(
                go.Scatter(
                    x=ends,
                    y=[end * factor for end in ends],
                    mode="lines",
                    line={"color": INK if name == "equal" else SOFT, "dash": dash, "width": 1.5},
                    name=name or "",
                    showlegend=name is not None,
                    hoverinfo="skip",
                )
            )
    by_source: dict[str, list[Pair]] = defaultdict(list)
    for pair in good:
        by_source[pair.source].append(pair)
    for i, (source, group) in enumerate(sorted(by_source.items())):
        drawn.add_trace(
            go.Scatter(
                x=[p.measured for p in group],
                y=[p.predicted for p in group],
                mode="markers",
                name=f"{source} ({len(group)})",
                marker={"size": 7, "opacity": 0.75, "color": COLOURS[i % len(COLOURS)]},
                text=[f"{p.label}<br>{p.predicted / p.measured - 1:+.1%}" for p in group],
                hovertemplate="%{text}<br>measured %{x:.5g}, predicted %{y:.5g}<extra></extra>",
            )
        )
    drawn.update_xaxes(type="log", title="measured", dtick=1)
    drawn.update_yaxes(type="log", title="predicted", dtick=1)
    return drawn
