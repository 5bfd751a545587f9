"""Other ways to run a training setup on the same split: what is computed again, and the schedule.

A setup answers for itself alone, so that one with whole layers computed again, or with a plain schedule, is
not taken for the best that its chips can do.
"""

from itertools import product
from typing import get_args

from optimizer.cost.memory import GIB
from optimizer.cost.training.job import Job, job
from optimizer.cost.training.rules import facts_of, kept
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.training import Recompute, Schedule, TrainingSetup
from optimizer.spec.training_plan import Way

_MORE = 1.02
"""How much faster a way is that is worth telling."""
_NEAR = 1.05
"""Share of the memory there is that a way may need and still be told: another field may spare the rest."""


def faster_ways(architecture: Architecture, chip: Chip, setup: TrainingSetup) -> tuple[Way, ...]:
    """The fastest way that runs, before it faster ones that lack little memory; none if the setup is as fast.

    Where the setup does not run, any way is faster.
    """
    facts, usable = facts_of(architecture, chip), float(chip.hbm_for_programs)

    def runs(own: Job, memory: float) -> bool:
        legal = all(bool(holds) for holds in kept(facts, own.layout).values())
        return legal and float(own.memory.total) <= memory

    asked = job(architecture, chip, setup)
    least = _MORE * asked.tokens_per_s if runs(asked, usable) else 0.0
    schedules = get_args(Schedule) if setup.pipeline_parallel > 1 else [setup.schedule]
    others = [
        job(architecture, chip, setup.changed(recompute=again, schedule=how))
        for again, how in product(get_args(Recompute), schedules)
    ]
    faster = [own for own in others if own.tokens_per_s > least and runs(own, _NEAR * usable)]
    faster.sort(key=lambda own: -own.tokens_per_s)
    first = next((i for i, own in enumerate(faster) if runs(own, usable)), len(faster))
    return tuple(_way(own, runs(own, usable)) for own in faster[: first + 1])


def _way(own: Job, fits: bool) -> Way:
    return Way(
        recompute=own.setup.recompute,
        schedule=own.setup.schedule,
        train_tokens_per_s_per_chip=own.tokens_per_s / own.setup.n_chips,
        memory_gib=float(own.memory.total) / GIB,
        fits=fits,
    )
