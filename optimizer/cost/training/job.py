"""A training job: one architecture, one chip, one setup; its time, memory and arithmetic."""

from dataclasses import dataclass

from optimizer.cost.training.flops import Flops, forward_flops
from optimizer.cost.training.layout import Layout, layout_of
from optimizer.cost.training.memory import TrainingMemory, rank_parameters, training_memory
from optimizer.cost.training.step import StepTimes, step_times
from optimizer.cost.training.work import Shape, work
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
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


def metrics_of(own: Job, chip: Chip, training_tokens: float | None = None) -> dict[str, float]:
    """Rates and utilisation; MFU in both conventions of attention, of the bf16 and of the format's peak."""
    setup, peak = own.setup, chip.dense_flops["bf16"]
    format_peak = chip.dense_flops[chip.arithmetic(setup.dtype)]
    rate = own.tokens_per_s
    found = {
        "step_s": own.step_s,
        "tokens_per_s": rate,
        "train_tokens_per_s_per_chip": rate / setup.n_chips,
        "mfu": own.mfu(peak, causal=True),
        "mfu_full_attention": own.mfu(peak, causal=False),
        "hfu": rate / setup.n_chips * own.flops.hardware(setup.recompute, True) / peak,
    }
    if format_peak != peak:
        found["mfu_of_format_peak"] = own.mfu(format_peak, causal=True)
    if training_tokens:
        seconds = training_tokens / rate
        found["train_days"] = seconds / 86400
        if chip.usd_per_chip_hour is not None:
            found["train_usd"] = seconds / 3600 * setup.n_chips * chip.usd_per_chip_hour
    return found
