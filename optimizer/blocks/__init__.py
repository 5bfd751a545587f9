"""Kinds of layer halves, one file each: the file's name is the kind's name in model files.

A file holds ROLE ('mixer' or 'ffn'), `n_params(part, d_model)`, `n_active_params(part, d_model)` if that is
less, `weights(part, d_model, tensor_parallel)`, `operators(part, step)` and, for a mixer,
`kv_elements(part, tokens, tensor_parallel)` and, if a sequence keeps bytes that do not grow with its length,
`state_bytes(part, tensor_parallel)`. `part` has the fields of the kind in `spec.architecture`, as
numbers, or as arrays that stand for many kinds at once.
"""

from types import ModuleType
from typing import Any

from optimizer.plugins import plugins


def block(part: Any) -> ModuleType:
    """The module of a layer half, by its kind."""
    return plugins("blocks")[part.kind]
