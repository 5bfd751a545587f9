"""Types of values that constraints take."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field


def _ascending(band: tuple[float, float]) -> tuple[float, float]:
    if band[0] > band[1]:
        raise ValueError(f"low {band[0]:g} is above high {band[1]:g}")
    return band


def _on(value: Any) -> Any:
    """1 equals True in Python, and is a number all the same."""
    if value is not True:
        raise ValueError("not true or false")
    return value


On = Annotated[Literal[True], BeforeValidator(_on)]
"""A rule that is on or off; off is taken away before."""
Band = Annotated[
    tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], AfterValidator(_ascending)
]
Share = Annotated[float, Field(gt=0, le=1)]
MOST_REQUESTS_PER_S = 1e9
"""More than the world sends; shares of replicas are counted exactly up to here."""
RequestsPerS = Annotated[float, Field(ge=1e-9, le=MOST_REQUESTS_PER_S)]


def widened(band: list[float]) -> list[list[float]]:
    """Wider bands around a band, the nearest first: 5 % on each side up to a factor of four."""
    low, high = band
    return [[round(low / by, 4), round(high * by, 4)] for by in (1.05, 1.1, 1.25, 1.5, 2.0, 4.0)]
