"""Predicted against measured, on logarithmic axes, by source: on the line is right."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from optimizer.report.pictures.scene import Axis, Panel, Picture, Series
from optimizer.report.pictures.style import INK, SOFT, looks
from optimizer.report.pictures.write import save
from optimizer.report.words import plain

MARGIN = 0.25


class Pair(NamedTuple):
    """One measured point: where it comes from, what it is (lines), both values."""

    source: str
    label: tuple[str, ...]
    measured: float
    predicted: float


def draw(points: Sequence[Pair], plot: str, title: str = "Predicted against measured") -> None:
    """Write the picture."""
    save(picture(points, title), plot)


def picture(points: Sequence[Pair], title: str) -> Picture:
    """Every point with two positive values, lines of equality and of the margin around it."""
    good = [p for p in points if p.measured > 0 and p.predicted > 0]
    left_out = len(points) - len(good)
    without = f", {left_out} without two positive values left out" if left_out else ""
    values = [value for p in good for value in (p.measured, p.predicted)] or [1.0]
    ends = (min(values) / 1.4, max(values) * 1.4)
    axes = [Axis(name, limits=ends, log=True) for name in ("Measured", "Predicted")]
    return Picture(
        title=plain(title),
        subtitle=f"{len(good)} points{without}",
        panels=(Panel(axes[0], axes[1], (*_lines(ends), *_sources(good))),),
        width=900,
        height=860,
    )


def _lines(ends: tuple[float, float]) -> list[Series]:
    straight = [(1.0, "Equal", True), (1 + MARGIN, f"Within {MARGIN:.0%}", True), (1 - MARGIN, "", False)]
    return [
        Series(
            label,
            ends,
            (ends[0] * factor, ends[1] * factor),
            INK if factor == 1 else SOFT,
            marker="",
            line="straight" if factor == 1 else "dashed",
            listed=listed,
        )
        for factor, label, listed in straight
    ]


def _sources(points: Sequence[Pair]) -> list[Series]:
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in points:
        groups[pair.source].append(pair)
    return [
        Series(
            plain(f"{source} ({len(groups[source])})", 60),
            tuple(p.measured for p in groups[source]),
            tuple(p.predicted for p in groups[source]),
            colour,
            marker,
            hover=tuple(map(_hover, groups[source])),
        )
        for source, (colour, marker) in looks(sorted(groups)).items()
    ]


def _hover(pair: Pair) -> tuple[str, ...]:
    values = f"measured {pair.measured:.5g}, predicted {pair.predicted:.5g}"
    return (*map(plain, pair.label), f"{values}, {pair.predicted / pair.measured - 1:+.1%}")
