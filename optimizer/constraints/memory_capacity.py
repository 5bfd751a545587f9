"""What a replica keeps on a chip fits the memory that its engine fills.

    weights + cache + activations + reserve <= f x memory_share x hbm_usable

The cache is that of batch x (input_tokens + output_tokens) tokens. f = 1 unless the problem gives a smaller
fraction. `hbm_usable` is what the driver shows, and `memory_share` what the engine takes of it: 0.92 in vLLM,
which calls it gpu_memory_utilization.
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import Share

Value = Share
TITLE = "Share of memory in use"
ACCEPTS = "use a fraction of the memory that the engine fills in (0, 1], or false"
DEFAULT = 1.0
KEEPS = {"value": 1.0, "memory_gib": 79.0, "room_gib": 79.6}
BREAKS = {"value": 1.0, "memory_gib": 141.0, "room_gib": 79.6}


def rule(c: Scope, value: Any) -> Relation:
    """`value` is the fraction of what the engine fills."""
    return c.at_most(c.metric("memory_gib"), float(value) * c.room_gib)
