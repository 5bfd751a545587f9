"""The fewest chips, dollars or watts for some traffic, or the most traffic: whole numbers of replicas.

    minimise  sum n_k cost_k      (or maximise T)
    T = min(A + P, A + D) >= demand        A, P, D: sums of capacity_k n_k over aggregated, prefill, decode
    in each scenario that the plan must stand, with its replicas lost (questions/deployment/flow.py)
    sum n_k tokens_k >= what caches must hold, or as much as can be
    chips of each kind <= what there is, packed into nodes (search/packing.py)

Rates are whole numbers of 1e-8 requests/s, money of 1e-6 USD, power of milliwatts: no rounding decides.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from optimizer.columns.deployment import DeploymentColumns, Usable, planned
from optimizer.columns.totals import MOST, asked, each_of, limit_of
from optimizer.errors import InputError, Unlimited
from optimizer.metrics import held_sums, totals
from optimizer.questions.deployment.flow import Case
from optimizer.questions.replica_programme import AGGREGATED, ReplicaProgramme
from optimizer.search.packing import Part, added, pack_nodes

Objectives = Sequence[tuple[str, int]]


@dataclass
class DeploymentProgramme(ReplicaProgramme):
    """Replicas of each configuration that the bounds on one replica leave."""

    columns: DeploymentColumns = field(kw_only=True)
    usable: Usable = field(kw_only=True)
    wanted: Sequence[str] = field(kw_only=True)
    """The quantities to be optimised."""

    @classmethod
    def of(
        cls, columns: DeploymentColumns, usable: Usable, limits: Mapping[str, float], wanted: Sequence[str]
    ) -> Self:
        """The programme of the rows that are left; InputError, or Unlimited, for what cannot be planned."""
        return cls(columns.supplies, limits, columns=columns, usable=usable, wanted=wanted)

    def __post_init__(self) -> None:
        replicas, rows = self.columns.replicas, self.usable.rows
        self.mode: list[str] = replicas.mode[rows].tolist()
        self.chips: list[int] = replicas.all_chips[rows].tolist()
        self.sides = self._sides()
        self.cases = cases_of(self.usable, self.limits)
        names = tokens_counted(self.wanted, self.limits)
        self.tokens: dict[str, list[int]] = {n: self.columns.tokens(n)[rows].tolist() for n in names}
        self.demand = self._demand()
        self.stock = self._stock()
        tops = [self._most(k) for k in range(len(rows))]
        self.cases = [replace(case, lost=min(case.lost, sum(tops))) for case in self.cases]
        totals = cases_of(self.usable, self.limits, total=True) if self.usable.worst else self.cases
        self.totals = [replace(case, lost=min(case.lost, sum(tops))) for case in totals]
        for each, lost in [
            *((c.capacity, c.lost) for c in self.cases),
            *((t, 0) for t in self.tokens.values()),
        ]:
            most = sum(c * top for c, top in zip(each, tops, strict=True))
            if max(most, lost * max(each)) > MOST:
                raise InputError("requests_per_s: too much traffic, or too many chips, to plan exactly")
        self.n = [self.m.variable(0, top) for top in tops]
        self.parts = [Part(self.n[k], *side) for k, sides in enumerate(self.sides) for side in sides]
        self._flow()
        caches = zip(self.n, replicas.kv_dtype[rows].tolist(), self.mode, strict=True)
        self.formats = self.one_cache_format([(i, name) for i, name, own in caches if own != AGGREGATED])
        if self.columns.same:
            self.one_setup_a_phase(dict(zip(self.n, self.mode, strict=True)))
        for mask in self.columns.used:
            self.use_one_of(i for i, used in zip(self.n, mask[rows].tolist(), strict=True) if used)
        self.keep_limits()
        for name in self.tokens:
            if f"{name}_min" in self.limits:
                self.m.row(self.goal(name), low=self._least_tokens(name))
        self.nodes = pack_nodes(self, "nodes" in self.wanted or "nodes_max" in self.limits)
        if "nodes_max" in self.limits:
            self.m.row(dict.fromkeys(self.nodes.values(), 1), high=int(self.limits["nodes_max"]))

    def _sides(self) -> list[list[tuple[int, int, int]]]:
        """Kind, size and number of each replica's blocks; experts that lie apart stand one by one."""
        rows = self.usable.rows.tolist()
        own = self.columns.chip_index(rows).tolist()
        other = self.columns.chip_index(rows, "expert_chip").tolist()
        apart = self.columns.replicas.expert_chips[rows].tolist()
        return [
            [(a, size, n) for size, n in self.columns.replicas.blocks(row)]
            + ([(b, 1, alone)] if alone else [])
            for row, a, b, alone in zip(rows, own, other, apart, strict=True)
        ]

    def _demand(self) -> int | None:
        rate = self.limits.get("requests_per_s")
        return None if rate is None else asked(rate)

    def _stock(self) -> list[int | None]:
        """Chips of each kind that a plan can use, from the inventory and from limits on totals."""
        found: list[int | None] = []
        for s in self.supplies:
            tops = [] if (limit := self.inventory(s.name)) is None else [limit]
            for name in totals():
                if f"{name}_max" in self.limits and (each := each_of(s, name)) > 0:
                    tops.append(limit_of(name, self.limits[f"{name}_max"]) // each)
            if "nodes_max" in self.limits and s.node:
                tops.append(int(self.limits["nodes_max"]) * s.node)
            found.append(min(tops) if tops else None)
        return found

    def _most(self, k: int) -> int:
        need = added((kind, size * n) for kind, size, n in self.sides[k])
        tops = [stock // n for kind, n in need.items() if (stock := self.stock[kind]) is not None]
        free = {"requests_per_s", *self.tokens} & {*self.wanted}
        if self.demand is not None and not free:
            tops.append(max(self._enough(k)))
        if not tops:
            most = " and ".join(sorted(free & {*self.tokens})) or "traffic"
            raise Unlimited(
                f"hardware: nothing limits {self.supplies[self.sides[k][0][0]].name}; give max_count, "
                f"chips_max, usd_per_hour_max or power_w_max to ask for the most {most}"
            )
        return min(tops)

    def _enough(self, k: int) -> Iterator[int]:
        """Replicas of a row that alone carry the traffic, and that alone hold the tokens if they hold any.

        Those that may be lost are added: more than that are of no use.
        """
        if self.demand is not None:
            yield from (case.enough(k) for case in self.cases)
        for name, each in self.tokens.items():
            if each[k]:
                yield -(-self._least_tokens(name) // each[k]) + max(case.lost for case in self.cases)

    def _least_tokens(self, name: str) -> int:
        return math.ceil(self.limits.get(f"{name}_min", 0))

    def _flow(self) -> None:
        """What is asked for is served in every scenario, or the most that is."""
        of = self.m, self.n, self.mode
        asked = [(case, case.sides(*of)) for case in self.cases]
        for case, sides in asked:
            for side in sides:
                if case.demand is not None:
                    side.reach(case.demand)
        if "requests_per_s" in self.wanted:
            if self.totals != self.cases:
                asked = [(case, case.sides(*of)) for case in self.totals]
            most = min(case.most(*of) for case, _ in asked)
            self.total = self.m.least_of([(side.held, 0) for _, sides in asked for side in sides], 0, most)

    def goal(self, name: str) -> dict[int, int]:
        """A quantity as a linear row."""
        if name == "requests_per_s":
            return {self.total: 1}
        if name == "nodes":
            return dict.fromkeys(self.nodes.values(), 1)
        if name in self.tokens:
            return {i: each for i, each in zip(self.n, self.tokens[name], strict=True) if each}
        return self.cost(name)

    def hold(self, goal: Mapping[int, int], sense: int, value: int) -> None:
        """Keep a quantity at its optimum while a later one is optimised."""
        self.m.row(goal, high=value) if sense > 0 else self.m.row(goal, low=value)

    def counts(self, values: Sequence[int]) -> dict[int, int]:
        """Replicas by row of the table."""
        rows = self.usable.rows.tolist()
        return {rows[k]: values[i] for k, i in enumerate(self.n) if values[i]}


def cases_of(usable: Usable, limits: Mapping[str, float], total: bool = False) -> list[Case]:
    """The scenarios that a plan must stand, the one of no surprises but spares lost where there are none.

    `total`: with rates of the traffic asked for, rounded down, so that what is served in several is one
    number; else with rates and demands as they are, so that no rounding decides whether they are reached.
    """
    demand = limits.get("requests_per_s")
    if not usable.worst:
        return [Case(usable.capacity.tolist(), spares_of(limits), None if demand is None else asked(demand))]
    found = []
    for own in usable.worst:
        rates, times = (own.of_asked, 1.0) if total else (own.rates, own.asked)
        need = None if demand is None else asked(demand * times)
        found.append(Case(planned(rates).tolist(), own.scenario.lost, need))
    return found


def tokens_counted(wanted: Sequence[str], limits: Mapping[str, float]) -> tuple[str, ...]:
    """The tokens that a programme counts over a plan."""
    return tuple(name for name in held_sums() if name in wanted or f"{name}_min" in limits)


def spares_of(bounds: Mapping[str, float]) -> int:
    """Replicas that any plan within some bounds must do without."""
    return int(bounds.get("spares", 0))
