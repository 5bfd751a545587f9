"""What a replay of requests against a plan says: times with margins, rates, what was kept and claimed."""

from typing import Any

from pydantic import Field

from optimizer.spec.base import Strict
from optimizer.spec.shown import Shown


class Measured(Strict):
    """One figure, and half the width of its 95 % interval; null where the run is too short for one."""

    value: float
    margin: float | None


class Times(Strict):
    """Mean and percentiles of one time over requests."""

    mean: Measured
    p50: Measured
    p90: Measured
    p95: Measured
    p99: Measured


class Claim(Strict):
    """A figure of the plan beside the same figure of the replay."""

    name: str
    unit: str
    claimed: float
    replayed: float
    difference: float
    """Replayed over claimed, less one."""
    of: str
    """Which figure of the replay it is."""


class Within(Strict):
    """A bound on each request, and the share that keep it; `limit` is null for all bounds together."""

    bound: str
    limit: float | None
    share: float


class Holds(Strict):
    """The highest rate at which a percentile of requests keeps each bound."""

    percentile: float
    requests_per_s: float
    """The highest that was replayed and holds; 0 where not even requests that come alone keep the bounds."""
    fails_at: float | None
    """The lowest that was replayed and does not hold; null where the search was stopped before one."""
    arrivals: str
    replays: int


class PoolUse(Strict):
    """What equal replicas were used for."""

    service: str = ""
    phase: str
    chip: str
    replicas: int
    slots: int
    """Sequences that a replica runs together at most."""
    cache_tokens: int
    """Of each replica."""
    requests: int
    """That ended on them."""
    busy: float
    """Share of the time in which they had something to do."""
    cache_mean: float
    """Share of the cache in use, over time."""
    cache_peak: float
    """Of the fullest replica."""
    preempted: int


class KindSeen(Strict):
    """What requests of one kind saw, where there are several."""

    name: str
    requests: int
    ttft_ms: Times
    tpot_ms: Times | None
    within: tuple[Within, ...]
    claims: tuple[Claim, ...]


class OverTime(Strict):
    """The replay as a picture shows it."""

    time_s: tuple[float, ...]
    running: tuple[int, ...]
    waiting: tuple[int, ...]
    cache: tuple[float | None, ...]
    """Share of all in use as requests came, in the mean up to each moment; null where none came."""
    arrival_s: tuple[float, ...]
    ttft_ms: tuple[float, ...]
    """Of some of the requests, evenly taken."""


class Replay(Shown):
    """What requests that come one by one see of a plan. `wall_s` alone differs between two equal runs."""

    name: str
    plan: str
    """What is replayed, in words."""
    arrivals: str
    requests: int
    counted: int
    left_out: str = ""
    """Which requests the times leave out, in words."""
    seed: int
    stream_interval: int
    span_s: float
    """From the first arrival to the last token."""
    offered_requests_per_s: float | None
    """Null for clients, who send when they are answered."""
    requests_per_s: float
    output_tokens_per_s: float
    ttft_ms: Times
    tpot_ms: Times | None
    """Null where every answer is one token."""
    end_to_end_s: Times
    queue_ms: Times
    in_system: float
    """Requests, in the mean over time (Little's law holds exactly)."""
    cache_mean: float
    cache_peak: float
    preempted: int
    within: tuple[Within, ...]
    holds: Holds | None
    claims: tuple[Claim, ...]
    pools: tuple[PoolUse, ...]
    kinds: tuple[KindSeen, ...] = ()
    notes: tuple[str, ...]
    over_time: OverTime = Field(exclude=True)
    wall_s: float
    version: str
    problem: dict[str, Any]

    def headline(self) -> str:
        """Requests a second served, and the first token's time."""
        return f"{self.name}: {self.requests_per_s:.6g} requests/s, TTFT {self.ttft_ms.mean.value:.6g} ms"

    def table(self) -> list[dict[str, Any]]:
        """One row a time."""
        names = ("ttft_ms", "tpot_ms", "end_to_end_s", "queue_ms")
        rows = {name: times for name in names if (times := getattr(self, name)) is not None}
        return [
            {"time": name} | {of: getattr(times, of).value for of in Times.model_fields}
            for name, times in rows.items()
        ]
