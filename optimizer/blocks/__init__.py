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
    unmet(part, d_model)                   parameters of matrices or experts that are no product's weights
    unwindowed(part), widened(part, tokens)    the layer without its window, or with a wider one
    rank_weights(...)                      elements where ranks share experts
    padded(part, split, padding)           the layer whose ranks hold what the fullest does (`padding`)

and for those who search it

    legal(FIELD, ...)                      which values of some dimensions go together; LEGAL_BY names the
                                           rule that says the same, if there is one
    OUTSIDE                                rules that say nothing of it, each with the reason
    in_words(part)                         its shape, for a sentence: whoever has it is searched
"""

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from optimizer.blocks.padding import Padding
from optimizer.plugins import plugins
from optimizer.spec.split import Split


def block(part: Any) -> ModuleType:
    """The module of a layer half, by its kind."""
    return plugins("blocks")[part.kind]


def padded(part: Any, split: Split, padding: Padding) -> Any:
    """A layer half as an engine holds it that rounds shares up; as it is on others, and of other kinds."""
    own = getattr(block(part), "padded", None) if padding else None
    return own(part, split, padding) if own else part


def component(part: Any) -> str:
    """What of a checkpoint the matrices of a half are, routed experts apart (`spec.checkpoint`)."""
    return _component(part.kind)


@cache
def _component(kind: str) -> str:
    module = plugins("blocks")[kind]
    if module.ROLE == "mixer":
        return "attention"
    return "shared_experts" if "n_experts" in module.FIELDS.model_fields else "ffn"


def searched(role: str) -> tuple[str, ...]:
    """The kinds of a half that problems may search: those that say their shape in words."""
    kinds = {name: m for name, m in plugins("blocks").items() if getattr(m, "ROLE", "") == role}
    return tuple(name for name, module in kinds.items() if hasattr(module, "in_words"))


def least(kinds: Any, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Dimensions that none of some kinds costs less than, for each row of a mask of shape (rows, kinds).

    Shape (groups, rows): for each choice of the dimensions that costs may rise or fall with, the least of
    those they rise with and the most of those they fall with. A choice that a row does not keep repeats
    another. All are inputs of the functions that price a plan: a bound is no formula of its own.
    """
    said = block(kinds).FIELDS.dimensions()
    either = [name for name, own in said.items() if own.rises is None]
    if not either:
        order, starts, other = np.arange(kept.shape[1]), np.zeros(1, int), np.zeros((len(kept), 1), int)
        found = {}
    else:
        groups = np.stack([getattr(kinds, name) for name in either], axis=1)
        choices, of_kind = np.unique(groups, axis=0, return_inverse=True)
        order = np.argsort(of_kind, kind="stable")
        starts = np.searchsorted(of_kind[order], np.arange(len(choices)))
        there = np.logical_or.reduceat(kept[:, order], starts, axis=1)
        other = np.where(
            there, np.arange(len(choices)), there.argmax(axis=1)[:, None]
        )  # itself, or one there
        found = {name: choices[other, i].T for i, name in enumerate(either)}
    kept = kept[:, order]
    for name in (name for name in said if name not in either):
        values, rises = getattr(kinds, name)[order], said[name].rises
        masked = np.where(kept, values, np.iinfo(np.int64).max if rises else 0)
        ends = (np.minimum if rises else np.maximum).reduceat(masked, starts, axis=1)
        found[name] = np.take_along_axis(ends, other, axis=1).T
    return found


def rule_words(part: Any) -> dict[str, Any]:
    """A layer half in the words of the rules: its own fields, and what they stand for."""
    own = {name: getattr(part, name) for name in block(part).FIELDS.model_fields}
    stands_for = getattr(block(part), "stands_for", None)
    return own | (stands_for(part) if stands_for else {})


def n_experts(part: Any) -> int:
    """Experts that the tokens of a layer half are routed to; 0 where every token meets all of it."""
    return int(rule_words(part).get("n_experts", 0))
