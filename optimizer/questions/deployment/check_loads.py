"""What traffic each pool of a deployment gets, and how long requests wait: for its check, in fractions.

Rates are the decimals of the table. It shares no code with what plans.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any


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
        """Requests per second the plan can serve."""
        return self.planned("aggregated") + min(self.planned("prefill"), self.planned("decode"))

    def load(self, mode: str) -> Fraction:
        """Requests per second a pool gets when the traffic is spread evenly."""
        if not self.served:
            return Fraction(0)
        want = self.served if self.demand is None else exact(self.demand)
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
