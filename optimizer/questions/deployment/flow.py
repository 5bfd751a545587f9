"""The traffic that replicas carry in one scenario, as rows of a programme.

    T = min(A + P, A + D) >= demand        A, P, D: sums of capacity_k n_k over aggregated, prefill, decode

with any few replicas lost (questions/deployment/levels.py). Aggregated replicas serve whole requests; the
others as many as the thinner of the two pools.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from optimizer.questions.deployment.levels import Levels
from optimizer.questions.replica_programme import AGGREGATED, PHASES, SIDES
from optimizer.search.programme import Programme


class Side(Protocol):
    """What one half of requests is served by."""

    @property
    def held(self) -> Mapping[int, int]:
        """What is held, as a linear row."""

    def reach(self, demand: int) -> None:
        """Rows: a demand is held."""


@dataclass(frozen=True)
class Whole:
    """A side that loses nothing."""

    m: Programme
    held: Mapping[int, int]

    def reach(self, demand: int) -> None:
        """A row: a demand is held."""
        self.m.row(self.held, low=demand)


@dataclass(frozen=True)
class Case:
    """What each row serves in one scenario, and how many replicas are lost."""

    capacity: Sequence[int]
    lost: int
    demand: int | None = None
    """What these must reach."""

    def most(self, m: Programme, n: Sequence[int], mode: Sequence[str]) -> int:
        """More than can be served."""
        return min(sum(c * m.highs[i] for i, c in terms.items()) for terms in self._terms(n, mode))

    def sides(self, m: Programme, n: Sequence[int], mode: Sequence[str]) -> list[Side]:
        """Both halves of requests, of variables `n`; rows for what is lost are added."""
        terms = self._terms(n, mode)
        if not self.lost:
            return [Whole(m, own) for own in terms]
        distinct = terms[:1] if terms[0] == terms[1] else terms
        return [Levels.of(m, own, self.lost) for own in distinct]

    def _terms(self, n: Sequence[int], mode: Sequence[str]) -> list[dict[int, int]]:
        pool = {
            phase: {i: c for i, c, own in zip(n, self.capacity, mode, strict=True) if own == phase and c}
            for phase in PHASES
        }
        return [pool[AGGREGATED] | pool[side] for side in SIDES]

    def enough(self, k: int) -> int:
        """Replicas of a row that carry the demand alone, those lost added; 0 where they never do."""
        return -(-(self.demand or 0) // self.capacity[k]) + self.lost if self.capacity[k] else 0
