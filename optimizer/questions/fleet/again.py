"""A fleet priced again from its pools: each at the rows of the price tables that it says it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.metrics import held_least, latencies, totals
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns, Item
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.fleet.routes import checked
from optimizer.questions.fleet.wrong import SETUP, at_worst
from optimizer.questions.replica_choices import CHOICES
from optimizer.spec.plan import Part, Plan, Pool

_SETUP = ("chip", *(column for name, column in CHOICES.items() if name not in ("hardware", "mode")))
_NOISE = Fraction(1, 10**9)
_LIMIT_NOISE = 1e-9
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Again:
    """A plan on columns of its own: an item for each pool, with the one setup that it runs."""

    check: FleetCheck
    pools: tuple[Pool, ...]

    @classmethod
    def of(
        cls, problem: FleetProblem, columns: FleetColumns, plan: Plan, changed: Mapping[str, Any]
    ) -> Self | None:
        """The plan with choices changed in each pool; None where a pool has no such configuration."""
        items: list[Item] = []
        shares: dict[Triple, Fraction] = {}
        for j, pool in enumerate(plan.pools):
            wanted = {CHOICES[name]: value for name, value in changed.items()}
            service = columns.names.index(pool.service)
            model = problem.services[service].number_of(pool.model)
            item = _item(columns, (service, model), pool, _buckets_of(problem, service, pool), wanted)
            if item is None:
                return None
            items.append(item)
            for b, part in _buckets_of(problem, service, pool).items():
                shares[j, 0, b] = Fraction(part.requests_per_s) / Fraction(columns.demands[service][b])
        own, everything = replace(columns, items=tuple(items), used=()), problem.maximize is None
        replicas = {(j, 0): pool.replicas for j, pool in enumerate(plan.pools)}
        shares = _whole(own, shares, everything)
        return cls(checked(own, replicas, shares, everything), plan.pools)

    def late(
        self, rules: Mapping[str, Any], buckets: Sequence[Sequence[Sequence[DeploymentColumns]]]
    ) -> tuple[str, ...]:
        """Bounds on requests that a pool does not keep. `buckets`: priced, by service and model."""
        columns = self.check.columns
        found: dict[str, None] = {}
        for j, item in enumerate(columns.items):
            name, model = columns.names[item.service], item.model
            for b in (key[2] for key in self.check.shares if key[0] == j):
                at = int(item.rows[b, 0])
                row = columns.tables[item.service][model][b].row(at)
                figures = {f"{n}_max": row[n] for n, without in latencies().items() if item.phase != without}
                figures["memory_capacity"] = float(columns.shares[item.service][model][b][at])
                for bound, value in figures.items():
                    limit = rules.get(f"{name}.{bound}")
                    if limit is not None and value > float(limit) * (1 + _LIMIT_NOISE):
                        found[f"{name}.{bound}"] = None
                for metric in held_least():
                    limit = rules.get(bound := f"{name}.{metric}_min")
                    if limit and not buckets[item.service][model][b].reaches(metric, float(limit))[at]:
                        found[bound] = None
        return tuple(found)


def totals_of(check: FleetCheck) -> dict[str, float]:
    """Totals of a fleet; those that a chip in use has no figure for are left out."""
    found = {name: check.total(name) for name in totals()}
    asked = sum(map(sum, check.columns.demands))
    served = {"requests_per_s": check.requests_per_s(), "requests_per_s_asked": asked}
    return {name: value for name, value in found.items() if value is not None} | served


def _buckets_of(problem: FleetProblem, service: int, pool: Pool) -> dict[int, Part]:
    """The bucket of each part: parts come in the order of the buckets, and several may be of one size."""
    left = list(enumerate(problem.services[service].traffic))
    found: dict[int, Part] = {}
    for part in pool.parts:
        size = (part.input_tokens, part.output_tokens)
        at = next(i for i, (_, x) in enumerate(left) if (x.input_tokens, x.output_tokens) == size)
        found[left[at][0]] = part
        left = left[at + 1 :]
    return found


def _item(
    columns: FleetColumns,
    of: tuple[int, int],
    pool: Pool,
    parts: Mapping[int, Part],
    changed: Mapping[str, Any],
) -> Item | None:
    """The setup of a pool at the batch of each of its parts; None where a table has no such row.

    `of`: the service and its model.
    """
    rates, rows, shown = [], [], None
    service, model = of
    for b, table in enumerate(columns.tables[service][model]):
        part = parts.get(b)
        row = None if part is None else _row(table, pool, part, changed)
        if part is not None and row is None:
            return None
        rates.append(0.0 if row is None else float(columns.rates[service][model][b][row]))
        rows.append(-1 if row is None else row)
        shown = shown if row is None else table.row(row)
    if shown is None:
        return None
    own = np.array(rates)[:, None], np.array(rows)[:, None]
    worst = columns.wrong.buckets[service][model] if columns.wrong else ()
    key = tuple(shown[name] for name in SETUP)
    then = tuple(each * (own[1] >= 0) for each in at_worst(worst, [key]))  # of what it is said to serve
    return Item(service, pool.phase, Replicas.of([shown]), *own, model, then)


def _row(table: Replicas, pool: Pool, part: Part, changed: Mapping[str, Any]) -> int | None:
    """The row of a table that a pool runs for one size of request."""
    wanted = {"mode": pool.phase, "batch": part.batch} | {name: getattr(pool, name) for name in _SETUP}
    wanted |= dict(changed) if changed else {"domains": pool.domains}
    same = np.all([getattr(table, name) == value for name, value in wanted.items()], axis=0)
    found = np.flatnonzero(same)
    return int(found[np.argmin(np.abs(table.in_flight[found] - part.in_flight))]) if len(found) else None


def _whole(
    columns: FleetColumns, shares: Mapping[Triple, Fraction], everything: bool
) -> dict[Triple, Fraction]:
    """Shares read from decimals that add up to about one do so exactly, and pairs hand over all they prefill.

    Where everything must be served they do whatever the traffic is: replicas split it as they did.
    """
    nothing = Fraction(0)
    first: dict[tuple[int, int], Fraction] = {}
    pairs: dict[tuple[int, int, str, int], Fraction] = {}
    for (j, _, b), share in shares.items():
        item = columns.items[j]
        own = item.service, item.model, item.phase, b
        pairs[own] = pairs.get(own, nothing) + share
        if item.phase != "decode":
            first[item.service, b] = first.get((item.service, b), nothing) + share
    found = {}
    for (j, k, b), share in shares.items():
        item = columns.items[j]
        total = first.get((item.service, b), nothing)
        found[j, k, b] = share
        if share and total and (everything or abs(total - 1) <= _NOISE):
            if item.phase == "decode":
                handed = pairs.get((item.service, item.model, "prefill", b), nothing)
                share = handed * share / pairs[item.service, item.model, "decode", b]
            found[j, k, b] = share / total
    return found
