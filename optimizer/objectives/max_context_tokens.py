"""The longest request, prompt and answer, that every replica has room for.

max_context_tokens = the most tokens whose cache, in whole blocks, is no more than the free memory of a rank

Of a plan of several replicas it is the least of them, those that prefill among them: a request may come to
any, and all of it but one token may be its prompt.
"""

from optimizer.cost import memory_tokens
from optimizer.cost.frame import Frame
from optimizer.spec.architecture import Architecture

TITLE = "Longest request that fits"
UNIT, BETTER = "tokens", "higher"
STEP = 1024.0
OF_A_PLAN, COUNTED_IN = "least", ("aggregated", "prefill", "decode")
holding = memory_tokens.with_request


def held(frame: Frame, architecture: Architecture) -> float:
    """Tokens of one request on its attention rank."""
    return memory_tokens.max_context_tokens(frame, architecture)
