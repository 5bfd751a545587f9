"""A training job: one architecture, one chip, one setup; its time, memory and arithmetic."""

from dataclasses import dataclass

from optimizer.cost.training.flops import Flops, forward_flops
from optimizer.cost.training.layout import Layout, layout_of
from optimizer.cost.training.long_run import effective_share
from optimizer.cost.training.memory import TrainingMemory, rank_parameters, training_memory
from optimizer.cost.training.run import Run
from optimizer.cost.training.step import StepTimes, step_times
from optimizer.cost.training.work import Shape, work
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.long_run import USUAL, LongRun
from optimizer.spec.training import TrainingSetup


@dataclass(frozen=True, slots=True)
class Job:
    """What a setup costs."""

    setup: TrainingSetup
    layout: Layout
    times: StepTimes
    memory: TrainingMemory
    flops: Flops

    @property
    def step_s(self) -> float:
        """Seconds of a step."""
        return float(self.times.total)

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second over all chips."""
        return self.setup.global_batch * self.setup.sequence_length / self.step_s

    def mfu(self, peak: float, causal: bool) -> float:
        """Model FLOP utilisation of this peak (FLOP/s of one chip)."""
        return self.tokens_per_s / self.setup.n_chips * self.flops.model(causal) / peak


def job(architecture: Architecture, chip: Chip, setup: TrainingSetup) -> Job:
    """Price a setup; whether it fits is for the caller to judge."""
    at = layout_of(setup)
    own = work(architecture, chip, shape_of(setup))
    times = step_times(architecture.n_layers, chip, at, own, rank_parameters(architecture, at))
    return Job(
        setup,
        at,
        times,
        training_memory(architecture, at),
        forward_flops(architecture, setup.sequence_length),
    )


def shape_of(setup: TrainingSetup) -> Shape:
    """What of a setup decides the operators of a rank."""
    return Shape(
        setup.tensor_parallel,
        setup.context_parallel,
        setup.expert_parallel,
        setup.microbatch,
        setup.sequence_length,
        setup.dtype,
        setup.flash_attention,
        setup.engine,
    )


def run_of(own: Job, chip: Chip, training_tokens: float | None = None, long_run: LongRun = USUAL) -> Run:
    """The job as its metrics see it; of no tokens where nobody said how many there are."""
    setup, model = own.setup, own.flops.model(causal=True)
    tokens, memory = setup.global_batch * setup.sequence_length, float(own.memory.total)
    share = effective_share(long_run, setup.n_chips)
    return Run(own.step_s, setup.n_chips, memory, tokens, training_tokens or 0.0, model, chip, share)
