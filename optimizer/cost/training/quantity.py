"""The training step as an additive quantity: a share of the frame plus a sum over layer halves.

An architecture search needs sums, so two things differ from `optimizer.cost.training.step`: stages have an
equal share of the layers, L / p and not ceil(L / p), and weights and gradients hide layer by layer. On one
stage whose messages hide, the two agree.
"""

from dataclasses import dataclass
from typing import Any

from optimizer.blocks import block
from optimizer.blocks.operators import Number
from optimizer.cost.roofline import Roofline
from optimizer.cost.training import messages
from optimizer.cost.training.activations import half_bytes as kept_bytes
from optimizer.cost.training.constants import ENGINES, FLASH_BACKWARD
from optimizer.cost.training.layout import Layout, layout_of
from optimizer.cost.training.memory import Parameters, half_bytes_of, tables_bytes
from optimizer.cost.training.pipeline import bubble_stages
from optimizer.cost.training.step import Passes, data_parallel_s, optimizer_s, passes
from optimizer.cost.training.work import Shape, Work, head_s, part_work, rates_of
from optimizer.spec.chip import Chip
from optimizer.spec.training import TrainingSetup

_PRODUCTS, _ELEMENTWISE, _REDUCTIONS = 4, 4, 2  # kernels of one dense layer


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """How, and on which chip, the architectures of a frame are trained."""

    setup: TrainingSetup
    chip: Chip

    @property
    def shape(self) -> Shape:
        """What decides the operators of a rank."""
        s = self.setup
        return Shape(
            s.tensor_parallel,
            s.context_parallel,
            s.expert_parallel,
            s.microbatch,
            s.sequence_length,
            s.dtype,
            s.flash_attention,
            s.engine,
        )


def half_s(run: TrainingRun, part: Any, d_model: Number, extra_params: Number = 0.0) -> Number:
    """Seconds of a step that one layer half takes, its norms' `extra_params` included."""
    at = layout_of(run.setup)
    own = part_work(part, d_model, rates_of(run.chip, run.shape), run.shape)
    return _share(run, at, own, _held(run, at, part, d_model, extra_params))


def base_s(run: TrainingRun, d_model: Number, vocab_size: int, tied: bool, positions: int) -> Number:
    """Seconds of a step outside the layers: head and loss, pipeline messages, what the tables cost."""
    at, chip = layout_of(run.setup), run.chip
    held = _tables(at, d_model, vocab_size, tied, positions)
    none = Work(reduced_bytes=2.0 * run.shape.tokens * d_model)
    forward = head_s(d_model, vocab_size, rates_of(chip, run.shape), run.shape)
    head = 3 * forward
    each, once = data_parallel_s(chip, at, held, Passes(forward, 2 * forward, 0.0), 1.0)
    repeats = at.n_microbatches + bubble_stages(at) / at.pipeline_parallel
    return (
        repeats * head
        + at.n_microbatches * each
        + once
        + messages.boundary_s(none, at, chip)
        + optimizer_s(held, at, chip)
    )


def half_bytes(run: TrainingRun, part: Any, d_model: Number, extra_params: Number = 0.0) -> Number:
    """Bytes on the first stage's chips that one layer half takes in training."""
    at = layout_of(run.setup)
    return half_bytes_of(_held(run, at, part, d_model, extra_params), kept_bytes(part, d_model, at), at)


def base_bytes(run: TrainingRun, d_model: Number, vocab_size: int, tied: bool, positions: int) -> Number:
    """Bytes outside the layers: tables and logits, as if one stage had both."""
    at = layout_of(run.setup)
    return tables_bytes(_tables(at, d_model, vocab_size, tied, positions), vocab_size, at)


def _held(run: TrainingRun, at: Layout, part: Any, d_model: Number, extra_params: Number) -> Parameters:
    """Parameters of a layer half on one rank."""
    stored = block(part).weights(part, d_model, run.setup.tensor_parallel)
    routed = block(part).weights(part, d_model, 1).experts
    shared = stored.matrix + stored.vector + extra_params
    return Parameters(shared, routed / (at.expert_parallel * at.expert_tensor_parallel), 0.0)


