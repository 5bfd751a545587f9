"""What a training run of weeks loses beside its steps: stragglers, failures, restarts, checkpoints."""

from typing import Annotated

from pydantic import Field

from optimizer.spec.base import Strict

SOURCES = {
    "stragglers": "between nothing (MLPerf's 405B on 8,192 H100 is predicted within 3 %) and the 10.4 % of "
    "all hours of arXiv 2505.05713 (recalled)",
    "failures_per_chip_hour": "419 unexpected interruptions in 54 days on 16,384 H100 (arXiv 2407.21783)",
    "restart_min": "with the checkpoints, the more than 90 % effective time of that run (arXiv 2407.21783); "
    "MegaScale recovers within 15 minutes, with more than 90 % too (arXiv 2402.15627)",
    "checkpoint_s": "a copy to hosts, written while training goes on; BLOOM's 2.3 TB took 40 s to disks "
    "(stas00/ml-engineering training/fault-tolerance @04ceca1f)",
}
"""Where each default is from."""


class LongRun(Strict):
    """What a run of weeks loses; measured steps of benchmarks lose none of it."""

    stragglers: Annotated[float, Field(ge=0, le=0.9)] = 0.05
    """Share of the time in which chips wait for slower ones."""
    failures_per_chip_hour: Annotated[float, Field(ge=0, le=1)] = 2e-5
    """Interruptions of the whole run for each chip and hour."""
    restart_min: Annotated[float, Field(ge=0, le=10**4)] = 10.0
    """Minutes from an interruption to the next step: it is noticed, chips are replaced, the state is read."""
    checkpoint_s: Annotated[float, Field(ge=0, le=10**5)] = 15.0
    """Seconds that a checkpoint holds training up."""


USUAL = LongRun()
"""The defaults."""
