"""A deployment's plan as a replay sees it: a station for each pool, at the traffic that was asked for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optimizer import catalog
from optimizer.anatomy.all_requests import of_all_requests
from optimizer.columns.deployment import PricedBy
from optimizer.columns.replica_costs import slowest_network
from optimizer.columns.supply import Supply
from optimizer.cost.frame import Frame
from optimizer.errors import InputError
from optimizer.questions.deployment.check_prices import Prices
from optimizer.questions.deployment.columns import offered_by
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.simulation.asked import Size
from optimizer.simulation.replay import Station
from optimizer.simulation.requests import Requests
from optimizer.simulation.scene import Kind, Scene
from optimizer.simulation.stations import station
from optimizer.spec.deployment import as_stored
from optimizer.spec.plan import Pool

_CLAIMED = ("ttft_ms", "tpot_ms", "requests_per_s")


def scene(problem: DeploymentProblem, pools: tuple[Pool, ...], metrics: Mapping[str, float]) -> Scene:
    """The plan of a problem. InputError for plans whose step times the cost model does not give."""
    if problem.performance_table is not None:
        raise InputError("performance_table: a table has no step times to replay; leave it out")
    require_roles(pools)
    offered = offered_by(problem)
    model = catalog.model(problem.architecture or "", problem.documents)
    space = as_stored(problem.deployment, model.checkpoint)
    by = PricedBy(model, space, problem.workload, problem.constraints.memory_capacity)
    frames = [frame_of_pool(pool, pool.batch, by, offered) for pool in pools]
    network = slowest_network(offered)
    traffic, limits = problem.workload, problem.constraints.model_dump(exclude_none=True)

    def stations(requests: Requests) -> tuple[Station, ...]:
        return tuple(
            station(
                f"the {pool.phase} pool on {pool.chip}",
                frame,
                model,
                requests,
                pool.replicas,
                pool.phase,
                pool.requests_per_s / pool.replicas or 1.0,
                network if pool.phase == "prefill" else 0.0,
            )
            for pool, frame in zip(pools, frames, strict=True)
        )

    bounds = {str(name): limits[name] for name in ("ttft_ms_max", "tpot_ms_max") if name in limits}
    claims = {name: metrics[name] for name in _CLAIMED if metrics.get(name)}
    claims |= {n: value for n, value in of_all_requests(pools).items() if "_p50_" not in n}
    size = Size(traffic.input_tokens, traffic.output_tokens, problem.demand or 1.0)
    return Scene(
        name=problem.name,
        words=f"{model.name} on {in_words(pools)}",
        kinds=(Kind("requests", size, bounds),),
        pools=pools,
        stations=stations,
        claims=claims,
        rate=problem.demand,
        percentile=problem.priced_at,
        prefix_tokens=traffic.prefix_tokens,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


def frame_of_pool(pool: Pool, batch: int, by: PricedBy, offered: tuple[Supply, ...]) -> Frame:
    """The frame of a pool's replicas, lying as the plan says. InputError for pools without step times."""
    name = f"the {pool.phase} pool on {pool.chip}"
    if pool.expert_chip:
        raise InputError(f"deployment.pools: {name} has its experts apart, which is not replayed")
    if pool.second_tier_gib:
        raise InputError(f"deployment.pools: {name} overflows into a second tier, which is not replayed")
    if pool.chip not in (known := [supply.name for supply in offered]):
        raise InputError(f"deployment.pools: {name}: hardware offers {', '.join(known)}")
    row: dict[str, Any] = {"mode": pool.phase, "chip": pool.chip, "engine": pool.engine, "batch": batch}
    row |= vars(pool.split) | pool.formats.chosen()
    row |= {"expert_chips": 0, "domains": pool.domains or str(pool.split.chips)}
    frame = next(Prices(by, offered).frames(row), None)
    if frame is None:
        raise InputError(f"deployment.pools: {name}: its chips cannot lie as {row['domains']}")
    return replace(frame, batch=int(frame.batch))


def require_roles(pools: tuple[Pool, ...]) -> None:
    """InputError for prefill replicas without any that decode, or the other way round, or none at all."""
    phases = {pool.phase for pool in pools}
    if not phases or len(phases & {"prefill", "decode"}) == 1:
        missing = "decode" if "prefill" in phases else "prefill" if phases else "aggregated"
        raise InputError(f"deployment.pools: no {missing} pool, without which no request is answered")


def in_words(pools: tuple[Pool, ...]) -> str:
    """How many replicas of what."""
    return ", ".join(f"{pool.replicas} {pool.phase} {pool.chip} x{pool.split.chips}" for pool in pools)
