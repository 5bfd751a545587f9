"""Free choices of plans made of replicas: chips, modes, splits, formats; a plan may mix their values."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from optimizer.columns.replicas import Replicas
from optimizer.spec.plan import Pool
from optimizer.spec.split import DEGREES, FORMATS

CHOICES = {"hardware": "chip", "mode": "mode"} | {name: name for name in (*DEGREES, *FORMATS, "engine")}
"""Free choices, and the column that each is of every replica."""
_MODE = {"aggregated": "aggregated", "prefill": "disaggregated", "decode": "disaggregated"}
_PART = "="
"""Between a choice and a value of it."""


def column_of(replicas: Replicas, choice: str) -> Any:
    """The value of a choice in each row."""
    values = getattr(replicas, CHOICES[choice])
    return np.array([_MODE[mode] for mode in values.tolist()]) if choice == "mode" else values


def value_of(pool: Pool, choice: str) -> Any:
    """The value of a choice that a pool has."""
    return _MODE[pool.phase] if choice == "mode" else getattr(pool, CHOICES[choice])


def domains_of(tables: Iterable[Replicas]) -> dict[str, tuple[Any, ...]]:
    """Choices that differ among the rows of some tables, with their values."""
    found: dict[str, set[Any]] = {name: set() for name in CHOICES}
    for table in tables:
        for name, values in found.items():
            values.update(np.unique(column_of(table, name)).tolist())
    return {name: tuple(sorted(values)) for name, values in found.items() if len(values) > 1}


def choices_of(pools: Iterable[Pool]) -> dict[str, Any]:
    """What a plan chose: one value, or all that its pools have."""
    found: dict[str, Any] = {}
    own = list(pools)
    for name in CHOICES:
        values = sorted({value_of(pool, name) for pool in own})
        if values == [""]:  # an engine that is no choice
            continue
        found[name] = values[0] if len(values) == 1 else " and ".join(map(str, values))
    return found


def parts(choice: str, values: Iterable[Any]) -> dict[str, tuple[bool, ...]]:
    """A choice as questions of yes or no: has the plan any replica with this value?"""
    return {f"{choice}{_PART}{value}": (False, True) for value in values}


def part_values(pools: Iterable[Pool], domains: Mapping[str, Iterable[Any]]) -> dict[str, bool]:
    """The answers of a plan."""
    own = list(pools)
    return {
        f"{choice}{_PART}{value}": value in [value_of(pool, choice) for pool in own]
        for choice, values in domains.items()
        for value in values
    }


def left(replicas: Replicas, within: Mapping[str, tuple[Any, ...]]) -> tuple[Any, dict[str, Any]]:
    """(rows that choices, or parts of them, leave; by part the rows of which a plan must have one)."""
    keep, used = np.ones(len(replicas), dtype=bool), dict[str, Any]()
    for name, values in within.items():
        choice, part, value = name.partition(_PART)
        own = column_of(replicas, choice)
        if not part:
            keep &= np.isin(own, list(values))
        elif values == (False,):
            keep &= own.astype(str) != value
        elif values == (True,):
            used[name] = own.astype(str) == value
    return keep, used


def required(within: Mapping[str, tuple[Any, ...]]) -> dict[str, str]:
    """Parts that a plan must have, and the column of each: its values must not stand for each other."""
    parts_of = {name: name.partition(_PART) for name in within}
    return {
        name: CHOICES[choice]
        for name, (choice, part, _) in parts_of.items()
        if part and within[name] == (True,)
    }
