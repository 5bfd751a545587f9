"""What binds, for every kind of problem and every study: one definition.

A rule binds if the optimum without it alone is better; its gain is by how much. Every rule in force is
tried, those on shapes and those on metrics, and the largest gain comes first.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isinf

from optimizer.watch import UNWATCHED, Progress, Stopped, Watch

_SAME = 1e-9
"""Optima closer than this, relative, are equal."""

UNLIMITED = float("inf")
"""The optimum, up to its sign, where nothing but the rule limits the objective."""


@dataclass(frozen=True)
class Bears:
    """A rule that binds."""

    rule: str
    gain: float | None
    """The optimum without it less the optimum with it; None where nothing else limits the objective."""


@dataclass(frozen=True)
class WhatBinds:
    """The rules that bind, the largest gain first, and those that there was no time to try."""

    rules: tuple[Bears, ...]
    untried: tuple[str, ...] = ()


def gain_of(optimum: float, without: float | None, sense: int) -> float:
    """The optimum without a rule less the optimum with it; 0 unless it is better, None being no better."""
    if without is None or sense * (optimum - without) <= _SAME * abs(optimum):
        return 0.0
    return without - optimum


def what_binds(
    rules: Iterable[str],
    optimum: float,
    sense: int,
    optimum_without: Callable[[str], float | None],
    watch: Watch = UNWATCHED,
) -> WhatBinds:
    """Try each rule. `optimum_without` may say None for 'no better', and raise Stopped.

    `sense` is +1 to minimise, -1 to maximise; all figures are in the objective's unit.
    """
    names = list(rules)
    found: list[Bears] = []
    for done, rule in enumerate(names):
        watch.say(Progress("what binds", done=done, left=len(names) - done))
        try:
            watch.check()
            gain = gain_of(optimum, optimum_without(rule), sense)
        except Stopped:
            return WhatBinds(_largest_first(found), tuple(names[done:]))
        if gain:
            found.append(Bears(rule, None if isinf(gain) else gain))
    return WhatBinds(_largest_first(found))


def _largest_first(found: list[Bears]) -> tuple[Bears, ...]:
    return tuple(sorted(found, key=lambda row: -abs(UNLIMITED if row.gain is None else row.gain)))
