"""Every sharded width is a whole number of aligned tiles.

    d_model % a == 0,  (n_heads d_head / tensor_parallel) % a == 0,  (d_ff / tensor_parallel) % a == 0

a is the chip's alignment for the weight format (128 bytes: 64 elements of bf16, 128 of fp8; the matrix
unit's width on a TPU), or the number the problem gives. Source: NVIDIA CUTLASS @7107b055 alignment
tables; arXiv 2401.14489; jax-ml/scaling-book @0819a7d8 (TPU).
"""

from typing import Annotated, Any

from pydantic import Field, PositiveInt

from optimizer.scope import Relation, Scope
from optimizer.spec.values import On

Value = Annotated[On | PositiveInt, Field(union_mode="left_to_right")]
TITLE = "Widths in whole tiles"
ACCEPTS = "use true for the chip's own alignment, a number of elements, or false"
DEFAULT = True
OF_SHARES = True
LATTICE_ONLY = True  # a published model is not held to it
KEEPS = {
    "value": 64,
    "d_model": 4096,
    "n_heads": 32,
    "d_head": 128,
    "d_ff": 14336,
    "tensor_parallel": 8,
}
BREAKS = {
    "value": 64,
    "d_model": 4096,
    "n_heads": 32,
    "d_head": 128,
    "d_ff": 14400,
    "tensor_parallel": 8,
}


def rule(c: Scope, value: Any) -> Relation:
    """`value` is True for the chip's own alignment, or a number of elements."""
    step = c.alignment if value is True else value
    return c.all_of(
        c.multiple_of(c.d_model, step),
        c.multiple_of(c.n_heads * c.d_head, step * c.tensor_parallel),
        c.multiple_of(c.d_ff, step * c.tensor_parallel),
    )


def weaker(value: Any) -> list[Any]:
    """Smaller alignments, the nearest first."""
    start = 128 if value is True else int(value)
    return [step for step in (128, 64, 32, 16, 8) if step < start]
