"""Kinds of layer halves, one file each: the file's name is the kind's name in model files.

A file holds ROLE ('mixer' or 'ffn'), `n_params(part, d_model)`, `n_active_params(part, d_model)` if that is
less, `weights(part, d_model, tensor_parallel)`, `operators(part, step)` and, for a mixer,
`kv_elements(part, tokens, tensor_parallel)` and, if a sequence keeps bytes that do not grow with its length,
`state_bytes(part, tensor_parallel)`. `part` has the fields of the kind in `spec.architecture`, as
numbers, or as arrays that stand for many kinds at once. A kind whose fields are not the words of the rules
(n_heads, n_kv_heads, d_head, d_ff) says in `stands_for(part)` what it has of them. A kind that is searched
says in `least(kinds, kept)` which shapes none of some kinds costs less than.
"""

from types import ModuleType
from typing import Any

from optimizer.plugins import plugins


def block(part: Any) -> ModuleType:
    """The module of a layer half, by its kind."""
    return plugins("blocks")[part.kind]


def rule_words(part: Any) -> dict[str, Any]:
    """A layer half in the words of the rules: its own fields, and what they stand for."""
    own = {name: getattr(part, name) for name in type(part).model_fields}
    stands_for = getattr(block(part), "stands_for", None)
    return own | (stands_for(part) if stands_for else {})
