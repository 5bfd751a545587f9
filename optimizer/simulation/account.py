"""A replay in the words of its answer: times, bounds kept, claims met, and what each pool was used for."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optimizer.simulation.quantiles import figures
from optimizer.simulation.replay import Served, Station
from optimizer.simulation.requests import Requests
from optimizer.spec.plan import Pool
from optimizer.spec.replay import Claim, Measured, OverTime, PoolUse, Times, Within

_BOUNDS = {"ttft_ms_max": "ttft_s", "tpot_ms_max": "tpot_s"}
_PERCENTILE = re.compile(r"_p(\d+)_")
_MOMENTS = 400
_POINTS = 2000
MS = 1e3


def times(values: Any, factor: float = 1.0) -> Times | None:
    """Mean and percentiles of seconds, times a factor; None where no request has such a time."""
    found = figures(factor * values[~np.isnan(values)])
    if not found:
        return None
    return Times(**{name: Measured(value=own.value, margin=own.margin) for name, own in found.items()})


def kept(limits: Mapping[str, float], of: Mapping[str, Any]) -> dict[str, Any]:
    """Which requests keep each bound, as masks; an answer of one token has no TPOT to be late with."""
    return {
        name: ~(MS * of[_BOUNDS[name]] > limit * (1 + 1e-9))
        for name, limit in limits.items()
        if name in _BOUNDS
    }


def within(limits: Mapping[str, float], masks: Mapping[str, Any]) -> tuple[Within, ...]:
    """The share of requests within each bound, and within all of several."""
    rows = [Within(bound=n, limit=limits[n], share=float(np.mean(own))) for n, own in masks.items()]
    if len(masks) > 1:
        share = float(np.mean(np.logical_and.reduce(list(masks.values()))))
        rows.append(Within(bound="all of them", limit=None, share=share))
    return tuple(rows)


def holds(limits: Mapping[str, float], of: Mapping[str, Any], percentile: float) -> bool:
    """Whether a percentile of requests keeps each bound."""
    for name, limit in limits.items():
        known = of[_BOUNDS[name]]
        known = known[~np.isnan(known)]
        if len(known) and MS * np.percentile(known, percentile) > limit * (1 + 1e-9):
            return False
    return True


def claims(said: Mapping[str, float], of: Mapping[str, Any], percentile: float | None) -> tuple[Claim, ...]:
    """Latencies that a plan claims beside those of a replay.

    A name says a percentile itself, or latencies of replicas at their rates are of the plan's; else means.
    """
    found = []
    for name, claimed in said.items():
        first = name.startswith("ttft")
        own = of["ttft_s" if first else "tpot_s"]
        own = own[~np.isnan(own)]
        if not len(own) or not claimed:
            continue
        said_of = _PERCENTILE.search(name)
        at_one = None if "at_demand" in name else percentile
        at_one = float(said_of[1]) if said_of else at_one
        value = np.mean(own) if at_one is None else np.percentile(own, at_one)
        at = "mean" if at_one is None else f"p{at_one:g}"
        found.append(claim(name, "ms", claimed, MS * float(value), at))
    return tuple(found)


def claim(name: str, unit: str, claimed: float, replayed: float, of: str) -> Claim:
    """One figure beside its claim."""
    return Claim(
        name=name,
        unit=unit,
        claimed=claimed,
        replayed=replayed,
        difference=replayed / claimed - 1,
        of=of,
    )


def pool_uses(
    pools: Sequence[Pool], stations: Sequence[Station], served: Served
) -> tuple[tuple[PoolUse, ...], float]:
    """What each pool was used for, and the mean share of all caches in use."""
    found, at = [], 0
    for pool, station in zip(pools, stations, strict=True):
        server, n = station.server, station.replicas
        own = served.use[at : at + n]
        at += n
        found.append(
            PoolUse(
                service=pool.service,
                phase=pool.phase,
                chip=pool.chip,
                replicas=n,
                slots=server.slots,
                cache_tokens=server.blocks * server.block_tokens,
                requests=sum(use.finished for use in own),
                busy=sum(use.busy_s for use in own) / n / served.span_s,
                cache_mean=sum(use.held_s for use in own) / n / served.span_s / server.blocks,
                cache_peak=max(use.held_most for use in own) / server.blocks,
                preempted=sum(use.preempted for use in own),
            )
        )
    weights = [use.replicas * use.cache_tokens for use in found]
    return tuple(found), float(np.average([use.cache_mean for use in found], weights=weights))


def over_time(served: Served, requests: Requests, ttft_s: Any, arrival_s: Any) -> OverTime:
    """Numbers at even moments; TTFT of some of the requests that count."""
    start = float(np.min(served.arrival_s))
    moments = start + np.linspace(0, served.span_s, _MOMENTS + 1)[1:]
    came, begun, left = (
        np.searchsorted(np.sort(own), moments, side="right")
        for own in (served.arrival_s, served.admitted_s, served.finish_s)
    )
    order = np.argsort(served.arrival_s, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(served.cache[order])])
    before = np.concatenate([[0], came[:-1]])
    cache = [
        float((sums[b] - sums[a]) / (b - a)) if b > a else None for a, b in zip(before, came, strict=True)
    ]
    step = -(-len(ttft_s) // _POINTS)
    return OverTime(
        time_s=tuple((moments - start).tolist()),
        running=tuple((begun - left).tolist()),
        waiting=tuple((came - begun).tolist()),
        cache=tuple(cache),
        arrival_s=tuple((arrival_s[::step] - start).tolist()),
        ttft_ms=tuple((MS * ttft_s[::step]).tolist()),
    )
