"""Seconds of the routed experts of one layer: grouped products on few tokens each, padded to tiles.

With T tokens, k of E experts each, n = T k pairs, A touched experts on the rank (uniform routing):

    A   = E_local (1 - (1 - k/E)^T)
    N_b = A max(b, n/A + b/2)                                     rows padded to a tile of b in 8..128
    C   = min over b of 2 g h f N_b / (P rho_b e_c f/(f + f_half)),  rho_b = b/(b+b_half) (128+b_half)/128
    W   = g A h f b_w / (BW e_m)                                  weights
    V   = max(W max(1, n/(A v)), 2 g h f n / (P e_c))    a vector kernel: v rows a reading, nothing padded
    X   = [n (h (2 b_a + 4) + f (2(g-1) + 2 b_a)) + 4 T h] / (BW e_x)    activations
    t   = t_0 + t_e A + t_pair T k + X + min(V, sqrt(C^2 + W^2))

Where an exchange sends each token only to the ranks of its experts, T in X and T k are those of the rank.

Form and constants: fits to the fused MoE kernels of ai-dynamo/aiconfigurator-core 0.12.0 (TensorRT-LLM
cutlass family), 5-fold held-out median error 6-15 % by chip and dtype, p90 30-70 % (untuned tactics).
"""

import numpy as np

from optimizer.blocks.operators import Experts, Number
from optimizer.cost.operator_cost import Cost, achieved
from optimizer.spec.chip import Chip, ExpertKernel
from optimizer.spec.dtypes import BYTES, Stored
from optimizer.spec.engine import IDEAL, Engine

_CAPTURED_S = 22e-6
"""Most that launches and small kernels of a layer's experts take in a captured graph: set by hand on time per
token of gpt-oss-120b, DeepSeek-R1 and MiniMax-M2.5 (benchmarks/points/served.csv); in sample, 2026-11-28."""
_TILES = (8, 16, 32, 64, 128)
_MOST_MEMORY = 0.90
"""Isolated repeats keep weights in the last-level cache: a planner may not count on more."""


def touched_experts(op: Experts) -> Number:
    """Expected number of the rank's experts that at least one token chose, uniform routing."""
    untouched = np.power(1.0 - op.n_active / op.n_experts, op.rows)
    return op.n_local * (1.0 - untouched)


def distinct_ranks(n_ranks: int, n_active: Number) -> Number:
    """Ranks that the experts of one token lie on, on average: n (1 - (1 - 1/n)^k)."""
    return n_ranks * (1.0 - (1.0 - 1.0 / n_ranks) ** n_active)


def copies_per_token(ranks: int, groups: int, n_active: Number) -> Number:
    """Ranks that one token is sent to: every rank of each group that has one of its experts, once."""
    return ranks / groups * distinct_ranks(groups, n_active)


def exchange_bytes(rows: Number, copies: Number, d_model: Number, dtype: str) -> Number:
    """Bytes that `rows` tokens take on their way to experts or back; 8-bit blocks bring their scales."""
    return rows * copies * d_model * BYTES[dtype]


def experts_cost(op: Experts, chip: Chip, stored: Stored, engine: Engine = IDEAL) -> Cost:
    """Cost of the routed experts on the busiest rank."""
    fit = chip.experts(stored.dtype)
    arithmetic = fit.arithmetic or chip.arithmetic(stored.dtype)
    peak = chip.dense_flops[arithmetic]
    g, h, f = 2 + op.gated, op.d_model, op.d_expert
    skew = np.where(op.n_local < op.n_experts, engine.expert_skew, 1.0)
    pairs = skew * op.rows * op.n_active * op.n_local / op.n_experts
    touched = np.maximum(touched_experts(op), 1e-9)
    compute_s = _compute_s(fit, peak, 2.0 * g * h * f, pairs, touched) * (f + fit.width_half) / f
    weight_bytes = g * touched * h * f * stored.bytes
    weights_s = weight_bytes / (chip.hbm_bandwidth * achieved(min(fit.memory, _MOST_MEMORY)))
    b_a = BYTES[fit.arithmetic] if fit.arithmetic else chip.activation_bytes(stored.dtype)
    here, sorted_pairs = _on_the_rank(op, engine)
    moved = pairs * (h * (2 * b_a + 4) + f * (2 * (g - 1) + 2 * b_a)) + 4.0 * here * h
    serial_s = moved / (chip.hbm_bandwidth * fit.activations)
    launch = engine.host_us_per_expert_layer * 1e-6 * op.launched
    gaps = fit.overhead + fit.per_expert * touched
    if engine.captured:
        gaps = gaps - (1.0 - op.launched) * np.maximum(0.0, gaps - _CAPTURED_S)
    fixed = gaps + fit.per_pair * sorted_pairs + serial_s + launch
    both = np.sqrt(compute_s**2 + weights_s**2)
    if fit.vector_rows:
        vector_s = weights_s * np.maximum(1.0, pairs / (touched * fit.vector_rows))
        plain_s = (
            2.0 * g * h * f * pairs / (peak * achieved(fit.compute))
        )  # nothing padded: at most compute_s
        compute_s = np.where(vector_s < both, plain_s, compute_s)
        both = np.minimum(np.maximum(vector_s, plain_s), both)
    # The overlap of the two is part of the fit: charge it to the longer one.
    compute_first = compute_s >= weights_s
    # A fit may find no time for activations (`activations` above 1): they still pass the memory.
    passing_s = (weight_bytes + moved) / chip.hbm_bandwidth - serial_s
    return Cost(
        2.0 * g * h * f * pairs,
        weight_bytes + moved,
        0.0,
        np.where(compute_first, both, compute_s),
        np.maximum(np.where(compute_first, weights_s, both), passing_s),
        0.0,
        fixed,
    )


def _on_the_rank(op: Experts, engine: Engine) -> tuple[Number, Number]:
    """Tokens on the rank, and pairs it sorts: all where tokens are gathered, else those sent to it."""
    if engine.expert_exchange == "all_gather":
        return op.rows, op.rows * op.n_active
    share = np.where(np.less(op.sent, 1.0), op.n_local / op.n_experts, 1.0)
    return op.rows * op.sent, op.rows * op.n_active * share


def _compute_s(fit: ExpertKernel, peak: float, per_row: float, pairs: Number, touched: Number) -> Number:
    rows = pairs / touched
    best: Number = np.inf
    for tile in _TILES:
        share = tile / (tile + fit.tile_half) * (128 + fit.tile_half) / 128
        best = np.minimum(best, np.maximum(tile, rows + tile / 2) / share)
    return best * touched * (per_row / (peak * achieved(fit.compute)))
