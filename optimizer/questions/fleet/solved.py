"""The answer to a fleet problem as it stands: its optimum, a second look at it, what bounds make of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from optimizer.columns.scenarios import part_of
from optimizer.errors import InternalMismatch
from optimizer.metrics import scale, totals, unit_of_bound
from optimizer.questions.deployment.least import highest
from optimizer.questions.fleet.answer import FleetWitnesses
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.plan import plan_of
from optimizer.questions.fleet.pricing import least_of_fleet
from optimizer.questions.fleet.rounds import FleetPlan
from optimizer.questions.fleet.routes import checked
from optimizer.questions.fleet.vocabulary import FleetVocabulary
from optimizer.questions.fleet.witness import look_again
from optimizer.questions.question import Ask, Best
from optimizer.spec.plan import Plan
from optimizer.watch import Stopped

if TYPE_CHECKING:
    from optimizer.spec.answer import Status


@dataclass(frozen=True)
class Solved:
    """What `best` keeps: the plan as found, its independent computation, and the second look at it."""

    plan: FleetPlan
    check: FleetCheck
    seen: FleetWitnesses | None


def solve(asked: FleetVocabulary) -> Best:
    """The optimum, checked, and looked at a second time."""
    try:
        found, columns = asked.planned(Ask(aims=()))
    except Stopped:
        return Best("unknown", None, None, least_of_fleet(asked.problem))
    asked.solves += found.proved.solves
    try:
        everything = asked.problem.maximize is None
        check = checked(columns, found.replicas, found.shares, everything, asked.watch)
    except Stopped:
        return Best("unknown", None, None, least_of_fleet(asked.problem))
    _require(asked, found, check)
    plan = plan_of(asked.problem, check) if found.replicas else None
    (name, sense), proved, seen = asked.problem.goal, found.proved, None
    value, bound = (None if v is None else sense * v / scale(name) for v in (proved.objective, proved.bound))
    if proved.status == "infeasible" or proved.bound is not None:
        own = asked.problem, asked.fleet, asked.bounds, found, asked.settings.seed, asked.watch
        seen = look_again(*own, check.routes)
    if proved.status in ("feasible", "unknown"):
        bound = _closest(sense, bound, least_of_fleet(asked.problem))
    return Best(cast("Status", proved.status), plan, value, bound, found=Solved(found, check, seen))


def _require(asked: FleetVocabulary, plan: FleetPlan, check: FleetCheck) -> None:
    """InternalMismatch unless the plan holds and has the value it claims."""
    if plan.proved.status not in ("optimal", "feasible"):
        return
    broken = check.broken(asked.bounds, everything=asked.problem.maximize is None)
    if broken:
        raise InternalMismatch(f"the plan found breaks {', '.join(broken)} when recomputed")
    name, sense = asked.problem.goal
    value = check.requests_per_s() if name == "requests_per_s" else check.total(name)
    claimed = sense * (plan.proved.objective or 0) / scale(name)
    if value is None or abs(value - claimed) > 1e-9 * abs(claimed) + 1e-5:
        raise InternalMismatch(f"{name}: the solver says {claimed:.9g}, the check {value}")


def _closest(sense: int, *bounds: float | None) -> float | None:
    """The bound that says most: the highest on a total, the lowest on what is maximised."""
    best = highest(*(None if bound is None else sense * bound for bound in bounds))
    return None if best is None else sense * best


def optimum_without(asked: FleetVocabulary, *rules: str) -> float | None:
    """The optimum without some bounds. Raises Stopped."""
    if rules in asked.known_without:
        return asked.known_without[rules]
    found, _ = asked.planned(Ask(aims=(), without=rules))
    asked.solves += found.proved.solves
    if found.proved.status not in ("optimal", "infeasible"):
        raise Stopped  # not proven: no gain is better than a guess
    (name, sense), value = asked.problem.goal, found.proved.objective
    asked.known_without[rules] = None if value is None else sense * value / scale(name)
    return asked.known_without[rules]


def reached(asked: FleetVocabulary, rule: str, best: Best) -> tuple[float, float | None, str | None]:
    """The limit of a rule, what the fleet makes of it, and the unit."""
    check: FleetCheck = best.found.check
    limit, chip = asked.rules()[rule], rule.partition(":")[2]
    metric = rule.removesuffix("_max")
    value: float | None = check.total(metric) if metric in totals() else None
    if chip:
        metric, value = "chips", float(check.chips().get(chip, 0))
    elif part_of(rule) is not None:
        value = limit
    elif rule.endswith(".quality_min"):
        mean = check.quality(check.columns.names.index(rule.rpartition(".")[0]))
        return limit, None if mean is None else float(mean), None
    elif "." in rule and best.plan is not None:
        metric, value = metric.rpartition(".")[2], _worst(best.plan, rule)
    return limit, value, unit_of_bound(metric)


def _worst(plan: Plan, rule: str) -> float | None:
    """The longest latency that requests of a service see, of those a bound on it is about."""
    service, _, bound = rule.rpartition(".")
    metric = bound.removesuffix("_max")
    parts = [part for pool in plan.pools if pool.service == service for part in pool.parts]
    known = [value for part in parts if (value := getattr(part, metric, None)) is not None]
    return max(known, default=None)
