"""Ranks that share the tokens of each sequence: each computes some, and keeps their part of the cache.

All but attention works on tokens one by one, with weights that every rank holds. Each of n ranks computes
in a layer, for P prompts and B sequences in decode:

    prompts    gather keys and values       2 P e (cached + chunk) bytes
               attention                    1/n of the pairs of queries and keys
    decode     gather queries               2 B q h d bytes
               attention                    all B sequences, on 1/n of their tokens
               send partial results         B q h (2 d + 4) bytes: results, and the sum of each softmax

e is the cache's elements a token on one chip, q the new tokens of a sequence, h the heads of a chip, d
their width. The cache's tokens are dealt out in turn. Exchanges are in series with the rest: nothing
hides. Work on prompts is equal where each rank has a piece of the front and one of the back
(NVIDIA/Megatron-LM, docs/source/api-guide/context_parallel.rst): attention is priced as n times as many
chunks of a prompt, whose mean has 1/n of the pairs.

vLLM and SGLang gather keys and values so (vllm-project/vllm issue 25749). A ring moves as many bytes and
hides them under the attention (arXiv 2310.01889). Decode is the pass-Q of arXiv 2411.01783, with the
sequences dealt out over the ranks; what it sends does not grow with the context (as in arXiv 2507.07120).
vLLM repeats the rest of a decode step on each rank instead, which is slower with many sequences. Latents
are gathered as they are: each rank rebuilds the keys and values of all that it attends to.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from optimizer.blocks import block
from optimizer.blocks.operators import (
    Collective,
    DecodeAttention,
    LatentAttention,
    Number,
    Operator,
    PrefillAttention,
)
from optimizer.blocks.step import Step
from optimizer.spec.architecture import Architecture
from optimizer.spec.split import Split

_PIECES = 2
"""Of a prompt on each rank."""
_BYTES = 2.0
"""Of a key, a value, a query or a result on its way."""
_SUM_BYTES = 4.0


def why_not(architecture: Architecture, split: Split, tokens: int) -> str:
    """Why a model cannot have so many ranks for prompts of so many tokens; '' if it can."""
    n = split.context_parallel
    if n == 1:
        return ""
    kinds = {group.block.mixer.kind: block(group.block.mixer) for group in architecture.layers}
    scans = sorted(kind for kind, module in kinds.items() if hasattr(module, "state_bytes"))
    if scans:
        return f"{scans[0]} passes a state from token to token; attention alone shares a sequence"
    if tokens < _PIECES * n:
        return f"{tokens} tokens of a prompt are fewer than {_PIECES} pieces for each rank"
    return ""


def operators(part: Any, found: Sequence[Operator], step: Step) -> list[Operator]:
    """What each rank does of the operators of a layer half: attention is shared, with its exchanges.

    A layer that attends in several ways (an index beside its core) gathers what it keeps once.
    """
    gather = _gather(part, found, step.split)
    shared: list[Operator] = []
    for op in found:
        if isinstance(op, PrefillAttention):
            shared, gather = [*shared, *gather], []
        shared += _shared(op, step.split)
    return shared


def held_bytes(part: Any, split: Split, tokens: Number) -> Number:
    """Keys and values of so many tokens of one layer, gathered on a chip."""
    return _BYTES * _cached(part, split) * tokens


def _cached(part: Any, split: Split) -> Number:
    """Cache elements of a token in one layer on one chip."""
    elements: Number = block(part).kv_elements(part, 1, split.tensor_parallel)
    return elements


def _gather(part: Any, found: Sequence[Operator], split: Split) -> list[Operator]:
    """Keys and values of all that the prompts attend to; none without prompts, or of another layer's."""
    prompts = [op for op in found if isinstance(op, PrefillAttention)]
    if not prompts or not np.any(_cached(part, split)):
        return []
    tokens = reduce(np.maximum, (op.prompts * (op.cached + op.tokens) for op in prompts))
    return [_exchange("keys and values gathered", held_bytes(part, split, tokens), split)]


def _shared(op: Operator, split: Split) -> list[Operator]:
    n = split.context_parallel
    match op:
        case PrefillAttention():
            return [replace(op, tokens=op.tokens / n, chunks=op.chunks * n)]
        case DecodeAttention():
            return _decoded(op, op.d_head, op.d_head, split)
        case LatentAttention():
            return _decoded(op, op.d_latent + op.d_rope, op.d_latent, split)
    return [op]


def _decoded(
    op: DecodeAttention | LatentAttention, d_query: Number, d_result: Number, split: Split
) -> list[Operator]:
    """Attention of all sequences on a rank's part of their tokens, between what is sent for it."""
    heads = op.batch * op.queries * op.n_heads
    results = heads * (_BYTES * d_result + _SUM_BYTES)
    of = "" if op.name == "attention" else f", {op.name}"
    return [
        _exchange(f"queries gathered{of}", _BYTES * heads * d_query, split),
        replace(op, context=op.context / split.context_parallel),
        _exchange(f"partial results{of}", results, split, "all_to_all"),
    ]


def _exchange(name: str, size: Number, split: Split, how: Any = "all_gather") -> Collective:
    return Collective(name, how, size, split.context_parallel, split.tensor_parallel)
