"""Slices of made-up quantities: tables of columns small enough to work out by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from optimizer.questions.architecture.frame_rules import FrameRules
from optimizer.questions.architecture.table import Column, FrameTable
from optimizer.scope import Symbol

Q = Symbol("m", "q", True, lambda at, q: q)
"""A metric that is its quantity."""


def metric(value: Any, rises: bool | None = None, quantity: str = "q") -> Symbol:
    """A metric that is a function of its quantity alone."""
    return Symbol("m", quantity, rises, lambda at, q: value(q))


def table(
    columns: dict[str, tuple[float, list[float], list[float]]],
    depths: tuple[int, ...] = (1,),
    *,
    pairs: Any = (),
    bounds: Any = (),
    choices: Any = (),
    frame: Any = None,
) -> FrameTable:
    """Columns (base, by attention kind, by feed-forward kind) of a frame whose rules left all kinds."""
    own = {
        name: Column(base, np.array(attention, float), np.array(ffn, float))
        for name, (base, attention, ffn) in columns.items()
    }
    first = next(iter(own.values()))
    axes = (np.arange(len(depths)), np.arange(len(first.attention)), np.arange(len(first.ffn)))
    rules = FrameRules(*axes, tuple(pairs), tuple(bounds), tuple(choices))
    return FrameTable(frame or SimpleNamespace(d_model=64), rules, np.array(depths), own)


def value(own: FrameTable, quantity: str, n_layers: int, attention: int, ffn: int) -> float:
    """The quantity of one pair of kinds, from the sentence: base + layers x (attention + feed-forward)."""
    c = own.columns[quantity]
    return float(c.base + n_layers * (c.attention[attention] + c.ffn[ffn]))
