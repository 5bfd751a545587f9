"""Which setups serve which share of each bucket, and how many replicas of each: least cost or most traffic.

    n_k replicas of setup k,  s_bk slices of bucket b served by k,  S slices a bucket
    sum over aggregated k of s_bk = a_b,  over prefill k = d_b,  over decode k = d_b,   a_b + d_b = S
    sum over b of s_bk load_bk <= n_k          load of one slice = rate_b / S / rate_bk
    chips <= inventory, in nodes;   minimise sum n_k cost_k, or maximise sum rate_b (a_b + d_b) / S

Slices are counted, not told apart: Melange's one variable for each slice makes equal plans look different.
With one setup per service and phase, replicas are known beforehand, and each setup is one yes or no.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from optimizer.columns.deployment import UNIT
from optimizer.columns.fleet import FleetColumns, Item
from optimizer.columns.supply import Supply
from optimizer.solver.deployment import LINEAR, SCALE
from optimizer.solver.engine import SolveSettings
from optimizer.solver.milp import Milp, Proved, prove
from optimizer.solver.nodes import Part, pack_nodes
from optimizer.watch import UNWATCHED, Watch

LOAD = 10**9
"""Loads are whole numbers of 1e-9 replicas, rounded up."""


@dataclass(frozen=True)
class FleetPlan:
    """Replicas and slices by item, setup and bucket, and what is known of the optimum."""

    proved: Proved
    replicas: Mapping[tuple[int, int], int]
    """(item, setup) to replicas."""
    slices: Mapping[tuple[int, int, int], int]
    """(item, setup, bucket) to slices."""


def plan_fleet(
    columns: FleetColumns,
    goal: tuple[str, int],
    bounds: Mapping[str, float],
    slices: int,
    same: bool,
    services: frozenset[int] | None = None,
    settings: SolveSettings = SolveSettings(),
    watch: Watch = UNWATCHED,
) -> FleetPlan:
    """The optimum under `bounds` (limits on totals and `inventory:CHIP`), for some or all services."""
    wanted = frozenset(range(len(columns.names))) if services is None else services
    model = _Fleet(columns, goal, bounds, 1 if same else slices, same, wanted)
    proved = prove(model.m, settings, watch)
    return FleetPlan(proved, *model.read(proved.values))


@dataclass
class _Fleet:
    columns: FleetColumns
    goal: tuple[str, int]
    limits: Mapping[str, float]
    slices: int
    same: bool
    services: frozenset[int]
    m: Milp = field(default_factory=Milp)
    n: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    chips: list[int] = field(default_factory=list)
    blocks: list[list[tuple[int, int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at: dict[tuple[int, int], tuple[int, int]] = {}
        self.share: dict[tuple[int, int, int], int] = {}
        self.served: dict[int, int] = {}
        items = [(j, item) for j, item in enumerate(self.columns.items) if item.service in self.services]
        for j, item in items:
            self._choices(j, item) if self.same else self._spread(j, item)
        for service in sorted(self.services):
            self._serve(service, [(j, item) for j, item in items if item.service == service])
        self._limits()
        pack_nodes(self, False)
        self._objective()

    @property
    def parts(self) -> list[Part]:
        """The chips each variable stands for."""
        return [
            Part(v, c, size, n)
            for v, c, blocks in zip(self.n, self.kind, self.blocks, strict=True)
            for size, n in blocks
        ]

    @property
    def supplies(self) -> tuple[Supply, ...]:
        """The kinds of chips on offer."""
        return self.columns.supplies

    def inventory(self, chip: str) -> int | None:
        """Chips there are of one kind; None for as many as wanted."""
        limit = self.limits.get(f"inventory:{chip}")
        return None if limit is None else int(limit)

    def _variable(self, j: int, k: int, item: Item, high: int, replicas: int) -> int:
        """A variable each unit of which stands for `replicas` replicas of a setup."""
        variable = self.m.variable(0, high)
        chips = int(item.setups.chips[k])
        self.at[j, k] = (variable, replicas)
        self.n.append(variable)
        self.kind.append(self.columns.kinds(item)[k])
        self.chips.append(chips * replicas)
        self.blocks.append([(size, n * replicas) for size, n in item.setups.blocks(k)])
        return variable

    def _choices(self, j: int, item: Item) -> None:
        """A yes or no for each setup that can serve all buckets, with the replicas it would need."""
        demand = self.columns.demands[item.service]
        for k in range(len(item.setups)):
            rates = item.rates[:, k].tolist()
            if all(rates):
                busy = sum((_exact(d) / _exact(r) for d, r in zip(demand, rates, strict=True)), Fraction(0))
                self._variable(j, k, item, 1, math.ceil(busy))

    def _spread(self, j: int, item: Item) -> None:
        """Slices of each bucket on each setup, and the replicas that carry them."""
        demand = self.columns.demands[item.service]
        for k in range(len(item.setups)):
            loads = {
                b: math.ceil(_exact(demand[b]) / _exact(rate) / self.slices * LOAD)
                for b, rate in enumerate(item.rates[:, k].tolist())
                if rate
            }
            most = -(-self.slices * sum(loads.values()) // LOAD)
            n = self._variable(j, k, item, most, 1)
            for b in loads:
                self.share[j, k, b] = self.m.variable(0, self.slices)
            row = {self.share[j, k, b]: load for b, load in loads.items()}
            self.m.row(row | {n: -LOAD}, high=0)

    def _serve(self, service: int, items: list[tuple[int, Item]]) -> None:
        """Each bucket goes to aggregated replicas, or to a prefill and a decode replica."""
        phases = {item.phase: j for j, item in items}
        buckets = len(self.columns.demands[service])
        if self.same:
            pairs = self.m.variable(0, 1)
            self._cover(phases, "aggregated", {pairs: 1}, 1)
            for phase in ("prefill", "decode"):
                self._cover(phases, phase, {pairs: -1}, 0)
            return
        for b in range(buckets):
            pairs, whole = self.m.variable(0, self.slices), self.m.variable(0, self.slices)
            total = {pairs: 1, whole: 1}
            self.m.row(total, low=0 if self.goal[1] < 0 else self.slices, high=self.slices)
            self.served |= dict.fromkeys((pairs, whole), self._worth(service, b))
            for phase, count in (("aggregated", whole), ("prefill", pairs), ("decode", pairs)):
                used = {v: 1 for (j, _, at), v in self.share.items() if j == phases.get(phase) and at == b}
                self.m.row(used | {count: -1}, low=0, high=0)

    def _cover(self, phases: dict[str, int], phase: str, terms: dict[int, int], value: int) -> None:
        chosen = {v: 1 for (j, _), (v, _) in self.at.items() if j == phases.get(phase)}
        self.m.row(chosen | terms, low=value, high=value)

    def _worth(self, service: int, bucket: int) -> int:
        """Requests per second of one slice, in 1e-8."""
        return math.floor(_exact(self.columns.demands[service][bucket]) / self.slices * UNIT)

    def _limits(self) -> None:
        for c, s in enumerate(self.supplies):
            if (limit := self.inventory(s.name)) is not None:
                row = {v: g for v, g, own in zip(self.n, self.chips, self.kind, strict=True) if own == c}
                self.m.row(row, high=limit)
        for name in LINEAR:
            if f"{name}_max" in self.limits:
                self.m.row(self.cost(name), high=math.floor(self.limits[f"{name}_max"] * SCALE[name] + 1e-6))

    def cost(self, name: str) -> dict[int, int]:
        """A total as a linear row."""
        if name.startswith("inventory:"):
            each = [int(s.name == name.partition(":")[2]) for s in self.supplies]
        else:
            each = [round(s.each(name) * SCALE[name]) for s in self.supplies]
        return {v: g * each[c] for v, g, c in zip(self.n, self.chips, self.kind, strict=True)}

    def _objective(self) -> None:
        name, sense = self.goal
        row = self.served if name == "requests_per_s" else self.cost(name)
        self.m.objective = {v: sense * c for v, c in row.items() if c}

    def read(
        self, values: tuple[int, ...]
    ) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int, int], int]]:
        """Replicas and slices of a solution; with one setup each, every bucket is one slice."""
        if not values:
            return {}, {}
        replicas = {key: times * values[v] for key, (v, times) in self.at.items() if values[v]}
        slices = {key: values[v] for key, v in self.share.items() if values[v]}
        if self.same:
            for j, k in replicas:
                slices |= {(j, k, b): 1 for b in range(len(self.columns.items[j].rates))}
        return replicas, slices


def _exact(number: float) -> Fraction:
    return Fraction(repr(float(number)))
