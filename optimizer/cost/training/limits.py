"""How much work hides an exchange: the rules of thumb of the field, from achieved rates.

P is the arithmetic a chip achieves in FLOP/s, W the bytes it sends in a second, both after their shares.
Sources: jax-ml/scaling-book @0819a7d8 (training.md); the ring with causal, zig-zag shards.
"""

from optimizer.blocks.operators import Number


def tokens_hiding_gathers(achieved_flops: Number, sent_per_s: Number) -> Number:
    """Tokens on a chip from which fully sharded weights cost no time: P / W.

    Two gathers and a reduce-scatter in 16 bit are 6 bytes a parameter, beside 6 FLOP a parameter and token.
    """
    return achieved_flops / sent_per_s


def tokens_hiding_ring(
    n_kv_heads: Number, n_heads: Number, element_bytes: float, achieved_flops: Number, sent_per_s: Number
) -> Number:
    """Tokens of a sequence on a rank from which ring attention hides its hops: (n_kv / n_q) b P / W."""
    return n_kv_heads / n_heads * element_bytes * achieved_flops / sent_per_s


def widest_tensor_parallel(d_ff: Number, achieved_flops: Number, sent_per_s: Number) -> Number:
    """Ranks of a layer beyond which its sums take longer than its products: d_ff W / P."""
    return d_ff * sent_per_s / achieved_flops
