"""What is known of all layers of a plan before any layer kind is priced, as layers that could be priced.

A bound is the cost of these: their operators, weights and caches go through the functions that price real
layers, so what an engine, a chip or an operator costs reaches both or neither. They are optimistic inputs:

    mixers, ffn    the narrowest kinds that the rules leave; every cost rises with their heads and widths
    products       pooled, of matrices as large as the parameter count asks for; a pool costs no more than
                   its parts: sum of max(memory, compute)  >=  max(sum of memory, sum of compute)

Thousands of widths and depths are priced at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.blocks.operators import ForSome, Gemm, Number, Operator, Products, Step, Weights
from optimizer.degrees import operators
from optimizer.spec.norms import Norms


@dataclass(frozen=True)
class Least:
    """All layers of a plan, as far as they are known. Arrays broadcast."""

    n_layers: Number
    n_params: Number
    """Parameters of all layers, at least."""
    vector_params: Number
    """Parameters of one layer that lie in no matrix (norms, biases), at most."""
    mixers: Any
    """The narrowest mixers, with one axis more in front: a plan is above one of them, nobody knows which."""
    ffn: Any
    """The narrowest feed-forward network."""
    norms: Norms
    """Of each layer."""

    def elements(self, tensor_parallel: int) -> Number:
        """Elements of all matrices on one rank, at least: a split replicates some, and loses none."""
        return np.maximum(0.0, self.n_params - self.n_layers * self.vector_params) / tensor_parallel

    def weights(self, tensor_parallel: int) -> Weights:
        """Elements stored on one rank, at least."""
        return Weights(matrix=self.elements(tensor_parallel), vector=0.0)

    def operators(self, step: Step) -> list[Operator]:
        """Operators of all layers in a step."""
        own = [op for part in (self.mixers, self.ffn) for op in operators(part, step)]
        others: list[Operator] = [ForSome(op, self.n_layers) for op in own if not isinstance(op, Gemm)]
        return [*others, self._products([op for op in own if isinstance(op, Gemm)], step)]

    def _products(self, gemms: Sequence[Gemm], step: Step) -> Products:
        return Products(
            "products",
            step.rows,
            self.elements(step.split.tensor_parallel),
            self.n_layers * sum(op.width_in for op in gemms),
            self.n_layers * sum(op.width_out for op in gemms),
            self.n_layers * len(gemms),
        )


def cheapest(values: Number) -> Number:
    """The least over the narrowest mixers."""
    return np.min(values, axis=0)
