"""From a fleet problem to its columns: every setup of every service at every size of request, priced once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica_costs import UNPRICED
from optimizer.columns.supply import Supply, supplies
from optimizer.errors import InputError
from optimizer.questions.deployment.columns import offered_by, prepare, setups_of
from optimizer.questions.deployment.least import least_total
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.fleet.columns import FleetColumns, Item, items_of
from optimizer.questions.fleet.problem import Bucket, FleetProblem, Service
from optimizer.questions.replica_choices import left, required
from optimizer.spec.deployment import Traffic
from optimizer.watch import UNWATCHED, Watch


@dataclass(frozen=True)
class PricedFleet:
    """The columns of a fleet, and the priced replicas of each bucket behind them."""

    columns: FleetColumns
    buckets: tuple[tuple[DeploymentColumns, ...], ...]


def price(
    problem: FleetProblem, watch: Watch = UNWATCHED, offered: tuple[Supply, ...] | None = None
) -> PricedFleet:
    """Price every setup of every service on every bucket, once; each bucket has its share of the time.

    `offered`: chips with other figures than the problem's own. When the watch is over the columns are not all
    there; Stopped if a bucket has none.
    """
    unpriced = sum(len(service.traffic) for service in problem.services)
    buckets = []
    for service in problem.services:
        priced: tuple[DeploymentColumns, ...] = ()
        for bucket in service.traffic:
            priced += (prepare(_single(problem, service, bucket), offered, watch.part(1 / unpriced)),)
            unpriced -= 1
        buckets.append(priced)
    known_only = all(service.performance_table is None for service in problem.services)
    chips = offered or supplies(problem.hardware, known_only, problem.documents)
    return PricedFleet(fleet_columns(problem, buckets, chips), tuple(buckets))


def fleet_columns(
    problem: FleetProblem,
    buckets: Sequence[Sequence[DeploymentColumns]],
    chips: tuple[Supply, ...],
    limits: Sequence[Mapping[str, float]] = (),
    apart: Sequence[str] = (),
) -> FleetColumns:
    """The columns of priced buckets for the traffic of a problem's services.

    `limits`: of the requests of each service, where they are not the problem's own.
    """
    own = limits or [service.constraints.given() for service in problem.services]
    items: list[Item] = []
    dropped: Counter[str] = Counter()
    for j, (bounds, priced) in enumerate(zip(own, buckets, strict=True)):
        found, lost = items_of(j, priced, bounds, apart)
        items += found
        dropped += lost
        for columns in priced:
            dropped[UNPRICED] += columns.dropped.get(UNPRICED, 0)
    return FleetColumns(
        supplies=chips,
        names=tuple(service.name for service in problem.services),
        demands=tuple(tuple(b.requests_per_s for b in s.traffic) for s in problem.services),
        items=tuple(items),
        same=tuple((s.deployment or problem.deployment).mix == "same" for s in problem.services),
        dropped=dict(+dropped),
        complete=not dropped[UNPRICED],
        tables=tuple(tuple(columns.replicas for columns in row) for row in buckets),
        rates=tuple(tuple(columns.rates({}) for columns in row) for row in buckets),
        checkpoints=tuple(row[0].checkpoint for row in buckets),
        shares=tuple(tuple(columns.memory_share() for columns in row) for row in buckets),
    )


def held(
    problem: FleetProblem,
    fleet: PricedFleet,
    within: Mapping[str, tuple[Any, ...]],
    limits: Sequence[Mapping[str, float]],
) -> FleetColumns:
    """The columns of the setups that choices leave; those a plan must have stand for no others.

    `limits`: of the requests of each service.
    """
    buckets = [tuple(c.only(left(c.replicas, within)[0]) for c in row) for row in fleet.buckets]
    wanted = required(within)
    apart = tuple(dict.fromkeys(wanted.values()))
    columns = fleet_columns(problem, buckets, fleet.columns.supplies, limits, apart)
    used = [
        frozenset(
            (j, k)
            for j, item in enumerate(columns.items)
            for k in left(item.setups, {name: (True,)})[1][name].nonzero()[0].tolist()
        )
        for name in wanted
    ]
    whole = fleet.columns
    return replace(columns, used=tuple(used), dropped=whole.dropped, complete=whole.complete)


def least_of_fleet(problem: FleetProblem) -> float | None:
    """What no fleet is below, or above where traffic is maximised: each service needs replicas of its own."""
    name, sense = problem.goal
    if sense < 0:
        return sum(bucket.requests_per_s for service in problem.services for bucket in service.traffic)
    singles = [_single(problem, service, service.traffic[0]) for service in problem.services]
    found = [least_total(single, offered_by(single), name) for single in singles]
    return sum(value or 0.0 for value in found)


def setups_of_fleet(problem: FleetProblem) -> int:
    """Setups there are to price, for each bucket of each service."""
    singles = [_single(problem, s, bucket) for s in problem.services for bucket in s.traffic]
    return sum(setups_of(single, offered_by(single)) for single in singles)


def _single(problem: FleetProblem, service: Service, bucket: Bucket) -> DeploymentProblem:
    """One bucket of one service as a deployment question of its own."""
    space = service.deployment or problem.deployment
    if "separated" in space.mode or True in space.second_tier:
        raise InputError(
            f"services: {service.name}: a fleet has no mode separated and no second_tier; leave them out"
        )
    return DeploymentProblem(
        name=service.name,
        architecture=service.architecture,
        performance_table=service.performance_table,
        performance_table_rows=bucket.rows,
        hardware=problem.hardware,
        documents=problem.documents,
        deployment=space,
        workload=Traffic(**bucket.model_dump(exclude={"rows"}), percentile="none"),
        minimize=("chips",),
    )
