"""Types of values that constraints take."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _ascending(band: tuple[float, float]) -> tuple[float, float]:
    if band[0] > band[1]:
        raise ValueError(f"low {band[0]:g} is above high {band[1]:g}")
    return band


Band = Annotated[
    tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], AfterValidator(_ascending)
]
Share = Annotated[float, Field(gt=0, le=1)]


def widened(band: list[float]) -> list[list[float]]:
    """Wider bands around a band, the nearest first: 5 % on each side up to a factor of four."""
    low, high = band
    return [[round(low / by, 4), round(high * by, 4)] for by in (1.05, 1.1, 1.25, 1.5, 2.0, 4.0)]
