"""Why some replicas carry no more: each reason is a row of the programme, true of all fleets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from optimizer.columns.totals import MOST
from optimizer.errors import InputError
from optimizer.questions.fleet.carrying import Key
from optimizer.questions.fleet.columns import Item
from optimizer.questions.fleet.worth import Worth
from optimizer.search.programme import Programme

_SCALES = tuple(Fraction(10) ** n for n in (0, 1, 2, 3, 4, 6, 8, 10, 12, -2, -4, -6))


@dataclass
class Reasons:
    """The reasons known so far, as rows of a programme that is in the making."""

    m: Programme
    items: Sequence[Sequence[Item]]
    """In each case of what may go wrong."""
    demands: Sequence[Sequence[Sequence[int]]]
    """Of each bucket of each service in each case, in 1e-8 requests/s."""
    at: Mapping[Key, tuple[int, int]]
    """The variable of each setup, and the replicas one unit of it stands for."""
    served: Mapping[int, int]
    """The variable for the traffic served of each service, where not all of it must be."""
    known: set[tuple[frozenset[tuple[int, int]], int]] = field(default_factory=set)
    met: dict[int, list[Worth]] = field(default_factory=dict)
    """Those that replicas of each service gave."""

    def start(self, service: int, known: Sequence[Worth] = ()) -> None:
        """Every bucket needs replicas that prefill it, and replicas that decode it; none is overfull.

        Where so many setups of several models wait that a row for each were too many, what is `known`.
        """
        buckets = len(self.demands[0][service])
        zero = (Fraction(0),) * buckets
        for b in range(buckets):
            one = tuple(Fraction(int(at == b)) for at in range(buckets))
            for worth in (Worth(one, zero), Worth(zero, one)):
                for case in range(len(self.items)):
                    self.add(service, replace(worth, case=case), {})
        for worth in known:
            self.add(service, worth, {})
        for case, items in enumerate(() if known else self.items):
            for item in items:
                for k in range(len(item.setups) if item.service == service else 0):
                    self.add(service, replace(_tuned(item, k), case=case), {})

    def add(self, service: int, worth: Worth, replicas: Mapping[Key, int]) -> None:
        """A row that says what replicas can carry, in whole numbers that still refuse these."""
        demand = self.demands[worth.case][service]
        if replicas:
            self.met.setdefault(service, []).append(worth)
        each = self._each(service, worth)
        rest = worth.unserved(demand)
        if service in self.served:
            sums = self.m.least[self.served[service]]
            row = {self.at[key][0]: math.ceil(r) for key, r in each.items()}
            sums.append((row, math.ceil(rest)))
            self._once(row | {self.served[service]: -1}, -math.ceil(rest))
            return
        need = sum(demand) - rest
        for scale in _SCALES:
            row = {self.at[key][0]: math.ceil(r * scale) for key, r in each.items()}
            low = math.floor(need * scale)
            size = sum(c * self.m.highs[v] for v, c in row.items())
            if size <= MOST and sum(row[self.at[key][0]] * n for key, n in replicas.items()) < low:
                divisor = math.gcd(*row.values()) or 1
                self._once({v: c // divisor for v, c in row.items()}, -(-low // divisor))
                return
        raise InputError("requests_per_s: too much traffic, or rates too close, to plan exactly")

    def _each(self, service: int, worth: Worth) -> dict[Key, Fraction]:
        """What one replica of each setup adds at most."""
        own = self.items[worth.case]
        items = {j: own[j] for j in {key[0] for key in self.at} if own[j].service == service}
        most = {j: worth.replicas(item.phase, item.capacity, item.model) for j, item in items.items()}
        return {(j, k): most[j][k] for j, k in self.at if j in items}

    def _once(self, row: Mapping[int, int], low: int) -> None:
        key = (frozenset(row.items()), low)
        if key not in self.known:
            self.known.add(key)
            self.m.row(row, low=low)


def _tuned(item: Item, k: int) -> Worth:
    """The worth of requests to a setup that is as busy with each: its row is exact where it serves alone."""
    rates = item.capacity[:, k].tolist()
    slowest = min((r for r in rates if r), default=1)
    worth = tuple(Fraction(slowest, r) if r else Fraction(1) for r in rates)
    zero = (Fraction(0),) * len(rates)
    return Worth(zero, worth) if item.phase == "decode" else Worth(worth, zero)
