"""Predicted against measured."""

from optimizer.spec.base import Strict


class ValidationGroup(Strict):
    """Errors of one group of points; ratios are predicted over measured."""

    group: str
    value: str
    n: int
    median_ratio: float
    mean_abs_error: float
    median_abs_error: float
    within_25_percent: float


class Validation(Strict):
    """Predicted against measured for a file of points."""

    file: str
    rows: int
    """Rows of the file."""
    rows_read: int
    """The first of them, all that were looked at: fewer than `rows` if it was interrupted."""
    scored: int
    groups: tuple[ValidationGroup, ...]
    unscored: dict[str, int]
    """Reason to number of rows."""
    assumed: dict[str, int] = {}
    """What scored points do not say, and is taken to be so, to their number."""

    @property
    def complete(self) -> bool:
        """Whether every row was looked at."""
        return self.rows_read == self.rows
