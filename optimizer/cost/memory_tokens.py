"""How many tokens the cache of a replica holds, and how long one request may be.

    free            cache_share x (room - weights - working buffers - reserve - state of the sequences)
    kv_cache_tokens free / bytes of a token at the length of the traffic, in whole blocks, on each rank
    max_context     the longest request whose cache is no more than that, alone on its rank

A window keeps no more than its tokens, so that long requests have fewer bytes a token; a pipeline's longest
stage decides.
"""

from dataclasses import replace

from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.memory_room import room_bytes
from optimizer.cost.quantities import QUANTITIES
from optimizer.spec.architecture import Architecture

_LONGEST = 2**27
"""Tokens of the longest request that is looked at."""


def kv_cache_tokens(frame: Frame, architecture: Architecture) -> float:
    """Tokens of requests as long as the traffic's that the caches of all attention ranks hold together."""
    each, block = token_bytes(frame, architecture), frame.engine.block_tokens
    if each <= 0:
        return float(_LONGEST)
    held = max(0.0, free_bytes(frame, architecture)) / each
    return float(held // block * block * frame.split.data_parallel)


def max_context_tokens(frame: Frame, architecture: Architecture) -> float:
    """Prompt and answer of the longest request that has room alone; 0 where not even a token has."""
    alone = replace(frame, batch=frame.split.data_parallel, output_tokens=1)
    low, high = 0, _LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        one = replace(alone, input_tokens=middle)
        fits = _bytes_of(middle + 1, one, architecture) <= free_bytes(one, architecture)
        low, high = (middle, high) if fits else (low, middle)
    return float(low + 1 if low else 0)


def token_bytes(frame: Frame, architecture: Architecture) -> float:
    """Bytes of cache on a chip of each token of a request as long as the traffic's."""
    tokens = frame.input_tokens + frame.output_tokens
    return _bytes_of(tokens, frame, architecture) / tokens


def free_bytes(frame: Frame, architecture: Architecture) -> float:
    """Bytes on a chip that the engine gives to the cache of tokens, whatever of it the traffic needs."""
    state = _state_bytes(frame, architecture)
    held = QUANTITIES["memory_bytes"].total(frame, architecture)
    cache = memory.cache_bytes(frame, architecture) - state
    engine = frame.engine
    return float(engine.cache_share * (room_bytes(frame.chip, engine) - held + cache / engine.filled))


def _bytes_of(tokens: int, frame: Frame, architecture: Architecture) -> float:
    """Cache of one request of so many tokens on a chip of the longest stage, its state apart."""
    one = replace(frame, batch=frame.split.data_parallel, input_tokens=tokens, output_tokens=0)
    return float(memory.cache_bytes(one, architecture) - _state_bytes(one, architecture))


def _state_bytes(frame: Frame, architecture: Architecture) -> float:
    share = memory.stage_share(frame.split.pipeline_parallel, architecture.n_layers)
    layers = sum(g.count * memory.state_bytes(g.block.mixer, frame) for g in architecture.layers)
    return float(frame.batch / frame.split.data_parallel * share * layers)
