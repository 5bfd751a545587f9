"""How long the steps of an answer take, where prompts come at random beside it.

An answer takes O - 1 rounds with sequences, which begin in what its own prompt left behind: what they take
more than others is the solution of Poisson's equation. Engines whose prompts have rounds of their own decode
only where none waits. Behind each decode step comes a run of prompts, which is a renewal: an answer is what
is left of its own run, O - 1 steps and O - 2 runs.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.cost.round_times import RoundTimes
from optimizer.cost.rounds import Rounds, arrivals


@dataclass(frozen=True, eq=False)
class Answers:
    """Decode steps of an answer, and the rounds of prompts between them."""

    answer: float
    """Decode steps of it, its first token included."""
    times: RoundTimes
    rounds: Rounds

    @property
    def steps(self) -> float:
        """From the first token to the last."""
        return max(1.0, self.answer - 1)

    @cached_property
    def price_s(self) -> Any:
        """p."""
        added = self.rounds.seconds - self.times.beside_s[:, None]
        added[:, 0] = 0.0
        return self.rounds.mean(added) / np.maximum(1e-300, self.rounds.mean(self.rounds.served))

    @cached_property
    def round_s(self) -> Any:
        """From a token to the next, in the mean over all time."""
        return self.times.decode_s + self._run[0] if not self.times.mixes else self._mean_s

    @property
    def longer(self) -> Any:
        """Seconds of a step of an answer over those of a step at any time."""
        return self.step_s / self.round_s

    @cached_property
    def step_s(self) -> Any:
        """Of an answer, in the mean."""
        n, own = self.steps, self.rounds
        if self.times.mixes:
            return self._mean_s + (own.after * self._excess).sum(axis=1) * (1 - self._stays**n) / n
        first = (own.after * self._runs[0]).sum(axis=1)
        return self.times.decode_s + (first + (n - 1) * self._run[0]) / n

    @cached_property
    def variance(self) -> Any:
        """Of the sum of the steps of an answer."""
        n, own = self.steps, self.rounds
        if self.times.mixes:
            begins = self._varies(own.after) - self._varies(own.share)
            found = n * np.maximum(self._spread, 2 * self._together - self._spread)
            return np.maximum(found / 4, found + begins * (1 - self._stays**n) ** 2)
        first, square = ((own.after * runs).sum(axis=1) for runs in self._runs)
        return (n - 1) * (self._run[1] - self._run[0] ** 2) + np.maximum(0.0, square - first**2)

    def _varies(self, states: Any) -> Any:
        """Variance of what the rounds behind such states take more than others."""
        return (states * self._excess**2).sum(axis=1) - (states * self._excess).sum(axis=1) ** 2

    @cached_property
    def _mean_s(self) -> Any:
        return self.rounds.mean(self.rounds.seconds)

    @cached_property
    def _excess(self) -> Any:
        return self.rounds.excess(self.rounds.seconds)

    @cached_property
    def _spread(self) -> Any:
        return self.rounds.mean((self.rounds.seconds - self._mean_s[:, None]) ** 2)

    @cached_property
    def _together(self) -> Any:
        return self.rounds.mean((self.rounds.seconds - self._mean_s[:, None]) * self._excess)

    @property
    def _stays(self) -> Any:
        """Of what a round takes more than others, what the next does too."""
        return np.clip(1 - self._spread / np.maximum(1e-300, self._together), 0.0, 0.98)

    @cached_property
    def _runs(self) -> tuple[Any, Any]:
        """Seconds of rounds of prompts from each state on, and their square, in the mean."""
        own = self.rounds
        first = own.until_none(own.seconds)
        then = np.einsum("bij,bj->bi", own.moves, first)
        return first, own.until_none(own.seconds**2 + 2 * own.seconds * then)

    @cached_property
    def _run(self) -> tuple[Any, Any]:
        """The same behind a decode step."""
        numbers, weights = arrivals(self.rounds.rate * self.times.decode_s)
        at, share = self.rounds.between(numbers)
        low, high = ([np.take_along_axis(runs, i, axis=1) for runs in self._runs] for i in (at, at + 1))
        found = [
            (weights * ((1 - share) * a + share * b)).sum(axis=1) for a, b in zip(low, high, strict=True)
        ]
        return found[0], found[1]
