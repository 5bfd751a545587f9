"""How far measurements lie from predictions of a kind: what a figure of the cost model may turn out to be."""

from optimizer.spec.base import Strict


class Band(Strict):
    """Ends around a prediction, as factors: eight in ten of what was measured lay between them."""

    low: float
    high: float
    rows: int
    """Measured rows it stands on, each predicted with constants that were not set on it."""
    group: str
    """Which rows, in words."""


class Around(Strict):
    """What a figure of an answer may turn out to be: the ends of its band, in its unit."""

    low: float
    high: float
    rows: int
    group: str
    """Which rows, in words."""
