"""Replicas that serve a given traffic, all alike."""

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Frame
from optimizer.errors import InputError

_NOISE = 1e-9


def chips_needed(frame: Frame, mixed_s: Number) -> Number:
    """Chips of the fewest whole replicas that serve `frame.requests_per_s`.

    `mixed_s` is a step of continuous batching, in which each of `frame.batch` sequences gains its tokens.
    InputError if the traffic is not given.
    """
    if frame.requests_per_s is None:
        raise InputError("workload.requests_per_s: give the traffic to serve, in requests per second")
    tokens_per_s = frame.batch * frame.tokens_per_step / mixed_s
    replicas = np.ceil(frame.requests_per_s * frame.output_tokens / tokens_per_s - _NOISE)
    return np.maximum(1.0, replicas) * frame.n_chips
