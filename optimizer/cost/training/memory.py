"""Bytes on one chip in training: weights, gradients, optimizer, activations, logits, buffers, reserve.

States (ZeRO, arXiv 1910.02054): 16-bit weights, gradients and optimizer for each parameter of the rank, of
which stage 1 shards the optimizer, 2 the gradients too, 3 the weights too, over the ranks of one group. With
2 + 2 + 12 bytes that is 16, 4 + 12/n, 2 + 14/n and 16/n bytes a parameter.

The first stage of a pipeline holds the most activations and the input table, the last the head and the
logits; the larger of the two is the answer. What the framework takes beside tensors (CUDA context, buffers of
communicators, fragments) is the engine's `reserve_gib`.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from optimizer.blocks import block, embedding
from optimizer.blocks.operators import Number
from optimizer.cost.training.activations import mean_layer_bytes, saved_by, saved_per_token
from optimizer.cost.training.layout import Layout
from optimizer.cost.training.pipeline import layers_in_flight, stage_layers
from optimizer.spec.architecture import Architecture

WEIGHT_BYTES = 2.0
_LOGIT_BYTES = 6.0
"""16-bit logits of the head, and their 32-bit copy for the loss."""
_GATHERED_LAYERS = 2
"""Layers whose whole weights FSDP holds at once: the one in use and the next."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters on one rank of the largest stage: shared by all replicas, of experts, of the tables."""

    layers: Number
    experts: Number
    tables: Number


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes on one chip by part."""

    weights: Number
    gradients: Number
    optimizer: Number
    activations: Number
    logits: Number
    buffers: Number
    reserve: Number

    @property
    def total(self) -> Number:
        """All parts together."""
        return sum(getattr(self, field.name) for field in fields(self))


def state_bytes(at: Layout, sharded_over: Number) -> tuple[Number, Number, Number]:
    """(weights, gradients, optimizer) in bytes a parameter, over this many ranks of a ZeRO group.

    A rank with the weights of two stages has both whole; what is sharded lies on the ranks of both.
    """

    def part(whole: float, stage: int) -> Number:
        return whole * np.where(at.zero_stage >= stage, 1 / sharded_over, at.copies)

    return part(WEIGHT_BYTES, 3), part(at.gradient_bytes, 2), part(at.optimizer_bytes, 1)


def rank_parameters(architecture: Architecture, at: Layout) -> Parameters:
    """Parameters of the layers, the experts and the vocabulary tables on one rank."""
    layers: Number = 0.0
    experts: Number = 0.0
    for group in architecture.layers:
        own, t = group.block, at.tensor_parallel
        layers = layers + group.count * own.norms.elements(architecture.d_model)
        for part in (own.mixer, own.ffn):
            stored = block(part).weights(part, architecture.d_model, t)
            routed = block(part).weights(part, architecture.d_model, 1).experts
            layers = layers + group.count * (stored.matrix + stored.vector)
            experts = experts + group.count * routed / (at.expert_parallel * at.expert_tensor_parallel)
    share = stage_layers(architecture.n_layers, at) / architecture.n_layers
    one = architecture.vocab_size * architecture.d_model / at.tensor_parallel
    both = np.where((at.pipeline_parallel == 1) & (not architecture.tied_embeddings), 2, 1)
    positions = architecture.position_embeddings * architecture.d_model
    return Parameters(layers * share, experts * share, one * both + positions)


def training_memory(architecture: Architecture, at: Layout) -> TrainingMemory:
    """Bytes by part on the fullest chip."""
    held = rank_parameters(architecture, at)
    kept = mean_layer_bytes(architecture, at) * layers_in_flight(architecture.n_layers, at)
    logits = logits_bytes(architecture, at)
    # Of several stages the last holds the logits, and only one microbatch of its layers.
    kept_last = kept / np.minimum(at.pipeline_parallel, at.n_microbatches)
    at_the_end = (at.pipeline_parallel == 1) | (kept_last + logits > kept)
    activations, logits = np.where(at_the_end, kept_last, kept), np.where(at_the_end, logits, 0.0)
    return _on_a_chip(architecture, at, held, activations, logits)


def stage_memory(
    architecture: Architecture, at: Layout, layers: Number, behind: Number, first: Number, last: Number
) -> TrainingMemory:
    """Bytes by part on a chip of one stage of a pipeline whose stages may be unlike.

    `behind`: stages after it, each of which has one more of its microbatches under way; only the ends hold
    tables, and the last the logits.
    """
    own = replace(at, layers=layers)
    held = rank_parameters(architecture, own)
    held = replace(held, tables=held.tables * np.maximum(first, last))
    kept = mean_layer_bytes(architecture, own) * layers * np.minimum(at.n_microbatches, behind + 1)
    return _on_a_chip(architecture, own, held, kept, logits_bytes(architecture, own) * last)


def logits_bytes(architecture: Architecture, at: Layout) -> Number:
    """Bytes of the logits of a microbatch on one rank of the last stage."""
    padded = embedding.padded_vocab(architecture.vocab_size, 1)
    return _LOGIT_BYTES * at.tokens * padded / at.tensor_parallel


def _on_a_chip(
    architecture: Architecture, at: Layout, held: Parameters, activations: Number, logits: Number
) -> TrainingMemory:
    """The states of what a rank holds, with its activations and logits, and what is beside tensors."""
    shared, spread = state_bytes(at, at.zero_group), state_bytes(at, expert_group(at))
    weights, gradients, optimizer = (
        (held.layers + held.tables) * a + held.experts * b for a, b in zip(shared, spread, strict=True)
    )
    buffers = _buffers(architecture, at, held)
    return TrainingMemory(weights, gradients, optimizer, activations, logits, buffers, at.reserve_bytes)


def half_bytes_of(held: Parameters, kept: Number, at: Layout) -> Number:
    """States and activations of one layer half on the first of equal stages, without buffers."""
    p = at.pipeline_parallel
    shared, spread = sum(state_bytes(at, at.zero_group)), sum(state_bytes(at, expert_group(at)))
    return (held.layers * shared + held.experts * spread + kept * layers_in_flight(p, at)) / p


def tables_bytes(held: Parameters, vocab_size: int, at: Layout) -> Number:
    """States of the tables, the logits, as if one stage had both, and what the framework takes."""
    tables = held.tables * sum(state_bytes(at, at.zero_group))
    logits = _LOGIT_BYTES * at.tokens * embedding.padded_vocab(vocab_size, 1) / at.tensor_parallel
    return tables + logits + at.reserve_bytes


def expert_group(at: Layout) -> Number:
    """Ranks over which the states of experts are sharded."""
    return np.maximum(1, np.minimum(at.expert_replicas, at.zero_group))


def _buffers(architecture: Architecture, at: Layout, held: Parameters) -> Number:
    """Weights gathered by FSDP, the layer that is being computed again, and gradients in turn.

    In the backward pass of a layer half what it kept meets its gradients, as large together as itself.
    Ranks that split the sequence gather the half's input again, and have the gradient of all of it before
    they share that out (arXiv 2205.05198, 4.2.2; Megatron-LM's core/tensor_parallel/layers.py).
    """
    d_model = architecture.d_model
    widest: Number = 0.0
    half: Number = 0.0
    for group in architecture.layers:
        widest = np.maximum(widest, saved_per_token(group.block, d_model, at))
        for part in (group.block.mixer, group.block.ffn):
            half = np.maximum(half, saved_by(part, d_model, at))
    sequence = np.where(at.sequence_shards > 1, 2 * WEIGHT_BYTES * d_model, 0.0)
    in_turn = at.tokens * (at.recompute_layers * widest + half + sequence)
    per_layer = (held.layers + held.experts) / stage_layers(architecture.n_layers, at)
    gathered = np.where(
        at.zero_stage >= 3, _GATHERED_LAYERS * per_layer * (WEIGHT_BYTES + at.gradient_bytes / 2), 0
    )
    return in_turn + gathered
