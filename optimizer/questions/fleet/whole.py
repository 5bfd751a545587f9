"""The best fleet: services that share nothing are planned each alone, the others together.

Where services have several models, each is planned alone first: what they cost so is a bound on the whole,
and the whole itself where the chips there are and the other bounds allow it. Else each costs at least that
much in the programme of all, and the reasons that were met are its first rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optimizer.questions.fleet.alone import Alone, Asking, plan_alone
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.programme import LEAST, FleetProgramme
from optimizer.questions.fleet.rounds import FleetPlan, Rounds
from optimizer.questions.fleet.shared import Shared
from optimizer.search.programme import Proved
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.watch import UNWATCHED, Watch

_EASY = 4
"""How many times its share of the time a service may take: most take less."""


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
    columns = replace(columns, wrong=None)  # that is of the check of a whole answer
    if len(columns.cases) == 1:
        [columns] = columns.figures(goal[1] < 0 or LEAST in bounds)
    whole = goal[1] > 0 and LEAST not in bounds and not columns.used  # all traffic, and any setups
    if whole and any(columns.quality(service) for service in wanted):
        return _each_first(columns, goal, bounds, sorted(wanted), settings, watch)
    if bounds:
        return Rounds(FleetProgramme.of(columns, goal, bounds, wanted), settings, watch).run()
    alone = (frozenset({service}) for service in sorted(wanted))
    return _together(
        [Rounds(FleetProgramme.of(columns, goal, {}, one), settings, watch).run() for one in alone]
    )


def _each_first(
    columns: FleetColumns,
    goal: tuple[str, int],
    bounds: Mapping[str, float],
    services: Sequence[int],
    settings: SolveSettings,
    watch: Watch,
) -> FleetPlan:
    alone: dict[int, Alone] = {}
    for number, service in enumerate(services):
        part = watch.part(min(1.0, _EASY / (len(services) - number)))
        alone[service] = plan_alone(columns, service, Asking(goal, settings, part))
    whole = _together([own.plan for own in alone.values()])
    kept = FleetCheck(columns, whole.replicas, whole.shares).broken(bounds, everything=False) == []
    if whole.proved.status == "infeasible" or (whole.replicas and kept):
        return whole
    if whole.proved.status != "optimal":  # the bounds of all are left, and no fleet within the limits
        return FleetPlan(replace(whole.proved, status="unknown", objective=None), {}, {})
    return Shared(columns, bounds, Asking(goal, settings, watch), alone).run()


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
