"""What a re-solve changes in a fleet: bounds and traffic of services, choices, bounds on the whole."""

from collections.abc import Mapping
from dataclasses import replace

from optimizer.columns.uncertain import levels
from optimizer.questions.aims import aim_of
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.pricing import PricedFleet, held, quality_of
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.fleet.programme import LEAST
from optimizer.questions.question import Ask
from optimizer.spec.studies import Aim

SERVICE = "service:"


def columns_under(problem: FleetProblem, fleet: PricedFleet, asked: Ask) -> FleetColumns:
    """The columns of a re-solve: services with other bounds or traffic, setups that choices leave."""
    given = [dict(s.constraints.given()) for s in problem.services]
    limits = [
        {
            name: float(asked.values.get(f"{service.name}.{name}", value))
            for name, value in own.items()
            if f"{service.name}.{name}" not in asked.without
        }
        for service, own in zip(problem.services, given, strict=True)
    ]
    columns, stated = fleet.columns, levels(problem.robust)
    wrong = {
        rule: float(asked.values.get(rule, x)) for rule, x in stated.items() if rule not in asked.without
    }
    others = list(map(_of_requests, limits)) != list(map(_of_requests, given))
    if asked.within or others or wrong != stated:
        columns = held(problem, fleet, asked.within, limits, wrong)
    elif limits != given:
        columns = replace(columns, qualities=tuple(map(quality_of, problem.services, limits)))
    wanted = [asked.values.get(f"{SERVICE}{s.name}") for s in problem.services]
    demands = tuple(
        rates if want is None else tuple(rate * float(want) / s.requests_per_s for rate in rates)
        for s, rates, want in zip(problem.services, columns.demands, wanted, strict=True)
    )
    return replace(columns, demands=demands)


def _of_requests(limits: Mapping[str, float]) -> dict[str, float]:
    """The limits that each request or replica keeps by itself."""
    return {name: value for name, value in limits.items() if name != "quality_min"}


def bounds_under(bounds: Mapping[str, float], asked: Ask) -> dict[str, float]:
    """Bounds on the fleet in a re-solve: some left out, some with other values, some added."""
    found = {rule: float(asked.values.get(rule, value)) for rule, value in bounds.items()}
    found = {rule: value for rule, value in found.items() if rule not in asked.without}
    for metric, limit in asked.bounds.items():
        hold(found, aim_of(metric), limit)
    return found


def hold(bounds: dict[str, float], aim: Aim, limit: float) -> None:
    """Allow only fleets at least as good as this in a metric."""
    if aim.sign < 0:
        bounds[LEAST] = max(limit, bounds.get(LEAST, limit))
    else:
        bounds[f"{aim.metric}_max"] = min(limit, bounds.get(f"{aim.metric}_max", limit))
