"""Bytes on one chip: weights, key-value cache at full length, activations, what the engine reserves.

Sources: activation factor c of 2 T d_model c bytes and the reserve of the runtime and the collective
library from ai-dynamo/aiconfigurator @095f58a5 (backends); one layer's activations are alive at a time.
"""

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from optimizer import degrees
from optimizer.blocks import block, component, embedding, padded
from optimizer.blocks.operators import Number, Weights
from optimizer.cost import memory_room
from optimizer.cost.frame import Frame
from optimizer.cost.least import Least
from optimizer.cost.memory_room import GIB as GIB
from optimizer.cost.memory_working import activation_bytes as activation_bytes
from optimizer.cost.memory_working import logits_bytes as logits_bytes
from optimizer.cost.memory_working import working_bytes as working_bytes
from optimizer.spec.architecture import Architecture
from optimizer.spec.dtypes import BYTES, PADDED
from optimizer.spec.norms import Norms


def attention_bytes(attention: Any, frame: Frame) -> Number:
    """Weights of one mixer layer on one rank, and what the cache and state of all its sequences ask for."""
    stored = block(attention).weights(_held(attention, frame), frame.d_model, frame.split.tensor_parallel)
    return stored_bytes(stored, frame, component(attention)) + cache_room_bytes(attention, frame)


def sequence_bytes(mixer: Any, frame: Frame) -> Number:
    """Full-length cache and state of all sequences of one attention rank in one layer, on one rank."""
    return frame.batch / frame.split.data_parallel * (kv_bytes(mixer, frame) + state_bytes(mixer, frame))


def cache_room_bytes(mixer: Any, frame: Frame) -> Number:
    """What cache and state of a layer ask for: an engine that gives them a share keeps the rest free."""
    if frame.cache_tokens is None:
        return sequence_bytes(mixer, frame) / frame.engine.filled
    each = kv_bytes(mixer, frame) / (frame.input_tokens + frame.output_tokens)
    states = frame.batch / frame.split.data_parallel * state_bytes(mixer, frame)
    return frame.cache_tokens * each / frame.engine.cache_share + states / frame.engine.filled


def kv_bytes(attention: Any, frame: Frame) -> Number:
    """Cache of one sequence, prompt and answer, in one layer on one rank."""
    tokens = frame.input_tokens + frame.output_tokens
    module = block(attention)
    if not frame.engine.window_cache and hasattr(module, "unwindowed"):
        attention = module.unwindowed(attention)
    if frame.window_room and hasattr(module, "widened"):
        attention = module.widened(attention, frame.window_room)
    whole = module.kv_elements(_held(attention, frame), tokens, frame.split.tensor_parallel)
    return whole / frame.split.sequence_ranks * BYTES[frame.formats.kv_dtype]


def state_bytes(mixer: Any, frame: Frame) -> Number:
    """State of one sequence in one layer on one rank, whatever its length; attention has none."""
    own = getattr(block(mixer), "state_bytes", None)
    return own(_held(mixer, frame), frame.split.tensor_parallel) if own else 0


def _held(part: Any, frame: Frame) -> Any:
    """A layer half with what the fullest rank holds on every rank."""
    return padded(part, frame.split, frame.padding)


def cache_bytes(frame: Frame, architecture: Architecture) -> Number:
    """Cache and state of all sequences of one attention rank on one chip of the longest stage."""
    layers = sum(g.count * sequence_bytes(g.block.mixer, frame) for g in architecture.layers)
    return layers * stage_share(frame.split.pipeline_parallel, architecture.n_layers)


def stage_share(n_stages: int, n_layers: int) -> float:
    """Share of the layers on the longest of `n_stages` stages: stages need not be even."""
    return -(-n_layers // n_stages) / n_layers


def ffn_bytes(ffn: Any, frame: Frame) -> Number:
    """Weights of one feed-forward layer on one rank."""
    spread, ffn = getattr(block(ffn), "rank_weights", None), _held(ffn, frame)
    own = (ffn, frame.d_model, frame.split.tensor_parallel)
    stored = spread(*own, frame.split.data_parallel) if spread else block(ffn).weights(*own)
    if np.any(stored.experts):
        stored = replace(stored, experts=stored.experts * _padding(ffn, frame))
    return stored_bytes(stored, frame, component(ffn))


def _padding(ffn: Any, frame: Frame) -> Number:
    """Elements kept for one of a routed expert, on the rank with the most experts.

    Kernels that de-quantise a format need whole multiples.
    """
    dtype, split = frame.formats.of("experts").dtype, frame.split
    uneven = _up(ffn.n_experts, split.expert_parallel)
    if dtype not in PADDED or frame.chip.arithmetic(dtype) != "bf16":
        return uneven
    width = getattr(ffn, "d_latent", frame.d_model)
    inner = ffn.d_expert * split.expert_parallel / (split.tensor_parallel * split.data_parallel)
    rows, columns = PADDED[dtype]
    return uneven * _up(width, rows) * _up(inner, columns)


def _up(width: Number, multiple: int) -> Number:
    """A width padded to a multiple, over the width."""
    return np.ceil(width / multiple) * multiple / width


def least_bytes(layers: Least, frame: Frame) -> Number:
    """Weights, full-length cache and norms of all layers on one rank, at least, for each narrowest mixer."""
    each = cache_room_bytes(layers.mixers, frame) + norm_bytes(layers.norms, frame)
    return stored_bytes(layers.weights(frame.split.tensor_parallel), frame) + layers.n_layers * each


def shared_bytes(frame: Frame) -> Number:
    """Everything on a chip that does not grow with the number of layers."""
    return embedding_bytes(frame) + activation_bytes(frame) + reserve_bytes(frame)


def reserve_bytes(frame: Frame) -> Number:
    """What the runtime, the collective library and the engine keep of each chip."""
    return memory_room.reserve_bytes(frame.chip, frame.engine, frame.split, activation_bytes(frame))


def embedding_bytes(frame: Frame) -> Number:
    """Vocabulary tables, positions and final norm on one rank; no stage of several has both tables."""
    formats, stages = frame.formats, frame.split.pipeline_parallel
    first, last = formats.of("embeddings").bytes, formats.of("head").bytes
    each = first if frame.tied_embeddings else max(first, last) if stages > 1 else first + last
    table = embedding.table(frame.d_model, frame.vocab_size, frame.split.tensor_parallel)
    beside = embedding.beside_tables(frame.d_model, frame.position_embeddings) + frame.outer_params
    return each * table + BYTES["bf16"] * beside


def norm_bytes(norms: Norms, frame: Frame) -> Number:
    """Layer norms of one layer; every rank holds them whole."""
    return BYTES["bf16"] * norms.elements(frame.d_model)


def held_bytes(frame: Frame, architecture: Architecture) -> Number:
    """What a rank keeps of other ranks' while it computes prompts in the layer where that is most."""
    if frame.split.sequence_ranks == 1:
        return 0.0
    tokens = np.minimum(frame.prefill_batch * frame.input_tokens, max(frame.step_tokens, frame.input_tokens))
    each = (degrees.held_bytes(_held(g.block.mixer, frame), frame.split, tokens) for g in architecture.layers)
    return reduce(np.maximum, each)


def stored_bytes(elements: Weights, frame: Frame, component: str = "") -> Number:
    """Bytes of these elements in the formats of the frame; matrices are of a component of the checkpoint."""
    matrices = frame.formats.of(component).bytes * elements.matrix + BYTES["bf16"] * elements.vector
    return matrices + frame.formats.of("experts").bytes * elements.experts
