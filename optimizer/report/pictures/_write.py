"""From a Plotly figure to a file, whole or not at all, with no network."""

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

from optimizer.errors import InputError

WIDTH, HEIGHT, SCALE = 1000, 650, 2
INK, SOFT = "#1b2a41", "#c9d3df"
COLOURS = ("#1f6feb", "#d1495b", "#2a9d8f", "#e9a23b", "#7b5ea7", "#556270", "#8c564b", "#17a2b8")


def figure(title: str, height: int = HEIGHT) -> Any:
    """An empty figure in the house style."""
    import plotly.graph_objects as go

    found = go.Figure()
    found.update_layout(
        title={"text": title, "x": 0.02, "font": {"size": 18}},
        template="plotly_white",
        width=WIDTH,
        height=height,
        font={"color": INK, "size": 13},
        margin={"l": 80, "r": 30, "t": 70, "b": 70},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        hoverlabel={"font": {"family": "monospace"}},
    )
    return found


def save(found: Any, plot: str) -> None:
    """Write a figure. InputError if the file cannot be written."""
    path = Path(plot)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(_bytes(found, path.suffix))
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"plot {plot}: {error.strerror or error}") from None


def _bytes(found: Any, suffix: str) -> bytes:
    if suffix == ".html":
        found.update_layout(width=None, height=None, autosize=True)
        text: str = found.to_html(include_plotlyjs=True, full_html=True, div_id="archsat")
        return text.encode()
    return _still(found, suffix.removeprefix("."))


def _still(found: Any, form: str) -> bytes:
    """A still image from kaleido's own browser; the newer kaleido would look for one on the machine."""
    import plotly

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kaleido.scopes.plotly import PlotlyScope

        class Scope(PlotlyScope):  # type: ignore[misc]
            """Its reader of standard error may see the process vanish between two looks."""

            def _collect_standard_error(self) -> None:
                with contextlib.suppress(AttributeError, ValueError):
                    super()._collect_standard_error()

        script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        scope = Scope(plotlyjs=str(script), mathjax=False)
        height = found.layout.height or HEIGHT
        try:
            image: bytes = scope.transform(
                found.to_dict(), format=form, width=WIDTH, height=height, scale=SCALE
            )
        finally:
            _end(scope)
    return image


def _end(scope: Any) -> None:
    """End the browser, and close what it leaves open."""
    process, reader = scope._proc, scope._std_error_thread
    scope._shutdown_kaleido()
    if reader is not None:
        reader.join(timeout=2)
    for pipe in (process.stdout, process.stderr) if process is not None else ():
        pipe.close()
