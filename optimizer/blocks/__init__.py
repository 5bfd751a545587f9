"""Kinds of layer halves, one file each, which has all there is to a kind: its name is the kind's in files.

A file holds

    ROLE                                   'mixer' or 'ffn'
    FIELDS                                 the class of its fields (`_fields.Half`), with its dimensions
    n_params(part, d_model)                parameters; `n_active_params` where a token meets fewer
    weights(part, d_model, t)              elements stored on one rank of t
    operators(part, step)                  what a layer does in a step
    kv_elements(part, tokens, t)           of a mixer: what a sequence keeps that grows with its length
    state_bytes(part, t)                   and what does not, if anything

`part` has the fields of the kind as numbers, or as arrays that stand for many kinds at once. Where it differs
from what is usual, a file also says

    FAMILY, CAVEAT                         how models of it are called; what of its costs was not measured
    USUAL, MARK                            the kind of files that name none; a field that only it has
    stands_for(part)                       what it has of the words of the rules (n_heads, n_kv_heads, d_head,
                                           d_ff, n_experts), where its fields are not they
    saved(part, d_model, at)               bytes a token kept for the backward pass
    hidden_flops(part, d_model)            arithmetic of training that is part of no product
    unwindowed(part), rank_weights(...)    the layer without its window; elements where ranks share experts

and for those who search it

    legal(FIELD, ...)                      which values of some dimensions go together; LEGAL_BY names the
                                           rule that says the same, if there is one
    in_words(part)                         its shape, for a sentence
"""

from types import ModuleType
from typing import Any

from optimizer.plugins import plugins


def block(part: Any) -> ModuleType:
    """The module of a layer half, by its kind."""
    return plugins("blocks")[part.kind]


def rule_words(part: Any) -> dict[str, Any]:
    """A layer half in the words of the rules: its own fields, and what they stand for."""
    own = {name: getattr(part, name) for name in block(part).FIELDS.model_fields}
    stands_for = getattr(block(part), "stands_for", None)
    return own | (stands_for(part) if stands_for else {})


def n_experts(part: Any) -> int:
    """Experts that the tokens of a layer half are routed to; 0 where every token meets all of it."""
    return int(rule_words(part).get("n_experts", 0))
