"""Bytes that one layer keeps of a microbatch for its backward pass.

Per token, in 16 bit (Korthikanti et al. 2022, arXiv 2205.05198, equations 1-6), with d = d_model and t the
tensor-parallel ranks:

    whole, or split over the sequence    layer inputs and norm outputs: 8 d; dropout masks: 2 d
    split over the ranks                 queries, keys, values, attention output; the hidden layer
    without a flash kernel               scores, their mask and what dropout leaves: 5 s for each head

which gives s b d (10 + 24/t + 5 a s / (d t)) for a layer of GPT-3, and 34 s b d / t with sequence
parallelism and the core computed again. A gated network keeps gate, up and their product; grouped queries
fewer keys; a mixture one copy of its input per chosen expert; other mixers the inputs and outputs of their
products. Computing whole layers again keeps the layer's input only; computing selected parts again keeps no
scores, or, with a flash kernel, neither the norms' outputs nor the activation's.
"""

from typing import Any

import numpy as np

from optimizer.blocks import block
from optimizer.blocks._scan import PRODUCT as SCAN
from optimizer.blocks.operators import Gemm, Number, Step
from optimizer.cost.training.layout import Layout
from optimizer.spec.architecture import Architecture, Block
from optimizer.spec.split import Split


def mean_layer_bytes(architecture: Architecture, at: Layout) -> Number:
    """Bytes of the average layer for one microbatch on one rank."""
    total = sum(g.count * layer_bytes(g.block, architecture.d_model, at) for g in architecture.layers)
    return total / architecture.n_layers


def layer_bytes(layer: Block, d_model: int, at: Layout) -> Number:
    """Bytes one layer keeps for one microbatch on one rank."""
    kept = np.where(
        at.recompute_layers, 2.0 * d_model / at.sequence_shards, saved_per_token(layer, d_model, at)
    )
    return at.tokens * kept


def saved_per_token(layer: Block, d_model: int, at: Layout) -> Number:
    """Bytes per token of a layer that is not computed again as a whole."""
    return _mixer(layer.mixer, d_model, at) + _ffn(layer.ffn, d_model, at)


def half_bytes(part: Any, d_model: Number, at: Layout) -> Number:
    """Bytes one layer half keeps for one microbatch on one rank; the layer's input is its mixer's."""
    mixes = block(part).ROLE == "mixer"
    kept = _mixer(part, d_model, at) if mixes else _ffn(part, d_model, at)
    return at.tokens * np.where(at.recompute_layers, mixes * 2.0 * d_model / at.sequence_shards, kept)


def _around(d_model: int, at: Layout) -> Number:
    """The layer half's input, its norm's output, and the mask of its dropout.

    Flash attention leaves no scores to drop: its selective recomputation drops the norms' outputs.
    """
    again = 2.0 * at.recompute_attention * at.flash_attention
    return (4.0 + at.dropout - again) * d_model / at.sequence_shards


def _mixer(mixer: Any, d_model: int, at: Layout) -> Number:
    t = at.tensor_parallel
    match mixer.kind:
        case "no_mixer":
            return 0.0
        case "gqa":
            q, kv = mixer.n_heads * mixer.d_head / t, np.ceil(mixer.n_kv_heads / t) * mixer.d_head
            own = 2.0 * (2 * q + 2 * kv) + _scores(mixer.n_heads / t, mixer.attention_window, at)
        case "mla":
            heads = mixer.n_heads / t
            q, v = heads * (mixer.d_nope + mixer.d_rope), heads * mixer.d_value
            latents = mixer.d_kv_latent + mixer.d_rope + (mixer.d_q_latent or 0)
            own = 2.0 * (2 * q + 2 * v + latents) + _scores(heads, None, at)
        case _:
            own = _products(mixer, d_model, at)
    return _around(d_model, at) + own


def _scores(heads: Number, window: int | None, at: Layout) -> Number:
    """Scores, mask and dropped-out scores where they go through memory; row sums of a flash kernel."""
    context = at.sequence_length if window is None else min(window, at.sequence_length)
    through = 0.0 if at.flash_attention else (2.0 + 3.0 * at.dropout) * context * (1 - at.recompute_attention)
    return heads * (through + (4.0 if at.flash_attention else 0.0))


def _ffn(ffn: Any, d_model: int, at: Layout) -> Number:
    if ffn.kind == "no_ffn":
        return 0.0
    hidden = 2.0 * (2 + ffn.gated_ffn) - 2.0 * at.recompute_attention * at.flash_attention
    if ffn.kind == "dense_ffn":
        return _around(d_model, at) + hidden * ffn.d_ff / at.tensor_parallel
    width = ffn.d_expert if ffn.d_shared is None else ffn.d_shared
    shared = ffn.n_shared_experts * width / at.tensor_parallel
    # Spread experts work on the tokens of one sequence shard, with their whole width.
    routed = ffn.n_active_experts * (
        hidden * ffn.d_expert / at.tensor_parallel + 4.0 * d_model / at.sequence_shards
    )
    return _around(d_model, at) + hidden * shared + routed


def _products(mixer: Any, d_model: Number, at: Layout) -> Number:
    """Outputs of a mixer's products, and inputs that are not the layer's: state-space and linear layers.

    A product reads the layer's input if its depth follows d_model; one that stands for a scan has any depth.
    """

    def products(width: Number) -> list[Gemm]:
        step = Step(width, Split(at.tensor_parallel), 0, 0, 1.0, 1)
        return [op for op in block(mixer).operators(mixer, step) if isinstance(op, Gemm)]

    kept: Number = 0.0
    for op, wider in zip(products(d_model), products(d_model + 1), strict=True):
        own = 0.0 if op.name == SCAN else np.equal(op.k, wider.k) * op.k
        kept = kept + 2.0 * (op.n + own)
    return kept
