"""Bytes on one chip: weights, key-value cache at full length, activations, what the engine reserves.

Sources: activation factor c of 2 T d_model c bytes and the reserve of the runtime and the collective
library from ai-dynamo/aiconfigurator @095f58a5 (backends); one layer's activations are alive at a time.
"""

from typing import Any

import numpy as np

from optimizer.blocks import block, embedding
from optimizer.blocks.operators import Number, Weights
from optimizer.cost.frame import Frame
from optimizer.spec.dtypes import BYTES

GIB = 2.0**30
CHUNK_TOKENS = 8192
"""Tokens an engine schedules in one step at most; bounds the activations."""
_ACTIVATION_FACTOR = {1: 11.0, 2: 6.5}


def attention_bytes(attention: Any, frame: Frame) -> Number:
    """Weights, full-length cache and state of one mixer layer on one rank."""
    stored = block(attention).weights(attention, frame.d_model, frame.tensor_parallel)
    sequence = kv_bytes(attention, frame) + state_bytes(attention, frame)
    return _stored(stored, frame) + frame.batch * sequence


def kv_bytes(attention: Any, frame: Frame) -> Number:
    """Cache of one sequence, prompt and answer, in one layer on one rank."""
    tokens = frame.input_tokens + frame.output_tokens
    return block(attention).kv_elements(attention, tokens, frame.tensor_parallel) * BYTES[frame.kv_dtype]


def state_bytes(mixer: Any, frame: Frame) -> Number:
    """State of one sequence in one layer on one rank, whatever its length; attention has none."""
    own = getattr(block(mixer), "state_bytes", None)
    return own(mixer, frame.tensor_parallel) if own else 0


def ffn_bytes(ffn: Any, frame: Frame) -> Number:
    """Weights of one feed-forward layer on one rank."""
    return _stored(block(ffn).weights(ffn, frame.d_model, frame.tensor_parallel), frame)


def shared_bytes(frame: Frame) -> Number:
    """Everything on a chip that does not grow with the number of layers."""
    return embedding_bytes(frame) + activation_bytes(frame) + frame.reserve_gib * GIB


def embedding_bytes(frame: Frame) -> Number:
    """Vocabulary tables, positions and final norm on one rank, in 16 bit."""
    stored = embedding.weights(
        frame.d_model,
        frame.vocab_size,
        frame.tied_embeddings,
        frame.tensor_parallel,
        frame.position_embeddings,
    )
    return BYTES["bf16"] * stored.vector


def norm_bytes(frame: Frame) -> Number:
    """Layer norms of one layer; every rank holds them whole."""
    return BYTES["bf16"] * frame.n_norms * frame.d_model * (1 + frame.norm_bias)


def activation_bytes(frame: Frame) -> Number:
    """Working buffers of one layer on a scheduled chunk, and the logits of one decode step."""
    batch: Number = frame.batch
    chunk = min(CHUNK_TOKENS, frame.input_tokens)
    rows = np.maximum(batch, chunk) if isinstance(batch, np.ndarray) else max(batch, chunk)
    factor = _ACTIVATION_FACTOR.get(frame.tensor_parallel, 5.0)
    logits = 4.0 * frame.batch * frame.vocab_size / frame.tensor_parallel
    return 2.0 * rows * frame.d_model * factor + logits


def _stored(elements: Weights, frame: Frame) -> Number:
    return BYTES[frame.weight_dtype] * elements.matrix + BYTES["bf16"] * elements.vector
