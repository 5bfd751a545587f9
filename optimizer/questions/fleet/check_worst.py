"""What a fleet holds when something goes wrong, once more for its check: every case by itself, in fractions.

In each a replica runs each bucket at the batch of its setup that serves the most of it within the bounds
then, looked up in the priced rows. It shares no code with what plans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from optimizer.metrics import latencies
from optimizer.questions.cases import Case, cases
from optimizer.questions.deployment.check_loads import above, exact
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.wrong import SETUP, Wrong

NOISE = Fraction(1, 10**8)
"""More than full by so little is full: floats say what each setup is given."""

Key = tuple[int, int]
Shares = Mapping[tuple[int, int, int], Fraction]


@dataclass(frozen=True)
class Stood:
    """A fleet in one case."""

    case: Case
    fullest: Fraction | None
    """The largest busy share of a pool, each service splitting its traffic in the best of its ways.

    None where a pool can serve nothing of what it gets.
    """

    @property
    def holds(self) -> bool:
        """Whether no pool has more than it can do."""
        return self.fullest is not None and self.fullest <= 1 + NOISE


def stood(columns: FleetColumns, replicas: Mapping[Key, int], routes: Sequence[Shares]) -> tuple[Stood, ...]:
    """A fleet in every case of what may go wrong; none where nothing may."""
    if columns.wrong is None:
        return ()
    every = cases(columns.wrong.first.uncertain, columns.wrong.levels)
    return tuple(
        Stood(case, _InCase(columns, columns.wrong, replicas, case).fullest(routes)) for case in every
    )


@dataclass
class _InCase:
    columns: FleetColumns
    wrong: Wrong
    replicas: Mapping[Key, int]
    case: Case
    known: dict[tuple[int, int, int], Fraction] = field(default_factory=dict)

    def fullest(self, routes: Sequence[Shares]) -> Fraction | None:
        """The largest busy share of a pool, each service splitting its traffic in the best of its ways."""
        found = Fraction(0)
        for service in range(len(self.columns.names)):
            ways = [own for route in routes if (own := self._fullest(service, route)) is not None]
            if not ways:
                return None
            found = max(found, min(ways))
        return found

    def _fullest(self, service: int, route: Shares) -> Fraction | None:
        busy: dict[Key, Fraction] = {}
        for (j, k, b), share in route.items():
            if self.columns.items[j].service == service and share:
                rate, n = self._rate(j, k, b), self.replicas.get((j, k), 0)
                if not rate or not n:
                    return None
                came = exact(self.columns.demands[service][b]) * self.case.traffic * share
                busy[j, k] = busy.get((j, k), Fraction(0)) + came / rate / n
        return max(busy.values(), default=Fraction(0))

    def _rate(self, j: int, k: int, b: int) -> Fraction:
        """The most that a replica of a setup serves of a bucket."""
        if (j, k, b) not in self.known:
            self.known[j, k, b] = self._best(j, k, b)
        return self.known[j, k, b]

    def _best(self, j: int, k: int, b: int) -> Fraction:
        item = self.columns.items[j]
        at = item.service, item.model
        table, own = self.columns.tables[at[0]][at[1]][b], self.wrong.buckets[at[0]][at[1]][b]
        rates, limits = self.columns.rates[at[0]][at[1]][b], self.wrong.limits[item.service]
        alike = np.zeros(len(table), dtype=bool)
        alike[own.rows] = True
        for name in SETUP:
            alike &= getattr(table, name) == getattr(item.setups, name)[k]
        slow, factor = self.case.factors(own.uncertain, str(item.setups.chip[k]), str(item.setups.engine[k]))
        found = Fraction(0)
        for i in np.flatnonzero(alike).tolist():
            late = any(
                item.phase != without
                and above(float(getattr(table, name)[i]) * float(slow[name]), limits.get(f"{name}_max"))
                for name, without in latencies().items()
            )
            found = found if late else max(found, factor * exact(rates[i]))
        return found
