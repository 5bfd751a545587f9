"""The vocabulary constraints are written in, and its two meanings.

A rule sees names: dimensions (`n_heads`), facts of the frame (`alignment`) and metrics. With numbers
behind all names a relation is a boolean array: the *mask*. With a `Symbol` behind a metric, comparing it
gives a `Bound`, which the solver posts as a row under the constraint's own literal: the *rows*.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from optimizer.cost.frame import Slice


@dataclass(frozen=True)
class Symbol:
    """A metric before a plan is chosen: a function of one additive quantity inside a slice."""

    name: str
    quantity: str
    rises: bool | None
    value: Callable[[Slice, Any], Any]


@dataclass(frozen=True)
class Bound:
    """low <= symbol <= high."""

    symbol: Symbol
    low: float
    high: float


@dataclass(frozen=True)
class Reached:
    """A metric of which only is asked whether plans reach a number: each number is a bound of its own."""

    name: str
    at_least: Callable[[float], Bound]


@dataclass(frozen=True)
class AllOf:
    """Every part holds."""

    parts: tuple["Relation", ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Relation", ...]


Relation = np.ndarray | Bound | AllOf | AnyOf


class Unsaid(KeyError):
    """A rule names a word that the layers at hand do not have."""


class Scope:
    """What a rule may say. Attributes are the named values; `touched` records those it used."""

    def __init__(self, values: Mapping[str, Any], metrics: Callable[[str], Any]) -> None:
        self._values = values
        self._metrics = metrics
        self.touched: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self.touched.add(name)
        if name not in self._values:
            raise Unsaid(name)
        return self._values[name]

    def metric(self, name: str) -> Any:
        """A metric of the plan, by the name of its file."""
        return self._metrics(name)

    def divides(self, divisor: Any, number: Any) -> Relation:
        """number % divisor == 0."""
        return np.asarray(np.equal(np.mod(number, divisor), 0))

    def multiple_of(self, number: Any, step: Any) -> Relation:
        """number is a whole multiple of step."""
        return self.divides(step, number)

    def at_most(self, left: Any, right: Any) -> Relation:
        """left <= right; one side may be a metric, the other then is a number."""
        if isinstance(left, Symbol):
            return Bound(left, -inf, float(right))
        if isinstance(right, Symbol):
            return Bound(right, float(left), inf)
        if isinstance(right, Reached):
            return right.at_least(float(left))
        return np.asarray(np.less_equal(left, right))

    def at_least(self, left: Any, right: Any) -> Relation:
        """left >= right."""
        return self.at_most(right, left)

    def between(self, low: Any, middle: Any, high: Any) -> Relation:
        """low <= middle <= high."""
        return self.all_of(self.at_most(low, middle), self.at_most(middle, high))

    def all_of(self, *parts: Relation) -> Relation:
        """Every relation holds."""
        return _join(parts, AllOf, np.logical_and)

    def any_of(self, *parts: Relation) -> Relation:
        """At least one relation holds."""
        return _join(parts, AnyOf, np.logical_or)


def _join(parts: tuple[Relation, ...], kind: Any, combine: Any) -> Relation:
    """Fold what is already decided into one array; keep the undecided parts beside it."""
    decided = [p for p in parts if isinstance(p, np.ndarray)]
    open_parts = [p for p in parts if not isinstance(p, np.ndarray)]
    if kind is AllOf:  # arrays on different axes stay apart: their product would be large
        return AllOf(parts) if open_parts or len(decided) > 1 else decided[0]
    folded = [np.asarray(_reduce(decided, combine))] if decided else []
    joined: tuple[Relation, ...] = (*folded, *open_parts)
    return joined[0] if len(joined) == 1 else kind(joined)


def _reduce(arrays: list[np.ndarray], combine: Any) -> Any:
    result = arrays[0]
    for array in arrays[1:]:
        result = combine(result, array)
    return result


def conjuncts(relation: Relation) -> list[Relation]:
    """The parts of a relation that must all hold."""
    if isinstance(relation, AllOf):
        return [part for inner in relation.parts for part in conjuncts(inner)]
    return [relation]


def holds(relation: Relation) -> np.ndarray:
    """The mask of a relation without symbols."""
    if isinstance(relation, AllOf):
        return np.asarray(_reduce([holds(p) for p in relation.parts], np.logical_and))
    if isinstance(relation, AnyOf):
        return np.asarray(_reduce([holds(p) for p in relation.parts], np.logical_or))
    if isinstance(relation, Bound):
        raise TypeError("a bound on a symbol has no mask")
    return relation
