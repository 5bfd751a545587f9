"""One replica whose requests come at random: the latencies that a percentile of them does not exceed.

A replica has slots for so many sequences. With b in flight in the mean, and v b their variance (`crowding`;
1 is Poisson's), the slots that are enough for all but a share q of requests are

    slots = b + z sqrt(v b) + v (z^2 - 1)/6 + 1        q = (1 - p/100)/10, z its quantile (Cornish and Fisher)

Of the requests that may be late few may be so for want of a slot: they wait until some answer ends.

Replicas that prefill and decode are `open_loop`'s, those that decode alone `open_decoding`'s. A prefill
replica that is busy a share of its time has its prompts wait for it: one by one exactly (M/D/1 within a
service, and the tail beyond), else as customers of so many servers (M/D/c, Allen and Cunneen), the step under
way too.
Steps follow each other as long as a prompt comes in each: x a turn in the mean, so that some rank is at work
a share x e^x / (1 + x e^x) of the time. Prompts on the stages of a pipeline end a round together, which costs
one a turn for each of the others.

No answer is quicker where there is more traffic: what is said of a load is the most of the loads up to it
(running maximum), for kernels that change with the batch make a step now and then a few percent quicker. So a
replica that gets less than its rate keeps what is said at its rate.
"""

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Frame
from optimizer.cost.open_decoding import decoding, open_decoding
from optimizer.cost.open_loop import open_loop
from optimizer.cost.quantities import n_chunks
from optimizer.cost.queueing import erlang_c, fixed_wait_quantile_s, wait_quantile_s, wait_s
from optimizer.cost.separation import Separated, step_s
from optimizer.cost.serving import NONE, Least, Served, prefill
from optimizer.spec.architecture import Architecture

_FOR_SLOTS = 0.1
"""Of the requests that may be late, the share that may find no slot."""
_USUAL = 95.0
"""Slots are never fewer than for this percentile: with only as many as in the mean, queues have no end."""


@dataclass(frozen=True, slots=True)
class UnderLoad:
    """What requests see of a replica at some loads, and the slots that it needs for each."""

    served: Served
    slots: Any


def slots_for(in_flight: Number, crowding: Number, percentile: float) -> Number:
    """Slots that are enough for so many sequences in flight, their variance `crowding` times the mean."""
    z = NormalDist().inv_cdf(1 - _FOR_SLOTS * (1 - max(percentile, _USUAL) / 100))
    return in_flight + z * np.sqrt(crowding * in_flight) + crowding * (z * z - 1) / 6 + 1


def under_load(
    mode: str,
    frame: Frame,
    architecture: Architecture,
    loads: Any,
    percentile: float | None,
    least: Least = NONE,
    replicas: int = 1,
) -> UnderLoad:
    """A replica with `loads` sequences in flight in the mean: an array of them, ascending.

    Of prefill replicas `frame.batch` are those that it has when it is never idle. Latencies are means, or at
    the percentile, in seconds; the cache of a prefill replica is not handed over yet. Prompts may be shared
    out among several `replicas` that prefill.
    """
    if mode == "prefill":
        served = _prefill(frame, architecture, loads / frame.batch, percentile, least, replicas)
        return UnderLoad(served, np.broadcast_to(frame.batch, np.shape(loads)))
    form = open_loop if mode == "aggregated" else open_decoding
    own = form(replace(frame, batch=loads), architecture, least)
    served = own.served(percentile)
    ttft_s = served.ttft_s + (_front_s(frame) if mode == "aggregated" else 0.0)
    found = Served(ttft_s, served.tpot_s, served.requests_per_s)
    slots = slots_for(loads, own.crowding, percentile or _USUAL)
    return UnderLoad(_rising(found) if least is NONE else found, np.maximum.accumulate(slots))


def apart_under_load(both: Separated, architecture: Architecture, loads: Any, percentile: float) -> UnderLoad:
    """A replica that decodes alone, its experts on chips of their own."""

    def seconds(at: Frame) -> Number:
        return step_s(replace(both, frame=at), architecture)

    own = decoding(replace(both.frame, batch=loads), seconds)
    slots = slots_for(loads, own.crowding, percentile)
    return UnderLoad(_rising(own.served(percentile)), np.maximum.accumulate(slots))


def _rising(served: Served) -> Served:
    """Over loads that ascend: the running maximum of each figure."""
    each = np.broadcast_arrays(served.ttft_s, served.tpot_s, served.requests_per_s)
    return Served(*(np.maximum.accumulate(np.atleast_1d(values)) for values in each))


def _prefill(
    frame: Frame,
    architecture: Architecture,
    busy: Number,
    percentile: float | None,
    least: Least,
    replicas: int,
) -> Served:
    """A replica that prefills alone, `busy` a share of its time."""
    full = prefill(frame, architecture, least)
    together = frame.prefill_batch * frame.split.data_parallel
    turn_s = together / full.requests_per_s
    servers = int(together) * replicas
    share = None if percentile is None else percentile / 100
    waits_s = _wait_s(busy, turn_s, servers, share)
    if replicas > 1:  # it goes where the fewest wait, not where one is free first
        meets = erlang_c(servers, busy)
        later = meets / 2 if share is None else meets > 1 - share
        waits_s = waits_s + later * (1 / 2 - 1 / replicas) * turn_s
    rounds = frame.split.pipeline_parallel - 1  # prompts on other stages, whose round ends as this one's does
    waits_s = waits_s + rounds * turn_s * busy * (share or 1 / 2)
    if together > 1:  # its ranks begin a step together, whichever of them have prompts
        chain = busy * together * np.exp(busy * together)
        waits_s = waits_s + _step_under_way_s(chain / (1 + chain), turn_s / n_chunks(frame), share)
    return Served(full.ttft_s + waits_s + _front_s(frame), 0.0, busy * full.requests_per_s)


def _wait_s(busy: Number, turn_s: Number, servers: int, share: float | None) -> Number:
    if share is None:
        return wait_s(busy, turn_s, servers)
    if servers == 1:
        return fixed_wait_quantile_s(share, busy, turn_s)
    return wait_quantile_s(share, busy, turn_s, servers)


def _step_under_way_s(busy: Number, step_s: Number, share: float | None) -> Number:
    """What is left of a step that a share of prompts meet."""
    return step_s * (busy / 2 if share is None else np.maximum(0.0, 1 - (1 - share) / busy))


def _front_s(frame: Frame) -> float:
    """Seconds in the server's front: TTFT as a client sees it."""
    return frame.engine.request_ms * 1e-3
