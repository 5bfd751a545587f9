"""A lightning index: what it costs to score all that a token may attend to, and to pick the best.

Each of n_index_heads small queries meets one key of d_index numbers for each cached token, or for each group
of `stride` tokens; the heads' scores are weighed and summed up, and the best entries are attended to:

    FLOP     2 n_index_heads d_index for each pair of a token and an entry
    bytes    d_index of the cache's format for each entry, 4 written and 4 read for each score

(arXiv 2512.02556, equation 1; transformers 5.24, models/deepseek_v32.) It is attention without values, and
priced as such: half as wide on either side; of prompts in 8 bit where the chip has it, at the shares of
attention in 16 bit. Queries are made on every rank, which holds all keys.
"""

from optimizer.blocks.operators import DecodeAttention, Elementwise, Number, Operator, PrefillAttention
from optimizer.blocks.step import Step

_SCORE_BYTES = 8.0


def scores(
    step: Step, n_heads: Number, d_index: Number, stride: int = 1, pooled: Number = 1
) -> list[Operator]:
    """The scores of a step; `pooled` of them are written as one. Entries stand for `stride` tokens each."""
    found: list[Operator] = []
    half, each = d_index / 2, _SCORE_BYTES / pooled / step.split.sequence_ranks
    if step.decodes:
        entries, queries = step.context / stride, step.batch * step.queries
        found.append(DecodeAttention("index scores", step.batch, entries, n_heads, 1, half, step.queries))
        found.append(Elementwise("index selection", each * queries * entries))
    if step.prefills:
        prefix = "prompt " if step.decodes else ""
        everything = step.prefix + step.chunks * step.prompt_tokens
        every = (step.prompts / stride, step.prefix, step.chunks)
        index = PrefillAttention(
            f"{prefix}index scores", step.prompt_tokens, everything, n_heads, 1, half, *every, dtype="fp8"
        )
        found.append(index)
        found.append(Elementwise(f"{prefix}index selection", each * index.prompts * index.pairs))
    return found
