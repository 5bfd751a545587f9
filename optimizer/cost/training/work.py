"""Seconds of computing on one rank for one microbatch, from the operators of the blocks.

A forward pass is a prefill of the microbatch without a cache; with context parallelism each rank has its
share of every sequence, and of the attention's pairs. The backward pass has twice the products (gradients of
inputs and of weights) and 2.5 times a flash kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.blocks import block, embedding
from optimizer.blocks.operators import (
    AllReduce,
    Elementwise,
    Experts,
    ForSome,
    Gemm,
    Number,
    Operator,
    PrefillAttention,
    Products,
)
from optimizer.blocks.step import Step
from optimizer.cost.roofline import Roofline
from optimizer.cost.training import constants
from optimizer.cost.training.rates import training_chip
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.split import Formats, Split


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the operators of a rank; `microbatch` may be an array."""

    tensor_parallel: int
    context_parallel: int
    expert_parallel: int
    microbatch: Number
    sequence_length: int
    dtype: str
    flash_attention: bool
    engine: str

    @property
    def tokens(self) -> Number:
        """Tokens of a microbatch on one rank."""
        return self.sequence_length * self.microbatch / self.context_parallel


@dataclass(frozen=True, slots=True)
class Work:
    """Forward seconds of all layers together, of one microbatch on one rank, by kind; and messages.

    `norms` can be split over a sequence-parallel group; `kernels` is the fixed time of all of these.
    """

    products: Number = 0.0
    experts: Number = 0.0
    attention: Number = 0.0
    norms: Number = 0.0
    elementwise: Number = 0.0
    kernels: Number = 0.0
    rebuilt: Number = 0.0
    """Products that light recomputation runs again; part of `products`."""
    head: Number = 0.0
    reduced_bytes: Number = 0.0
    """Bytes of one tensor-parallel all-reduce."""
    reductions: Number = 0.0
    """All-reduces of one pass."""
    routed: Number = 0.0
    """Elements of a rank's tokens, each once, of which copies go to experts."""
    n_active: Number = 0.0
    """Experts of a token."""
    groups: Number = 1.0
    active_groups: Number = 1.0
    """Groups of experts, and how many of them those of a token lie in at most."""
    routed_layers: Number = 0.0
    """Layers that dispatch."""
    key_value_bytes: Number = 0.0
    """Keys and values of one layer, of the whole sequence and one rank's heads."""
    attention_layers: Number = 0.0
    """Layers with attention over the sequence."""


_KINDS = ("products", "experts", "attention", "norms", "elementwise", "kernels", "reductions")
_WIDEST = ("routed", "n_active", "groups", "active_groups", "key_value_bytes")


def work(architecture: Architecture, chip: Chip, shape: Shape) -> Work:
    """The work of one rank."""
    rates = rates_of(chip, shape)
    parts = [
        (group.count, part_work(part, architecture.d_model, rates, shape))
        for group in architecture.layers
        for part in (group.block.mixer, group.block.ffn)
    ]
    added = (*_KINDS, "rebuilt", "routed_layers", "attention_layers")
    sums = {name: sum(n * getattr(own, name) for n, own in parts) for name in added}
    return Work(
        **sums,
        **{name: max((getattr(own, name) for _, own in parts), key=np.max) for name in _WIDEST},
        head=head_s(architecture.d_model, architecture.vocab_size, rates, shape),
        reduced_bytes=2.0 * shape.tokens * architecture.d_model,
    )


def rates_of(chip: Chip, shape: Shape) -> Roofline:
    """The rates of one rank in a long run."""
    return Roofline(training_chip(chip, shape.engine), Split(shape.tensor_parallel), Formats(shape.dtype))


def part_work(part: Any, d_model: Number, rates: Roofline, shape: Shape) -> Work:
    """The work of one layer half; `part` and `d_model` may stand for many at once."""
    module = block(part)
    operators = module.operators(part, forward_step(d_model, shape))
    own = work_of(operators, d_model, rates, shape)
    again = getattr(module, "REBUILT", ())
    if again:
        rebuilt = work_of([op for op in operators if getattr(op, "name", "") in again], d_model, rates, shape)
        own = replace(own, rebuilt=rebuilt.products)
    for op in operators:
        if isinstance(op, Experts):
            return replace(own, **_routed(part, op, shape), routed_layers=1.0)
    return own


def _routed(part: Any, op: Experts, shape: Shape) -> dict[str, Number]:
    """What an exchange of tokens depends on, without the ranks it spans."""
    return {
        "routed": shape.tokens / shape.tensor_parallel * op.d_model,
        "n_active": op.n_active,
        "groups": float(part.n_expert_groups or 1),
        "active_groups": float(part.n_active_expert_groups or 1),
    }


