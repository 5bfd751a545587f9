"""What each constant is worth: the others fitted without it, on rows that depend on it, seen and left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from folds import Fold
from surrogate import Places, Surrogate, value_of

from optimizer.evidence.fitting import Array

_FEWEST = 8
_TIE = 0.01
"""Differences of mean log errors below this are noise: a point of a hundred."""


@dataclass(frozen=True)
class Worth:
    """Mean size of log errors with a constant and without it, of rows in the fit and left out."""

    name: str
    shipped: float
    fitted: float
    rows: int
    seen: tuple[float, float]
    left_out: tuple[float, float] | None
    """None where no other source and no other model tells the constant."""
    folds: tuple[int, int]
    """Sources and models left out whose rows are better without it, of how many."""

    @property
    def verdict(self) -> str:
        """What the rows say of it."""
        if self.left_out is None:
            return "kept: one source and model tells it"
        better, of = self.folds
        carries = self.left_out[1] - self.left_out[0]
        if carries < -_TIE:
            return "hurts left out" if 2 * better > of else "kept: hurts in few of those left out"
        return "kept: as well without" if carries <= _TIE else "kept"


def worths(surrogate: Surrogate, every: Places, all_folds: Sequence[Fold]) -> list[Worth]:
    """Every constant with rows of a fit, without it in turn."""
    used = np.array([row.used for row in surrogate.world.rows])
    known = surrogate.errors(every)
    found = []
    for p in surrogate.parameters:
        own = surrogate.rows_of(p.name) & used
        if own.sum() < _FEWEST:
            continue
        without = surrogate.fit(used, fixed={p.name: 0.0}, start=every)
        seen = _mean(known[own]), _mean(surrogate.errors(without)[own])
        found.append(
            Worth(
                p.name,
                value_of(p, 1.0),
                value_of(p, every[p.name]),
                int(own.sum()),
                seen,
                *_left_out(surrogate, p.name, own, used, all_folds),
            )
        )
    return found


def _left_out(
    surrogate: Surrogate, name: str, own: Array, used: Array, all_folds: Sequence[Fold]
) -> tuple[tuple[float, float] | None, tuple[int, int]]:
    """The same of rows left out, by source and by model, where others tell the constant; and how often."""
    kept, dropped = [], []
    for fold in all_folds:
        held = fold.held & own
        if fold.scheme == "chip" or not held.any() or name not in fold.told:
            continue
        without = surrogate.fit(used & ~fold.held, fixed={name: 0.0}, start=fold.places)
        kept.append(surrogate.errors(fold.places)[held])
        dropped.append(surrogate.errors(without)[held])
    if not kept:
        return None, (0, 0)
    differs = [_mean(b) - _mean(a) for a, b in zip(kept, dropped, strict=True)]
    moved = [d for d in differs if abs(d) > _TIE / 10]
    return (_mean(np.concatenate(kept)), _mean(np.concatenate(dropped))), (
        sum(d < 0 for d in moved),
        len(moved),
    )


def _mean(errors: Array) -> float:
    """The mean size of log errors, none counted beyond a factor of three."""
    return float(np.minimum(np.abs(errors), np.log(3)).mean())
