"""How many replicas of each setup serve several services: least cost or most traffic, buckets split freely.

    n_k replicas of setup k,   served_j requests/s of service j, all of its traffic unless as much as can be
    a row for each reason why some replicas carry no more (questions/fleet/shares.py)
    chips <= inventory, in nodes;   minimise sum n_k cost_k, or maximise sum served_j

Reasons are added as they are met: a plan is proposed, the traffic it carries is worked out exactly, and why
it is no more is a row from then on. Each is true of all fleets, so the first plan that carries what it claims
is the best, and a programme without a plan proves that there is none.
Where one setup a phase serves a service (`mix: same`) and all traffic is served, its replicas are known
beforehand, and each setup is one yes or no.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.metrics import totals
from optimizer.questions.fleet.columns import FleetColumns, Item
from optimizer.questions.fleet.shares import Key, Triple, Worth, worked_out
from optimizer.solver.engine import SolveSettings
from optimizer.solver.milp import Milp, Proved, prove
from optimizer.solver.nodes import Part, pack_nodes
from optimizer.solver.totals import MOST, asked, each_of, limit_of
from optimizer.watch import UNWATCHED, Progress, Stopped, Watch

_NEAR = Fraction(1, 1000)
"""Traffic, in 1e-8 requests/s, that is no shortfall: what rates lose when they are read as whole numbers."""
_SCALES = tuple(Fraction(10) ** n for n in (0, 1, 2, 3, 4, 6, 8, 10, 12, -2, -4, -6))

LEAST = "requests_per_s_min"
"""The limit under which so much traffic is enough, of all services together."""

Shares = Mapping[Triple, Fraction]
"""To the share of the bucket's traffic."""


@dataclass(frozen=True)
class FleetPlan:
    """Replicas by item and setup, shares of each bucket, and what is known of the optimum."""

    proved: Proved
    replicas: Mapping[Key, int]
    shares: Shares


def plan_fleet(
    columns: FleetColumns,
    goal: tuple[str, int],
    bounds: Mapping[str, float],
    services: frozenset[int] | None = None,
    settings: SolveSettings = SolveSettings(),
    watch: Watch = UNWATCHED,
) -> FleetPlan:
    """The optimum under `bounds` (limits on totals and `inventory:CHIP`), for some or all services.

    When the watch is over, the best plan found so far and the bound that was reached.
    """
    wanted = frozenset(range(len(columns.names))) if services is None else services
    if bounds:
        return _Rounds(_Fleet(columns, goal, bounds, wanted), settings, watch).run()
    alone = (frozenset({service}) for service in sorted(wanted))
    return _together([_Rounds(_Fleet(columns, goal, {}, one), settings, watch).run() for one in alone])


def _together(plans: Sequence[FleetPlan]) -> FleetPlan:
    """Services that share nothing, each planned alone: the fleet is as good as all its parts."""
    parts = [plan.proved for plan in plans]
    known = {part.status for part in parts}
    status = next(s for s in ("infeasible", "unknown", "feasible", "optimal") if s in known)
    objectives = [part.objective for part in parts if part.objective is not None]
    bounds = [part.bound for part in parts if part.bound is not None]
    has_plan = len(objectives) == len(parts)
    proved = Proved(
        status=status,
        values=(),
        objective=sum(objectives) if has_plan else None,
        bound=sum(bounds) if len(bounds) == len(parts) else None,
        solves=sum(part.solves for part in parts),
        confirmed_by=tuple(dict.fromkeys(said for part in parts for said in part.confirmed_by)),
    )
    if not has_plan:
        return FleetPlan(proved, {}, {})
    replicas = {key: n for plan in plans for key, n in plan.replicas.items()}
    return FleetPlan(proved, replicas, {key: x for plan in plans for key, x in plan.shares.items()})


