"""Seconds of computing on one rank for one microbatch, from the operators of the blocks.

A forward pass is a prefill of the microbatch without a cache; with context parallelism each rank has its
share of every sequence, and of the attention's pairs. The backward pass has twice the products (gradients of
inputs and of weights) and 2.5 times a flash kernel.
"""

from dataclasses import dataclass
from typing import Any

from optimizer.blocks import block, embedding
from optimizer.blocks.operators import (
    AllReduce,
    Elementwise,
    Experts,
    Gemm,
    Number,
    Operator,
    PrefillAttention,
    Step,
)
from optimizer.cost.roofline import Roofline
from optimizer.cost.training import constants
from optimizer.cost.training.rates import training_chip
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the operators of a rank."""

    tensor_parallel: int
    context_parallel: int
    expert_parallel: int
    microbatch: int
    sequence_length: int
    dtype: str
    flash_attention: bool
    engine: str


@dataclass(frozen=True, slots=True)
class Work:
    """Forward seconds of all layers together, of one microbatch on one rank, by kind; and messages.

    `norms` can be split over a sequence-parallel group; `kernels` is the fixed time of all of these.
    """

    products: Number
    experts: Number
    attention: Number
    norms: Number
    elementwise: Number
    kernels: Number
    head: Number
    reduced_bytes: Number
    """Bytes of one tensor-parallel all-reduce."""
    reductions: Number
    """All-reduces of one pass."""
    routed_bytes: Number
    """Bytes a rank sends in one dispatch of tokens to experts."""
    routed_layers: Number
    """Layers that dispatch."""
    key_value_bytes: Number
    """Keys and values of one layer, of the whole sequence and one rank's heads."""
    attention_layers: Number
    """Layers with attention over the sequence."""


def work(architecture: Architecture, chip: Chip, shape: Shape) -> Work:
    """The work of one rank."""
    rates = Roofline(training_chip(chip, shape.engine), shape.tensor_parallel, shape.dtype, "bf16")
    tokens = shape.sequence_length * shape.microbatch / shape.context_parallel
    step = Step(
        architecture.d_model,
        shape.tensor_parallel,
        0,
        0,
        shape.microbatch / shape.context_parallel,
        shape.sequence_length,
    )
    sums = dict.fromkeys(
        ("products", "experts", "attention", "norms", "elementwise", "kernels", "reductions"), 0.0
    )
    routed = attention_layers = kv_width = 0.0
    for group in architecture.layers:
        for part in (group.block.mixer, group.block.ffn):
            for op in block(part).operators(part, step):
                kind, seconds, fixed = _priced(op, rates, shape)
                sums[kind] += group.count * seconds
                sums["kernels"] += group.count * fixed
                if isinstance(op, PrefillAttention):
                    attention_layers += group.count
                    kv_width = max(kv_width, 2.0 * op.n_kv_heads * op.d_head)
            routed += group.count * (getattr(part, "kind", "") == "moe")
    active = max((getattr(g.block.ffn, "n_active_experts", 0) for g in architecture.layers), default=0)
    return Work(
        **sums,
        head=_head(architecture, rates, tokens),
        reduced_bytes=2.0 * tokens * architecture.d_model,
        routed_bytes=2.0 * tokens / shape.tensor_parallel * active * architecture.d_model,
        routed_layers=routed,
        key_value_bytes=2.0 * shape.microbatch * shape.sequence_length * kv_width,
        attention_layers=attention_layers,
    )


def _priced(op: Operator, rates: Roofline, shape: Shape) -> tuple[str, float, float]:
    """(kind, seconds without the fixed part, fixed seconds) of one forward operator."""
    match op:
        case AllReduce():
            return "reductions", 1.0, 0.0
        case Gemm():
            cost = rates.cost(op)
            cast = _cast_s(op.m * op.k, op, rates)
            return "products", float(cost.seconds - cost.overhead_s + cast), float(cost.overhead_s)
        case Experts():
            cost = rates.cost(_spread(op, shape))
            return "experts", float(cost.seconds), 0.0  # their kernels quantise too
        case PrefillAttention():
            return "attention", *_attention(op, rates, shape)
        case Elementwise():
            cost = rates.cost(op)
            kind = "norms" if op.name.endswith("norm, residual") else "elementwise"
            return (
                kind,
                float(cost.memory_s) * constants.ENGINES[shape.engine].elementwise,
                float(cost.overhead_s),
            )
    return "elementwise", 0.0, 0.0


def _cast_s(elements: Number, op: Any, rates: Roofline) -> Number:
    """Seconds of quantising a product's input, where products run below 16 bit."""
    dtype = getattr(op, "weight_dtype", "") or rates.weight_dtype
    if rates.chip.arithmetic(dtype) == "bf16":
        return 0.0
    return rates.cost(Elementwise("", elements * constants.CAST_BYTES)).memory_s


def _spread(op: Experts, shape: Shape) -> Experts:
    """The experts of one rank when they are spread over others: fewer and whole.

    Ranks exchange tokens: each still works on as many pairs of token and expert as its own tokens make.
    """
    e, t = shape.expert_parallel, shape.tensor_parallel
    if e == 1:
        return op
    n_local = max(1.0, op.n_experts / e)
    n_active = min(op.n_active, n_local)
    rows = op.rows / t * op.n_active / n_active
    return Experts(op.name, rows, op.d_model, op.d_expert * t, n_local, n_active, n_local, op.gated)


def _attention(op: PrefillAttention, rates: Roofline, shape: Shape) -> tuple[float, float]:
    if shape.flash_attention:
        cost = rates.cost(op)
        return float(cost.seconds - cost.overhead_s), float(cost.overhead_s)
    pairs = op.prompts * op.tokens * op.window * op.n_heads
    fit = rates.chip.gemm("bf16")
    products_s = 4.0 * pairs * op.d_head / (rates.chip.dense_flops["bf16"] * fit.compute)
    scores = rates.cost(Elementwise("", pairs * _SCORE_BYTES))
    return float(products_s + scores.memory_s), float(4 * fit.overhead)


_SCORE_BYTES = 13.0
"""Bytes for each score without a flash kernel: two products, softmax and dropout, with its mask."""


def _head(architecture: Architecture, rates: Roofline, tokens: float) -> float:
    """The head's product, and the loss over its logits in 32 bit."""
    shard = embedding.padded_vocab(architecture.vocab_size, rates.tensor_parallel) / rates.tensor_parallel
    product = rates.cost(Gemm("", tokens, shard, architecture.d_model, weight_dtype="bf16"))
    return float(product.seconds + rates.cost(Elementwise("", tokens * shard * 10)).memory_s)
