"""The longest request, prompt and answer, that a replica has room for.

max_context_tokens = the most tokens whose cache is no more than the free memory of a rank
"""

from optimizer.cost import memory_tokens
from optimizer.cost.frame import Frame
from optimizer.spec.architecture import Architecture

TITLE = "Longest request that fits"
UNIT, BETTER = "tokens", "higher"
STEP = 1.0


def held(frame: Frame, architecture: Architecture) -> float:
    """Tokens of one request alone on its attention rank."""
    return memory_tokens.max_context_tokens(frame, architecture)
