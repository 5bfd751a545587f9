"""From a fleet problem to its columns: every setup of every service at every size of request, priced once."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica_costs import UNPRICED
from optimizer.columns.supply import Supply, supplies
from optimizer.columns.uncertain import levels
from optimizer.errors import InputError
from optimizer.questions.deployment.columns import offered_by, prepare, setups_of
from optimizer.questions.deployment.least import least_total
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.fleet.columns import FleetColumns, Item, best_of_models, items_of
from optimizer.questions.fleet.problem import Bucket, Choice, FleetProblem, Service
from optimizer.questions.fleet.quality import Quality
from optimizer.questions.fleet.wrong import wrong_of
from optimizer.questions.replica_choices import left, required
from optimizer.spec.deployment import ReplicaSpace, Traffic
from optimizer.watch import UNWATCHED, Watch

Buckets = tuple[tuple[DeploymentColumns, ...], ...]
"""The priced replicas of one service, by model and bucket."""


@dataclass(frozen=True)
class PricedFleet:
    """The columns of a fleet, and the priced replicas of each bucket behind them."""

    columns: FleetColumns
    buckets: tuple[Buckets, ...]


def price(
    problem: FleetProblem, watch: Watch = UNWATCHED, offered: tuple[Supply, ...] | None = None
) -> PricedFleet:
    """Price every setup of every service on every bucket; each bucket has its share of the time.

    What services have in common is priced once. `offered`: chips with other figures than the problem's own.
    When the watch is over the columns are not all there; Stopped if a bucket has none.
    """
    asked = {
        (j, m, b): (_key(problem, service, model, bucket), (service, model, bucket))
        for j, service in enumerate(problem.services)
        for m, model in enumerate(service.answered_by)
        for b, bucket in enumerate(service.traffic)
    }
    unpriced = len({key for key, _ in asked.values()})
    known: dict[str, DeploymentColumns] = {}
    for key, one in asked.values():
        if key not in known:
            known[key] = prepare(_single(problem, *one), offered, watch.part(1 / unpriced))
            unpriced -= 1
    buckets = tuple(
        tuple(
            tuple(known[asked[j, m, b][0]] for b in range(len(service.traffic)))
            for m in range(len(service.answered_by))
        )
        for j, service in enumerate(problem.services)
    )
    known_only = not any(service.tabled for service in problem.services)
    chips = offered or supplies(problem.hardware, known_only, problem.documents)
    return PricedFleet(fleet_columns(problem, buckets, chips), buckets)


def _key(problem: FleetProblem, service: Service, model: Choice, bucket: Bucket) -> str:
    """The same for what has the same prices: all but the rate, and what things are called."""
    parts = (
        model.model_dump_json(include={"architecture", "performance_table"}),
        _space(problem, service, model).model_dump_json(exclude_unset=True),
        bucket.model_dump_json(exclude={"requests_per_s"}),
        str(service.priced_at),
    )
    return "\n".join(parts)


def fleet_columns(
    problem: FleetProblem,
    buckets: Sequence[Buckets],
    chips: tuple[Supply, ...],
    limits: Sequence[Mapping[str, float]] = (),
    apart: Sequence[str] = (),
    wrong: Mapping[str, float] | None = None,
) -> FleetColumns:
    """The columns of priced buckets for the traffic of a problem's services.

    `limits`: of the requests of each service, where they are not the problem's own; `wrong`: rules of what
    may go wrong, likewise.
    """
    limits = limits or [service.constraints.given() for service in problem.services]
    worst = wrong_of(limits, buckets, levels(problem.robust) if wrong is None else wrong)
    items: list[Item] = []
    dropped: Counter[str] = Counter()
    for j, (bounds, priced) in enumerate(zip(limits, buckets, strict=True)):
        own: list[Item] = []
        for m, of_model in enumerate(priced):
            some, lost = items_of(j, of_model, bounds, apart, m, worst.buckets[j][m] if worst else ())
            own += some
            dropped += lost
            for columns in of_model:
                dropped[UNPRICED] += columns.dropped.get(UNPRICED, 0)
        items += best_of_models(own, quality_of(problem.services[j], bounds), apart)
    found = FleetColumns(
        supplies=chips,
        names=tuple(service.name for service in problem.services),
        demands=tuple(tuple(b.requests_per_s for b in s.traffic) for s in problem.services),
        items=tuple(items),
        same=tuple((s.deployment or problem.deployment).mix == "same" for s in problem.services),
        dropped=dict(+dropped),
        complete=not dropped[UNPRICED],
        tables=_each(buckets, lambda columns: columns.replicas),
        rates=_each(buckets, lambda columns: columns.rates({})),
        checkpoints=tuple(tuple(of_model[0].checkpoint for of_model in row) for row in buckets),
        shares=_each(buckets, DeploymentColumns.memory_share),
        priced_by=_each(buckets, lambda columns: columns.priced_by),
        qualities=tuple(map(quality_of, problem.services, limits)),
    )
    return found if worst is None else found.standing(worst)


def quality_of(service: Service, limits: Mapping[str, float]) -> Quality | None:
    """What answers of a service's models are worth, under its limits; None where it names no models."""
    if service.models is None:
        return None
    return Quality.of([model.quality or 0.0 for model in service.models], limits.get("quality_min"))


