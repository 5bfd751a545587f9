"""How many replicas of each setup serve several services: least cost or most traffic, buckets split freely.

    n_k replicas of setup k,   served_j requests/s of service j, all of its traffic unless as much as can be
    a row for each reason why some replicas carry no more (questions/fleet/reasons.py)
    chips <= inventory, in nodes;   minimise sum n_k cost_k, or maximise sum served_j

Reasons are added as they are met (questions/fleet/rounds.py). Where one setup a phase serves a service
(`mix: same`) and all traffic is served, its replicas are known beforehand, and each setup is one yes or no.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Self

from optimizer.columns.totals import asked
from optimizer.questions.fleet.carrying import Key, Shares, Triple
from optimizer.questions.fleet.columns import FleetColumns, Item
from optimizer.questions.fleet.reasons import Reasons
from optimizer.questions.fleet.routes import NEAR, carried_by
from optimizer.questions.fleet.worth import Worth
from optimizer.questions.replica_programme import AGGREGATED, PHASES, SIDES, ReplicaProgramme
from optimizer.search.packing import Part, pack_nodes
from optimizer.watch import Watch

LEAST = "requests_per_s_min"
"""The limit under which so much traffic is enough, of all services together."""


@dataclass
class FleetProgramme(ReplicaProgramme):
    """The programme in numbers of replicas, as far as reasons are known."""

    columns: FleetColumns = field(kw_only=True)
    goal: tuple[str, int] = field(kw_only=True)
    services: frozenset[int] = field(kw_only=True)
    known: Mapping[int, Sequence[Worth]] = field(kw_only=True, default_factory=dict)
    dearer: Mapping[str, int] = field(kw_only=True, default_factory=dict)
    at: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """The variable of each setup, and the replicas one unit of it stands for."""
    served: dict[int, int] = field(default_factory=dict)
    """The variable for the traffic served of each service, where not all of it must be."""

    @classmethod
    def of(
        cls,
        columns: FleetColumns,
        goal: tuple[str, int],
        limits: Mapping[str, float],
        services: frozenset[int],
        known: Mapping[int, Sequence[Worth]] = {},
        dearer: Mapping[str, int] = {},
    ) -> Self:
        """The programme of some services; InputError for traffic that cannot be planned exactly.

        `known`: reasons to begin with, of services with several models. `dearer`: what a chip of a kind costs
        beside what the goal says.
        """
        s, own = columns.supplies, limits
        return cls(s, own, columns=columns, goal=goal, services=services, known=known, dearer=dearer)

    def __post_init__(self) -> None:
        self.figures = self.columns.figures(self.partial)
        demands = [[[asked(x) for x in rates] for rates in own.demands] for own in self.figures]
        self.demands = demands
        self.reasons = Reasons(self.m, [own.items for own in self.figures], demands, self.at, self.served)
        for service in sorted(self.services):
            self._service(service)
        self._limits()
        for keys in self.columns.used:
            self.use_one_of(self.at[key][0] for key in sorted(keys) if key in self.at)
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
            self.served[service] = self.m.variable(0, sum(self.demands[0][service]))
            self.m.least[self.served[service]] = []
        if self._beforehand(service):
            self._choices(mine)
        else:
            for j, item in mine:
                for k in range(len(item.setups)):
                    self._setup(j, k, item, self._most(j, k), 1)
            self.reasons.start(service, self.known.get(service, ()))
        own = {key: v for key, (v, _) in self.at.items() if self.columns.items[key[0]].service == service}
        phases = {v: self.columns.items[j].phase for (j, _), v in own.items()}
        caches = {v: str(self.columns.items[j].setups.kv_dtype[k]) for (j, k), v in own.items()}
        models = {v: self.columns.items[j].model for (j, _), v in own.items()}
        for model in sorted(set(models.values())):
            paired = [v for v, phase in phases.items() if phase != AGGREGATED and models[v] == model]
            self.one_cache_format([(v, caches[v]) for v in paired])
        if self.columns.same[service] and not self._beforehand(service):
            self.one_setup_a_phase(phases)

    def _beforehand(self, service: int) -> bool:
        return self.columns.same[service] and not self.partial

    def _most(self, j: int, k: int) -> int:
        """Replicas that carry all a setup can serve of a service; no plan has use for more."""
        item, most = self.columns.items[j], busiest(self.figures, j, k)
        limit = self.inventory(str(item.setups.chip[k]))
        return most if limit is None else min(most, limit // int(item.setups.chips[k]))

    def _setup(self, j: int, k: int, item: Item, high: int, times: int) -> int:
        """A variable for a setup; a unit of it is so many replicas."""
        v = self.m.variable(0, high)
        self.at[j, k] = (v, times)
        chip = next(c for c, s in enumerate(self.supplies) if s.name == str(item.setups.chip[k]))
        self.parts += [Part(v, chip, size, n * times) for size, n in item.setups.blocks(k)]
        return v

    def _choices(self, mine: list[tuple[int, Item]]) -> None:
        """A yes or no for each setup that serves all buckets, with its replicas: one yes a phase."""
        by_phase: dict[str, dict[int, int]] = {phase: {} for phase in PHASES}
        of_model: dict[int, dict[int, int]] = {}
        for j, item in mine:
            if self.columns.good_enough(item):
                for k in range(len(item.setups)):
                    if all(own.items[j].capacity[:, k].all() for own in self.figures):
                        times = busiest(self.figures, j, k)
                        v = self._setup(j, k, item, 1, times)
                        by_phase[item.phase][v] = 1
                        if item.phase != AGGREGATED:
                            of_model.setdefault(item.model, {})[v] = 1 if item.phase == SIDES[0] else -1
        for side in SIDES:
            self.m.row(by_phase[AGGREGATED] | by_phase[side], low=1, high=1)
        if len({item.model for _, item in mine}) > 1:
            for pairs in of_model.values():
                self.m.row(pairs, low=0, high=0)

    def _limits(self) -> None:
        self.keep_limits()
        if (least := self.limits.get(LEAST)) is not None:
            self.m.row(dict.fromkeys(self.served.values(), 1), low=asked(least))

    def _objective(self) -> None:
        name, sense = self.goal
        row = dict.fromkeys(self.served.values(), 1) if name == "requests_per_s" else self.cost(name)
        self.m.objective = {v: sense * c for v, c in row.items()}
        for part in self.parts if self.dearer else ():
            more = part.chips * self.dearer.get(self.supplies[part.kind].name, 0)
            self.m.objective[part.variable] = self.m.objective.get(part.variable, 0) + more

    def replicas(self, values: tuple[int, ...]) -> dict[Key, int]:
        """Replicas of a solution."""
        return {key: times * values[v] for key, (v, times) in self.at.items() if values[v]}

    def shares(self, values: tuple[int, ...], watch: Watch) -> Shares | None:
        """How a solution splits the traffic; None if it carries less than it claims, which is a row now.

        Where things may go wrong, how it does so in the first case.
        """
        found: dict[Triple, Fraction] = {}
        short = False
        replicas = self.replicas(values)
        for service in sorted(self.services):
            for case, (figures, demands) in enumerate(zip(self.figures, self.demands, strict=True)):
                mine = {key: n for key, n in replicas.items() if figures.items[key[0]].service == service}
                everything = service not in self.served
                got = carried_by(figures, service, mine, everything, watch)
                claim, noise = Fraction(sum(demands[service])), NEAR
                if not everything:
                    claim, noise = Fraction(values[self.served[service]]), Fraction(1 + sum(mine.values()))
                if got.served < claim - noise:
                    short = True
                    for worth in got.reasons:
                        self.reasons.add(service, replace(worth, case=case), mine)
                if case == 0:
                    found |= got.of_traffic(demands[service], everything)
        return None if short else found


def busiest(figures: Sequence[FleetColumns], j: int, k: int) -> int:
    """Replicas that all a setup can serve of a service keeps busy, in the case that takes the most."""
    each = ((own.items[j], own.demands[own.items[j].service]) for own in figures)
    return max(math.ceil(item.busy(k, [asked(x) for x in rates])) for item, rates in each)
