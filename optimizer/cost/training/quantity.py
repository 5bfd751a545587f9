"""The training step as an additive quantity: a share of the frame plus a sum over layer halves.

An architecture search needs sums, so two things differ from `optimizer.cost.training.step`: stages have an
equal share of the layers, L / p and not ceil(L / p), and weights and gradients hide layer by layer. On one
stage whose messages hide, the two agree.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.blocks import block
from optimizer.blocks.operators import Number
from optimizer.cost.least import Least
from optimizer.cost.training import messages
from optimizer.cost.training.activations import half_bytes as kept_bytes
from optimizer.cost.training.layout import Layout, layout_of
from optimizer.cost.training.memory import Parameters, half_bytes_of, tables_bytes
from optimizer.cost.training.pipeline import bubble_stages
from optimizer.cost.training.step import (
    Passes,
    data_parallel_s,
    exposed_exchange_s,
    head_of,
    optimizer_s,
    passes,
)
from optimizer.cost.training.work import Shape, Work, forward_step, head_s, part_work, rates_of, work_of
from optimizer.spec.chip import Chip
from optimizer.spec.long_run import USUAL, LongRun
from optimizer.spec.training import TrainingSetup


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """How, and on which chip, the architectures of a frame are trained."""

    setup: TrainingSetup
    chip: Chip
    long_run: LongRun = USUAL

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
    head = head_of(forward)
    each, once = data_parallel_s(chip, at, held, Passes(forward, head - forward, 0.0), 1.0)
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


def _share(run: TrainingRun, at: Layout, own: Work, held: Parameters, behind: Work | None = None) -> Number:
    """What computing and messages of a layer half add to the step of its pipeline.

    Messages hide behind its own work, or that of `behind`.
    """
    chip, p = run.chip, at.pipeline_parallel
    computing = passes(own, at)
    hiding = behind or own
    repeated = 2 + at.recompute_layers
    tokens = repeated * messages.expert_s(own, at, chip)
    layer = computing.total + repeated * messages.tensor_s(own, at, chip)
    layer = layer + exposed_exchange_s(tokens, passes(hiding, at).total, at)
    layer = layer + messages.context_s(hiding, at, chip)
    each, once = data_parallel_s(chip, at, held, passes(hiding, at), 1.0)
    return (_runs(at) * (layer + each) + once + optimizer_s(held, at, chip)) / p


def _runs(at: Layout) -> Number:
    """Microbatches, and the mean stages of waiting."""
    return at.n_microbatches + bubble_stages(at)


def least_s(run: TrainingRun, layers: Least, d_model: Number) -> Number:
    """Seconds of a step that all layers take at least, for each narrowest mixer.

    No message costs less than one that hides behind endless computing.
    """
    at = layout_of(run.setup)
    step = forward_step(d_model, run.shape)
    own = work_of(layers.operators(step), d_model, rates_of(run.chip, run.shape), run.shape)
    return _share(run, at, own, _held_at_least(layers, at, d_model), behind=replace(own, attention=np.inf))


def least_bytes(run: TrainingRun, layers: Least, d_model: Number) -> Number:
    """Bytes of all layers, at least, for each narrowest mixer: states of matrices, and what layers keep."""
    at = layout_of(run.setup)
    kept = kept_bytes(layers.mixers, d_model, at) + kept_bytes(layers.ffn, d_model, at)
    return half_bytes_of(_held_at_least(layers, at, d_model), layers.n_layers * kept, at)


def _held_at_least(layers: Least, at: Layout, d_model: Number) -> Parameters:
    """Parameters of all layers on one rank: experts are those of the narrowest network."""
    routed = layers.n_layers * block(layers.ffn).weights(layers.ffn, d_model, 1).experts
    routed = routed / (at.expert_parallel * at.expert_tensor_parallel)
    return Parameters(layers.elements(at.tensor_parallel), routed, 0.0)
