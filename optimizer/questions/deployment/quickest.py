"""Of plans that are equally good, the one that is quickest at the traffic asked for.

A replica runs as many sequences as its traffic needs, so its time per output token is that of the row with
the fewest sequences that carries the traffic, not that of the full one. Rows that differ in their batch alone
are one family: of each only rows with tpot_ms <= L are left, and the least L that leaves a plan of the same
value is sought by halving, to a hundredth of itself. Each replica then runs its family's fullest row: more
sequences in flight are only allowed, and change nothing at this traffic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from optimizer.columns.deployment import UNIT, DeploymentColumns, Usable
from optimizer.columns.families import PLACED, SETUP
from optimizer.columns.totals import asked
from optimizer.questions.deployment.flow import Case
from optimizer.questions.deployment.optimum import Packed, served
from optimizer.questions.deployment.programme import cases_of

NEAR = 1.01
"""Latencies within a hundredth are the same."""

Probe = Callable[[float], Packed]
"""The plan that serves the most among rows with at most so many ms per output token."""


def quickest(
    columns: DeploymentColumns, bounds: Mapping[str, float], plan: Packed, probe: Probe
) -> Packed | None:
    """The quickest plan within bounds that hold all objectives; None if it is the one given.

    `bounds` name the traffic. Raises what `probe` does.
    """
    usable = columns.within(bounds, prune=False)
    own = [row for row in plan.counts if columns.replicas.mode[row] != "prefill"]
    if not own:
        return None
    high = float(columns.replicas.tpot_ms[own].max())
    found = None
    guess = _alike(columns, usable, plan, asked(bounds["requests_per_s"]))
    if guess is not None and guess * NEAR < high and (trial := probe(guess)).counts:
        high, found = guess, trial
    low = float(_least(columns, usable))
    trying = high / NEAR
    while low < high / NEAR:
        trial = probe(trying)
        if trial.counts:
            high, found = trying, trial
        else:
            low = trying
        trying = float(np.sqrt(low * high))
    return None if found is None else _full(columns, usable, found, cases_of(usable, bounds, total=True))


def _least(columns: DeploymentColumns, usable: Usable) -> float:
    """The least time per output token of any row, ms."""
    r, rows = columns.replicas, usable.rows
    own = rows[r.mode[rows] != "prefill"]
    return float(r.tpot_ms[own].min())


def _alike(columns: DeploymentColumns, usable: Usable, plan: Packed, demand: int) -> float | None:
    """What most plans can reach: each kind of pool with one row on as many chips of its kind, ms.

    A guess from which halving starts; None where a pool's chips are no multiple of any row's.
    """
    r, rows, chips = columns.replicas, usable.rows, columns.replicas.all_chips
    capacity = dict(zip(rows.tolist(), usable.capacity.tolist(), strict=True))
    share = min(1.0, demand / (plan.served * UNIT))
    pools: dict[tuple[str, str, str], list[int]] = {}
    for row in plan.counts:
        if r.mode[row] != "prefill":
            pools.setdefault((r.mode[row], r.chip[row], r.expert_chip[row]), []).append(row)
    worst = 0.0
    for (mode, chip, other), own in pools.items():
        total = sum(plan.counts[row] * int(chips[row]) for row in own)
        needed = share * sum(plan.counts[row] * capacity[row] for row in own)
        same = (r.mode[rows] == mode) & (r.chip[rows] == chip) & (r.expert_chip[rows] == other)
        whole = same & (total % chips[rows] == 0) & (usable.capacity * (total // chips[rows]) >= needed)
        if not whole.any():
            return None
        worst = max(worst, float(r.tpot_ms[rows[whole]].min()))
    return worst


def _full(columns: DeploymentColumns, usable: Usable, plan: Packed, cases: Sequence[Case]) -> Packed:
    """The same replicas, each with room for as many sequences as its setup has within the bounds."""
    counts: dict[int, int] = {}
    for row, n in plan.counts.items():
        fullest = _fullest(columns, usable, row)
        counts[fullest] = counts.get(fullest, 0) + n
    most = served(columns, usable, counts, cases) / UNIT
    return replace(plan, counts=counts, served=most, values={"requests_per_s": most}, bounds={})


def _fullest(columns: DeploymentColumns, usable: Usable, row: int) -> int:
    """Of the rows that differ from one in their batch alone the one that serves the most."""
    r, rows = columns.replicas, usable.rows
    alike = np.all([_same(getattr(r, name), rows, row) for name in (*SETUP, *PLACED)], axis=0)
    alike &= (r.second_tier_gib[rows] > 0) == (r.second_tier_gib[row] > 0)
    for mask in columns.used:
        alike &= _same(mask, rows, row)
    own = np.flatnonzero(alike)
    return int(rows[own[np.argmax(usable.capacity[own])]])


def _same(values: Any, rows: Any, row: int) -> Any:
    return values[rows] == values[row]
