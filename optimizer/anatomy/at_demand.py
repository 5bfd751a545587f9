"""A pool at the traffic it carries: most are planned for more, and then fewer sequences are in flight.

A replica that gets r requests/s at random has as many sequences in flight as it must run together to serve r;
its latencies are those of `cost.under_load` there, in the mean and at some percentiles. A prefill replica is
busy the share of its time that r takes; its prompts' caches cross the network besides.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from optimizer.columns.deployment import DeploymentColumns, PricedBy
from optimizer.columns.operating_points import loads, up_to
from optimizer.columns.replica import Replica, common
from optimizer.columns.replica_costs import slowest_network
from optimizer.columns.supply import Supply
from optimizer.cost.disaggregation import cache_on_a_chip
from optimizer.cost.frame import Frame
from optimizer.cost.serving import Served
from optimizer.cost.under_load import under_load
from optimizer.spec.plan import Pool

_SHOWN: dict[str, float | None] = {"": None, "_p50": 50.0, "_p95": 95.0, "_p99": 99.0}
"""Part of a field's name to what it is of requests: the mean, and percentiles."""
_SAME = 1e-9


def at_demand(columns: DeploymentColumns, pool: Pool) -> Pool:
    """The pool with its sequences in flight and its latencies at its share of the demand.

    As it was where nobody priced it by the cost model, where it is full, or has a part elsewhere.
    """
    by, demand = columns.priced_by, columns.demand
    apart = pool.expert_chip or pool.second_tier_gib
    if by is None or demand is None or apart or pool.utilisation >= 1:
        return pool
    frame = _frame(by, next(s for s in columns.supplies if s.name == pool.chip), pool)
    wanted = pool.utilisation * pool.requests_per_s / pool.replicas
    if pool.phase == "prefill":
        return pool.changed(**_prefilling(columns, by, frame, wanted, pool.replicas))
    lanes = pool.split.lanes
    each = up_to(pool.in_flight, lanes) if pool.in_flight else loads(lanes, pool.batch)
    return pool.changed(**_decoding(by, frame, pool.phase, each, wanted)) if len(each) else pool


def _frame(by: PricedBy, supply: Supply, pool: Pool) -> Frame:
    together = pool.batch // pool.split.lanes if pool.phase == "prefill" else 1
    replica = Replica(supply, supply.known, pool.split, pool.formats)
    setup = common(by.space, by.traffic, pool.engine)
    frame = replica.frame(by.architecture, setup, batch=pool.batch, prefill_batch=together)
    lies = [way for way, blocks in replica.placements().items() if pool.domains in blocks]
    ranks, runs = lies[0] if lies else (0, 0)
    return replace(frame, ranks_together=ranks, stage_runs=runs)


def _decoding(by: PricedBy, frame: Frame, phase: str, each: Any, wanted: float) -> dict[str, float]:
    """What requests see of a replica that decodes; nothing where it would be full now and then."""
    found = {name: under_load(phase, frame, by.architecture, each, of) for name, of in _SHOWN.items()}
    served = {name: own.served for name, own in found.items()}
    enough = found[""].slots <= frame.batch * (1 + _SAME)
    rates = np.where(enough, served[""].requests_per_s, -np.inf)
    if wanted > rates.max():
        return {}

    def at(values: Any) -> float:
        return float(np.interp(wanted, served[""].requests_per_s, values))

    said: dict[str, float] = {"sequences_at_demand": max(1, round(at(each)))}
    for name, own in served.items():
        if phase == "aggregated":
            said[f"ttft{name}_at_demand_ms"] = 1e3 * at(own.ttft_s)
        said[f"tpot{name}_at_demand_ms"] = 1e3 * at(own.tpot_s)
    return said


def _prefilling(
    columns: DeploymentColumns, by: PricedBy, frame: Frame, wanted: float, replicas: int
) -> dict[str, float]:
    """What prompts see of replicas that prefill alone, until their caches are where they decode.

    A prompt waits for the first of them that is free.
    """
    crosses_s = cache_on_a_chip(frame, by.architecture) / slowest_network(columns.supplies)
    half = under_load("prefill", frame, by.architecture, np.array([frame.batch / 2]), None).served
    each = frame.batch * wanted / (2 * half.requests_per_s)
    if each[0] >= frame.batch:
        return {}

    def ms(served: Served) -> float:
        return float(1e3 * by.space.prefill_ttft_factor * (served.ttft_s[0] + crosses_s))

    return {
        f"ttft{name}_at_demand_ms": ms(
            under_load("prefill", frame, by.architecture, each, of, replicas=replicas).served
        )
        for name, of in _SHOWN.items()
    }
