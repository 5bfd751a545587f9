"""The queue of prompts before a replica, from round to round: a Markov chain on what waits.

A round begins with x prompts (of one on the way, what is left), serves s of them and takes T(s) seconds, in
which others come at random:

    x' = x - s + Poisson(l T(s))

The states are a grid, fine where few wait and coarser where many do. Where x' lies between two of them its
probability is shared out so that the mean stays. Arrays have a row for each load; rates are of requests a
second.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

_NUMBERS = np.arange(12)
_LOG_FACTORIALS = np.concatenate([[0.0], np.cumsum(np.log(_NUMBERS[1:]))])
_FEW = 4.0
"""Arrivals in the mean up to which every number of them counts."""
_Z, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_WEIGHTS = np.pad(_WEIGHTS / _WEIGHTS.sum(), (0, len(_NUMBERS) - len(_Z)))
_Z = np.pad(_Z, (0, len(_NUMBERS) - len(_Z)))
_GROWS = 0.35
"""Of a coarse state to the next."""


def arrivals(mean: Any) -> tuple[Any, Any]:
    """Numbers that a Poisson variable takes, and their probabilities, along a new last axis.

    Beyond a few in the mean: nodes of Gauss and Hermite, moved by its skewness (Cornish and Fisher).
    """
    x = np.asarray(mean, float)[..., None]
    low = np.clip(x, 1e-300, _FEW)
    few = np.exp(_NUMBERS * np.log(low) - low - _LOG_FACTORIALS)
    many = np.maximum(0.0, x + _Z * np.sqrt(x) + (_Z * _Z - 1) / 6)
    is_few = x <= _FEW
    weights = np.where(is_few, few / few.sum(axis=-1, keepdims=True), _WEIGHTS)
    return np.where(is_few, _NUMBERS, many), weights


def grid(served: float, most: float) -> Any:
    """States from none to so many prompts, where a round serves so many at most."""
    step = 1.0 if served >= 4 else 0.25 if served >= 1 else max(1 / 6, served / 2)
    states = np.arange(0.0, (4 if step == 1 else 1.5) + step / 2, step).tolist()
    while states[-1] < most:
        states.append(states[-1] + max(step, _GROWS * states[-1]))
    return np.array(states)


@dataclass(frozen=True, eq=False)
class Rounds:
    """The chain at several loads."""

    states: Any
    """x, of shape (states,)."""
    served: Any
    """s, of shape (loads, states)."""
    seconds: Any
    """T, of the same shape."""
    rate: Any
    """l, of shape (loads,)."""
    idle: Any = None
    """Share of rounds without prompts in which nobody decodes, of shape (loads,): an arrival ends them."""

    @cached_property
    def moves(self) -> Any:
        """Probability of each state after each, of shape (loads, states, states)."""
        n, size = self.served.shape
        numbers, weights = arrivals(self.rate[:, None] * self.seconds)
        at, share = self.between((self.states - self.served)[..., None] + numbers)
        bent = self._bent[at] * share * (share - 1)  # what keeps the variance, where states are coarse
        parts = (bent, 1 - share - bent * self._leans[at], share + bent * (self._leans[at] - 1))
        rows = (np.arange(n * size) * size).reshape(n, size, 1) + at
        found: Any = 0.0
        for i, part in enumerate(parts):
            found = found + np.bincount(
                np.maximum(0, rows + i - 1).ravel(), (weights * part).ravel(), n * size * size
            )
        found = found.reshape(n, size, size)
        if self.idle is not None:
            found[:, 0] *= (1 - self.idle)[:, None]
            found[:, 0, np.searchsorted(self.states, 1.0)] += self.idle
        return found

    @cached_property
    def _leans(self) -> Any:
        """Of each state: the distance to the next and from the one before, over that to the next."""
        apart = np.diff(self.states)
        before = np.concatenate([apart[:1], apart])
        return 1 + before[:-1] / apart

    @cached_property
    def _bent(self) -> Any:
        """Weight of the state before, over share (share - 1): none where states are fine."""
        apart = np.diff(self.states)
        before = np.concatenate([apart[:1], apart])[:-1]
        return np.where(apart > apart[0] * 1.01, apart**2 / (before * (before + apart)), 0.0)

    @cached_property
    def share(self) -> Any:
        """Of the rounds that begin in each state."""
        n, size = self.served.shape
        equations = np.swapaxes(self.moves, 1, 2) - np.eye(size)
        equations[:, -1] = 1.0
        right = np.zeros((n, size, 1))
        right[:, -1] = 1.0
        found = np.maximum(0.0, np.linalg.solve(equations, right)[..., 0])
        return found / found.sum(axis=1, keepdims=True)

    @cached_property
    def after(self) -> Any:
        """Probability of each state after the round that a prompt was served in."""
        weights = self.share * self.served
        weights = weights / np.maximum(1e-300, weights.sum(axis=1, keepdims=True))
        return np.einsum("bi,bij->bj", weights, self.moves)

    def between(self, x: Any) -> tuple[Any, Any]:
        """The state below x, and its distance from x as a share of that to the next; none beyond the last."""
        states = self.states
        x = np.minimum(x, states[-1])
        at = np.clip(np.searchsorted(states, x, side="right") - 1, 0, len(states) - 2)
        return at, (x - states[at]) / (states[at + 1] - states[at])

    def mean(self, values: Any) -> Any:
        """Over all rounds."""
        return (self.share * values).sum(axis=1)

    def excess(self, values: Any) -> Any:
        """What values over all rounds from a state on add up to beyond their mean (Poisson's equation)."""
        size = len(self.states)
        equations = np.eye(size) - self.moves + self.share[:, None, :]
        return np.linalg.solve(equations, (values - self.mean(values)[:, None])[..., None])[..., 0]

    def until_none(self, values: Any) -> Any:
        """Mean sum of values over the rounds from each state until none waits."""
        size = len(self.states)
        equations = np.eye(size) - self.moves
        equations[:, 0] = np.eye(size)[0]
        right = np.array(values)
        right[:, 0] = 0.0
        equations[:, 1:, 0] = 0.0
        return np.linalg.solve(equations, right[..., None])[..., 0]