@dataclass
class _Rounds:
    """Plans are proposed until one carries what it claims."""

    fleet: "_Fleet"
    settings: SolveSettings
    watch: Watch
    solves: int = 0
    bound: int | None = None
    best: FleetPlan | None = None

    def run(self) -> FleetPlan:
        """The optimum, or what is known when the watch is over."""
        settled = False
        while True:
            proved = prove(self.fleet.m, self.settings, self.watch, confirm=settled)
            self._note(proved)
            try:
                shares = self.fleet.shares(proved.values, self.watch) if proved.values else None
            except Stopped:
                return self._stopped()
            if shares is not None:
                found = FleetPlan(proved, self.fleet.replicas(proved.values), shares)
                self._better(found)
                if proved.status == "optimal":
                    return replace(found, proved=replace(proved, solves=self.solves))
            elif proved.status == "infeasible":
                return FleetPlan(replace(proved, solves=self.solves), {}, {})
            if self.watch.over:
                return self._stopped()
            if shares is None and proved.values:
                settled = False
                self._first()
                continue
            if settled:
                return self._stopped()
            settled = True

    def _note(self, proved: Proved) -> None:
        self.solves += proved.solves
        if proved.bound is not None:
            self.bound = proved.bound if self.bound is None else max(self.bound, proved.bound)
        name, sense = self.fleet.goal
        best = self.best.proved.objective if self.best else None
        values = (None if v is None else sense * float(v) for v in (best, self.bound))
        incumbent, bound = values
        self.watch.say(Progress("fleet", name, "", incumbent, bound, done=self.solves, more=True))

    def _better(self, found: FleetPlan) -> None:
        old = self.best.proved.objective if self.best else None
        new = found.proved.objective
        if old is None or (new is not None and new < old):
            self.best = found

    def _first(self) -> None:
        """A plan early on: one setup a phase for every service."""
        if self.best is not None or self.fleet.partial or all(self.fleet.columns.same):
            return
        columns = replace(self.fleet.columns, same=(True,) * len(self.fleet.columns.names))
        plain = _Fleet(columns, self.fleet.goal, self.fleet.limits, self.fleet.services)
        proved = prove(plain.m, self.settings, self.watch, confirm=False)
        self.solves += proved.solves
        try:
            shares = plain.shares(proved.values, self.watch) if proved.values else None
        except Stopped:
            return
        if shares is not None:
            self._better(FleetPlan(proved, plain.replicas(proved.values), shares))

    def _stopped(self) -> FleetPlan:
        if self.best is None:
            return FleetPlan(Proved("unknown", (), None, self.bound, self.solves, ()), {}, {})
        proved = replace(
            self.best.proved, status="feasible", bound=self.bound, solves=self.solves, confirmed_by=()
        )
        return replace(self.best, proved=proved)


