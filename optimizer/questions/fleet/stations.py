"""A fleet's plan as a replay sees it: services on their own pools, sizes of request on those that serve them.

A pool runs together what the largest batch of its parts allows; the cache may hold fewer of longer requests.
Where a service has several models each request is for one of them, as often as the plan says, and comes to
the pools that run it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optimizer import catalog
from optimizer.columns.deployment import PricedBy
from optimizer.columns.replica_costs import slowest_network
from optimizer.columns.supply import supplies
from optimizer.cost.frame import Frame
from optimizer.errors import InputError
from optimizer.questions.deployment.stations import frame_of_pool, in_words, require_roles
from optimizer.questions.fleet.problem import FleetProblem, Service
from optimizer.simulation.asked import Size
from optimizer.simulation.replay import Station
from optimizer.simulation.requests import Requests
from optimizer.simulation.scene import Kind, Scene
from optimizer.simulation.stations import station
from optimizer.spec.architecture import Architecture
from optimizer.spec.deployment import Traffic, as_stored
from optimizer.spec.plan import Part, Pool

_SIZE = tuple[str, str, int, int]
"""Of a service and of one of its models: tokens in and out."""


@dataclass(frozen=True)
class _Runs:
    """A pool with the frame of its replicas, and the sizes of request that it serves."""

    pool: Pool
    frame: Frame
    model: Architecture
    sizes: frozenset[_SIZE]


def scene(problem: FleetProblem, pools: tuple[Pool, ...], metrics: Mapping[str, float]) -> Scene:
    """The plan of a fleet. InputError for plans whose step times the cost model does not give."""
    services = {service.name: service for service in problem.services}
    for pool in pools:
        if pool.service not in services:
            raise InputError(f"deployment.pools: no service '{pool.service[:64]}'; {', '.join(services)}")
    for name in services:
        own = tuple(pool for pool in pools if pool.service == name)
        for model in dict.fromkeys(pool.model for pool in own):
            require_roles(tuple(pool for pool in own if pool.model == model))
    runs = [_run(problem, services[pool.service], pool) for pool in pools]
    known = _sizes(pools)
    kinds = tuple(_kind(services[size[0]], size, rate, pools) for size, rate in known.items())
    numbers = {size: number for number, size in enumerate(known)}
    network = slowest_network(supplies(problem.hardware, True, problem.documents))

    def stations(requests: Requests) -> tuple[Station, ...]:
        return tuple(_station(own, requests, numbers, network) for own in runs)

    rate = sum(known.values())
    only = kinds[0] if len(kinds) == 1 else None
    claims = {"requests_per_s": rate / (max(pool.utilisation for pool in pools) or 1.0)}
    return Scene(
        name=problem.name,
        words=in_words(pools),
        kinds=kinds,
        pools=pools,
        stations=stations,
        claims=claims | (only.claims if only else {}),
        rate=rate,
        percentile=only.percentile if only else None,
        problem=problem.model_dump(mode="json", exclude_unset=True),
        notes=("a replica runs together the most that the plan runs of any of its sizes of request",),
    )


def _sizes(pools: Sequence[Pool]) -> dict[_SIZE, float]:
    """Each size of request of each service that is served, and at what rate."""
    found: dict[_SIZE, float] = {}
    for pool in pools:
        for part in pool.parts:
            key = _size(pool, part)
            own = part.requests_per_s if pool.phase != "decode" else 0.0
            found[key] = found.get(key, 0.0) + own
    served = {size: rate for size, rate in found.items() if rate > 0}
    if not served:
        raise InputError("deployment.pools: no pool of a fleet has parts, which say what it serves")
    return served


def _size(pool: Pool, part: Part) -> _SIZE:
    return pool.service, pool.model, part.input_tokens, part.output_tokens


def _run(problem: FleetProblem, service: Service, pool: Pool) -> _Runs:
    known = [model for model in service.answered_by if service.runs(model) == pool.runs]
    if not known:
        names = ", ".join(model.called for model in service.models or ()) or "it has but one, without a name"
        raise InputError(f"deployment.pools: no model '{pool.model[:64]}' of {service.name}; {names}")
    chosen = known[0]
    if chosen.performance_table is not None:
        raise InputError(
            f"services: {service.name}: a performance_table has no step times to replay; leave it out"
        )
    if not pool.parts:
        raise InputError(f"deployment.pools: a pool of {service.name} has no parts, which say what it serves")
    model = catalog.model(chosen.architecture or "", problem.documents)
    space = as_stored(chosen.deployment or service.deployment or problem.deployment, model.checkpoint)
    size = pool.parts[0]
    traffic = Traffic(input_tokens=size.input_tokens, output_tokens=size.output_tokens)
    by = PricedBy(model, space, traffic, service.constraints.memory_capacity)
    batch = max(part.batch for part in pool.parts)
    offered = supplies(problem.hardware, True, problem.documents)
    sizes = frozenset(_size(pool, part) for part in pool.parts)
    return _Runs(pool, frame_of_pool(pool, batch, by, offered), model, sizes)


def _kind(service: Service, size: _SIZE, rate: float, pools: Sequence[Pool]) -> Kind:
    """A size of request with its bounds, and the slowest of the pools that serve it."""
    parts = [part for pool in pools for part in pool.parts if _size(pool, part) == size]
    limits = {
        name: value
        for name, value in service.constraints.model_dump(exclude_none=True).items()
        if name in ("ttft_ms_max", "tpot_ms_max")
    }
    said = {
        name: [value for part in parts if (value := getattr(part, name)) is not None]
        for name in ("ttft_ms", "tpot_ms")
    }
    claims = {name: max(values) for name, values in said.items() if values}
    _, model, inward, outward = size
    name = f"{service.name} {model} {inward}/{outward}" if model else f"{service.name} {inward}/{outward}"
    percentile = service.priced_at if any("in_flight" in part.model_fields_set for part in parts) else None
    return Kind(name, Size(inward, outward, rate), limits, claims, percentile)


def _station(own: _Runs, requests: Requests, numbers: Mapping[_SIZE, int], network: float) -> Station:
    pool = own.pool
    serves = frozenset(numbers[size] for size in own.sizes if size in numbers)
    mine = requests.some([kind in serves for kind in requests.kind.tolist()])
    planned = sum(part.requests_per_s for part in pool.parts) / pool.replicas / (pool.utilisation or 1.0)
    return station(
        f"the {pool.phase} pool of {pool.runs} on {pool.chip}",
        own.frame,
        own.model,
        mine if len(mine) else requests,
        pool.replicas,
        pool.phase,
        planned or 1.0,
        network if pool.phase == "prefill" else 0.0,
        serves,
    )
