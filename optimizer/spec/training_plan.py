"""What is said of a training setup: time, memory and arithmetic, part by part."""

from typing import Any, Literal

from optimizer.spec.answer import Assumption
from optimizer.spec.base import Said, Strict
from optimizer.spec.training import Recompute, Schedule, TrainingSetup


class Way(Strict):
    """Another way to run a setup on the same split."""

    recompute: Recompute
    schedule: Schedule
    train_tokens_per_s_per_chip: float
    memory_gib: float
    fits: bool


class TrainingEstimate(Said):
    """One architecture trained on one kind of chip in one way."""

    status: Literal["feasible", "infeasible"]
    model: str
    chip: str
    n_chips: int
    setup: TrainingSetup
    breaks: dict[str, str]
    """Rules the setup breaks, each with the numbers; then there are no times."""
    metrics: dict[str, float]
    peaks: dict[str, float]
    """FLOP/s of one chip that each utilisation is a share of."""
    step_ms: dict[str, float]
    """Milliseconds of the step by part."""
    memory_gib: dict[str, float]
    hbm_usable_gib: float
    flops_per_token: dict[str, float]
    assumptions: tuple[Assumption, ...]
    unmodelled: tuple[str, ...] = ()
    """What of a run the figures leave out."""
    faster: tuple[Way, ...] = ()
    """Of `archsat estimate`: ways that are faster, the last of which fits."""
    version: str

    def shown(self) -> dict[str, Any]:
        """The setup without what it leaves at its default."""
        return self.setup.model_dump(exclude_defaults=True)
