"""A second look at a fleet: is a setup that was left out of use, or a plan that nobody proposed better?

A setup left out must be covered by one that was kept: as few chips of the kind in as small blocks, at least
its rate on every bucket, the rates taken anew from the priced rows. Plans are made without the programme:
each service on one setup a phase, alone and beside the rest of the answer; the answer with a replica less,
one more, or one exchanged. One that the check of answers accepts, in fractions, and that is better than the
answer says is possible, is an InternalMismatch: a row said that replicas carry less than they do, or an
engine erred.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice, product

from optimizer.columns.deployment import UNIT
from optimizer.columns.totals import asked, each_of
from optimizer.errors import InternalMismatch
from optimizer.questions.fleet.answer import FleetWitnesses
from optimizer.questions.fleet.carrying import Key, Shares, Triple
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns, Item
from optimizer.questions.fleet.covered import best_rates, covers, key_of
from optimizer.questions.fleet.pricing import PricedFleet
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.fleet.programme import busiest
from optimizer.questions.fleet.rounds import FleetPlan
from optimizer.questions.fleet.routes import as_predicted, carried_by, of_service
from optimizer.questions.fleet.wrong import Setup
from optimizer.watch import UNWATCHED, Stopped, Watch

FEW = 4_000
"""Setups left out that are all looked at; else as many, drawn by seed."""
PLANS = 20_000
"""Plans on one setup a phase, at most, of each service: their cost is two multiplications."""
CHANGED = 48
"""Changes of the answer whose traffic is worked out, drawn by seed."""

Replicas = Mapping[Key, int]


def look_again(
    problem: FleetProblem,
    priced: PricedFleet,
    bounds: Mapping[str, float],
    plan: FleetPlan,
    seed: int = 0,
    watch: Watch = UNWATCHED,
    routes: Sequence[Shares] = (),
) -> FleetWitnesses:
    """Look for what an answer should have found; less of it if the watch ends it, which the answer says.

    `routes`: how the plan splits traffic in each case of what may go wrong.
    """
    look = _Look(problem, priced, bounds, plan, random.Random(seed), watch, tuple(routes) or (plan.shares,))
    try:
        look.setups()
        look.plans_of_one_setup()
        look.changes()
    except Stopped:
        pass
    return FleetWitnesses(
        setups_left_out=look.left_out, setups_looked_at=look.covered, plans=look.plans, seed=seed
    )


@dataclass
class _Look:
    """One second look in the making."""

    problem: FleetProblem
    priced: PricedFleet
    bounds: Mapping[str, float]
    plan: FleetPlan
    draw: random.Random
    watch: Watch
    routes: tuple[Shares, ...]
    left_out: int = 0
    covered: int = 0
    plans: int = 0
    figures: tuple[FleetColumns, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = self.priced.columns
        self.name, self.sense = self.problem.goal
        self.figures = self.columns.figures(self.sense < 0)
        goal = self.name if self.sense > 0 else "chips"
        used = {str(name) for item in self.columns.items for name in item.setups.chip}
        self.each = {s.name: each_of(s, goal) for s in self.columns.supplies if s.name in used}

    def setups(self) -> None:
        """Every setup left out is covered by one that was kept, and each of those has its best rates."""
        for service, own in enumerate(self.problem.services):
            kept = [item for item in self.columns.items if item.service == service]
            for model, buckets in enumerate(self.priced.buckets[service]):
                wrong = self.columns.wrong
                worst = wrong.buckets[service][model] if wrong else ()
                rates = best_rates(buckets, own.constraints.given(), worst)
                known = {key_of(i, k) for i in kept if i.model == model for k in range(len(i.setups))}
                able = [item for item in kept if self.columns.as_good(item, model)]
                able.sort(key=lambda item: item.model != model)
                self._covered(own.name, rates, known, able)

    def _covered(
        self, name: str, rates: Mapping[Setup, list[int]], known: set[Setup], able: Sequence[Item]
    ) -> None:
        """Setups left out of a model, and those kept, do no more than items that may stand for them."""
        out = sorted(key for key in rates if key not in known)
        self.left_out += len(out)
        out = out if len(out) <= FEW else self.draw.sample(out, FEW)
        for key in (*out, *sorted(known)):
            self.watch.check()
            if not any(covers(item, rates[key], key) for item in able):
                raise InternalMismatch(
                    f"{name}: a setup was left out that none of those kept covers, "
                    f"{' '.join(map(str, key))}; no answer is given"
                )
            self.covered += key not in known

    def plans_of_one_setup(self) -> None:
        """Each service on one setup a phase: beside the rest of the answer, or all of them so."""
        if self.sense < 0:
            return
        alone = [
            list(islice(_alone(self.figures, service), PLANS)) for service in range(len(self.columns.names))
        ]
        if self.plan.replicas:
            for service, ways in enumerate(alone):
                rest = {key: n for key, n in self.plan.replicas.items() if self._service(key) != service}
                cost = self._cost(rest)
                for way in ways:
                    if self._better(cost + self._cost(way)):
                        routes = [own | _whole(self.columns, way) for own in self._others(service)]
                        self._try(rest | way, routes)
                    else:
                        self.plans += 1
        elif all(alone):
            first = [sorted(ways, key=self._cost)[0] for ways in alone]
            drawn = [[self.draw.choice(ways) for ways in alone] for _ in range(CHANGED)]
            for ways in (first, *drawn):
                together = {key: n for way in ways for key, n in way.items()}
                self._try(together, [_whole(self.columns, together)])

    def changes(self) -> None:
        """The answer with a replica less, more or another; what it then carries is worked out anew."""
        if not self.plan.replicas:
            return
        changed = list(self._changed())
        for key, other, service in self.draw.sample(changed, min(len(changed), CHANGED)):
            self.watch.check()
            replicas = _exchanged(self.plan.replicas, key, other)
            mine = {key: n for key, n in replicas.items() if n and self._service(key) == service}
            routes = []
            for figures, others in zip(self.figures, self._others(service), strict=True):
                demand = [asked(rate) for rate in figures.demands[service]]
                got = carried_by(figures, service, mine, self.sense > 0, self.watch)
                if self.sense < 0 or got.served >= sum(demand):
                    routes.append(others | got.of_traffic(demand, False))
            if len(routes) == len(self.figures):
                self._try({key: n for key, n in replicas.items() if n}, routes)
            else:
                self.plans += 1

    def _others(self, service: int) -> list[dict[Triple, Fraction]]:
        """How the plan splits the traffic of all other services, in each case."""
        return [of_service(self.columns, service, own, its=False) for own in self.routes]

    def _changed(self) -> Iterator[tuple[Key | None, Key | None, int]]:
        """Changes that would be better, with the service they are of: each pool less one, and exchanged."""
        cost = self._cost(self.plan.replicas)
        for service in range(len(self.columns.names)):
            pools = [key for key in self.plan.replicas if self._service(key) == service]
            each = {key: self._cost({key: 1}) for key in _keys_of(self.columns, service)}
            for key in [*pools, None]:
                less = cost - (0 if key is None else each[key])
                for other in (None, *each):
                    more = 0 if other is None else each[other]
                    if key != other and self._may_be_better(key, other, less + more):
                        yield key, other, service

    def _may_be_better(self, less: Key | None, more: Key | None, cost: int) -> bool:
        if self.sense > 0:
            return self._better(cost)
        used = FleetCheck(self.columns, _exchanged(self.plan.replicas, less, more), {}).chips()
        stock = ((s.name, self.bounds.get(f"inventory:{s.name}")) for s in self.columns.supplies)
        return all(most is None or used.get(name, 0) <= most for name, most in stock)

    def _better(self, value: int) -> bool:
        """Whether a total, or the traffic of a plan, is better than the answer says is possible."""
        bound = self.plan.proved.bound
        if self.plan.proved.status == "infeasible":
            return True
        return bound is not None and self.sense * value < bound - (1 if self.sense < 0 else 0)

    def _try(self, replicas: Replicas, routes: Sequence[Shares]) -> None:
        """Refuse an answer that a plan is better than. `routes`: how it splits traffic in each case."""
        self.plans += 1
        if self.sense > 0 and not self._better(self._cost(replicas)):
            return
        check = FleetCheck(self.columns, replicas, routes[0])
        if self.columns.cases:
            check = as_predicted(replace(check, routes=tuple(routes)))
        served = math.floor(check.requests_per_s() * UNIT)
        if self.sense < 0 and not self._better(served):
            return
        if not check.broken(self.bounds, everything=self.sense > 0):
            what = "no fleet is possible" if self.plan.proved.status == "infeasible" else "none is better"
            raise InternalMismatch(f"the answer says that {what}, but a plan is; no answer is given")

    def _cost(self, replicas: Replicas) -> int:
        used = FleetCheck(self.columns, replicas, {}).chips()
        return sum(n * self.each[name] for name, n in used.items())

    def _service(self, key: Sequence[int]) -> int:
        return self.columns.items[key[0]].service


def _exchanged(replicas: Replicas, less: Key | None, more: Key | None) -> dict[Key, int]:
    """A plan with a replica less of one setup, one more of another, or both."""
    new = dict(replicas)
    if less is not None:
        new[less] -= 1
    if more is not None:
        new[more] = new.get(more, 0) + 1
    return new


def _whole(columns: FleetColumns, replicas: Replicas) -> dict[Triple, Fraction]:
    """All of every bucket, for setups that serve theirs alone."""
    buckets = {key: len(columns.demands[columns.items[key[0]].service]) for key in replicas}
    return {(*key, b): Fraction(1) for key, n in buckets.items() for b in range(n)}


def _alone(figures: Sequence[FleetColumns], service: int) -> Iterator[dict[Key, int]]:
    """As many replicas as one setup takes for all of a service, or one of prefill and one of decode."""
    by_phase: dict[str, dict[Key, int]] = {"aggregated": {}, "prefill": {}, "decode": {}}
    columns = figures[0]
    for j, k in _keys_of(columns, service):
        item, each = columns.items[j], [own.items[j] for own in figures]
        if all(own.capacity[:, k].all() for own in each) and columns.good_enough(item):
            by_phase[item.phase][j, k] = busiest(figures, j, k)
    for key, n in by_phase["aggregated"].items():
        yield {key: n}
    for (p, n), (d, m) in product(by_phase["prefill"].items(), by_phase["decode"].items()):
        if _hands_over(columns, p) == _hands_over(columns, d):
            yield {p: n, d: m}


def _hands_over(columns: FleetColumns, key: Key) -> tuple[int, str]:
    """What a pair must have in common."""
    item = columns.items[key[0]]
    return item.model, str(item.setups.kv_dtype[key[1]])


def _keys_of(columns: FleetColumns, service: int) -> list[Key]:
    """The setups of a service."""
    own = ((j, item) for j, item in enumerate(columns.items) if item.service == service)
    return [(j, k) for j, item in own for k in range(len(item.setups))]
