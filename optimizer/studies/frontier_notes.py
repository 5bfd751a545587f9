"""What a reader should know of a frontier before believing its shape."""

import math
from collections.abc import Iterator

from optimizer.cost.quality import NOISE
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim

_SAME = 1e-12


def notes_of(aims: tuple[Aim, ...], points: tuple[Plan, ...]) -> tuple[str, ...]:
    """Objectives that do not trade against each other, and why; losses closer than their noise."""
    if len(points) != 1:
        return tuple(_bands(points)) if any(aim.metric == "loss" for aim in aims) else ()
    names = " and ".join(aim.metric for aim in aims)
    return (
        f"one plan is best in {names}: they are constant here, copies of each other, or improve together "
        f"(to within the steps)",
    )


def _bands(points: tuple[Plan, ...]) -> Iterator[str]:
    """How many bands of the loss's noise the points span."""
    losses = [plan.metrics["loss"] for plan in points]
    if not losses:
        return
    share = max(losses) / min(losses) - 1
    bands = max(1, math.ceil(share / NOISE))
    if bands < len(points):
        yield (
            f"the losses of all {len(points)} points span {share:.2%}, {bands} bands of the loss's noise "
            f"({NOISE:.2%}): points within one band are of equal quality"
        )
