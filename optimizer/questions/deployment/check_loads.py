"""What traffic each pool of a deployment gets, and how long requests wait: for its check, in fractions.

Rates are the decimals of the table. It shares no code with what plans.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from optimizer.anatomy.losses import left

NOISE = Fraction(1, 10**9)
_SIDES = (("aggregated", "prefill"), ("aggregated", "decode"))
"""Pools that serve each half of a request."""


@dataclass(frozen=True)
class Loads:
    """The rows in use, replicas of each, and the traffic."""

    rows: Mapping[int, Mapping[str, Any]]
    counts: Mapping[int, int]
    factors: Mapping[str, float]
    demand: float | None
    utilisation_max: float = 1.0
    given: Mapping[int, float] | None = None
    """With a percentile: the requests per second the plan gives each replica of a row at most."""
    spares: int = 0
    """Replicas of which any may be lost."""

    def rate(self, index: int) -> Fraction:
        """Requests per second of one replica as its row states it."""
        return exact(self.rows[index]["requests_per_s"])

    def planned_rate(self, index: int) -> Fraction:
        """Requests per second one replica is planned with: factors applied, and what the queue allows."""
        share = exact(self.factors.get(self.rows[index]["mode"], 1.0)) * exact(self.utilisation_max)
        stated = self.rate(index) * share
        return stated if self.given is None else min(stated, exact(self.given[index]))

    def planned(self, mode: str) -> Fraction:
        """Rate a pool is planned with."""
        mine = (i for i, row in self.rows.items() if row["mode"] == mode)
        return sum((self.counts[i] * self.planned_rate(i) for i in mine), Fraction(0))

    @cached_property
    def served(self) -> Fraction:
        """Requests per second the plan can serve with nothing lost."""
        return self.planned("aggregated") + min(self.planned("prefill"), self.planned("decode"))

    @cached_property
    def losses(self) -> "tuple[Loads, ...]":
        """What is left when the largest replicas of one side, or of the other, are lost: no loss is worse."""
        return tuple(self._without(side) for side in _SIDES) if self.spares else ()

    def _without(self, modes: tuple[str, ...]) -> "Loads":
        own = {i: n for i, n in self.counts.items() if self.rows[i]["mode"] in modes}
        gone = left(own, {i: self.planned_rate(i) for i in own}, self.spares)
        return replace(self, counts={**self.counts, **gone}, spares=0)

    @cached_property
    def held(self) -> Fraction:
        """Requests per second the plan can serve whichever spares are lost."""
        return min((loss.served for loss in self.losses), default=self.served)

    @property
    def may_be_lost(self) -> int:
        """Replicas of which any may be lost, and the demand is served; of no demand, the spares."""
        if self.demand is None:
            return self.spares
        low, high = 0, sum(self.counts.values())
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if replace(self, spares=middle).carries else (low, middle)
        return low

    @property
    def carries(self) -> bool:
        """Whether what is asked for is served whichever spares are lost; of no demand, anything."""
        if self.demand is None:
            return not self.spares or self.held > 0
        return self.held * (1 + NOISE) >= exact(self.demand)

    def load(self, mode: str) -> Fraction:
        """Requests per second a pool gets when the traffic is spread evenly."""
        if not self.served:
            return Fraction(0)
        want = self.held if self.demand is None else exact(self.demand)
        through = min(self.planned("prefill"), self.planned("decode"))
        own = self.planned("aggregated") if mode == "aggregated" else through
        return own * min(Fraction(1), want / self.served)

    def utilisation(self, mode: str) -> float:
        """Load of a pool over the rate its rows state."""
        stated = sum((self.counts[i] * self.rate(i) for i in self.rows if self.rows[i]["mode"] == mode), 0)
        return float(self.load(mode) / stated) if stated else 0.0

    def in_time(self, percentile: float, ttft_ms_max: float | None) -> bool:
        """Whether the percentile's wait of an M/M/1 queue, at the load each replica gets, is short enough."""
        if ttft_ms_max is None:
            return True
        late = 1 - percentile / 100
        for i, row in self.rows.items():
            if row["mode"] == "decode":
                continue
            service = max(row["requests_per_s"], 1e3 / row["ttft_ms"])
            pool = self.planned(row["mode"])
            rho = float(self.planned_rate(i) * self.load(row["mode"]) / pool) / service
            if rho >= 1:
                return False
            if rho > late:
                wait_ms = 1e3 * math.log(rho / late) / ((1 - rho) * service)
                if above(row["ttft_ms"] + wait_ms, ttft_ms_max):
                    return False
        return True


def exact(value: float) -> Fraction:
    """A number as its shortest decimal, as a table or a problem file writes it."""
    return Fraction(repr(float(value)))


def above(value: float, limit: float | None) -> bool:
    """Whether a value passes a limit by more than floats lose."""
    return limit is not None and value > limit + abs(limit) * 1e-9
