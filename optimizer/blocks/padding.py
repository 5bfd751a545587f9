"""What an engine does where ranks do not share a layer evenly: the fullest rank counts, and all wait for it.

    share of the fullest rank = number / ranks where ranks divide it, else ceil(number / (ranks unit)) unit

An engine that adds zeros to heads or columns has such a share on every rank, one that gives ranks unequal
shares on the fullest. Both are priced as the layer whose numbers are ranks times that share: `padded` of a
kind's file makes it. Engines that do neither refuse (`constraints/tensor_parallel_divisibility.py`).
"""

from dataclasses import dataclass, is_dataclass, replace
from math import lcm
from typing import Any

import numpy as np

from optimizer.blocks.operators import Number


@dataclass(frozen=True, slots=True)
class Padding:
    """What an engine rounds up (`spec.engine.PADDED`), each with the unit of a rank's share."""

    units: tuple[tuple[str, int], ...] = ()
    block: int = 1
    """Columns that share a scale in the checkpoint: no rank holds part of them."""

    def __bool__(self) -> bool:
        return bool(self.units)

    def up(self, what: str, number: Number, ranks: int) -> Number:
        """A number of heads or columns, in whole units on so many ranks where these do not divide it."""
        unit = dict(self.units).get(what)
        if unit is None or ranks == 1:
            return number
        block = self.block if what == "ffn" else 1
        whole = ranks * lcm(unit, block)
        return where(number % (ranks * block) == 0, number, -(-number // whole) * whole)


EXACT = Padding()
"""Of an engine that rounds nothing up."""


def with_fields(part: Any, **fields: Number) -> Any:
    """A layer half, or kinds of it, with other numbers; nothing is validated."""
    if is_dataclass(part):
        return replace(part, **fields)  # type: ignore[type-var]
    return part.supposed(**fields)


def where(condition: Number, yes: Number, no: Number) -> Number:
    """One of two numbers, or of two arrays' elements."""
    if np.ndim(condition):
        return np.where(condition, yes, no)
    return yes if condition else no
