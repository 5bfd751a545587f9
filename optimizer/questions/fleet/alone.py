"""Services with several models, each planned as if the others were not: few of their many setups matter.

The reason in money (questions/fleet/priced_out.py) bounds the cost and says by how much more a plan costs
for each replica of a setup. Of the setups that cost least more a plan is made; what costs more than that plan
by a single replica is in no better one and is left out, by sums of whole numbers. Reasons met on the way
serve for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
from optimizer.watch import Watch

_CORE = 16
"""Setups that a first plan is made of."""
_ROUGH = 0.02
"""By how much that plan may be worse than the best of them."""


@dataclass(frozen=True)
class Alone:
    """The plan of one service, and the reasons met."""

    plan: FleetPlan
    reasons: tuple[Worth, ...]


def plan_alone(
    columns: FleetColumns, goal: tuple[str, int], service: int, settings: SolveSettings, watch: Watch
) -> Alone:
    """The optimum of one service with all the chips it wants, or what is known when the watch is over."""
    known = start(columns, goal, service, watch)
    just = frozenset({service})
    whole = FleetProgramme.of(columns, goal, {}, just, {service: known})
    weights = row_duals(whole.m, watch) if known else None
    if weights is None or len(whole.at) <= _CORE:
        return _planned(whole, service, settings, watch, known)
    bound, more = reduced(whole.m, weights)
    extra = {key: more.get(v, 0) for key, (v, _) in whole.at.items()}
    core = sorted(extra, key=lambda key: (extra[key], key))[:_CORE]
    some, back = some_of(columns, core)
    first = FleetProgramme.of(some, goal, {}, just, {service: known})
    tried = Rounds(first, replace(settings, tolerance=_ROUGH), watch, confirm=False).run()
    known = (*known, *first.reasons.met.get(service, ()))
    if (cost := tried.proved.objective) is None:
        again = FleetProgramme.of(columns, goal, {}, just, {service: known})
        return _planned(again, service, settings, watch, known)
    rest, back = some_of(columns, [key for key in extra if bound + extra[key] <= cost])
    programme = FleetProgramme.of(rest, goal, {}, just, {service: known})
    found = _planned(programme, service, settings, watch, known)
    plan = found.plan
    solves = replace(plan.proved, solves=plan.proved.solves + tried.proved.solves)
    replicas = {back[key]: n for key, n in plan.replicas.items()}
    shares = {(*back[j, k], b): x for (j, k, b), x in plan.shares.items()}
    return Alone(FleetPlan(solves, replicas, shares), found.reasons)


def start(columns: FleetColumns, goal: tuple[str, int], service: int, watch: Watch) -> tuple[Worth, ...]:
    """The reason to begin with; none where a service has one model, or traffic is what is asked for."""
    if columns.same[service]:
        return ()
    counted = goal[0] if goal[0] in totals() else "chips"
    cost = {s.name: each_of(s, counted) for s in columns.supplies}
    found = in_money(columns, service, [asked(x) for x in columns.demands[service]], cost, watch)
    return () if found is None else (found,)


def _planned(
    programme: FleetProgramme, service: int, settings: SolveSettings, watch: Watch, known: Sequence[Worth]
) -> Alone:
    plan = Rounds(programme, settings, watch, first=not known).run()
    return Alone(plan, (*known, *programme.reasons.met.get(service, ())))


def some_of(columns: FleetColumns, keys: Sequence[Key]) -> tuple[FleetColumns, Mapping[Key, Key]]:
    """The columns of some setups, and which each of them was."""
    items, back = [], dict[Key, Key]()
    for j, item in enumerate(columns.items):
        rows = sorted(k for own, k in keys if own == j)
        back |= {(j, new): (j, k) for new, k in enumerate(rows)}
        items.append(item.some(np.array(rows, dtype=np.int64)))
    return replace(columns, items=tuple(items)), back
