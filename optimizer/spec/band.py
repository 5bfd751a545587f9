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

    def around(self, value: float) -> tuple[float, float]:
        """The ends of a prediction, in its unit."""
        return value * self.low, value * self.high
