"""Widths are whole numbers of the blocks that share a scale, on every rank: kernels read no part of a block.

    d_ff % (b r) == 0,  n_heads d_head % (b t) == 0,  n_kv_heads d_head % (b min(t, n_kv_heads)) == 0

b is the edge of a block, t = tensor_parallel, and r the ranks that share a network: t, of a routed expert
tensor_parallel x data_parallel / expert_parallel. In force where a checkpoint has blocks. Engines refuse what
breaks it (vllm-project/vllm issue 25292: experts of 768 in blocks of 128 on four ranks); experts that stay
whole (`expert_parallel`) keep it.
"""

from typing import Annotated

from pydantic import Field

from optimizer.scope import Relation, Scope

Value = Annotated[int, Field(ge=1, le=2**20, strict=True)]
TITLE = "Whole blocks of scales on every rank"
ACCEPTS = "use the edge of a block, as 128"
DEFAULT = None
OF_SHARES = True
HINT = "engines read no part of a block; give fewer ranks, or expert_parallel, which keeps experts whole"
KEEPS = {
    "value": 128, "n_heads": 32, "n_kv_heads": 4, "d_head": 128, "d_ff": 768, "tensor_parallel": 2,
    "network_ranks": 2,
}  # fmt: skip
BREAKS = {
    "value": 128, "n_heads": 32, "n_kv_heads": 4, "d_head": 128, "d_ff": 768, "tensor_parallel": 4,
    "network_ranks": 4,
}  # fmt: skip


def rule(c: Scope, value: int) -> Relation:
    """Whole blocks of the network, the queries and the keys."""
    t = c.tensor_parallel
    shared = c.n_kv_heads * c.d_head
    return c.all_of(
        c.divides(value * c.network_ranks, c.d_ff),
        c.divides(value * t, c.n_heads * c.d_head),
        c.any_of(
            c.divides(value * t, shared), c.all_of(c.at_least(t, c.n_kv_heads), c.divides(value, c.d_head))
        ),
    )
