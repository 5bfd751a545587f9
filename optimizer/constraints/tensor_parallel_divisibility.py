"""Every rank holds whole query heads and an equal shard of d_ff; key-value heads are whole or replicated.

    n_heads % t == 0,  d_ff % t == 0,  n_kv_heads % t == 0 or t % n_kv_heads == 0    (t = tensor_parallel)

With t > n_kv_heads each key-value head is kept on t / n_kv_heads ranks and the cost model charges for it.
Where an engine rounds up or shares unequally (`pads` of its file) the numbers are those of its fullest rank,
times t. Source: NVIDIA/Megatron-LM @d98e8a64; vLLM and TensorRT-LLM do the same.
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import On

Value = On
TITLE = "Whole shares under tensor parallel"
ACCEPTS = "use true or false"
DEFAULT = True
OF_SHARES = True
KEEPS = {"value": True, "n_heads": 64, "n_kv_heads": 8, "d_ff": 28672, "tensor_parallel": 16}
BREAKS = {"value": True, "n_heads": 64, "n_kv_heads": 10, "d_ff": 28672, "tensor_parallel": 8}


def rule(c: Scope, value: Any) -> Relation:
    """Whole heads per rank, or whole ranks per head."""
    t = c.tensor_parallel
    return c.all_of(
        c.divides(t, c.n_heads),
        c.divides(t, c.d_ff),
        c.any_of(c.divides(t, c.n_kv_heads), c.divides(c.n_kv_heads, t)),
    )
