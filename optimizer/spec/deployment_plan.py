"""The answer to a deployment question: pools of replicas, totals, proof; keys as in other results."""

from typing import Any, Literal

from optimizer.spec.base import Strict
from optimizer.spec.plan import Assumption, Binding, Conflict, Objective, Status
from optimizer.spec.shown import Solved


class ReplicaPool(Strict):
    """Equal replicas of one phase. Figures that a phase has not, or nobody stated, are null."""

    phase: Literal["aggregated", "prefill", "decode"]
    chip: str
    replicas: int
    tensor_parallel: int
    pipeline_parallel: int
    expert_parallel: int
    data_parallel: int
    batch: int
    weight_dtype: str
    kv_dtype: str
    chips: int
    """Of the kind `chip`, all replicas together."""
    expert_chip: str | None = None
    """The kind that holds the routed experts, where these lie apart."""
    expert_chips: int = 0
    microbatches: int = 1
    domains: str
    """Chips of one replica in each scale-up domain, as its figures suppose: 8, 4+2, 2x8."""
    requests_per_s: float
    """Rate of all its replicas as measured or predicted."""
    utilisation: float
    """Share of that rate in use at the demand."""
    ttft_ms: float | None
    tpot_ms: float | None
    memory_gib: float | None
    hbm_usable_gib: float | None
    expert_memory_gib: float | None = None
    """On each expert chip."""
    second_tier_gib: float | None = None
    """Of weights and cache on each chip, waiting in its slower memory."""
    usd_per_hour: float | None
    power_w: float | None
    source: str


class Pools(Strict):
    """How the plan runs."""

    pools: tuple[ReplicaPool, ...]


class DeploymentPlan(Strict):
    """One deployment of a study, with its totals."""

    architecture: str | None
    deployment: Pools
    metrics: dict[str, float]


class FleetWitnesses(Strict):
    """A second look at a fleet: setups that were left out, and plans that its programme did not propose."""

    setups_left_out: int
    """Because one that was kept covers them."""
    setups_looked_at: int
    """Of them, held against those that were kept once more: all, or a sample by the seed."""
    plans: int
    """Plans made otherwise: none is better than the answer says is possible."""
    seed: int


class DeploymentCertificate(Strict):
    """Why the answer can be believed."""

    setups: int = 0
    """Chips, splits and formats there are to price, of a fleet for each size of request; 0 where none is."""
    columns: int
    """Replica configurations priced or read."""
    columns_solved: int
    """Those left after bounds and dominance."""
    dropped: dict[str, int]
    """Reason to number of configurations, or of setups that were not priced."""
    engine: str
    engine_version: str
    solves: int
    confirmed_by: tuple[str, ...]
    checker: str
    seed: int
    witnesses: FleetWitnesses | None = None
    """Of a fleet. None where nothing was proven that could be looked at again."""


class DeploymentResult(Solved):
    """What a deployment study returns; `wall_s` is the only field that differs between two equal runs."""

    status: Status
    stopped: str = ""
    """How many setups had a price when the study was stopped, where not all had."""
    objective: Objective
    architecture: str | None
    deployment: Pools | None = None
    metrics: dict[str, float] = {}
    binding: tuple[Binding, ...] = ()
    binding_untried: tuple[str, ...] = ()
    """Rules that there was no time to drop."""
    next_better: str = ""
    """Why the next better value of the objective is out of reach."""
    conflict: Conflict | None = None
    assumptions: tuple[Assumption, ...] = ()
    certificate: DeploymentCertificate
    wall_s: float
    version: str
    problem: dict[str, Any]