def forward_step(d_model: Number, shape: Shape) -> Step:
    """The forward pass of a microbatch on one rank: a prefill without a cache."""
    sequences = shape.microbatch / shape.context_parallel
    return Step(d_model, Split(shape.tensor_parallel), 0, 0, sequences, shape.sequence_length)


def work_of(operators: Sequence[Operator], d_model: Number, rates: Roofline, shape: Shape) -> Work:
    """The work of some operators of a forward pass, none of which sends tokens to experts."""
    sums: dict[str, Number] = dict.fromkeys(_KINDS, 0.0)
    attends, kv_width = 0.0, 0.0
    for op in operators:
        kind, seconds, fixed = _priced(op, rates, shape)
        sums[kind] = sums[kind] + seconds
        sums["kernels"] = sums["kernels"] + fixed
        core, layers = (op.operator, op.present) if isinstance(op, ForSome) else (op, 1.0)
        if isinstance(core, PrefillAttention):
            attends, kv_width = layers, 2.0 * core.n_kv_heads * core.d_head
    return Work(
        **sums,
        reduced_bytes=2.0 * shape.tokens * d_model,
        key_value_bytes=2.0 * shape.microbatch * shape.sequence_length * kv_width,
        attention_layers=attends,
    )


def _priced(op: Operator, rates: Roofline, shape: Shape) -> tuple[str, Number, Number]:
    """(kind, seconds without the fixed part, fixed seconds) of one forward operator."""
    match op:
        case ForSome():
            kind, seconds, fixed = _priced(op.operator, rates, shape)
            return kind, seconds * op.present, fixed * op.present
        case AllReduce():
            return "reductions", 1.0, 0.0
        case Gemm() | Products():
            cost = rates.cost(op)
            cast = _cast_s(op.m * op.width_in, op, rates)
            return "products", cost.seconds - cost.overhead_s + cast, cost.overhead_s
        case Experts():
            cost = rates.cost(_spread(op, shape))
            return "experts", cost.seconds, 0.0  # their kernels quantise too
        case PrefillAttention():
            return "attention", *_attention(op, rates, shape)
        case Elementwise():
            cost = rates.cost(op)
            kind = "norms" if op.name.endswith("norm, residual") else "elementwise"
            return (
                kind,
                cost.memory_s * constants.ENGINES[shape.engine].elementwise,
                cost.overhead_s,
            )
    return "elementwise", 0.0, 0.0


def _cast_s(elements: Number, op: Any, rates: Roofline) -> Number:
    """Seconds of quantising a product's input, where products run below 16 bit."""
    dtype = rates.stored(op).dtype
    if rates.chip.arithmetic(dtype) == "bf16":
        return 0.0
    return rates.cost(Elementwise("", elements * constants.CAST_BYTES)).memory_s


def _spread(op: Experts, shape: Shape) -> Experts:
    """The experts of one rank when they are spread over others: fewer and whole.

    Ranks exchange tokens: each still works on as many pairs of token and expert as its own tokens make.
    """
    e, t = shape.expert_parallel, shape.tensor_parallel
    if e == 1:
        return replace(op, launched=0.0)
    n_local = np.maximum(1.0, op.n_experts / e)
    n_active = np.minimum(op.n_active, n_local)
    return replace(
        op,
        rows=op.rows / t * op.n_active / n_active,
        d_expert=op.d_expert * t,
        n_experts=n_local,
        n_active=n_active,
        n_local=n_local,
        launched=0.0,
    )


def _attention(op: PrefillAttention, rates: Roofline, shape: Shape) -> tuple[Number, Number]:
    if shape.flash_attention:
        cost = rates.cost(op)
        return cost.seconds - cost.overhead_s, cost.overhead_s
    pairs = op.prompts * op.tokens * op.window * op.n_heads
    products = rates.cost(Products("", pairs, 2 * op.d_head, 0, 0, 4, "bf16"))
    scores = rates.cost(Elementwise("", pairs * _SCORE_BYTES))
    return products.compute_s + scores.memory_s, products.overhead_s


_SCORE_BYTES = 13.0
"""Bytes for each score without a flash kernel: two products, softmax and dropout, with its mask."""


def head_s(d_model: Number, vocab_size: int, rates: Roofline, shape: Shape) -> Number:
    """Forward seconds of the head's product, and of the loss over its logits in 32 bit."""
    shard = embedding.padded_vocab(vocab_size, rates.split.tensor_parallel) / rates.split.tensor_parallel
    product = rates.cost(Gemm("", shape.tokens, shard, d_model, weight_dtype="bf16"))
    return product.seconds + rates.cost(Elementwise("", shape.tokens * shard * 10)).memory_s
