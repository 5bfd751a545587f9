"""What goes wrong at the same time, as a list of scenarios: budgeted uncertainty.

Each of the parts of `robust` (latency, rate, traffic, losses) is as predicted or at its worst, at most G of
them at their worst at once. A plan that holds in each of these holds whatever happens in between: capacities
fall with each part. So a scenario that is in nothing worse than another is left out.

A part is as bad as its rule says, `robust.latency` and so on, so that rules can be moved and lifted like any
bound: a factor, or a number of replicas, by itself; a band or a list of hours by a share of the way, 1 being
all of it and 0 nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from optimizer.spec.robust import PARTS

PREFIX = "robust."


def part_of(rule: str) -> str | None:
    """The part that a rule is about; None if it is another rule."""
    part = rule.removeprefix(PREFIX)
    return part if part in PARTS and part != rule else None


def held_as(metric: str, bounds: Mapping[str, float]) -> str:
    """The bound by which a latency is held as far as an aim was reached: of full replicas, as predicted.

    Where something may go wrong, the problem's own bound must hold then too, and this need not.
    """
    return f"{metric}_max" + " as predicted" * any(map(part_of, bounds))


@dataclass(frozen=True)
class Spread:
    """How far predictions of a chip on an engine may be off, as factors."""

    ttft: float
    tpot: float
    """Upper ends of the bands of latencies."""
    rate: float
    """Lower end of the band of rates."""


@dataclass(frozen=True)
class Uncertain:
    """What a problem says may be at its worst."""

    hours: tuple[tuple[float, float], ...] = ()
    """Factors of traffic and of times."""
    at_once: int | None = None
    by_share: tuple[str, ...] = ()
    """Parts whose rule says how much of a band, or of the hours, is meant."""
    spreads: Mapping[tuple[str, str], Spread] = field(default_factory=dict)
    """By chip and engine, where a band is meant."""

    def nothing(self, part: str) -> float:
        """The value of a part's rule at which nothing is wrong."""
        return 0.0 if part in self.by_share or part == "losses" else 1.0

    def may_be(self, part: str, value: float) -> bool:
        """Whether a part's rule may have a value."""
        return 0 < value <= 1 if part == "rate" else value >= self.nothing(part)


@dataclass(frozen=True)
class Scenario:
    """What is wrong at the same time; of nothing, what was predicted and asked for."""

    parts: tuple[str, ...] = ()
    """At their worst."""
    slow: float = 1.0
    """What times are multiplied by."""
    slow_band: float = 0.0
    """How much of the band of latencies they are above that."""
    rate: float = 1.0
    rate_band: float = 0.0
    traffic: float = 1.0
    """Of what is asked for."""
    lost: int = 0
    """Replicas, whichever they are."""

    def no_worse(self, other: "Scenario") -> bool:
        """Whether a plan that holds in another holds in this."""
        return self.rate >= other.rate and all(
            getattr(self, name) <= getattr(other, name)
            for name in ("slow", "slow_band", "rate_band", "traffic", "lost")
        )


def scenarios(uncertain: Uncertain | None, bounds: Mapping[str, float]) -> tuple[Scenario, ...]:
    """The scenarios under some bounds of which none is worse than another in everything."""
    found: list[Scenario] = []
    for own in _all(uncertain or Uncertain(), bounds):
        if not any(own.no_worse(other) for other in found):
            found = [other for other in found if not other.no_worse(own)] + [own]
    return tuple(found)


def _all(uncertain: Uncertain, bounds: Mapping[str, float]) -> Iterator[Scenario]:
    parts = [part for part in PARTS if PREFIX + part in bounds]
    most = len(parts) if uncertain.at_once is None else min(uncertain.at_once, len(parts))
    for size in range(most, -1, -1):
        for some in combinations(parts, size):
            for hour in _hours(uncertain, bounds) if "traffic" in some else [(1.0, 1.0)]:
                yield _scenario(uncertain, bounds, some, hour)


def _hours(uncertain: Uncertain, bounds: Mapping[str, float]) -> list[tuple[float, float]]:
    level = bounds[f"{PREFIX}traffic"]
    if "traffic" not in uncertain.by_share:
        return [(level, 1.0)]
    return [(1 + level * (factor - 1), 1 + level * (slow - 1)) for factor, slow in uncertain.hours]


def _scenario(
    uncertain: Uncertain, bounds: Mapping[str, float], parts: tuple[str, ...], hour: tuple[float, float]
) -> Scenario:
    level = {part: bounds[PREFIX + part] for part in parts}
    banded = {part: level.pop(part) for part in uncertain.by_share if part in level}
    return Scenario(
        parts=parts,
        slow=hour[1] * level.get("latency", 1.0),
        slow_band=banded.get("latency", 0.0),
        rate=level.get("rate", 1.0),
        rate_band=banded.get("rate", 0.0),
        traffic=hour[0],
        lost=int(max(level.get("losses", 0), bounds.get("spares", 0))),
    )
