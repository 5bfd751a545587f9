"""A picture as PNG, SVG or PDF: matplotlib without a display, and without its process-wide state."""

import io
import warnings
from typing import TYPE_CHECKING, Any

from optimizer.report.pictures.scene import Axis, Bars, Cells, Mark, Panel, Picture, Region, Scale, Series
from optimizer.report.pictures.style import FONT, GRID, INK, QUIET, SCALE, SHADE, SOFT, TITLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 100
_SHARP = 2
"""Pixels of a PNG for each pixel of a screen."""
_MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v",
    "pentagon": "p", "star": "*", "hexagon": "h", "x": "X", "": "",
}  # fmt: skip
_LINES = {"none": "none", "straight": "-", "steps": "-", "dashed": "--"}
_POINT = 72 / _DPI


def still(picture: Picture, form: str) -> bytes:
    """The file of a picture; `form` is 'png', 'svg' or 'pdf'. Two equal pictures give equal PNGs and PDFs."""
    drawn = figure(picture)
    file = io.BytesIO()
    undated = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label in a script that the font has not
        drawn.savefig(file, format=form, dpi=_DPI * _SHARP, metadata=undated[form], facecolor="white")
    return file.getvalue()


def figure(picture: Picture) -> "Figure":
    """The matplotlib figure."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(picture.width / _DPI, picture.height / _DPI), dpi=_DPI, layout="constrained")
    grid = drawn.subplots(picture.rows, picture.columns, squeeze=False)
    found = list(grid.flat)
    for axes, panel in zip(found, picture.panels, strict=False):
        _panel(axes, panel, picture.scale)
    for axes in found[len(picture.panels) :]:
        axes.remove()
    if picture.scale:
        _colour_bar(drawn, found[: len(picture.panels)], picture.scale)
    head = _head(drawn, picture)
    engine: Any = drawn.get_layout_engine()
    engine.set(rect=(0.01, 0.01, 0.98, 0.98 - head / picture.height), w_pad=0.12, h_pad=0.1)
    _legend(drawn, found, picture)
    return drawn


def safe(text: str) -> str:
    """Text in which matplotlib finds no mathematics."""
    return text.replace("$", r"\$")


def _head(drawn: "Figure", picture: Picture) -> int:
    """Title and subtitle, from the left; the pixels they take."""
    lines = [(picture.title, TITLE, "bold", INK), (picture.subtitle, FONT, "normal", QUIET)]
    y = 14
    for text, size, weight, colour in lines:
        if text:
            place = (18 / picture.width, 1 - y / picture.height)
            look: Any = {"size": size * _POINT, "weight": weight, "color": colour}
            drawn.text(*place, safe(text), ha="left", va="top", **look)
            y += round(size * 1.7)
    return y


def _legend(drawn: "Figure", grid: list["Axes"], picture: Picture) -> None:
    """One legend under the picture; a label that several panels share is listed once."""
    listed: dict[str, Any] = {}
    for axes in grid[: len(picture.panels)]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            listed.setdefault(label, handle)
    if listed:
        wide = max(map(len, listed)) * FONT * 0.62 + 50
        drawn.legend(
            list(listed.values()),
            list(listed),
            loc="outside lower center",
            ncols=max(1, min(len(listed), int(picture.width * 0.95 / wide))),
            frameon=False,
            fontsize=FONT * _POINT,
            labelcolor=INK,
        )


def _panel(axes: "Axes", panel: Panel, scale: Scale | None) -> None:
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=0.8)
    for mark in panel.marks:
        _mark(axes, mark, scale)
    _axis(axes, "x", panel.x)
    _axis(axes, "y", panel.y)
    if panel.title:
        axes.set_title(safe(panel.title), fontsize=FONT * _POINT, color=INK, loc="left", weight="bold")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(SOFT)
    axes.tick_params(labelsize=(FONT - 1) * _POINT, colors=INK, color=SOFT)


def _axis(axes: "Axes", which: str, axis: Axis) -> None:
    on: Any = getattr(axes, f"{which}axis")
    on.set_label_text(safe(axis.title), fontsize=FONT * _POINT, color=INK)
    if axis.log:
        getattr(axes, f"set_{which}scale")("log")
    if axis.categories:
        on.set_ticks(range(len(axis.categories)), [safe(name) for name in axis.categories])
        getattr(axes, f"set_{which}lim")(-0.6, len(axis.categories) - 0.4)
        if which == "x" and sum(map(len, axis.categories)) * FONT * 0.6 > 560:
            on.set_tick_params(rotation=40)
        return
    if axis.limits:
        getattr(axes, f"set_{which}lim")(*axis.limits)
    if axis.log:
        on.set_major_formatter(lambda value, _: f"{value:,g}")
    else:
        on.get_major_formatter().set_useOffset(False)
        on.get_major_formatter().set_scientific(False)


def _mark(axes: "Axes", mark: Mark, scale: Scale | None) -> None:
    if isinstance(mark, Series):
        _series(axes, mark, scale)
    elif isinstance(mark, Bars):
        axes.barh(mark.places, mark.lengths, 0.7, color=mark.colour, label=safe(mark.label))
        for place, length, text in zip(mark.places, mark.lengths, mark.texts, strict=True):
            axes.annotate(
                safe(text),
                (length, place),
                (4 if length >= 0 else -4, 0),
                textcoords="offset points",
                va="center",
                ha="left" if length >= 0 else "right",
                fontsize=(FONT - 2) * _POINT,
                color=INK,
            )
        axes.axvline(0, color=INK, linewidth=1)
    elif isinstance(mark, Cells):
        _cells(axes, mark, scale)
    else:
        _region(axes, mark)


def _series(axes: "Axes", mark: Series, scale: Scale | None) -> None:
    look: dict[str, Any] = {"zorder": 3, "label": safe(mark.label) if mark.listed else "_"}
    if mark.x_ends:
        axes.hlines(mark.y, *zip(*mark.x_ends, strict=True), color=SHADE, linewidth=1, zorder=2)
    if mark.y_ends:
        axes.vlines(mark.x, *zip(*mark.y_ends, strict=True), color=SHADE, linewidth=1, zorder=2)
    if mark.values:
        look |= _coloured(scale)
        look |= {"s": (mark.size * _POINT) ** 2, "c": mark.values, "marker": _MARKERS[mark.marker]}
        axes.scatter(mark.x, mark.y, **look)
        return
    axes.plot(
        mark.x,
        mark.y,
        drawstyle="steps-post" if mark.line == "steps" else "default",
        linestyle=_LINES[mark.line],
        linewidth=1.4,
        color=mark.colour,
        marker=_MARKERS[mark.marker],
        markersize=mark.size * _POINT,
        markeredgecolor=INK if mark.edge else "white" if mark.marker else "none",
        markeredgewidth=1.2 if mark.edge else 0.6,
        **look,
    )


def _cells(axes: "Axes", mark: Cells, scale: Scale | None) -> None:
    import numpy as np

    values = np.array([[np.nan if v is None else v for v in row] for row in mark.values], dtype=float)
    axes.pcolormesh(
        np.arange(values.shape[1]),
        np.arange(values.shape[0]),
        np.ma.masked_invalid(values),
        shading="nearest",
        edgecolors="white",
        linewidth=1,
        **_coloured(scale),
    )
    axes.grid(visible=False)


def _region(axes: "Axes", mark: Region) -> None:
    """Hatched, so that it shows in print; behind everything."""
    look: dict[str, Any] = {
        "facecolor": SHADE,
        "alpha": 0.35,
        "hatch": "///",
        "edgecolor": SOFT,
        "linewidth": 0,
        "zorder": 0,
    }
    span = axes.axvspan if mark.axis == "x" else axes.axhspan
    span(mark.low, mark.high, label=safe(mark.label), **look)


def _coloured(scale: Scale | None) -> dict[str, Any]:
    from matplotlib.colors import LinearSegmentedColormap

    if scale is None:
        return {}
    colours = LinearSegmentedColormap.from_list("scale", SCALE[::-1] if scale.reverse else SCALE)
    return {"cmap": colours, "vmin": scale.low, "vmax": scale.high}


def _colour_bar(drawn: "Figure", grid: list["Axes"], scale: Scale) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    look = _coloured(scale)
    mapped = ScalarMappable(Normalize(scale.low, scale.high), look["cmap"])
    bar = drawn.colorbar(mapped, ax=grid, aspect=35, pad=0.02)
    bar.set_label(safe(scale.title), fontsize=FONT * _POINT, color=INK)
    bar.ax.tick_params(labelsize=(FONT - 1) * _POINT, colors=INK)
    bar.outline.set_visible(False)
