"""The look of every picture: colours that all eyes tell apart, markers, sizes."""

from collections.abc import Iterable

INK, QUIET, SOFT, GRID, SHADE = "#1b2a41", "#566273", "#8793a3", "#dfe4ea", "#b9c2cd"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#7F7F7F")
"""Of Okabe and Ito (2008), without the yellow that white swallows, and two more."""
ALIEN = ("#1b2a41", "#8c2d04", "#005a32", "#54278f")
"""Of models set beside an answer: dark, so that they stand out from it."""
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star", "hexagon")
"""Where there are more series than colours, or no colours, shapes tell them apart."""
SCALE = (
    "#440154", "#482878", "#3e4989", "#31688e", "#26828e",
    "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725",
)  # fmt: skip
"""Viridis: rises evenly in lightness, in print and to every eye."""
FONT = 13
TITLE = 18


def looks(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each label, in their order: the same in every panel and format."""
    ordered = list(dict.fromkeys(labels))
    return {
        label: (COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)])
        for i, label in enumerate(ordered)
    }
