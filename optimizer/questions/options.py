"""How a study runs, whatever it asks."""

from collections.abc import Callable
from dataclasses import dataclass

from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.watch import Tell, Watch, never


@dataclass(frozen=True)
class Options:
    """How a study runs: limits, determinism, and who is told of progress."""

    time_limit_s: float | None = None
    settings: SolveSettings = SolveSettings()
    cancelled: Callable[[], bool] = never
    """Asked often: the study stops when it says so, with what it has."""
    tell: Tell | None = None

    def watch(self) -> Watch:
        """The watch of a study that begins now."""
        return Watch.within(self.time_limit_s, self.cancelled, self.tell)
