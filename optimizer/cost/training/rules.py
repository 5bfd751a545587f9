"""What a training setup must keep to run at all; the same for one setup and for arrays of them.

Stages need not be equal: no rule asks that layers fall into equal stages or chunks.
"""

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from optimizer.blocks import rule_words
from optimizer.blocks.operators import Number
from optimizer.cost.training.layout import Layout
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip


@dataclass(frozen=True, slots=True)
class Facts:
    """Divisors that a split of the model must respect."""

    heads: tuple[int, ...]
    key_value_heads: tuple[int, ...]
    widths: tuple[int, ...]
    experts: tuple[int, ...]
    n_layers: int
    reach: float = inf
    """Chips that are wired together: a domain, where there is no network beyond it."""
    domain: float = inf
    """Chips of a scale-up domain."""


def facts_of(architecture: Architecture, chip: Chip) -> Facts:
    """The divisors of an architecture, each once, and how far its chips are wired."""
    words: list[dict[str, Any]] = []
    for group in architecture.layers:
        words += [rule_words(group.block.mixer), rule_words(group.block.ffn)]

    def all_of(name: str) -> tuple[int, ...]:
        return tuple(sorted({int(w[name]) for w in words if w.get(name)}))

    return Facts(
        all_of("n_heads"),
        all_of("n_kv_heads"),
        all_of("d_ff"),
        all_of("n_experts"),
        architecture.n_layers,
        inf if chip.scaleout_bandwidth else chip.scaleup.domain,
        chip.scaleup.domain,
    )


SENTENCES = {
    "chips_connected": "chips beyond a scale-up domain need a network: give the chip a scaleout_bandwidth",
    "heads_divide": "tensor_parallel divides the heads, and the key-value heads or they it",
    "width_divides": "tensor_parallel divides the feed-forward width",
    "experts_divide": "expert_parallel divides the experts and the ranks of a stage; dense models have 1",
    "stages_have_layers": "pipeline_parallel x pipeline_interleave is at most the number of layers",
    "interleave_fills": "an interleaved pipeline runs microbatches in multiples of its stages",
    "dualpipe_fills": "DualPipe runs an even number of stages without chunks, and an even number of"
    " microbatches, twice the stages at least",
    "whole_weights_in_pipelines": "ZeRO 3 (sharded weights) only without a pipeline: each microbatch would"
    " gather them again",
    "batch_divides": "microbatch x data_parallel divides global_batch",
    "sequence_divides": "twice context_parallel divides the sequence, and tensor_parallel its shards",
    "shard_group_divides": "zero_group divides the data- and context-parallel ranks",
}


def kept(facts: Facts, at: Layout) -> dict[str, Number]:
    """Each rule, and where it holds."""
    t, p, v, c, d, e = (
        at.tensor_parallel,
        at.pipeline_parallel,
        at.pipeline_interleave,
        at.context_parallel,
        at.data_parallel,
        at.expert_parallel,
    )
    heads = _all(n % t == 0 for n in facts.heads) & _all(
        (n % t == 0) | (t % n == 0) for n in facts.key_value_heads
    )
    ranks = t * c * d
    spread = _all((n % e == 0) & (ranks % e == 0) for n in facts.experts) if facts.experts else e == 1
    shards = np.where(at.sequence_shards > 1, at.sequence_length // c % t == 0, True)
    return {
        "chips_connected": t * p * c * d <= facts.reach,
        "heads_divide": heads,
        "width_divides": _all(n % t == 0 for n in facts.widths),
        "experts_divide": spread,
        "stages_have_layers": p * v <= facts.n_layers,
        "interleave_fills": (v == 1) | ((p > 1) & (at.n_microbatches % p == 0)),
        "dualpipe_fills": np.logical_not(at.dualpipe)
        | ((p > 1) & (p % 2 == 0) & (v == 1) & (at.n_microbatches % 2 == 0) & (at.n_microbatches >= 2 * p)),
        "whole_weights_in_pipelines": (at.zero_stage < 3) | (p == 1),
        "batch_divides": at.global_batch % (at.microbatch * d) == 0,
        "sequence_divides": ((c == 1) | (at.sequence_length % (2 * c) == 0)) & shards,
        "shard_group_divides": at.replicas % at.zero_group == 0,
    }


def _all(conditions: Any) -> Number:
    whole: Number = True
    for condition in conditions:
        whole = whole & condition
    return whole
