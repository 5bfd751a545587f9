"""A pool at the traffic it carries: most are planned for more, and then fewer sequences are in flight.

A pool's own figures are those of full replicas, which hold at any load. On a replica that gets r requests/s
about as many sequences are in flight as it must run together to serve r, the least batch b with rate(b) >= r,
and a share r / rate(b) of its steps carry prompts:

    tpot = d(b) + r / rate(b) (m(b) - d(b))        d, m: a step without and with prompts
"""

from dataclasses import replace

import numpy as np

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica import Replica, common
from optimizer.columns.replica_costs import SERVED
from optimizer.spec.plan import Pool


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
    batches = lanes * np.unique(np.geomspace(1, max(1, pool.batch // lanes), 48).astype(np.int64))
    replica = Replica(supply, supply.known, pool.split, pool.formats)
    frame = replica.frame(by.architecture, common(by.space, by.traffic, pool.engine), batch=batches)
    lies = [way for way, blocks in replica.placements().items() if pool.domains in blocks]
    ranks, runs = lies[0] if lies else (0, 0)
    frame = replace(frame, ranks_together=ranks, stage_runs=runs)
    served = SERVED[pool.phase](frame, by.architecture)
    wanted = pool.utilisation * pool.requests_per_s / pool.replicas
    at = int(np.argmax(np.append(served.requests_per_s, np.inf) >= wanted))
    if at >= len(batches) - 1:
        return pool
    plain = SERVED["decode"](frame, by.architecture).tpot_s[at]
    tpot = plain + wanted / served.requests_per_s[at] * (served.tpot_s[at] - plain)
    latencies = {"tpot_at_demand_ms": 1e3 * float(tpot)}
    if pool.phase == "aggregated":
        latencies["ttft_at_demand_ms"] = 1e3 * float(np.broadcast_to(served.ttft_s, batches.shape)[at])
    return pool.changed(sequences_at_demand=int(batches[at]), **latencies)