T = TypeVar("T")


def _each(
    buckets: Sequence[Buckets], of: Callable[[DeploymentColumns], T]
) -> tuple[tuple[tuple[T, ...], ...], ...]:
    """Something of each table, by service, model and bucket; once of one that several share."""
    tables = {id(columns): columns for row in buckets for of_model in row for columns in of_model}
    found = {key: of(columns) for key, columns in tables.items()}
    return tuple(tuple(tuple(found[id(c)] for c in of_model) for of_model in row) for row in buckets)


def held(
    problem: FleetProblem,
    fleet: PricedFleet,
    within: Mapping[str, tuple[Any, ...]],
    limits: Sequence[Mapping[str, float]],
    wrong: Mapping[str, float] | None = None,
) -> FleetColumns:
    """The columns of the setups that choices leave; those a plan must have stand for no others.

    `limits`: of the requests of each service; `wrong`: rules of what may go wrong.
    """
    buckets = _each(fleet.buckets, lambda c: c.only(left(c.replicas, within)[0]))
    wanted = required(within)
    apart = tuple(dict.fromkeys(wanted.values()))
    columns = fleet_columns(problem, buckets, fleet.columns.supplies, limits, apart, wrong)
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
    total, known = 0.0, dict[str, float]()
    for service in problem.services:
        found = []
        for model in service.answered_by:
            if (key := _key(problem, service, model, service.traffic[0])) not in known:
                single = _single(problem, service, model, service.traffic[0])
                known[key] = least_total(single, offered_by(single), name) or 0.0
            found.append(known[key])
        total += min(found)
    return total


def setups_of_fleet(problem: FleetProblem) -> int:
    """Setups there are to price, for each model and bucket of each service."""
    total = 0
    for service in problem.services:
        for model in service.answered_by:
            single = _single(problem, service, model, service.traffic[0])
            total += len(service.traffic) * setups_of(single, offered_by(single))
    return total


def _space(problem: FleetProblem, service: Service, model: Choice) -> ReplicaSpace:
    """How replicas of a service's model may run; InputError for ways that a fleet has not."""
    space = model.deployment or service.deployment or problem.deployment
    if "separated" in space.mode or True in space.second_tier:
        raise InputError(
            f"services: {service.name}: a fleet has no mode separated and no second_tier; leave them out"
        )
    return space


def _single(problem: FleetProblem, service: Service, model: Choice, bucket: Bucket) -> DeploymentProblem:
    """One bucket of one service, answered by one model, as a deployment question of its own."""
    percentile = {} if service.percentile is None else {"percentile": service.percentile}
    return DeploymentProblem(
        name=service.name,
        architecture=model.architecture,
        performance_table=model.performance_table,
        performance_table_rows=bucket.rows,
        hardware=problem.hardware,
        documents=problem.documents,
        deployment=_space(problem, service, model),
        workload=Traffic(**bucket.model_dump(exclude={"rows"}), **percentile),
        minimize=("chips",),
        robust=problem.robust,
    )
