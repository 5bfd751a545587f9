"""Tokens that the caches hold, in requests of the traffic's length: of a replica, or of all that decode.

kv_cache_tokens = free memory / bytes of a token in whole blocks x data_parallel

Of a plan of several replicas it is their sum. Those that only prefill hand their caches over and count none.
"""

from typing import Any

from optimizer.cost import memory_tokens
from optimizer.cost.frame import Frame
from optimizer.spec.architecture import Architecture

TITLE = "Tokens that the cache holds"
UNIT, BETTER = "tokens", "higher"
STEP, SCALE = 1024.0, 1
OF_A_PLAN, COUNTED_IN = "sum", ("aggregated", "decode")
holding = memory_tokens.with_cache


def held(frame: Frame, architecture: Architecture) -> Any:
    """Tokens of one replica, or an array of them for an array of batches."""
    return memory_tokens.kv_cache_tokens(frame, architecture)