@dataclass
class _Fleet:
    """The programme in numbers of replicas, as far as reasons are known."""

    columns: FleetColumns
    goal: tuple[str, int]
    limits: Mapping[str, float]
    services: frozenset[int]
    m: Milp = field(default_factory=Milp)
    at: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """The variable of each setup, and the replicas one unit of it stands for."""
    known: set[tuple[frozenset[tuple[int, int]], int]] = field(default_factory=set)
    served: dict[int, int] = field(default_factory=dict)
    """The variable for the traffic served of each service, where not all of it must be."""

    def __post_init__(self) -> None:
        self.demand = [[asked(rate) for rate in rates] for rates in self.columns.demands]
        for service in sorted(self.services):
            self._service(service)
        self._limits()
        for keys in self.columns.used:
            own = {self.at[key][0]: 1 for key in sorted(keys) if key in self.at}
            self.m.row(own, low=1)
        pack_nodes(self, False)
        self._objective()

    @property
    def partial(self) -> bool:
        """Whether not all traffic must be served."""
        return self.goal[0] == "requests_per_s" or LEAST in self.limits

    def _service(self, service: int) -> None:
        """The setups of one service; at first a bound for each bucket, and for all of them together."""
        mine = [(j, item) for j, item in enumerate(self.columns.items) if item.service == service]
        if self.partial:
            self.served[service] = self.m.variable(0, sum(self.demand[service]))
            self.m.least[self.served[service]] = []
        if self._beforehand(service):
            self._choices(mine)
        else:
            for j, item in mine:
                for k in range(len(item.setups)):
                    self._setup(j, k, item, self._most(item, k), 1)
            self._start(service, mine)
        self._one_cache_format(service)
        if self.columns.same[service] and not self._beforehand(service):
            self._one_setup_per_phase(mine)

    def _beforehand(self, service: int) -> bool:
        return self.columns.same[service] and not self.partial

    def _start(self, service: int, mine: list[tuple[int, Item]]) -> None:
        """Every bucket needs replicas that prefill it, and replicas that decode it."""
        buckets = len(self.demand[service])
        zero = (Fraction(0),) * buckets
        for b in range(buckets):
            one = tuple(Fraction(int(at == b)) for at in range(buckets))
            for worth in (Worth(one, zero), Worth(zero, one)):
                self._reason(service, worth, {})
        for _, item in mine:
            for k in range(len(item.setups)):
                self._reason(service, _tuned(item, k), {})

    @property
    def parts(self) -> list[Part]:
        """The chips each variable stands for."""
        return [
            Part(v, self._kind(j, k), size, n * times)
            for (j, k), (v, times) in self.at.items()
            for size, n in self.columns.items[j].setups.blocks(k)
        ]

    @property
    def supplies(self) -> tuple[Supply, ...]:
        """The kinds of chips on offer."""
        return self.columns.supplies

    def _kind(self, j: int, k: int) -> int:
        name = str(self.columns.items[j].setups.chip[k])
        return next(c for c, s in enumerate(self.supplies) if s.name == name)

    def inventory(self, chip: str) -> int | None:
        """Chips there are of one kind; None for as many as wanted."""
        limit = self.limits.get(f"inventory:{chip}")
        return None if limit is None else int(limit)

    def _most(self, item: Item, k: int) -> int:
        """Replicas that carry all a setup can serve of a service; no plan has use for more."""
        pairs = zip(self.demand[item.service], item.capacity[:, k].tolist(), strict=True)
        busy = sum((Fraction(d, r) for d, r in pairs if r), Fraction(0))
        limit = self.inventory(str(item.setups.chip[k]))
        most = math.ceil(busy)
        return most if limit is None else min(most, limit // int(item.setups.chips[k]))

    def _setup(self, j: int, k: int, item: Item, high: int, times: int) -> int:
        self.at[j, k] = (self.m.variable(0, high), times)
        return self.at[j, k][0]

    def _choices(self, mine: list[tuple[int, Item]]) -> None:
        """A yes or no for each setup that serves all buckets, with its replicas: one yes a phase."""
        by_phase: dict[str, dict[int, int]] = {"aggregated": {}, "prefill": {}, "decode": {}}
        for j, item in mine:
            for k in range(len(item.setups)):
                if item.capacity[:, k].all():
                    pairs = zip(self.demand[item.service], item.capacity[:, k].tolist(), strict=True)
                    busy = sum((Fraction(d, r) for d, r in pairs), Fraction(0))
                    by_phase[item.phase][self._setup(j, k, item, 1, math.ceil(busy))] = 1
        for phase in ("prefill", "decode"):
            self.m.row(by_phase["aggregated"] | by_phase[phase], low=1, high=1)

    def _one_cache_format(self, service: int) -> None:
        """Prefill replicas hand over caches that decode replicas can read."""
        paired = [
            (v, str(item.setups.kv_dtype[k]))
            for (j, k), (v, _) in self.at.items()
            if (item := self.columns.items[j]).service == service and item.phase != "aggregated"
        ]
        formats = sorted({name for _, name in paired})
        if len(formats) < 2:
            return
        chosen = {name: self.m.variable(0, 1) for name in formats}
        self.m.row(dict.fromkeys(chosen.values(), 1), high=1)
        for v, name in paired:
            self.m.row({v: 1, chosen[name]: -self.m.highs[v]}, high=0)

    def _one_setup_per_phase(self, mine: list[tuple[int, Item]]) -> None:
        """One aggregated setup, or one of prefill and one of decode."""
        used: dict[str, dict[int, int]] = {"aggregated": {}, "prefill": {}, "decode": {}}
        for j, item in mine:
            for k in range(len(item.setups)):
                (v, _), u = self.at[j, k], self.m.variable(0, 1)
                self.m.row({v: 1, u: -self.m.highs[v]}, high=0)
                used[item.phase][u] = 1
        for phase in ("prefill", "decode"):
            self.m.row(used["aggregated"] | used[phase], high=1)

    def _limits(self) -> None:
        for s in self.supplies:
            if (limit := self.inventory(s.name)) is not None:
                self.m.row(self.cost(f"inventory:{s.name}"), high=limit)
        if (least := self.limits.get(LEAST)) is not None:
            self.m.row(dict.fromkeys(self.served.values(), 1), low=asked(least))
        for name in totals():
            if f"{name}_max" in self.limits:
                self.m.row(self.cost(name), high=limit_of(name, self.limits[f"{name}_max"]))

    def cost(self, name: str) -> dict[int, int]:
        """A total as a linear row."""
        if name.startswith("inventory:"):
            each = [int(s.name == name.partition(":")[2]) for s in self.supplies]
        else:
            each = [each_of(s, name) for s in self.supplies]
        return {
            v: int(self.columns.items[j].setups.chips[k]) * times * each[self._kind(j, k)]
            for (j, k), (v, times) in self.at.items()
        }

    def _objective(self) -> None:
        name, sense = self.goal
        row = dict.fromkeys(self.served.values(), 1) if name == "requests_per_s" else self.cost(name)
        self.m.objective = {v: sense * c for v, c in row.items()}

    def replicas(self, values: tuple[int, ...]) -> dict[Key, int]:
        """Replicas of a solution."""
        return {key: times * values[v] for key, (v, times) in self.at.items() if values[v]}

    def shares(self, values: tuple[int, ...], watch: Watch) -> Shares | None:
        """How a solution splits the traffic; None if it carries less than it claims, which is a row now."""
        found: dict[Triple, Fraction] = {}
        short = False
        replicas = self.replicas(values)
        for service in sorted(self.services):
            mine = {key: n for key, n in replicas.items() if self.columns.items[key[0]].service == service}
            demand = self.demand[service]
            rates = {(j, k): self.columns.items[j].capacity[:, k].tolist() for j, k in mine}
            phases = {(j, k): self.columns.items[j].phase for j, k in mine}
            got = worked_out(demand, rates, phases, mine, service not in self.served, watch)
            claim, noise = Fraction(sum(demand)), _NEAR
            if service in self.served:
                claim, noise = Fraction(values[self.served[service]]), Fraction(1 + sum(mine.values()))
            if got.served < claim - noise:
                short = True
                for worth in got.reasons:
                    self._reason(service, worth, mine)
            whole = demand if service in self.served else got.buckets
            found |= {key: x / whole[key[2]] for key, x in got.shares.items()}
        return None if short else found

    def _reason(self, service: int, worth: Worth, replicas: Mapping[Key, int]) -> None:
        """A row that says what replicas can carry, in whole numbers that still refuse these."""
        demand = self.demand[service]
        each: dict[Key, Fraction] = {}
        for key in self.at:
            item = self.columns.items[key[0]]
            if item.service == service:
                each[key] = worth.replica(item.phase, item.capacity[:, key[1]].tolist())
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
