"""What a replay says of times: means and percentiles, each with how far another run's may lie.

Requests that follow each other are alike (they share a queue), so that no interval of independent draws
holds. Batch means: the run falls into 20 equal parts in order of arrival; each part's own figure is nearly
independent of the others', and the interval is that of the mean of 20 (Law and Kelton, Simulation Modeling
and Analysis, 9.5.3).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

PERCENTILES = (50, 90, 95, 99)
PARTS = 20
_T = 2.093
"""Student's t of 19 degrees of freedom at 97.5 %."""


@dataclass(frozen=True)
class Figure:
    """One figure, and half the width of its 95 % interval; None where the run is too short for one."""

    value: float
    margin: float | None


def figures(values: Any) -> dict[str, Figure]:
    """Mean and percentiles of values in order of arrival; nothing where there are none."""
    if not len(values):
        return {}
    named = {"mean": np.mean} | {f"p{q}": _percentile(q) for q in PERCENTILES}
    parts = np.array_split(values, PARTS) if len(values) >= 10 * PARTS else []
    return {
        name: Figure(float(of(values)), _margin([float(of(part)) for part in parts]))
        for name, of in named.items()
    }


def _margin(parts: list[float]) -> float | None:
    return float(_T * np.std(parts, ddof=1) / len(parts) ** 0.5) if parts else None


def _percentile(q: int) -> Any:
    return lambda values: np.percentile(values, q)
