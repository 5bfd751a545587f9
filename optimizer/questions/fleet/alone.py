"""Services with several models, each planned as if the others were not: few of their many setups matter.

The reason in money (questions/fleet/priced_out.py) bounds the cost and says by how much more a plan costs
for each replica of a setup. Of the setups that cost least more a plan is made; what costs more than that plan
by a single replica is in no better one and is left out, by sums of whole numbers. Reasons met on the way
serve for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from optimizer.columns.totals import asked, each_of
from optimizer.metrics import totals
from optimizer.questions.fleet.carrying import Key
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.priced_out import in_money
from optimizer.questions.fleet.programme import FleetProgramme
from optimizer.questions.fleet.rounds import FleetPlan, Rounds
from optimizer.questions.fleet.worth import Worth
from optimizer.search.duals import reduced
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.solver.mathopt import row_duals
from optimizer.watch import UNWATCHED, Watch

_CORE = 16
"""Setups that a first plan is made of."""
_ROUGH = 0.02
"""By how much that plan may be worse than the best of them."""


@dataclass(frozen=True)
class Alone:
    """The plan of one service, and the reasons met."""

    plan: FleetPlan
    reasons: tuple[Worth, ...]
    least: Mapping[Key, int] = field(default_factory=dict)
    """What a plan with a replica of a setup costs at least; of a setup that is not here nothing is known."""


@dataclass(frozen=True)
class Asking:
    """How a service is planned: for the least of what, and with how much care."""

    goal: tuple[str, int]
    settings: SolveSettings = SolveSettings()
    watch: Watch = UNWATCHED
    dearer: Mapping[str, int] = field(default_factory=dict)
    """What a chip of a kind costs beside what the goal says."""

    def programme(self, columns: FleetColumns, service: int, known: Sequence[Worth]) -> FleetProgramme:
        """The programme of one service alone."""
        just = frozenset({service})
        return FleetProgramme.of(columns, self.goal, {}, just, {service: known}, self.dearer)

    def rounds(self, programme: FleetProgramme, first: bool, confirm: bool = True) -> FleetPlan:
        """The optimum of a programme; a plan near it where nothing need be proven."""
        exact = replace(self.settings, tolerance=0.0 if confirm else _ROUGH)
        return Rounds(programme, exact, self.watch, first=first, confirm=confirm).run()


def plan_alone(
    columns: FleetColumns,
    service: int,
    asking: Asking,
    known: Sequence[Worth] = (),
    cost: int | None = None,
) -> Alone:
    """The optimum of one service with all the chips it wants, or what is known when the watch is over.

    `known`: reasons met before. `cost`: what some plan costs, if one is known.
    """
    known = (*known, *start(columns, service, asking))
    whole = asking.programme(columns, service, known)
    weights = row_duals(whole.m, asking.watch) if known else None
    if weights is None or len(whole.at) <= _CORE:
        return _planned(whole, service, asking, known)
    bound, more = reduced(whole.m, weights)
    least = {key: bound + more.get(v, 0) for key, (v, _) in whole.at.items()}
    solves = 0
    if cost is None:
        core = sorted(least, key=lambda key: (least[key], key))[:_CORE]
        first = asking.programme(some_of(columns, core)[0], service, known)
        tried = asking.rounds(first, first=False, confirm=False).proved
        known = (*known, *first.reasons.met.get(service, ()))
        cost, solves = tried.objective, tried.solves
    if cost is None:
        return _planned(asking.programme(columns, service, known), service, asking, known)
    rest, back = some_of(columns, [key for key in least if least[key] <= cost])
    found = _planned(asking.programme(rest, service, known), service, asking, known)
    return Alone(as_of(found.plan, back, solves), found.reasons, least)


def start(columns: FleetColumns, service: int, asking: Asking) -> tuple[Worth, ...]:
    """The reason to begin with, in each case of what may go wrong.

    None where a service has one model, or one setup a phase.
    """
    if columns.same[service]:
        return ()
    counted = asking.goal[0] if asking.goal[0] in totals() else "chips"
    cost = {s.name: each_of(s, counted) + asking.dearer.get(s.name, 0) for s in columns.supplies}
    found = []
    for case, own in enumerate(columns.figures()):
        demand = [asked(x) for x in own.demands[service]]
        if (worth := in_money(own, service, demand, cost, asking.watch)) is not None:
            found.append(replace(worth, case=case))
    return tuple(found)


def _planned(programme: FleetProgramme, service: int, asking: Asking, known: Sequence[Worth]) -> Alone:
    plan = asking.rounds(programme, first=not known)
    return Alone(plan, (*known, *programme.reasons.met.get(service, ())))


def some_of(columns: FleetColumns, keys: Sequence[Key]) -> tuple[FleetColumns, Mapping[Key, Key]]:
    """The columns of some setups, and which each of them was."""
    items, back, by_item = [], dict[Key, Key](), dict[int, list[int]]()
    for j, k in sorted(keys):
        by_item.setdefault(j, []).append(k)
    for j, item in enumerate(columns.items):
        rows = by_item.get(j, [])
        back |= {(j, new): (j, k) for new, k in enumerate(rows)}
        items.append(item.some(np.array(rows, dtype=np.int64)))
    return replace(columns, items=tuple(items)), back


def as_of(plan: FleetPlan, back: Mapping[Key, Key], solves: int) -> FleetPlan:
    """A plan of some setups as one of all, after so many other solves."""
    proved = replace(plan.proved, solves=plan.proved.solves + solves)
    replicas = {back[key]: n for key, n in plan.replicas.items()}
    return FleetPlan(proved, replicas, {(*back[j, k], b): x for (j, k, b), x in plan.shares.items()})
