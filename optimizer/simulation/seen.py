"""What whoever asked has seen of a replay: times of each request, and which of them count.

Open arrivals begin at an empty system and end with one that empties, as no traffic does: of them the first
and the last tenth, in order of arrival, are left out. Of a trace, and of clients that wait for answers, all
count, as in benchmarks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.simulation.replay import Served
from optimizer.simulation.requests import Requests

_EDGE = 10
"""One in so many, at each end."""
_GROWS = 0.05
"""A tenth of the requests that takes longer than an earlier one by this share of the run has queued up."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Seconds of the requests that count, in order of arrival; arrays."""

    arrival_s: Any
    queue_s: Any
    """Until its first step begins."""
    ttft_s: Any
    tpot_s: Any
    """Mean between tokens; NaN for answers of one token."""
    whole_s: Any
    kind: Any
    requests_per_s: float
    """Answered, in the time of the middle eight tenths of answers; of all, in the whole run."""
    tokens_per_s: float
    grows: bool
    """Whether requests wait ever longer: they come faster than they are served."""

    def some(self, which: Any) -> dict[str, Any]:
        """The times of some of them."""
        names = ("queue_s", "ttft_s", "tpot_s", "whole_s")
        return {name: getattr(self, name)[which] for name in names}


def seen(served: Served, requests: Requests, edges: bool, stream_interval: int = 1) -> Seen:
    """The times of what counts; `edges`: leave out those that saw it fill and empty.

    Within an answer tokens are taken to be evenly spread, which decides when a `stream_interval` is full.
    """
    n, answers = len(requests), requests.output_tokens
    order = np.argsort(served.arrival_s, kind="stable")
    edge = n // _EDGE if edges else 0
    own = order[edge : n - edge]
    gap = (served.finish_s - served.first_s) / np.maximum(1, answers - 1)
    first = served.first_s + gap * (np.minimum(stream_interval, answers) - 1)
    tpot = np.where(answers > 1, (served.finish_s - first) / np.maximum(1, answers - 1), np.nan)
    answered, seconds = _answered(served, edge)
    return Seen(
        arrival_s=served.arrival_s[own],
        queue_s=(served.admitted_s - served.arrival_s)[own],
        ttft_s=(first - served.arrival_s)[own],
        tpot_s=tpot[own],
        whole_s=(served.finish_s - served.arrival_s)[own],
        kind=requests.kind[own],
        requests_per_s=len(answered) / seconds,
        tokens_per_s=float(answers[answered].sum()) / seconds,
        grows=_grows(served, order),
    )


def _answered(served: Served, edge: int) -> tuple[Any, float]:
    """Requests in order of their ends, so many at each end left out, and the seconds in which they ended."""
    order = np.argsort(served.finish_s, kind="stable")
    first, last = served.finish_s[order[edge]], served.finish_s[order[-edge - 1]]
    if edge and last > first:
        return order[edge + 1 : len(order) - edge], float(last - first)
    return order, served.span_s


def _grows(served: Served, order: Any) -> bool:
    """Whether the last tenth takes longer than the second by a good part of the run."""
    tenth = len(order) // _EDGE
    if tenth < 1:
        return False
    whole = (served.finish_s - served.arrival_s)[order]
    later = np.median(whole[-tenth:]) - np.median(whole[tenth : 2 * tenth])
    return bool(later > _GROWS * (served.arrival_s[order[-1]] - served.arrival_s[order[0]]))
