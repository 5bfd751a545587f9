"""What a study that was stopped before its first proof has all the same: the best plan met."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType

from optimizer.report.numbers import value_of
from optimizer.report.parts import titled_lines
from optimizer.report.plans import names_of
from optimizer.spec.studies import Aim


def at_hand(found: Any, aims: Sequence[Aim]) -> Iterator[RenderableType]:
    """The plan at hand of a frontier or a perturbation, where it has one."""
    plan = found.at_hand
    if plan is None:
        return
    reached = [
        f"{aim.metric} {value_of(aim.metric, plan.metrics[aim.metric])} {aim.unit}".strip()
        for aim in aims
        if aim.metric in plan.metrics
    ]
    where = ", ".join(f"{name} {text}".replace("\n", ", ") for name, text in names_of(plan).items())
    yield titled_lines("The best plan met, not proven", [", ".join(reached), where])
