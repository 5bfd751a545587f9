"""The answer to a deployment problem as it stands: its optimum, the plan among equals, what binds it."""

from collections.abc import Mapping
from dataclasses import dataclass

from optimizer.anatomy.at_demand import at_demand
from optimizer.errors import Unlimited
from optimizer.metrics import unit, unit_of_bound
from optimizer.questions.deployment.bounded import ANY_TRAFFIC
from optimizer.questions.deployment.least import highest, least_total
from optimizer.questions.deployment.optimum import Packed
from optimizer.questions.deployment.vocabulary import DeploymentVocabulary
from optimizer.questions.question import Best
from optimizer.search.binding import UNLIMITED
from optimizer.spec.answer import Objective, Status
from optimizer.spec.plan import Deployment
from optimizer.watch import Stopped


@dataclass(frozen=True)
class Solved:
    """What `best` keeps: the optimum, and the plan among equals that is shown."""

    found: Packed
    shown: Packed


def solve(asked: DeploymentVocabulary) -> Best:
    """Every objective in turn; of the optima the plan that every study shows, checked."""
    name, _ = asked.problem.objectives[0]
    try:
        columns = asked.columns
    except Stopped:  # before the first configuration had a price
        return Best("unknown", None, None, least_total(asked.problem, asked.offered, name))
    bounds = {"requests_per_s": ANY_TRAFFIC} | asked.bounds
    found = asked.asked(asked.problem.objectives, bounds)
    shown = _settled(asked, found, bounds) if found.counts else found
    plan = None
    if shown.counts:
        own = asked.plan_of(asked.bounds, shown.counts)
        own.require(shown)
        plan = own.plan(asked.problem.architecture)
        pools = tuple(at_demand(own.columns, pool) for pool in plan.pools)
        plan = plan.changed(deployment=Deployment(pools=pools))
    bound = found.bounds.get(name)
    if found.status in ("feasible", "unknown"):
        bound = highest(bound, least_total(asked.problem, columns.supplies, name))
    status: Status = found.status  # type: ignore[assignment]
    reached = found.values.get(name, plan.metrics.get(name) if plan else None)
    value, bound = (_as_shown(asked, v) for v in (reached, bound))
    return Best(status, plan, value, bound, found=Solved(found, shown))


def _settled(asked: DeploymentVocabulary, found: Packed, bounds: Mapping[str, float]) -> Packed:
    """Of the optima the plan that every study shows (`DeploymentSearch.settled`)."""
    if found.status != "optimal":
        return found
    search = asked.search_within(bounds, asked.watch)
    for name, value in found.values.items():
        search.hold(name, value)
    try:
        return search.settled(found)
    except Stopped:
        return found
    finally:
        asked.solves += search.solves


def _shown_metric(asked: DeploymentVocabulary) -> str:
    """What `solve` shows as its objective: traffic in the unit the problem asks for."""
    return asked.problem.maximize or asked.problem.objectives[0][0]


def _as_shown(asked: DeploymentVocabulary, value: float | None) -> float | None:
    """A value of the first objective, in the unit that `solve` shows."""
    per = asked.problem.workload.output_tokens if _shown_metric(asked) == "output_tokens_per_s" else 1
    return None if value is None else value * per


def objective_of(asked: DeploymentVocabulary, best: Best) -> Objective:
    """What was optimised, reached and proven."""
    name, (_, sense) = _shown_metric(asked), asked.problem.objectives[0]
    return Objective.of(name, unit(name), sense, best.value, best.bound)


def optimum_without(asked: DeploymentVocabulary, *rules: str) -> float | None:
    """The optimum without some bounds, in the unit that `solve` shows. Raises Stopped."""
    if rules in asked.known_without:
        return asked.known_without[rules]
    name, sense = asked.problem.objectives[0]
    bounds = {"requests_per_s": ANY_TRAFFIC} | asked.bounds
    for rule in rules:
        bounds.pop(rule)
    try:
        again = asked.asked(((name, sense),), bounds)
    except Unlimited:
        return -sense * UNLIMITED
    if again.status not in ("optimal", "infeasible"):
        raise Stopped  # not proven: no gain is better than a guess
    found = _as_shown(asked, again.values.get(name))
    asked.known_without[rules] = found
    return found


def reached(asked: DeploymentVocabulary, rule: str, solved: Solved) -> tuple[float, float, str | None]:
    """The limit of a bound, what the plan makes of it, and the unit."""
    check = asked.plan_of(asked.bounds, solved.shown.counts).check
    metric, limit = rule.removesuffix("_max").removesuffix("_min"), asked.bounds[rule]
    value = check.totals().get(metric, limit)
    if rule.startswith("inventory:"):
        metric, value = "chips", float(check.chips(rule.partition(":")[2]))
    return limit, value, unit_of_bound(metric)
