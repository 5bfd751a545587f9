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

from optimizer.blocks.operators import ForSome, Gemm, Number, Operator, Products, Weights
from optimizer.blocks.step import Step
from optimizer.degrees import operators
from optimizer.spec.architecture import family_of
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
    unmet_params: Number = 0.0
    """Parameters of one layer in matrices or experts that no product has as its weights, at most."""

    @property
    def halves(self) -> int:
        """Halves of a layer that do anything."""
        return sum(bool(family_of(part)) for part in (self.mixers, self.ffn))

    def elements(self, tensor_parallel: int) -> Number:
        """Elements on one rank of the matrices that every token meets, at least."""
        outside = self.vector_params + self.unmet_params
        return np.maximum(0.0, self.n_params - self.n_layers * outside) / tensor_parallel

    def weights(self, tensor_parallel: int) -> Weights:
        """Elements stored on one rank, at least: a split replicates some matrices, and loses none."""
        matrices = np.maximum(0.0, self.n_params - self.n_layers * self.vector_params)
        return Weights(matrix=matrices / tensor_parallel, vector=0.0)

    def operators(self, step: Step) -> list[Operator]:
        """Operators of all layers in a step.

        A product with a format of its own stands for no weights, and is left out.
        """
        own = [op for part in (self.mixers, self.ffn) for op in operators(part, step)]
        gemms = [op for op in own if isinstance(_core(op), Gemm)]
        others: list[Operator] = [ForSome(op, self.n_layers) for op in own if not isinstance(_core(op), Gemm)]
        products = [_Product.of(op, step.rows) for op in gemms if not _core(op).weight_dtype]
        return [*others, self._products(products, step)]

    def _products(self, parts: Sequence["_Product"], step: Step) -> Products:
        """All products in one, of as many rows as the step has."""
        elements = self.elements(step.split.tensor_parallel)
        if np.any(self.unmet_params):  # so many that the count may leave nothing: then the narrowest's own
            own = sum(p.gemm.elements * np.minimum(1.0, p.share) for p in parts)
            elements = np.maximum(elements, self.n_layers * own)
        return Products(
            "products",
            step.rows,
            elements,
            self.n_layers * sum(p.gemm.width_in * p.share for p in parts),
            self.n_layers * sum(p.gemm.width_out * p.share for p in parts),
            self.n_layers * sum(p.present for p in parts),
        )


@dataclass(frozen=True, slots=True)
class _Product:
    """A product of the narrowest layer: 1 or 0 where kinds have it or not, and its rows over its step's."""

    gemm: Gemm
    present: Number
    share: Number

    @classmethod
    def of(cls, op: Operator, rows: Number) -> "_Product":
        core, present = _core(op), op.present if isinstance(op, ForSome) else 1
        return cls(core, present, present * (1 if np.array_equal(core.m, rows) else core.m / rows))


def _core(op: Operator) -> Any:
    """What an operator of some kinds is for those that have it."""
    return op.operator if isinstance(op, ForSome) else op


def cheapest(values: Number) -> Number:
    """The least over the narrowest mixers."""
    return np.min(values, axis=0)
