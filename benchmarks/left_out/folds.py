"""Each source, model or chip left out in turn: constants fitted to the other rows, its rows predicted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from surrogate import Places, Surrogate, value_of

from optimizer.evidence.fitting import Array

SCHEMES = ("source", "model", "chip")


@dataclass(frozen=True)
class Fold:
    """One group left out: the places that the others tell, and its rows."""

    scheme: str
    group: str
    places: Places
    held: Array
    told: frozenset[str]
    """Constants that rows were left for."""
    on_chip: frozenset[tuple[str, str]]
    """Chips with an engine's family that rows were left for."""


def folds(surrogate: Surrogate, every: Places) -> Iterator[Fold]:
    """All folds; `every`: places from all rows, for what is left out where it was in no fit."""
    rows = surrogate.world.rows
    used = np.array([row.used for row in rows])
    for scheme in SCHEMES:
        names = np.array([getattr(row, scheme) for row in rows])
        for group in sorted(set(names)):
            held = names == group
            mask = used & ~held
            told = frozenset(p.name for p in surrogate.parameters if surrogate.tells(p.name, mask))
            same = not (used & held).any()
            places = dict(every) if same else surrogate.fit(mask)
            left = frozenset((row.chip, row.key.engine) for row, kept in zip(rows, mask, strict=True) if kept)
            yield Fold(scheme, str(group), places, held, told, left)


def predicted(surrogate: Surrogate, places: Mapping[str, float], which: Array) -> dict[int, float]:
    """What the cost model says of some rows with the constants at these places."""
    values = {p.name: value_of(p, places[p.name]) for p in surrogate.parameters}
    return surrogate.world.predict(values, [int(i) for i in np.flatnonzero(which)])
