"""Bytes that one layer keeps of a microbatch for its backward pass.

A layer keeps its inputs, the outputs of its norms, the masks of its dropout, and what its products need: the
kinds say so in their files (`optimizer/blocks`), from the parts of `blocks/_saved.py`. Computing whole layers
again keeps the layer's input only, unless the schedule puts gradients of weights off; computing selected
parts again keeps no scores, or, with a flash kernel, neither the norms' outputs nor the activation's.
"""

from typing import Any

import numpy as np

from optimizer.blocks import _saved, block
from optimizer.blocks.operators import Number
from optimizer.cost.training.layout import Layout
from optimizer.spec.architecture import Architecture, Block


def mean_layer_bytes(architecture: Architecture, at: Layout) -> Number:
    """Bytes of the average layer for one microbatch on one rank."""
    total = sum(g.count * layer_bytes(g.block, architecture.d_model, at) for g in architecture.layers)
    return total / architecture.n_layers


def layer_bytes(layer: Block, d_model: int, at: Layout) -> Number:
    """Bytes one layer keeps for one microbatch on one rank."""
    kept = np.where(at.inputs_alone, 2.0 * d_model / at.sequence_shards, saved_per_token(layer, d_model, at))
    return at.tokens * kept


def saved_per_token(layer: Block, d_model: int, at: Layout) -> Number:
    """Bytes per token of a layer that is not computed again as a whole."""
    return saved_by(layer.mixer, d_model, at) + saved_by(layer.ffn, d_model, at)


def half_bytes(part: Any, d_model: Number, at: Layout) -> Number:
    """Bytes one layer half keeps for one microbatch on one rank; the layer's input is its mixer's."""
    mixes = block(part).ROLE == "mixer"
    kept = saved_by(part, d_model, at)
    return at.tokens * np.where(at.inputs_alone, mixes * 2.0 * d_model / at.sequence_shards, kept)


def saved_by(part: Any, d_model: Number, at: Layout) -> Number:
    """Bytes per token of a layer half: what its kind says that it keeps, or what products read and write."""
    module = block(part)
    if hasattr(module, "saved"):
        kept: Number = module.saved(part, d_model, at)
        return kept
    return _saved.around(d_model, at) + _saved.products(module.operators, part, d_model, at)
