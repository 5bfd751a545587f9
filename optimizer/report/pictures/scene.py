"""What a picture shows, said once: panels, axes and marks, with no word about the library that draws it.

Two back ends draw a `Picture`: `still` (PNG, SVG and PDF) and `page` (interactive HTML). Text in here is
plain text from anywhere; each back end makes it harmless in its own language.
"""

from dataclasses import dataclass
from typing import Literal

Line = Literal["none", "straight", "steps", "dashed"]


@dataclass(frozen=True)
class Axis:
    """One axis: what it measures with its unit, and what it covers."""

    title: str
    limits: tuple[float, float] | None = None
    """None: what the marks need. Ignored on an axis of categories."""
    log: bool = False
    categories: tuple[str, ...] = ()
    """Named places 0, 1, ... in place of numbers."""


@dataclass(frozen=True)
class Series:
    """Points, with or without a line through them. `steps` hold a y until the next x."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: str
    marker: str = "circle"
    """A name of `style.MARKERS`; '' for none."""
    line: Line = "none"
    hover: tuple[tuple[str, ...], ...] = ()
    """Lines of text for each point."""
    values: tuple[float, ...] = ()
    """Colours of the points on the picture's scale, in place of `colour`."""
    x_ends: tuple[tuple[float, float], ...] = ()
    """Where each point may turn out to be, drawn as bars across it; () for no bars."""
    y_ends: tuple[tuple[float, float], ...] = ()
    size: float = 8.0
    edge: bool = False
    """Whether points have a dark edge, where they would be lost on their ground."""
    listed: bool = True
    """Whether the legend lists it."""


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from zero at places of a category axis."""

    label: str
    places: tuple[int, ...]
    lengths: tuple[float, ...]
    colour: str
    texts: tuple[str, ...]
    """At the end of each bar."""
    hover: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Cells:
    """A value for each pair of categories, by row (y), then column (x); None: nothing is there."""

    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Region:
    """A shaded band across the panel, from `low` to `high` on one of its axes."""

    label: str
    axis: Literal["x", "y"]
    low: float
    high: float


Mark = Series | Bars | Cells | Region


@dataclass(frozen=True)
class Panel:
    """One pair of axes and what is on it; later marks lie on top."""

    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    title: str = ""


@dataclass(frozen=True)
class Scale:
    """What colours mean, from `low` to `high`, dark to light; `reverse` turns the colours round."""

    title: str
    low: float
    high: float
    reverse: bool = False


@dataclass(frozen=True)
class Picture:
    """A whole picture; sizes in pixels of a screen."""

    title: str
    subtitle: str
    panels: tuple[Panel, ...]
    columns: int = 1
    width: int = 1000
    height: int = 650
    scale: Scale | None = None

    @property
    def rows(self) -> int:
        """Rows of panels."""
        return -(-len(self.panels) // self.columns)
