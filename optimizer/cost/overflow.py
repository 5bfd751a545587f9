"""What of a model and its cache waits in a chip's second tier of memory, and what a step then streams.

`two_tier` is the arithmetic; this applies it to a frame. Modelled for tensor parallelism alone: one stage,
one attention rank.
"""

from collections.abc import Mapping
from typing import Any

from optimizer.blocks.operators import Number
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.memory_parts import KEPT_FREE, kept_free
from optimizer.cost.memory_room import room_bytes
from optimizer.cost.quantities import n_chunks
from optimizer.cost.two_tier import Placement, Tensor, place
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import SecondTier

BUFFER = "prefetch buffer"
"""The part of the fast memory that what waits in the slow one passes through."""


def placement(
    frame: Frame, architecture: Architecture, tier: SecondTier, parts: Mapping[str, Any], share: float = 1.0
) -> Placement:
    """Which share of weights and cache of one chip waits in the second tier.

    `parts` is GiB by part for this frame's one batch (`memory_parts`), `share` how much of the usable fast
    memory may be filled. InputError if the tiers together are too small.
    """
    sizes = {name: float(gib) * memory.GIB for name, gib in parts.items()}
    fixed = float(memory.embedding_bytes(frame))  # the vocabulary is used in every step: it stays
    weights = sizes["weights"] - fixed
    others = sum(sizes.values()) - sizes["weights"] - sizes["cache"] - kept_free(frame, sizes["cache"])
    tensors = (
        Tensor("weights", weights, weights),
        Tensor("cache", sizes["cache"], sizes["cache"] * _read_share(frame), 1 / frame.engine.filled),
    )
    free = share * room_bytes(frame.chip, frame.engine) - fixed - others
    return place(tensors, free, architecture.n_layers, tier.capacity)


def in_fast_memory(frame: Frame, parts: Mapping[str, Any], placed: Placement) -> dict[str, float]:
    """GiB by part that stay in the fast memory: what moved out is gone, a buffer for what passes has come."""
    cache = placed.slow_share["cache"] * parts["cache"]
    moved = {
        "cache": cache,
        KEPT_FREE: kept_free(frame, cache),
        "weights": placed.slow_bytes / memory.GIB - cache,
    }
    kept = {name: float(size) - float(moved.get(name, 0.0)) for name, size in parts.items()}
    return kept | ({BUFFER: placed.buffer_bytes / memory.GIB} if placed.slow_bytes else {})


def _read_share(frame: Frame) -> float:
    """Mean share of a full-length cache that a decode step reads."""
    return frame.decode_context / (frame.input_tokens + frame.output_tokens)


def streamed_s(
    frame: Frame, tier: SecondTier, parts: Mapping[str, Any], placed: Placement
) -> dict[str, Number]:
    """Seconds the slow link is busy in a step of each phase: no step is over before.

    A prompt's cache goes out while its weights come in, the link carries both ways at once. `joined_s` is for
    all chunks of a prompt beside the batch that decodes on.
    """
    layers = parts["weights"] * memory.GIB - float(memory.embedding_bytes(frame))
    weights = layers * placed.slow_share["weights"]
    prompt = frame.input_tokens / (frame.input_tokens + frame.output_tokens) / frame.batch
    written = parts["cache"] * memory.GIB * placed.slow_share["cache"] * prompt
    moved = {
        "decode_s": placed.slow_read,
        "prefill_s": max(n_chunks(frame) * weights, frame.prefill_batch * written),
        "mixed_s": max(placed.slow_read, frame.prompts_per_step * written),
        "joined_s": max(n_chunks(frame) * placed.slow_read, written),
    }
    return {name: size / tier.achieved for name, size in moved.items()}
