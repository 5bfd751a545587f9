"""A pool at the traffic it carries: most are planned for more, and then fewer sequences are in flight.

A pool's own figures are those of full replicas, which hold at any load. A replica that gets r requests/s at
random has as many sequences in flight as it must run together to serve r: in a pool that takes whole requests
the number at which `cost.open_loop` serves r, with its mean latencies and their 95th percentile; in one that
decodes alone the least batch that serves r.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica import Replica, common
from optimizer.columns.replica_costs import SERVED
from optimizer.cost.frame import Frame
from optimizer.cost.open_loop import open_loop
from optimizer.spec.architecture import Architecture
from optimizer.spec.plan import Pool

_HIGH = 95.0
_ROOM = 2.33
"""Deviations of the number in flight: all but one in a hundred find a place."""
_FEW = (0.01, 0.03, 0.1, 0.3)
"""Sequences in flight on a lane in the mean, where most of the time there is none."""


def at_demand(columns: DeploymentColumns, pool: Pool) -> Pool:
    """The pool with its sequences in flight and its latencies at its share of the demand.

    As it was where nobody priced it by the cost model, where it is full, prefills, or has a part elsewhere.
    """
    by, demand = columns.priced_by, columns.demand
    apart = pool.expert_chip or pool.second_tier_gib or pool.phase == "prefill"
    if by is None or demand is None or apart or pool.utilisation >= 1:
        return pool
    supply = next(s for s in columns.supplies if s.name == pool.chip)
    lanes = pool.split.lanes
    whole = np.unique(np.geomspace(1, max(1, pool.batch // lanes), 48).astype(np.int64))
    batches = lanes * (np.r_[_FEW, whole] if pool.phase == "aggregated" else whole)
    replica = Replica(supply, supply.known, pool.split, pool.formats)
    frame = replica.frame(by.architecture, common(by.space, by.traffic, pool.engine), batch=batches)
    lies = [way for way, blocks in replica.placements().items() if pool.domains in blocks]
    ranks, runs = lies[0] if lies else (0, 0)
    frame = replace(frame, ranks_together=ranks, stage_runs=runs)
    wanted = pool.utilisation * pool.requests_per_s / pool.replicas
    found = (_whole_requests if pool.phase == "aggregated" else _decoding)(frame, by.architecture, wanted)
    return pool.changed(**found) if found else pool


def _whole_requests(frame: Frame, architecture: Architecture, wanted: float) -> dict[str, float]:
    """What requests see of a replica that prefills and decodes; nothing where it would be full now and then.

    A queue for places is not in the form: there must be room for all but one in a hundred of the numbers.
    """
    form = open_loop(frame, architecture)
    rates = np.broadcast_to(form.requests_per_s, frame.batch.shape)
    flying = float(np.interp(wanted, rates, frame.batch))
    most = flying + _ROOM * float(np.interp(wanted, rates, form.flying_deviation))
    if wanted >= rates[-1] or most > frame.batch[-1]:
        return {}
    mean, high = form.served(), form.served(_HIGH)

    def at(values: Any) -> float:
        return 1e3 * float(np.interp(wanted, rates, np.broadcast_to(values, rates.shape)))

    front_ms = frame.engine.request_ms
    return {
        "sequences_at_demand": max(1, round(flying)),
        "ttft_at_demand_ms": front_ms + at(mean.ttft_s),
        "tpot_at_demand_ms": at(mean.tpot_s),
        "ttft_p95_at_demand_ms": front_ms + at(high.ttft_s),
        "tpot_p95_at_demand_ms": at(high.tpot_s),
    }


def _decoding(frame: Frame, architecture: Architecture, wanted: float) -> dict[str, float]:
    """What caches that arrive see of a replica that only decodes."""
    served = SERVED["decode"](frame, architecture)
    at = int(np.argmax(np.append(served.requests_per_s, np.inf) >= wanted))
    if at >= len(frame.batch) - 1:
        return {}
    return {"sequences_at_demand": int(frame.batch[at]), "tpot_at_demand_ms": 1e3 * float(served.tpot_s[at])}
