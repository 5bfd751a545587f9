"""Metrics in whole steps of their resolution."""

from collections.abc import Sequence
from math import ceil

from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim

_ON_A_STEP = 1e-9


def steps_of(aims: tuple[Aim, ...], plan: Plan) -> tuple[float, ...]:
    """A plan's metrics in steps, better is lower, rounded to the worse side."""
    return tuple(whole_steps(a, plan.metrics[a.metric]) for a in aims)


def whole_steps(aim: Aim, value: float) -> float:
    """A value in steps, better is lower, rounded to the worse side."""
    return float(ceil(aim.sign * value / aim.step - _ON_A_STEP))


def at_most(aim: Aim, steps: float) -> float:
    """The bound on the metric that a number of steps means."""
    return aim.sign * steps * aim.step


def held_at(aims: Sequence[Aim], number: int, value: float) -> float:
    """The limit at which an aim of several is held while later ones are optimised.

    The first is held at its optimum and the last is reached exactly; one between at its step.
    """
    aim = aims[number]
    return value if number in (0, len(aims) - 1) else at_most(aim, whole_steps(aim, value))
