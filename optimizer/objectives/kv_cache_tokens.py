"""Tokens that the caches of a replica hold, in requests of the traffic's length.

kv_cache_tokens = free memory / bytes of a token in whole blocks x data_parallel
"""

from optimizer.cost import memory_tokens
from optimizer.cost.frame import Frame
from optimizer.spec.architecture import Architecture

TITLE = "Tokens that the cache holds"
UNIT, BETTER = "tokens", "higher"
STEP = 1.0


def held(frame: Frame, architecture: Architecture) -> float:
    """Tokens of one replica."""
    return memory_tokens.kv_cache_tokens(frame, architecture)
