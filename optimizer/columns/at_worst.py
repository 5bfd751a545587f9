"""What each configuration is worth in a scenario, and how much of the traffic asked for must be reached.

Both are multiplied by what slows replicas down, so that no third of a digit is lost: to reach 1.2 times the
traffic with replicas that take 1.3 times as long is to reach 1.56 times the traffic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.columns.families import best_within, sequences
from optimizer.columns.replicas import Replicas
from optimizer.columns.scenarios import Scenario, Spread, Uncertain, scenarios
from optimizer.metrics import latencies

_BOUND_NOISE = 1e-12


@dataclass(frozen=True)
class Worst:
    """One scenario."""

    scenario: Scenario
    rates: Any
    """Requests/s of each row, times what slows them all."""
    asked: float
    """Of the traffic asked for, what these must reach."""

    @property
    def of_asked(self) -> Any:
        """Requests/s of each row, of the traffic asked for."""
        return self.rates / self.asked

    def at(self, which: Any) -> "Worst":
        """Some of the rows, as numbers among them."""
        return replace(self, rates=self.rates[which])


def factors(r: Replicas, spreads: Mapping[tuple[str, str], Spread], s: Scenario) -> dict[str, Any]:
    """What times of each row are multiplied by in a scenario, by metric, and `rate` what rates are.

    A step that takes f times as long serves 1 / f of the requests; of that and a lower rate the lower counts.
    """
    slow = {name: s.slow * _reach(r, spreads, name, s.slow_band) for name in ("ttft_ms", "tpot_ms")}
    return {**slow, "rate": np.minimum(s.rate * _reach(r, spreads, "rate", s.rate_band), 1 / slow["tpot_ms"])}


def _reach(r: Replicas, spreads: Mapping[tuple[str, str], Spread], name: str, share: float) -> Any:
    """A share of the way to the end of the band of each row's chip and engine."""
    if not share:
        return np.ones(len(r))
    ends = {key: getattr(own, name.removesuffix("_ms")) for key, own in spreads.items()}
    keys = zip(r.chip.tolist(), r.engine.tolist(), strict=True)
    return 1 + share * (np.array([ends[key] for key in keys]) - 1)


def at_worst(
    r: Replicas,
    uncertain: Uncertain,
    bounds: Mapping[str, float],
    rows: Any,
    family: Any,
    rates: Callable[[Mapping[str, Any]], Any],
) -> tuple[Worst, ...]:
    """Every scenario under some bounds, with the rates of some rows, which keep the bounds as predicted.

    `rates`: planned with for all rows under bounds, of which a limit may be one for each row.
    """
    predicted, running = rates(bounds)[rows], sequences(r)[rows]
    found = []
    for s in scenarios(uncertain, bounds):
        by = factors(r, uncertain.spreads, s)
        known = [name for name in latencies() if f"{name}_max" in bounds]
        limits = {f"{name}_max": bounds[f"{name}_max"] / by[name] for name in known}
        own = (rates({**bounds, **limits}) * by["rate"])[rows]
        for name in known:
            late = (r.mode != latencies()[name]) & above(getattr(r, name), limits[f"{name}_max"])
            own = np.where(late[rows], 0.0, own)
        best = best_within(family[rows], running, np.maximum(own, 0.0))
        alike = not s.slow_band and not s.rate_band and 1 / s.slow <= s.rate
        slow = s.slow if alike else 1.0
        found.append(Worst(s, np.minimum(best, predicted) * slow, s.traffic * slow))
    return tuple(found)


def slowed(r: Replicas, uncertain: Uncertain | None, name: str, bounds: Mapping[str, float]) -> Any:
    """A latency of the rows that have it, as predicted and in each scenario under some bounds."""
    own = r.take(r.mode != latencies()[name])
    values, spreads = getattr(own, name), uncertain.spreads if uncertain else {}
    worst = (values * factors(own, spreads, s)[name] for s in scenarios(uncertain, bounds))
    return np.concatenate([values, *worst])


def needed(worst: tuple[Worst, ...]) -> tuple[Worst, ...]:
    """The scenarios that no other implies: one in which no row is worth more, and as many are lost."""
    found: list[Worst] = []
    for own in worst:
        if not any(_implies(other, own) for other in found):
            found = [other for other in found if not _implies(own, other)] + [own]
    return tuple(found)


def _implies(a: Worst, b: Worst) -> bool:
    return a.scenario.lost >= b.scenario.lost and bool((a.of_asked <= b.of_asked).all())


def above(values: Any, limit: Any) -> Any:
    """Which values are above a limit by more than floats lose; none of no limit."""
    if limit is None:
        return np.zeros(len(values), dtype=bool)
    return values > limit * (1 + _BOUND_NOISE)
