"""What a degree of parallelism asks of a model and adds to its layers, a file each: its name is the field's.

A file holds `why_not(architecture, split, tokens)`: why a model cannot have the degree for prompts of so many
tokens to compute, '' if it can. `uneven(architecture, split)` is one more reason, but on engines that round
up what its `PADS` names. Where ranks share the tokens of a sequence it also holds
`operators(part, found, step)`, what each rank does of the operators `found` that a layer half's block makes,
and `held_bytes(part, split, tokens)`, what a rank keeps of the others' while it computes so many tokens in a
layer.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

from optimizer.blocks import block, component, padded
from optimizer.blocks.operators import Gemm, Number, Operator
from optimizer.blocks.padding import EXACT, Padding
from optimizer.blocks.step import Step
from optimizer.plugins import plugins
from optimizer.spec.architecture import Architecture
from optimizer.spec.split import DEGREES, Split


def unsplittable(
    architecture: Architecture, split: Split, tokens: int, padding: Padding = EXACT
) -> dict[str, str]:
    """The degrees that a model cannot have, each with the reason; `tokens` of a prompt are computed."""
    rules = plugins("degrees")
    found = {}
    for name in (n for n in DEGREES if n in rules):
        own, rounded = rules[name], dict(padding.units)
        uneven = getattr(own, "uneven", None) if getattr(own, "PADS", "") not in rounded else None
        found[name] = own.why_not(architecture, split, tokens) or (
            uneven(architecture, split) if uneven else ""
        )
    return {name: why for name, why in found.items() if why}


def operators(part: Any, step: Step) -> list[Operator]:
    """Operators of a layer half on one rank in a step."""
    own, part = component(part), padded(part, step.split, step.padding)
    found: list[Operator] = [
        replace(op, component=own) if type(op) is Gemm else op for op in block(part).operators(part, step)
    ]
    if step.split.sequence_ranks > 1:
        for module in _sharing(step.split):
            found = module.operators(part, found, step)
    return found


def held_bytes(part: Any, split: Split, tokens: Number) -> Number:
    """Bytes of other ranks' that a rank keeps while it computes so many tokens in one layer."""
    return sum(module.held_bytes(part, split, tokens) for module in _sharing(split))


def _sharing(split: Split) -> Iterator[ModuleType]:
    """The degrees by which ranks share the tokens of a sequence."""
    return (module for name, module in _modules() if getattr(split, name) > 1)


@cache
def _modules() -> tuple[tuple[str, ModuleType], ...]:
    return tuple(
        (name, module) for name, module in plugins("degrees").items() if hasattr(module, "operators")
    )