def _tables(at: Layout, d_model: Number, vocab_size: int, tied: bool, positions: int) -> Parameters:
    """Parameters of the vocabulary tables on one rank."""
    both = 2 if at.pipeline_parallel == 1 and not tied else 1
    return Parameters(0.0, 0.0, vocab_size * d_model / at.tensor_parallel * both + positions * d_model)


def _share(run: TrainingRun, at: Layout, own: Work, held: Parameters) -> Number:
    """What computing and messages of a layer half add to the step of its pipeline."""
    chip, p = run.chip, at.pipeline_parallel
    computing = passes(own, at)
    repeated = 2 + at.recompute_layers
    sent = repeated * (messages.tensor_s(own, at, chip) + messages.expert_s(own, at, chip))
    layer = computing.forward + computing.backward + computing.again + sent
    layer = layer + messages.context_s(own, at, chip)
    each, once = data_parallel_s(chip, at, held, computing, 1.0)
    return (_runs(at) * (layer + each) + once + optimizer_s(held, at, chip)) / p


def _runs(at: Layout) -> Number:
    """Microbatches, and the mean stages of waiting."""
    return at.n_microbatches + bubble_stages(at)


def floor_s(
    run: TrainingRun,
    n_layers: Number,
    matrix: Number,
    d_model: Number,
    query_width: Number,
    attention_window: int | None,
) -> Number:
    """The least all layers take, given only their matrix elements and the least width of their queries.

    Products at the sustained rate without their bytes, the fixed time of the kernels, norms, the narrowest
    attention at the speed of the best head width, tensor-parallel messages, the least of the gradients' and
    the optimizer's.
    """
    at, chip, shape = layout_of(run.setup), run.chip, run.shape
    rates = rates_of(chip, shape)
    t, tokens, p = shape.tensor_parallel, shape.tokens, at.pipeline_parallel
    fit = rates.chip.gemm(shape.dtype)
    peak = chip.dense_flops[chip.arithmetic(shape.dtype)] * fit.compute
    streaming, engine = rates.chip.efficiency.elementwise, ENGINES[shape.engine]
    products = 2.0 * tokens * matrix / t / peak
    traffic = tokens * (12 * d_model / at.sequence_shards + 4 * query_width / t)
    light = engine.elementwise * n_layers * traffic / (chip.hbm_bandwidth * streaming.memory)
    kernels = n_layers * (_PRODUCTS * fit.overhead + _ELEMENTWISE * streaming.overhead)
    attention = n_layers * _attention_floor(rates, shape, query_width / t, attention_window)
    core = FLASH_BACKWARD if shape.flash_attention else 2.0
    again = 1 + at.recompute_layers
    none = Work(reductions=_REDUCTIONS * n_layers, reduced_bytes=2.0 * tokens * d_model)
    sent = (2 + at.recompute_layers) * messages.tensor_s(none, at, chip)
    layers = (2 + again) * products + (1 + again) * (light + kernels) + (core + again) * attention + sent
    held = Parameters(matrix / t, 0.0, 0.0)
    summed = messages.sum_s(held, at, chip) * (engine.data_exposed if at.overlap else 1.0)
    return (_runs(at) * layers + summed + optimizer_s(held, at, chip)) / p


def floor_bytes(run: TrainingRun, n_layers: Number, matrix: Number, d_model: Number) -> Number:
    """The least bytes of all layers: states of their matrices, and their inputs."""
    at = layout_of(run.setup)
    kept = at.tokens * n_layers * 2.0 * d_model / at.sequence_shards
    return half_bytes_of(Parameters(matrix / at.tensor_parallel, 0.0, 0.0), kept, at)


def _attention_floor(rates: Roofline, shape: Shape, width: Number, window: int | None) -> Number:
    """Seconds of one forward attention of queries `width` wide, at the rate of the best head width."""
    if not shape.flash_attention:
        return 0.0 * width
    table = rates.chip.efficiency.attention_prefill.values()
    s = shape.sequence_length
    best = max(fit.peak * s / (s + fit.half) for fit in table)
    seen = s if window is None else min(s, window)
    pairs = (s * seen - seen * (seen - 1) / 2) * shape.microbatch / shape.context_parallel
    return 4.0 * pairs * width / (rates.chip.dense_flops["bf16"] * best)
