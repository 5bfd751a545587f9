"""Services that want more of some chips than there are: chips get prices beside their own until they suffice.

At prices p >= 0 of what is short it is true of all fleets, each minimum proven (Lagrange), that

    cost  >=  sum over services of min (cost + p used)  -  p there is

Prices are the duals of the best mixture of the plans met so far (Dantzig and Wolfe 1960), and the best
choice of one of them for each service is a fleet. What lies between is left to the programme of all at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from optimizer.columns.totals import each_of, limit_of
from optimizer.metrics import totals
from optimizer.questions.fleet.alone import Alone, Asking, as_of, plan_alone, some_of
from optimizer.questions.fleet.carrying import Key
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.programme import FleetProgramme
from optimizer.questions.fleet.rounds import FleetPlan, Rounds
from optimizer.search.programme import Programme, Proved
from optimizer.solver.mathopt import linear
from optimizer.solver.proving import prove

_TURNS = 12
"""Prices that are tried at most."""
_DEAR = 64
"""What more of a chip than there is costs at most, of what plans met cost a chip."""


@dataclass(frozen=True)
class _Way:
    """A plan of one service: what it costs, and what it takes of what is short."""

    cost: int
    takes: tuple[int, ...]
    plan: FleetPlan

    def at(self, prices: Sequence[int]) -> int:
        """What it costs at prices of what it takes."""
        return self.cost + sum(p * n for p, n in zip(prices, self.takes, strict=True))


@dataclass
class Shared:
    """Services planned at prices of what they share. `alone`: each at none."""

    columns: FleetColumns
    bounds: Mapping[str, float]
    asking: Asking
    alone: dict[int, Alone]
    floor: int = 0
    best: FleetPlan | None = None
    solves: int = 0
    ways: dict[int, list[_Way]] = field(default_factory=dict)
    dear: dict[Key, int] = field(default_factory=dict)
    """What a fleet with a replica of a setup costs at least."""

    def run(self) -> FleetPlan:
        """The optimum, or what is known when the watch is over."""
        self.short = _short(self.columns, self.bounds)
        self.floor = sum(own.plan.proved.bound or 0 for own in self.alone.values())
        for service, own in self.alone.items():
            self._met(service, own)
        for _ in range(_TURNS):
            if self.asking.watch.over or self._near() or not self._turn():
                break
            self._choose()
        if self.best is not None and self._near():
            return self._settled(self.best)
        return self._all_at_once()

    def _turn(self) -> bool:
        """Plan each service at the prices of the best mixture; whether that told anything new."""
        prices = self._prices()
        if prices is None:
            return False
        dearer = {
            s.name: sum(p * each.get(s.name, 0) for p, (each, _) in zip(prices, self.short, strict=True))
            for s in self.columns.supplies
        }
        spare = sum(p * limit for p, (_, limit) in zip(prices, self.short, strict=True))
        bound, new, dear = -spare, False, dict[Key, int]()
        for number, (service, own) in enumerate(self.alone.items()):
            watch = self.asking.watch.part(1 / (len(self.alone) - number))
            asking = replace(self.asking, watch=watch, dearer=dearer)
            cost = min(way.at(prices) for way in self.ways[service])
            found = plan_alone(self.columns, service, asking, own.reasons, cost)
            if found.plan.proved.bound is None or found.plan.proved.status != "optimal":
                return False
            bound += found.plan.proved.bound
            dear |= {key: least - found.plan.proved.bound for key, least in found.least.items()}
            new |= self._met(service, found)
        if bound > self.floor or not self.dear:
            self.floor, self.dear = max(self.floor, bound), {key: bound + more for key, more in dear.items()}
        return new

    def _met(self, service: int, found: Alone) -> bool:
        """Keep a plan of a service, and its reasons; whether it is a new one."""
        self.alone[service] = found
        self.solves += found.plan.proved.solves
        chips = FleetCheck(self.columns, found.plan.replicas, {}).chips()
        takes = tuple(sum(n * each.get(name, 0) for name, n in chips.items()) for each, _ in self.short)
        cost = sum(chips.get(s.name, 0) * each_of(s, self.asking.goal[0]) for s in self.columns.supplies)
        ways = self.ways.setdefault(service, [])
        if any(way.cost == cost and way.takes == takes for way in ways):
            return False
        ways.append(_Way(cost, takes, found.plan))
        return True

    def _prices(self) -> list[int] | None:
        """The duals of what is short, in the best mixture of the ways met; chips beyond that are dear."""
        at = [(service, way) for service, ways in self.ways.items() for way in ways]
        rows = [{i: -1.0 for i, (own, _) in enumerate(at) if own == service} for service in self.ways]
        limits = [-1.0] * len(rows)
        for r, (_, limit) in enumerate(self.short):
            rows.append({i: float(way.takes[r]) for i, (_, way) in enumerate(at)} | {len(at) + r: -1.0})
            limits.append(float(limit))
        over = []
        for r in range(len(self.short)):
            each = (way.cost / way.takes[r] for _, way in at if way.takes[r])
            over.append(-_DEAR * max(each, default=1.0))
        found = linear([*(-float(way.cost) for _, way in at), *over], rows, limits, self.asking.watch)
        self.solves += 1
        return None if found is None else [max(0, round(y)) for y in found[1][len(self.ways) :]]

    def _choose(self) -> None:
        """The best choice of one way for each service: a fleet."""
        m, at = Programme(), dict[int, tuple[int, _Way]]()
        for service, ways in self.ways.items():
            mine = {m.variable(0, 1): (service, way) for way in ways}
            m.row(dict.fromkeys(mine, 1), low=1, high=1)
            at |= mine
        for r, (_, limit) in enumerate(self.short):
            m.row({v: way.takes[r] for v, (_, way) in at.items()}, high=limit)
        m.objective = {v: way.cost for v, (_, way) in at.items()}
        proved = prove(m, self.asking.settings, self.asking.watch, confirm=False)
        self.solves += proved.solves
        if not proved.values:
            return
        plans = [way.plan for v, (_, way) in at.items() if proved.values[v]]
        replicas = {key: n for plan in plans for key, n in plan.replicas.items()}
        shares = {key: x for plan in plans for key, x in plan.shares.items()}
        better = self.best is None or (proved.objective or 0) < (self.best.proved.objective or 0)
        if better and not FleetCheck(self.columns, replicas, shares).broken(self.bounds, everything=False):
            own = Proved("feasible", (), proved.objective, self.floor, self.solves, ())
            self.best = FleetPlan(own, replicas, shares)

    def _near(self) -> bool:
        """Whether the best fleet costs as little as any, or as near to it as is asked."""
        cost = self.best.proved.objective if self.best else None
        return cost is not None and cost - self.floor <= self.asking.settings.tolerance * cost

    def _settled(self, best: FleetPlan) -> FleetPlan:
        said = ("each service, proven the cheapest at prices of what they share",)
        cost = best.proved.objective
        return replace(best, proved=Proved("optimal", (), cost, self.floor, self.solves, said))

    def _all_at_once(self) -> FleetPlan:
        """The programme of all services, of what no known fleet rules out, with every reason met."""
        known = {service: own.reasons for service, own in self.alone.items()}
        cost = self.best.proved.objective if self.best else None
        keys = [(j, k) for j, item in enumerate(self.columns.items) for k in range(len(item.setups))]
        left = [key for key in keys if cost is None or self.dear.get(key, cost) <= cost]
        columns, back = some_of(self.columns, left)
        goal, services = self.asking.goal, frozenset(self.alone)
        programme = FleetProgramme.of(columns, goal, self.bounds, services, known)
        programme.m.row(programme.m.objective, low=self.floor, high=cost)
        rounds = Rounds(programme, self.asking.settings, self.asking.watch, first=self.best is None)
        found = as_of(rounds.run(), back, self.solves)
        if found.proved.status in ("optimal", "infeasible"):
            return found
        plan = found if found.replicas or self.best is None else self.best
        bound, solves = max(self.floor, found.proved.bound or 0), found.proved.solves
        return replace(plan, proved=replace(plan.proved, bound=bound, solves=solves))


def _short(columns: FleetColumns, bounds: Mapping[str, float]) -> list[tuple[dict[str, int], int]]:
    """What there may be too little of: what a chip of each kind takes of it, and how much there is."""
    found = []
    for name, limit in bounds.items():
        kind = name.removeprefix("inventory:")
        if kind != name:
            found.append(({kind: 1}, int(limit)))
        elif (total := name.removesuffix("_max")) in totals():
            found.append(({s.name: each_of(s, total) for s in columns.supplies}, limit_of(total, limit)))
    return found
