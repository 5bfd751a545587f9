"""What traffic is worth in money where replicas come in parts, model by model: the best row to begin with.

    minimise  sum over b, m of cost_mb x_mb,   x_mb >= 0 the share of bucket b that model m answers
    sum over m of x_mb >= 1,   sum over b, m of demand_b gain_mb x_mb >= 0

where cost_mb is that of the cheapest setup of the model, or of its cheapest pair, for all of the bucket. The
duals are a reason as `questions/fleet/shares.py` has them: true of all fleets, whatever an engine says.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.quality import Models
from optimizer.questions.fleet.worth import Worth, by_models
from optimizer.solver.mathopt import linear
from optimizer.watch import Watch

_PHASES = ("aggregated", "prefill", "decode")


def in_money(
    columns: FleetColumns, service: int, demand: Sequence[int], cost: Mapping[str, int], watch: Watch
) -> Worth | None:
    """The reason that says most of the least cost, of a service with models; None where nothing does.

    `cost`: of one chip of each kind.
    """
    models = columns.models(service, ())
    if models is None or not any(cost.values()):
        return None
    each = {phase: np.full((models.n, len(demand)), inf) for phase in _PHASES}
    for item in columns.items:
        if item.service == service and len(item.setups):
            chips = [cost[str(chip)] for chip in item.setups.chip]
            price = item.setups.chips * np.array(chips, dtype=float)
            with np.errstate(divide="ignore"):
                unit = (price / item.capacity).min(axis=1)
            each[item.phase][item.model] = np.minimum(each[item.phase][item.model], unit)
    best = np.minimum(each["aggregated"], each["prefill"] + each["decode"])
    found = _duals(best * np.array(demand, dtype=float), demand, models, watch)
    if found is None:
        return None
    unit = [Fraction(v) / d for v, d in zip(found, demand, strict=False)]
    most = max(unit)
    if most <= 0:
        return None
    sides = [_sides(each, m) for m in range(models.n)]
    gain = Fraction(found[-1]) / sum(demand) / most if models.gains else Fraction(0)
    return by_models([u / most for u in unit], sides, models.gains, gain)


def _sides(each: Mapping[str, Any], model: int) -> tuple[list[Fraction], list[Fraction]]:
    """What prefill and decode cost of a request of each bucket; nothing where either cannot be."""
    both = each["prefill"][model] + each["decode"][model]
    return tuple(  # type: ignore[return-value]
        [Fraction(c) if np.isfinite(s) else Fraction(0) for c, s in zip(each[side][model], both, strict=True)]
        for side in ("prefill", "decode")
    )


def _duals(cost: Any, demand: Sequence[int], models: Models, watch: Watch) -> list[float] | None:
    """What all of each bucket costs at the margin, and the mean quality."""
    at = [(m, b) for m, b in np.argwhere(np.isfinite(cost)).tolist()]
    whole, scale = sum(demand), float(cost[np.isfinite(cost)].max(initial=0.0)) or 1.0
    rows = [{i: -1.0 for i, (_, own) in enumerate(at) if own == b} for b in range(len(demand))]
    if models.gains is not None:
        gains = models.gains
        rows.append({i: -float(gains[m][b]) * demand[b] / whole for i, (m, b) in enumerate(at)})
    limits = [-1.0] * len(demand) + [0.0] * (len(rows) - len(demand))
    found = linear([-float(cost[m, b]) / scale for m, b in at], rows, limits, watch)
    return None if found is None else [max(0.0, y) for y in found[1]]
