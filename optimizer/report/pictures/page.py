"""A picture as one HTML file to look into: hover, zoom and switch series on and off, with no network.

The page carries plotly.js (its cartesian bundle, MIT licence) and what it is to draw as JSON. Nothing in it
is fetched, and its content policy refuses whatever would be.
"""

import gzip
import html
import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

from optimizer.report.pictures.scene import Axis, Bars, Cells, Mark, Panel, Picture, Region, Scale, Series
from optimizer.report.pictures.style import FONT, GRID, INK, QUIET, SCALE, SHADE, SOFT, TITLE

SCRIPT = "plotly-cartesian-4.1.1.min.js.gz"
CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "plotlyServerURL": "",  # a button would send what is drawn to a server of plotly's
    "modeBarButtonsToRemove": ["sendChartToCloud"],
}
_DASH = {"none": "solid", "straight": "solid", "steps": "solid", "dashed": "dash"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>html, body {{ margin: 0; height: 100%; }} #archsat {{ height: 100vh; min-height: {height}px; }}</style>
</head>
<body>
<div id="archsat"></div>
<script>{script}</script>
<script>Plotly.newPlot("archsat", {data}, {layout}, {config})</script>
</body>
</html>
"""


def page(picture: Picture) -> bytes:
    """The whole file."""
    data, layout = traces(picture), layout_of(picture)
    text = _PAGE.format(
        title=html.escape(picture.title),
        height=picture.height,
        script=_script(),
        data=_json(data),
        layout=_json(layout),
        config=_json(CONFIG),
    )
    return text.encode()


def traces(picture: Picture) -> list[dict[str, Any]]:
    """What plotly.js draws; a label that several panels share stands in the legend once."""
    found, seen = [], set()
    for number, panel in enumerate(picture.panels, 1):
        for mark in panel.marks:
            trace = _trace(mark, panel, picture.scale) | _axes(number)
            if trace.get("name"):
                trace["legendgroup"] = trace["name"]
                trace["showlegend"] = trace.get("showlegend", True) and trace["name"] not in seen
                seen |= {trace["name"]} if trace["showlegend"] else set()
            found.append(trace)
    return found


def layout_of(picture: Picture) -> dict[str, Any]:
    """Axes, titles and shades of a picture, for plotly.js."""
    subtitle = f'<br><span style="font-size:{FONT}px;color:{QUIET}">{safe(picture.subtitle)}</span>'
    layout: dict[str, Any] = {
        "title": {"text": f"<b>{safe(picture.title)}</b>{subtitle}", "x": 0.02, "xanchor": "left"},
        "font": {"family": "Helvetica, Arial, sans-serif", "size": FONT, "color": INK},
        "margin": {"l": 85, "r": 30, "t": 130, "b": 70},
        "plot_bgcolor": "white",
        "paper_bgcolor": "white",
        "hoverlabel": {"font": {"family": "monospace"}, "align": "left"},
        "legend": {"orientation": "h", "y": -0.14, "yanchor": "top", "x": 0.5, "xanchor": "center"},
        "grid": {"rows": picture.rows, "columns": picture.columns, "pattern": "independent", "ygap": 0.3},
        "annotations": [],
        "shapes": [],
        "barmode": "overlay",
        "bargap": 0.3,
    }
    layout["title"]["font"] = {"size": TITLE}
    for number, panel in enumerate(picture.panels, 1):
        layout[f"xaxis{number}"] = _axis(panel.x)
        layout[f"yaxis{number}"] = _axis(panel.y)
        layout["annotations"] += [_heading(panel.title, number)] if panel.title else []
        layout["shapes"] += [_shape(m, number) for m in panel.marks if isinstance(m, Region)]
    if picture.scale:
        layout["coloraxis"] = _colours(picture.scale)
    return layout


def safe(text: str) -> str:
    """Text in which plotly.js finds no markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def _json(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


@cache
def _script() -> str:
    return gzip.decompress((files(__package__) / SCRIPT).read_bytes()).decode()


def _axes(number: int) -> dict[str, str]:
    return {"xaxis": f"x{number}" if number > 1 else "x", "yaxis": f"y{number}" if number > 1 else "y"}


def _heading(title: str, number: int) -> dict[str, Any]:
    at = _axes(number)
    return {
        "text": f"<b>{safe(title)}</b>",
        "showarrow": False,
        "xref": f"{at['xaxis']} domain",
        "yref": f"{at['yaxis']} domain",
        "x": 0,
        "y": 1.02,
        "xanchor": "left",
        "yanchor": "bottom",
    }


def _axis(axis: Axis) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": {"text": safe(axis.title), "standoff": 12, "font": {"size": FONT}},
        "linecolor": SOFT,
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "automargin": True,
        "exponentformat": "none",
    }
    if axis.categories:
        places = list(range(len(axis.categories)))
        names = [safe(name) for name in axis.categories]
        found |= {
            "tickvals": places,
            "ticktext": names,
            "range": [-0.6, len(places) - 0.4],
            "showgrid": False,
            "zeroline": False,
        }
    elif axis.log:
        found |= {"type": "log", "dtick": 1}
        found |= {"range": [math.log10(end) for end in axis.limits]} if axis.limits else {}
    elif axis.limits:
        found["range"] = list(axis.limits)
    return found


def _trace(mark: Mark, panel: Panel, scale: Scale | None) -> dict[str, Any]:
    if isinstance(mark, Series):
        return _series(mark)
    if isinstance(mark, Bars):
        return {
            "type": "bar",
            "orientation": "h",
            "name": safe(mark.label),
            "x": list(mark.lengths),
            "y": list(mark.places),
            "marker": {"color": mark.colour},
            "text": [safe(text) for text in mark.texts],
            "textposition": "outside",
            "cliponaxis": False,
            **_hover(mark.hover),
        }
    if isinstance(mark, Cells):
        return _cells(mark, panel, scale)
    square = {"symbol": "square", "size": 14, "color": SHADE}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "name": safe(mark.label),
        "marker": square,
    }


