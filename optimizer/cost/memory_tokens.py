"""How many tokens the cache of a replica holds, and how long one request may be.

    a cache of n tokens fits     memory with n tokens in whole blocks, / cache_share  <=  room
    kv_cache_tokens              the most of them: of requests as long as the traffic's, on each rank
    max_context                  the longest request that fits on its rank

Weights, working buffers and the states of the sequences that run together lie beside the cache in both. A
window keeps no more than its tokens, and what an engine plans beside them, so that long requests have fewer
bytes a token; a pipeline's longest stage decides.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.memory_room import room_bytes
from optimizer.cost.memory_working import budget_tokens
from optimizer.cost.quantities import QUANTITIES
from optimizer.spec.architecture import Architecture

LONGEST = 2**27
"""Tokens of the longest request that is looked at, and of the largest cache of a rank: some do not grow."""
_ON_A_BLOCK = 1e-6


def with_cache(frame: Frame, tokens: float) -> Frame:
    """The replica when its caches hold so many tokens, in whole blocks, of requests like the traffic's."""
    return replace(planned(frame), cache_tokens=_whole(tokens / frame.split.data_parallel, frame))


def with_request(frame: Frame, tokens: float) -> Frame:
    """The replica when an attention rank holds one request of so many tokens, in whole blocks."""
    whole = _whole(tokens, frame)
    return replace(planned(frame), input_tokens=int(whole) - 1, output_tokens=1, cache_tokens=whole)


def _whole(tokens: float, frame: Frame) -> float:
    block = frame.engine.block_tokens
    return float(-(-tokens // block) * block)


def share_taken(frame: Frame, held: Any) -> Any:
    """What `held` bytes of a chip are of those that its engine fills."""
    return held / room_bytes(frame.chip, frame.engine)


def has_room(frame: Frame, architecture: Architecture) -> Any:
    """Whether a replica has room for what it holds; an array where `frame.batch` is one."""
    held = share_taken(frame, QUANTITIES["memory_bytes"].total(frame, architecture))
    return (held <= 1) & ((frame.cache_tokens or 0.0) <= LONGEST)


def kv_cache_tokens(frame: Frame, architecture: Architecture) -> Any:
    """Tokens of requests as long as the traffic's that the caches of all attention ranks hold together.

    An array where `frame.batch` is one.
    """
    each, free = token_bytes(frame, architecture), np.asarray(free_bytes(frame, architecture))
    block = frame.engine.block_tokens
    most = LONGEST // block
    held = np.maximum(0.0, free) / each / block if each > 0 else np.where(free >= 0, float(most), 0.0)
    return _plain(np.minimum(most, np.floor(held + _ON_A_BLOCK)) * block * frame.split.data_parallel)


def _plain(values: Any) -> Any:
    return float(values) if np.ndim(values) == 0 else values


def max_context_tokens(frame: Frame, architecture: Architecture) -> float:
    """Prompt and answer of the longest request that has room; 0 where not even a block of tokens has."""
    block = frame.engine.block_tokens
    low, high = 0, LONGEST // block + 1
    while high - low > 1:
        middle = (low + high) // 2
        holds = bool(has_room(with_request(frame, middle * block), architecture))
        low, high = (middle, high) if holds else (low, middle)
    return float(low * block)


def token_bytes(frame: Frame, architecture: Architecture) -> float:
    """Bytes of cache on a chip of each token of a request as long as the traffic's."""
    tokens = frame.input_tokens + frame.output_tokens
    layers = sum(g.count * memory.kv_bytes(g.block.mixer, planned(frame)) for g in architecture.layers)
    stages = memory.stage_share(frame.split.pipeline_parallel, architecture.n_layers)
    return float(layers * stages / tokens)


def free_bytes(frame: Frame, architecture: Architecture) -> Any:
    """Bytes on a chip that the engine gives to the cache of tokens, whatever of it the traffic needs."""
    beside = QUANTITIES["memory_bytes"].total(replace(frame, cache_tokens=0.0), architecture)
    return _plain(frame.engine.cache_share * (room_bytes(frame.chip, frame.engine) - beside))


def planned(frame: Frame) -> Frame:
    """The frame with the room beside a window that its engine plans for a request; running ones need less."""
    engine = frame.engine
    room = budget_tokens(frame) + engine.block_tokens - 1 if engine.window_step else 0
    return replace(frame, window_room=room)
