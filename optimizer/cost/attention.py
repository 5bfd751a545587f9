"""Seconds of attention: bytes of the cache in decode, arithmetic in prefill, at what kernels reach of each.

decode:   max(FLOP / (0.55 peak), bytes / (bandwidth e_m)) + t_0
prefill:  max(FLOP / (peak e_inf s / (s + s_half)), bytes / (bandwidth e_m)) + t_0
"""

import numpy as np

from optimizer.blocks.operators import DecodeAttention, LatentAttention, Number, PrefillAttention
from optimizer.cost.operator_cost import Cost, achieved
from optimizer.spec.chip import Chip
from optimizer.spec.dtypes import BYTES, KvDtype
from optimizer.spec.engine import Engine

_DECODE_COMPUTE = 0.55
"""Share of the bf16 peak of decode attention once many query heads share a cache entry: FlashMLA
reaches 0.46-0.67 (deepseek-ai/open-infra-index @56d86855)."""


def decode_cost(op: DecodeAttention, chip: Chip, kv_dtype: KvDtype, engine: Engine) -> Cost:
    """Each query reads the keys and values of its sequence."""
    keys = 2.0 * _readers(op, chip, engine) * op.d_head * op.context * BYTES[kv_dtype]
    moved = op.batch * (keys + 4.0 * op.queries * op.n_heads * op.d_head)
    flops = 4.0 * op.batch * op.queries * op.n_heads * op.d_head * op.context
    return _streamed(flops, moved, chip, kv_dtype, engine)


def _readers(op: DecodeAttention, chip: Chip, engine: Engine) -> Number:
    """Heads that read keys and values of their own: groups of query heads, or every query head."""
    limit = engine.heads_share_up_to.get(chip.vendor)
    if limit is None:
        return op.n_kv_heads
    many = np.greater(op.batch * op.n_heads, limit * chip.devices)
    return np.where(many, op.n_heads, op.n_kv_heads)


def latent_cost(op: LatentAttention, chip: Chip, kv_dtype: KvDtype, engine: Engine) -> Cost:
    """All heads read one latent vector a token."""
    width = 2.0 * op.d_latent + op.d_rope
    cached = (op.d_latent + op.d_rope) * op.context * BYTES[kv_dtype]
    moved = op.batch * (cached + 2.0 * op.queries * op.n_heads * width)
    flops = 2.0 * op.batch * op.queries * op.n_heads * width * op.context
    return _streamed(flops, moved, chip, kv_dtype, engine)


def _streamed(flops: Number, moved: Number, chip: Chip, kv_dtype: KvDtype, engine: Engine) -> Cost:
    table = chip.efficiency.attention_decode
    fit = table.get(kv_dtype, table["bf16"])
    compute_s = flops / (chip.dense_flops["bf16"] * _DECODE_COMPUTE)
    memory_s = moved / float(chip.hbm_bandwidth * achieved(fit.memory, engine.attention_decode))
    return Cost(flops, moved, 0.0, compute_s, memory_s, 0.0, fit.overhead)


def prefill_cost(op: PrefillAttention, chip: Chip, engine: Engine) -> Cost:
    """All tokens of a prompt against those before them."""
    flops = 4.0 * op.prompts * op.pairs * op.n_heads * op.d_head
    heads = op.tokens * (op.n_heads + op.n_kv_heads) + op.cached * op.n_kv_heads
    moved = 4.0 * op.prompts * op.d_head * heads
    share = achieved(prefill_share(chip, op.d_head, op.tokens), engine.compute)
    compute_s = flops / (chip.dense_flops[chip.arithmetic(op.dtype)] * share)
    memory_s = moved / (chip.hbm_bandwidth * achieved(chip.efficiency.elementwise.memory))
    overhead = chip.efficiency.attention_decode["bf16"].overhead
    return Cost(flops, moved, 0.0, compute_s, memory_s, 0.0, overhead)


def prefill_share(chip: Chip, d_head: Number, tokens: Number) -> Number:
    """Share of the bf16 peak of prefill attention: e_inf s / (s + s_half) of the nearest head width.

    Between two measured widths the narrower one's constants hold: kernels pad up to the next width.
    """
    table = chip.efficiency.attention_prefill
    widths = sorted(table)
    peak = np.array([table[w].peak for w in widths])
    half = np.array([table[w].half for w in widths])
    row = np.clip(np.searchsorted(widths, d_head, side="right") - 1, 0, None)
    return peak[row] * tokens / (tokens + half[row])
