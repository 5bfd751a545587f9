"""The optimum of a deployment's programme: each objective in turn, proven, and what is known of the plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optimizer.columns.deployment import UNIT, DeploymentColumns, Usable
from optimizer.metrics import scale
from optimizer.questions.deployment.flow import Case
from optimizer.questions.deployment.knapsack import Knapsack
from optimizer.questions.deployment.levels import held
from optimizer.questions.deployment.programme import DeploymentProgramme, cases_of, tokens_counted
from optimizer.questions.replica_programme import AGGREGATED, SIDES
from optimizer.search.programme import Proved
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.solver.proving import Witness, prove
from optimizer.watch import UNWATCHED, Watch

Objectives = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Packed:
    """A plan in whole numbers, and what is known of it."""

    status: str
    counts: Mapping[int, int]
    """Row of the table to replicas."""
    values: Mapping[str, float]
    """Each objective's value, in its unit."""
    bounds: Mapping[str, float | None]
    """The proven bound on each objective."""
    served: float
    """Requests per second that can be served, with the spares lost."""
    solves: int
    columns: int
    dropped: Mapping[str, int]
    confirmed_by: tuple[str, ...]


def optimum(
    columns: DeploymentColumns,
    objectives: Objectives,
    bounds: Mapping[str, float],
    settings: SolveSettings = SolveSettings(),
    watch: Watch = UNWATCHED,
    confirm: bool = True,
) -> Packed:
    """The optimum under `bounds`, by name; bounds left out do not hold, so that any can be lifted.

    Without `confirm`, plans are verified and optimality is HiGHS's word alone: 'feasible', or 'unknown'.
    Names: the fields of `constraints`, `requests_per_s` (the demand) and `inventory:CHIP`.
    """
    wanted = [name for name, _ in objectives]
    nodes = "nodes" in wanted or "nodes_max" in bounds
    usable = columns.within(bounds, nodes=nodes, counted=tokens_counted(wanted, bounds))
    if len(usable.rows):
        programme = DeploymentProgramme.of(columns, usable, bounds, wanted)
        found = _in_turn(programme, objectives, settings, watch, confirm)
    else:
        found = _nothing_left(objectives, bounds, usable)
    if columns.complete:
        return found
    return replace(found, status=UNPROVEN[found.status], bounds={}, confirmed_by=())


def _in_turn(
    programme: DeploymentProgramme,
    objectives: Objectives,
    settings: SolveSettings,
    watch: Watch,
    confirm: bool,
) -> Packed:
    """Each objective in turn, the earlier held at their optima."""
    goals: dict[str, Mapping[int, int]] = {}
    limits: dict[str, float | None] = {}
    proofs: list[Proved] = []
    for name, sense in objectives:
        goal = programme.goal(name)
        programme.m.objective = {i: sense * c for i, c in goal.items()}
        proofs.append(prove(programme.m, settings, watch, witness(programme, name, sense), confirm))
        found = proofs[-1]
        if found.objective is None:
            break
        goals[name] = goal
        limits[name] = None if found.bound is None else sense * found.bound / scale(name)
        programme.hold(goal, sense, sense * found.objective)
    plan = next((p for p in reversed(proofs) if p.values), None)
    counts = programme.counts(plan.values) if plan else {}
    usable = programme.usable
    return Packed(
        status=_status(proofs, len(objectives)),
        counts=counts,
        values=_worth(goals, plan.values if plan else ()),
        bounds=limits,
        served=served(programme.columns, usable, counts, cases_of(usable, programme.limits, total=True))
        / UNIT,
        solves=sum(p.solves for p in proofs),
        columns=len(usable.rows),
        dropped=usable.dropped,
        confirmed_by=tuple(dict.fromkeys(c for p in proofs for c in p.confirmed_by)),
    )


def _worth(goals: Mapping[str, Mapping[int, int]], solution: Sequence[int]) -> dict[str, float]:
    """The objectives of the plan itself: one that was not proven may improve while a later one is sought."""
    return {n: sum(c * solution[i] for i, c in goal.items()) / scale(n) for n, goal in goals.items()}


UNPROVEN = {"optimal": "feasible", "infeasible": "unknown", "feasible": "feasible", "unknown": "unknown"}
"""What an answer over some of the configurations is over all."""


def _nothing_left(objectives: Objectives, bounds: Mapping[str, float], usable: Usable) -> Packed:
    """No configuration keeps the bounds on one replica: no plan, or the empty one if nothing is demanded."""
    said = ("no configuration is left by the bounds on one replica",)
    zero = {} if "requests_per_s" in bounds else {name: 0.0 for name, _ in objectives}
    status = "optimal" if zero else "infeasible"
    return Packed(status, {}, zero, dict(zero), 0.0, 0, 0, usable.dropped, said)


def _status(proofs: list[Proved], wanted: int) -> str:
    first = proofs[0].status
    if first in ("infeasible", "unknown"):
        return first
    return "optimal" if len(proofs) == wanted and all(p.status == "optimal" for p in proofs) else "feasible"


def witness(p: DeploymentProgramme, name: str, sense: int) -> Witness | None:
    """A check that nothing is better; None where the question is not one of chips and rate alone."""
    nodes = {"nodes_max", "nodes"} & {*p.limits, *p.wanted}
    kinds = len(p.supplies), len(p.formats)
    if p.columns.same or p.columns.used or p.tokens or nodes or max(kinds) > 1:
        return None
    if len(p.cases) > 1:
        return None  # which of them is the worst is each plan's own
    [case] = p.totals if name == "requests_per_s" else p.cases
    if case.lost and AGGREGATED in p.mode and len(set(p.mode)) > 1:
        return None  # whole requests are lost on both sides at once
    knapsack = Knapsack(p.mode, p.chips, case.capacity, case.lost)
    if name == "requests_per_s":
        return lambda best: knapsack.serves_no_more(p.stock[0], sense * best)
    each = p.cost(name)[p.n[0]] // p.chips[0]
    return lambda best: knapsack.costs_no_less(each, case.demand, best)


def served(
    columns: DeploymentColumns, usable: Usable, counts: Mapping[int, int], cases: Sequence[Case] = ()
) -> int:
    """Requests per second that replicas serve together, in 1e-8, in the worst of some scenarios.

    The thinner pool of a pair, and the rest. Without a scenario all is as predicted.
    """
    sides = [
        [row for row in counts if str(columns.replicas.mode[row]) in (AGGREGATED, side)] for side in SIDES
    ]
    found = []
    for case in cases or cases_of(usable, {}):
        capacity = dict(zip(usable.rows.tolist(), case.capacity, strict=True))
        found += [held([capacity[r] for r in own], [counts[r] for r in own], case.lost) for own in sides]
    return min(found)
