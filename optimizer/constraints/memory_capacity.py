"""What a replica keeps on a chip fits its usable memory.

    weights + cache of batch x (input_tokens + output_tokens) + activations + reserve <= f x hbm_usable

f = 1 unless the problem gives a smaller fraction. Capacity labels are binary GiB, and `hbm_usable` is what
the driver leaves.
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import Share

Value = Share
TITLE = "Share of memory in use"
ACCEPTS = "use a fraction of the usable memory in (0, 1], or false"
DEFAULT = 1.0
KEEPS = {"value": 1.0, "memory_gib": 79.0, "hbm_usable_gib": 79.6}
BREAKS = {"value": 1.0, "memory_gib": 141.0, "hbm_usable_gib": 79.6}


def rule(c: Scope, value: Any) -> Relation:
    """`value` is the fraction of the usable memory."""
    return c.at_most(c.metric("memory_gib"), float(value) * c.hbm_usable_gib)
