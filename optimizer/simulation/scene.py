"""What is replayed, whatever it was before: replicas for the requests that come, and what was claimed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from optimizer.simulation.asked import Size
from optimizer.simulation.replay import Station
from optimizer.simulation.requests import Requests
from optimizer.spec.plan import Pool
from optimizer.spec.protocol import Protocol


@dataclass(frozen=True)
class Kind:
    """Requests of one kind: of one service and size."""

    name: str
    size: Size
    limits: dict[str, float] = field(default_factory=dict)
    """What each must keep: ttft_ms_max, tpot_ms_max."""
    claims: dict[str, float] = field(default_factory=dict)
    """What the plan says of them: ttft_ms, tpot_ms."""
    percentile: float | None = None
    """Of these requests, which the claims are of; None for means of full replicas."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Pools of replicas and the traffic that they were planned for."""

    name: str
    words: str
    kinds: tuple[Kind, ...]
    pools: tuple[Pool, ...]
    stations: Callable[[Requests], tuple[Station, ...]]
    """One for each pool."""
    claims: dict[str, float]
    """What the plan says of all requests: ttft_ms, tpot_ms, requests_per_s at most."""
    rate: float | None = None
    """Requests a second that it was asked for."""
    percentile: float | None = None
    """Of requests, which its claims are of; None for means of full replicas."""
    prefix_tokens: int = 0
    at_clients: Callable[[Protocol], dict[str, float]] | None = None
    """What is claimed of clients in a closed loop, where that is known."""
    notes: tuple[str, ...] = ()
    problem: dict[str, Any] = field(default_factory=dict)
    """What was asked, as it was given."""
