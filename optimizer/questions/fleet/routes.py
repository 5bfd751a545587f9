"""How the replicas of a fleet share its traffic, in each case of what may go wrong."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from optimizer.columns.totals import asked
from optimizer.questions.fleet.carrying import Key, Shares, Triple
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.shares import Carried, worked_out
from optimizer.watch import UNWATCHED, Watch

NEAR = Fraction(1, 1000)
"""Traffic, in 1e-8 requests/s, that is no shortfall: what rates lose when they are read as whole numbers."""


def carried_by(
    columns: FleetColumns,
    service: int,
    replicas: Mapping[Key, int],
    everything: bool,
    watch: Watch = UNWATCHED,
) -> Carried:
    """What the replicas of a service carry of its traffic. Raises Stopped."""
    demand = [asked(rate) for rate in columns.demands[service]]
    rates = {(j, k): columns.items[j].capacity[:, k].tolist() for j, k in replicas}
    phases = {(j, k): columns.items[j].phase for j, k in replicas}
    models = columns.models(service, replicas)
    return worked_out(demand, rates, phases, replicas, everything, watch, models)


def checked(
    columns: FleetColumns,
    replicas: Mapping[Key, int],
    shares: Shares,
    everything: bool,
    watch: Watch = UNWATCHED,
) -> FleetCheck:
    """The check of a plan, which splits its traffic in each case as that case asks. Raises Stopped.

    `shares`: how it does where nothing may go wrong, or where it cannot carry what a case asks.
    """
    if not columns.cases:
        return FleetCheck(columns, replicas, shares)
    figures = columns.figures(not everything)
    routes = tuple(_route(own, replicas, shares, everything, watch) for own in figures)
    return as_predicted(FleetCheck(columns, replicas, shares, routes))


def _route(
    columns: FleetColumns, replicas: Mapping[Key, int], shares: Shares, everything: bool, watch: Watch
) -> dict[Triple, Fraction]:
    """How replicas split the traffic of one case."""
    found: dict[Triple, Fraction] = {}
    for service in {columns.items[j].service for j, _ in replicas}:
        mine = {key: n for key, n in replicas.items() if columns.items[key[0]].service == service}
        demand = [asked(rate) for rate in columns.demands[service]]
        got = carried_by(columns, service, mine, everything, watch)
        if everything and got.served < sum(demand) - NEAR:
            found |= of_service(columns, service, shares)
        else:
            found |= got.of_traffic(demand, everything)
    return found


def as_predicted(check: FleetCheck) -> FleetCheck:
    """With shares for when nothing goes wrong: those of the case of least traffic of those that hold."""
    found: dict[Triple, Fraction] = {}
    for service in range(len(check.columns.names)):
        own = [
            replace(check, shares=of_service(check.columns, service, route), routes=())
            for route in check.routes
        ]
        holding = [split for split in own if split.carries]
        found |= min(holding or own[:1], key=FleetCheck.requests_per_s).shares
    return replace(check, shares=found)


def of_service(
    columns: FleetColumns, service: int, shares: Shares, its: bool = True
) -> dict[Triple, Fraction]:
    """The shares of one service, or of all others."""
    return {key: x for key, x in shares.items() if (columns.items[key[0]].service == service) is its}
