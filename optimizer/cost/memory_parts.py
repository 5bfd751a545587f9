"""What fills the memory of one chip, part by part."""

from typing import Any

import numpy as np

from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import QUANTITIES
from optimizer.spec.architecture import Architecture

KEPT_FREE = "kept free"
"""The part that an engine leaves beside the cache."""


def memory_parts(frame: Frame, architecture: Architecture) -> dict[str, Any]:
    """GiB per chip by part, for one batch or an array of them; they add up to the metric memory_gib."""
    layers = architecture.layers
    held = frame.batch / frame.split.data_parallel
    held = held * memory.stage_share(frame.split.pipeline_parallel, architecture.n_layers)
    state = held * sum(g.count * memory.state_bytes(g.block.mixer, frame) for g in layers)
    cache = memory.cache_bytes(frame, architecture) - state
    total = QUANTITIES["memory_bytes"].total(frame, architecture)
    activations = memory.activation_bytes(frame) + memory.held_bytes(frame, architecture)
    reserve = memory.reserve_bytes(frame)
    free = kept_free(frame, cache + state)
    parts: dict[str, Any] = {
        "weights": total - cache - state - activations - reserve - free,
        "cache": cache,
        **({"state": state} if np.any(state) else {}),
        "activations": activations,
        "reserve": reserve,
        **({KEPT_FREE: free} if np.any(free) else {}),
    }
    return {name: value / memory.GIB for name, value in parts.items()}


def kept_free(frame: Frame, cache: Any) -> Any:
    """What the engine leaves free beside so much cache, in its unit."""
    return (1 / frame.engine.filled - 1) * cache
