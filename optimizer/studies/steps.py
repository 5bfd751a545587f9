"""Metrics in whole steps of their resolution."""

from math import ceil

from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim

_ON_A_STEP = 1e-9


def steps_of(aims: tuple[Aim, ...], plan: Plan) -> tuple[float, ...]:
    """A plan's metrics in steps, better is lower, rounded to the worse side."""
    return tuple(float(ceil(a.sign * plan.metrics[a.metric] / a.step - _ON_A_STEP)) for a in aims)


def at_most(aim: Aim, steps: float) -> float:
    """The bound on the metric that a number of steps means."""
    return aim.sign * steps * aim.step
