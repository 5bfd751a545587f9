"""The answer to a fleet question: pools by service, totals, what binds, proof."""

from typing import Any, Literal

from optimizer.spec.base import Strict
from optimizer.spec.deployment_plan import DeploymentCertificate
from optimizer.spec.plan import Assumption, Binding, Conflict, Objective, Status
from optimizer.spec.shown import Solved


class Part(Strict):
    """What a pool serves of one bucket of requests."""

    input_tokens: int
    output_tokens: int
    requests_per_s: float
    batch: int
    ttft_ms: float | None
    tpot_ms: float | None


class ServicePool(Strict):
    """Equal replicas of one phase of one service."""

    service: str
    phase: Literal["aggregated", "prefill", "decode"]
    chip: str
    replicas: int
    tensor_parallel: int
    pipeline_parallel: int
    expert_parallel: int
    data_parallel: int
    weight_dtype: str
    kv_dtype: str
    chips: int
    utilisation: float
    usd_per_hour: float | None
    parts: tuple[Part, ...]


class FleetDeployment(Strict):
    """How the fleet runs."""

    pools: tuple[ServicePool, ...]


class FleetResult(Solved):
    """What a fleet study returns; `wall_s` is the only field that differs between two equal runs."""

    status: Status
    stopped: str = ""
    """How many setups had a price when the study was stopped, where not all had."""
    objective: Objective
    deployment: FleetDeployment | None = None
    chips: dict[str, int] = {}
    """Chips in use by kind."""
    metrics: dict[str, float] = {}
    binding: tuple[Binding, ...] = ()
    binding_untried: tuple[str, ...] = ()
    """Rules that there was no time to drop."""
    conflict: Conflict | None = None
    assumptions: tuple[Assumption, ...] = ()
    certificate: DeploymentCertificate
    wall_s: float
    version: str
    problem: dict[str, Any]
