"""What a plan holds when something goes wrong, once more for its check: every case by itself, in fractions.

In each, every replica in use runs as the best row of its setup, its own or one with fewer sequences, whose
latencies keep the bounds there. It shares no code with what plans.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.columns.replicas import COLUMNS, Replicas
from optimizer.columns.scenarios import Uncertain
from optimizer.metrics import latencies
from optimizer.questions.cases import Case, cases
from optimizer.questions.deployment.check_loads import Loads, above, exact

_VARY = {
    "batch",
    "in_flight",
    "label",
    "requests_per_s",
    "ttft_ms",
    "tpot_ms",
    *(n for n in COLUMNS if n.endswith("_gib")),
}
"""Columns in which rows of one setup differ."""


@dataclass(frozen=True)
class Surprises:
    """What may go wrong, of a plan's configurations under its bounds."""

    uncertain: Uncertain
    bounds: Mapping[str, float]
    replicas: Replicas
    fits: Callable[[Mapping[str, Any], float], bool]
    """Whether a row takes no more than a share of the memory."""
    percentile: float | None = None
    """At which requests of a queue keep the bound on TTFT."""

    def stood(self, plain: Loads) -> "tuple[Stood, ...]":
        """The same replicas in every case, each as it can run then."""
        return tuple(self._stood(plain, case) for case in cases(self.uncertain, self.bounds))

    def _stood(self, plain: Loads, case: Case) -> "Stood":
        runs = {i: self._run(plain, i, case) for i in plain.rows}
        rows = {i: {**row, "requests_per_s": runs[i][0]} for i, row in plain.rows.items()}
        own = replace(plain, rows=rows, factors={}, utilisation_max=1.0, given=None, spares=case.lost)
        return Stood(case, own, tuple(row for _, row in runs.values() if row is not None))

    def _run(self, plain: Loads, index: int, case: Case) -> tuple[float, Mapping[str, Any] | None]:
        """What a replica of a row serves in a case, of the traffic asked for, and the row it runs as then."""
        own = plain.rows[index]
        share = exact(plain.factors.get(own["mode"], 1.0)) * exact(plain.utilisation_max)
        slow, rate = case.factors(self.uncertain, own["chip"], own["engine"])
        factor = share * rate
        kept = [
            (factor * self._allowed(row, slow), row) for row in self._runs(index) if self._keeps(row, slow)
        ]
        best, row = max(kept, key=lambda found: found[0], default=(Fraction(0), None))
        return float(min(best, plain.planned_rate(index)) / case.traffic), row

    def _runs(self, index: int) -> list[dict[str, Any]]:
        """The rows that a replica of a row may run as: its own, and those with fewer sequences."""
        if index not in self._known:
            self._known[index] = self._found(index)
        return self._known[index]

    @cached_property
    def _known(self) -> dict[int, list[dict[str, Any]]]:
        return {}

    def _found(self, index: int) -> list[dict[str, Any]]:
        r, own = self.replicas, self.replicas.row(index)
        alike = (r.second_tier_gib > 0) == (own["second_tier_gib"] > 0)
        for name in COLUMNS.keys() - _VARY:
            alike &= getattr(r, name) == own[name]
        share = self.bounds.get("memory_capacity", math.inf)
        alike &= (
            r.batch == own["batch"]
            if own["in_flight"] and own["mode"] == "prefill"
            else r.batch <= own["batch"]
        )
        fewer = r.in_flight < own["in_flight"] if own["in_flight"] else r.batch < own["batch"]
        smaller = np.flatnonzero(alike & fewer).tolist()
        return [own, *(row for row in map(r.row, smaller) if self.fits(row, share) and self._keeps(row, {}))]

    def _keeps(self, row: Mapping[str, Any], slow: Mapping[str, Fraction]) -> bool:
        """Whether a row's latencies, so many times as long, keep the bounds."""
        return not any(
            row["mode"] != without
            and above(row[name] * float(slow.get(name, 1)), self.bounds.get(f"{name}_max"))
            for name, without in latencies().items()
        )

    def _allowed(self, row: Mapping[str, Any], slow: Mapping[str, Fraction]) -> Fraction:
        """Requests per second that a row may be given, its queue in time."""
        stated, limit = exact(row["requests_per_s"]), self.bounds.get("ttft_ms_max")
        if self.percentile is None or limit is None or row["mode"] == "decode":
            return stated
        service, late = max(row["requests_per_s"], 1e3 / row["ttft_ms"]), 1 - self.percentile / 100
        room_s = (limit / float(slow["ttft_ms"]) - row["ttft_ms"]) / 1e3
        low, high = 0.0, 1.0
        for _ in range(60):  # P(wait > t) = rho exp(-(1 - rho) mu t) rises with rho
            rho = (low + high) / 2
            in_time = rho < 1 and rho * math.exp(-(1 - rho) * service * room_s) <= late
            low, high = (rho, high) if in_time else (low, rho)
        return min(stated, Fraction(low * service))


@dataclass(frozen=True)
class Stood:
    """A plan in one case."""

    case: Case
    loads: Loads
    """Of the traffic asked for."""
    runs: tuple[Mapping[str, Any], ...]
    """The rows that its replicas run as, of those that can."""
