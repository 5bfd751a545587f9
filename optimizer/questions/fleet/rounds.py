"""Plans of a fleet are proposed until one carries what it claims.

The traffic that a proposal carries is worked out exactly, and why it is no more is a row from then on
(questions/fleet/reasons.py). Each row is true of all fleets, so the first plan that carries what it claims
is the best, and a programme without a plan proves that there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from optimizer.questions.deployment.optimum import UNPROVEN
from optimizer.questions.fleet.carrying import Key, Shares
from optimizer.questions.fleet.programme import FleetProgramme
from optimizer.search.programme import Proved
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.solver.proving import prove
from optimizer.watch import Progress, Stopped, Watch


@dataclass(frozen=True)
class FleetPlan:
    """Replicas by item and setup, shares of each bucket, and what is known of the optimum."""

    proved: Proved
    replicas: Mapping[Key, int]
    shares: Shares


@dataclass
class Rounds:
    """Plans are proposed until one carries what it claims."""

    fleet: FleetProgramme
    settings: SolveSettings
    watch: Watch
    first: bool = True
    """Whether a plan of one setup a phase is wanted early on."""
    confirm: bool = True
    """Whether an optimum must be proven, or an engine's word is enough."""
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
            if settled or not self.confirm:
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
        if not self.first or self.best is not None or self.fleet.partial or all(self.fleet.columns.same):
            return
        columns = replace(self.fleet.columns, same=(True,) * len(self.fleet.columns.names))
        plain = FleetProgramme.of(columns, self.fleet.goal, self.fleet.limits, self.fleet.services)
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


def of_some(found: FleetPlan) -> FleetPlan:
    """What an answer over some of the setups is over all."""
    status = UNPROVEN[found.proved.status]
    return replace(found, proved=replace(found.proved, status=status, bound=None, confirmed_by=()))