def _series(mark: Series) -> dict[str, Any]:
    modes = (["markers"] if mark.marker else []) + (["lines"] if mark.line != "none" else [])
    marker: dict[str, Any] = {"size": mark.size, "color": mark.colour, "symbol": mark.marker or "circle"}
    if mark.values:
        marker |= {"color": list(mark.values), "coloraxis": "coloraxis"}
    return {
        "type": "scatter",
        "mode": "+".join(modes),
        "name": safe(mark.label),
        "x": list(mark.x),
        "y": list(mark.y),
        "marker": marker
        | {"line": {"width": 1.2, "color": INK} if mark.edge else {"width": 0.6, "color": "white"}},
        "line": {
            "color": mark.colour,
            "width": 1.5,
            "dash": _DASH[mark.line],
            "shape": "hv" if mark.line == "steps" else "linear",
        },
        "showlegend": mark.listed,
        **{f"error_{axis}": _bars(mark, axis) for axis in "xy" if getattr(mark, f"{axis}_ends")},
        **_hover(mark.hover),
    }


def _bars(mark: Series, axis: str) -> dict[str, Any]:
    """Bars across points, from what lies below them to what lies above."""
    pairs = list(zip(getattr(mark, axis), getattr(mark, f"{axis}_ends"), strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, (_, high) in pairs],
        "arrayminus": [value - low for value, (low, _) in pairs],
        "color": SHADE,
        "thickness": 1,
        "width": 0,
    }


def _cells(mark: Cells, panel: Panel, scale: Scale | None) -> dict[str, Any]:
    columns, rows = panel.x.categories, panel.y.categories
    named = [[f"{panel.x.title} {x}, {panel.y.title} {y}" for x in columns] for y in rows]
    return {
        "type": "heatmap",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": [list(row) for row in mark.values],
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "text": [[safe(text) for text in row] for row in named],
        "hovertemplate": "%{text}: %{z:.5g}<extra></extra>",
    }


def _hover(lines: tuple[tuple[str, ...], ...]) -> dict[str, Any]:
    if not lines:
        return {"hoverinfo": "skip"}
    return {
        "customdata": ["<br>".join(map(safe, point)) for point in lines],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _shape(mark: Region, number: int) -> dict[str, Any]:
    at = _axes(number)
    across = "y" if mark.axis == "x" else "x"
    return {
        "type": "rect",
        "layer": "below",
        "fillcolor": SHADE,
        "opacity": 0.35,
        "line": {"width": 0},
        f"{mark.axis}ref": at[f"{mark.axis}axis"],
        f"{mark.axis}0": mark.low,
        f"{mark.axis}1": mark.high,
        f"{across}ref": f"{at[f'{across}axis']} domain",
        f"{across}0": 0,
        f"{across}1": 1,
    }


def _colours(scale: Scale) -> dict[str, Any]:
    steps = [[i / (len(SCALE) - 1), colour] for i, colour in enumerate(SCALE)]
    title = {"text": safe(scale.title), "side": "right", "font": {"size": FONT}}
    return {
        "colorscale": steps,
        "reversescale": scale.reverse,
        "cmin": scale.low,
        "cmax": scale.high,
        "colorbar": {"title": title, "outlinewidth": 0},
    }
