"""What the cost model says of one model on one replica, and of its operators."""

from typing import Literal

from optimizer.spec.answer import Assumption
from optimizer.spec.band import Around
from optimizer.spec.base import Strict
from optimizer.spec.plan import Deployment


class OperatorRow(Strict):
    """One operator of one step, summed over the layers that have it."""

    phase: Literal["decode", "prefill"]
    operator: str
    count: int
    flops: float
    bytes: float
    link_bytes: float
    time_ms: float
    bound_by: str


class Derivation(Strict):
    """One operator's time: formulas, the same with numbers, results, and where the constants come from."""

    operator: str
    phase: str
    formulas: dict[str, str]
    numbers: dict[str, str]
    values: dict[str, float]
    terms_us: dict[str, float]
    bound_by: str
    sources: dict[str, str]


class SecondTierUse(Strict):
    """What one chip keeps in its slower memory, and what streaming it takes."""

    kind: str
    slow_share: dict[str, float]
    memory_gib: float
    capacity_gib: float
    streamed_ms_per_step: float
    """Of a decode step; the step lasts at least this long."""
    hiding_tokens: float
    """Tokens in a step from which arithmetic takes as long as streaming all weights."""


class Estimate(Strict):
    """What the cost model says of one model on one replica."""

    status: Literal["feasible", "infeasible"]
    model: str
    breaks: tuple[str, ...]
    """Rules the deployment breaks; then there are no times."""
    why: dict[str, str] = {}
    """In words, for degrees of parallelism that the model cannot have."""
    deployment: Deployment
    metrics: dict[str, float]
    served: dict[str, float] = {}
    """What clients in a closed loop see, if their number was given."""
    bands: dict[str, Around] = {}
    """What metrics may turn out to be, from the errors of measured rows."""
    served_bands: dict[str, Around] = {}
    """The same of what clients see."""
    memory_gib: dict[str, float]
    hbm_usable_gib: float
    room_gib: float
    """Of it, what the engine fills."""
    cache: dict[str, float] = {}
    """KiB of a token's cache on each chip, and requests of the traffic's length that have room."""
    second_tier: SecondTierUse | None = None
    operators: tuple[OperatorRow, ...]
    assumptions: tuple[Assumption, ...]
    version: str
