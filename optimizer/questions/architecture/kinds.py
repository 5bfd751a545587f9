"""The layer halves of a lattice, as arrays: every legal choice of the dimensions of one block file.

What the dimensions are, how their values go together and which way they drive costs is said in that file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from optimizer.blocks import block, rule_words
from optimizer.errors import InputError
from optimizer.plugins import plugins
from optimizer.spec.architecture import dimensions_of, usual

MOST_KINDS = 2**21
"""Kinds of half a layer that a lattice may have; each takes a hundred bytes or so in every frame at hand."""
_ROW = "row"


@dataclass(frozen=True)
class Kinds:
    """Layer halves of one block file: its dimensions as arrays of equal length, its switches for all of them.

    The fields are those of the file, and `kind` its name. A word of the rules that is no field, `n_kv_heads`
    of a block without them, is read like one; where the block gives none for a dimension of the usual kind,
    it is 1 and tells no kinds apart (rules do not see it: `words`).
    """

    def take(self, rows: Any) -> Any:
        """The kinds of these rows (an index array, a mask, or one index)."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: a[rows] for name, a in arrays.items() if isinstance(a, np.ndarray)})

    def __len__(self) -> int:
        return next(len(v) for v in vars(self).values() if isinstance(v, np.ndarray))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "kind":
            raise AttributeError(name)
        words, role = self.words(), block(self).ROLE
        if name not in words and name not in dimensions_of(role, usual(role)):
            raise AttributeError(f"{self.kind} has no {name}")
        return words.get(name, np.ones_like(self._axis))

    def words(self) -> dict[str, Any]:
        """What rules may name of each kind: its dimensions, and what they stand for; shaped alike."""
        own = rule_words(self)
        switches = block(self).FIELDS.model_fields.keys() - self.dimensions
        shape = np.shape(self._axis)
        return {name: np.broadcast_to(v, shape) for name, v in own.items() if name not in switches}

    @property
    def _axis(self) -> Any:
        """An array as long as there are kinds."""
        return getattr(self, next(iter(self.dimensions), _ROW))

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What tells the kinds apart."""
        return tuple(block(self).FIELDS.dimensions())

    @property
    def smallest_first(self) -> list[Any]:
        """The dimensions in the order that settles between plans which are otherwise equal."""
        said = block(self).FIELDS.dimensions()
        return [getattr(self, name) for name in sorted(said, key=lambda name: said[name].rank)]

    @property
    def legal(self) -> Any:
        """Whether the values of each kind go together: no cost is defined for others."""
        rule = getattr(block(self), "legal", None)
        return rule is None or rule(*(getattr(self, name) for name in signature(rule).parameters))

    def half(self) -> Any:
        """One kind (dimensions are single numbers) as half of a layer."""
        own = {name: getattr(self, name) for name in block(self).FIELDS.model_fields}
        return block(self).FIELDS(**own | {name: int(own[name]) for name in self.dimensions})

    def rows(self, chosen: Mapping[str, Any]) -> np.ndarray:
        """The rows with these values of the dimensions."""
        return np.flatnonzero(np.logical_and.reduce([getattr(self, n) == chosen[n] for n in self.dimensions]))

    def within(self, values: Mapping[str, Sequence[Any]]) -> Any:
        """The kinds whose dimensions are among these values, where any are given."""
        found = self
        for name in self.dimensions:
            if name in values:
                found = found.take(np.isin(getattr(found, name), values[name]))
        return found


@cache
def _class(kind: str) -> type[Kinds]:
    """Kinds with the fields of a block file; of one without dimensions there is one, in a row of its own."""
    own = plugins("blocks")[kind].FIELDS
    names: list[Any] = [(name, Any) for name in own.model_fields]
    if not own.dimensions():
        names.append((_ROW, Any, field(default_factory=lambda: np.zeros(1, int))))
    return make_dataclass("Kinds", names, bases=(Kinds,), frozen=True)


def kinds_like(half: Any, **changes: Any) -> Kinds:
    """Kinds with the fields of one half, each alone in an array, some changed."""
    own = {name: getattr(half, name) for name in type(half).model_fields}
    arrays = {name: np.array([own[name]]) for name in half.dimensions()}
    return _class(half.kind)(**own | arrays | changes)


def kinds_of(kind: str, free: Any, rules: Mapping[str, Any]) -> Kinds:
    """All kinds of a block file that a lattice leaves free, those alone whose values go together.

    Where a rule says the same (`LEGAL_BY`), without the rule in force all are there, and so they are where it
    leaves none: a conflict then names it. InputError if they are too many, or none is legal.
    """
    module = plugins("blocks")[kind]
    names, rule = list(module.FIELDS.dimensions()), getattr(module, "legal", None)
    domains = {name: np.array(getattr(free, name), dtype=np.int64) for name in names}
    together = list(signature(rule).parameters) if rule else []
    found = _product({name: domains[name] for name in together}, domains, kind)
    if rule:
        found = _legal(module, found, rule(**found), rules)
    others = {name: domains[name] for name in names if name not in together}
    arrays = _beside(others, found, domains, kind)
    switches = {name: getattr(free, name, f.default) for name, f in module.FIELDS.model_fields.items()}
    return _class(kind)(**switches | arrays | {"kind": kind})


def _legal(module: Any, found: dict[str, Any], legal: Any, rules: Mapping[str, Any]) -> dict[str, Any]:
    said_by = getattr(module, "LEGAL_BY", None)
    if said_by and not (said_by in rules and legal.any()):
        return found
    if not legal.any():
        raise InputError(f"architecture: no values of {' and '.join(found)} go together; widen one of them")
    return {name: values[legal] for name, values in found.items()}


def _product(some: dict[str, Any], domains: dict[str, Any], kind: str) -> dict[str, Any]:
    """Every choice of some dimensions, the last the fastest."""
    if _size(some) > MOST_KINDS:
        raise _too_many(_size(domains), domains, kind)
    return dict(zip(some, (a.ravel() for a in np.meshgrid(*some.values(), indexing="ij")), strict=True))


def _beside(
    some: dict[str, Any], found: dict[str, Any], domains: dict[str, Any], kind: str
) -> dict[str, Any]:
    """Every choice of some dimensions with each of those found of others, which vary fastest."""
    n = len(next(iter(found.values()))) if found else 1
    if _size(some) * n > MOST_KINDS:
        raise _too_many(_size(some) * n, domains, kind)
    outer = _product(some, domains, kind)
    times = len(next(iter(outer.values()))) if outer else 1
    repeated = {name: np.repeat(values, n) for name, values in outer.items()}
    return repeated | {name: np.tile(values, times) for name, values in found.items()}


def _size(domains: dict[str, Any]) -> int:
    n = 1
    for values in domains.values():
        n *= len(values)
    return n


def _too_many(n: int, domains: dict[str, Any], kind: str) -> InputError:
    *some, last = domains
    names = f"{', '.join(some)} or {last}" if some else last
    return InputError(
        f"architecture: the lattice has {n:,} kinds of {kind}, which do not fit in memory; at most "
        f"{MOST_KINDS:,} are accepted: narrow {names}, or raise a multiple_of"
    )
