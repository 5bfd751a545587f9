"""What a calibration found: constants before and after, errors on the rows fitted and on those held out."""

from typing import Literal

from optimizer.spec.base import Strict

Rows = Literal["fitted", "held out"]


class FittedConstant(Strict):
    """One constant of an operator or an engine."""

    name: str
    unit: str
    old: float
    new: float
    """What the file written holds; the old value where it was left alone."""
    left: str = ""
    """Why it was left alone; empty if it was fitted."""


class Errors(Strict):
    """Absolute relative errors of some rows, before and after."""

    name: str
    """Of the rows: 'all', or a metric."""
    rows: Rows
    n: int
    median_before: float
    median_after: float
    mean_before: float
    mean_after: float


class CalibratedPart(Strict):
    """The constants that were fitted together: an operator in one format, or an engine."""

    name: str
    constants: tuple[FittedConstant, ...]
    errors: tuple[Errors, ...]


class Calibration(Strict):
    """A chip or an engine fitted to the rows of a file."""

    file: str
    kind: Literal["chip", "engine"]
    name: str
    starts_from: str
    held_out: str
    """Which rows the fit did not see."""
    parts: tuple[CalibratedPart, ...]
    skipped: dict[str, str]
    """Parts with too few rows to fit, and how many they need."""
    worse: tuple[str, ...]
    """Parts whose mean and median errors on the rows held out rose: too few rows, or not of one kind."""
    unscored: dict[str, int]
    """Reason to number of rows."""
    complete: bool = True
    """False if it was interrupted: parts are missing, or one has the best values met and no more."""
