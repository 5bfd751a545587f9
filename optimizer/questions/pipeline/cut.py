"""A model cut over the stages of a pipeline: layers of each kind on each stage, and what that costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.questions.pipeline.columns import StageCosts, Ways
from optimizer.search.programme import Proved


@dataclass(frozen=True)
class Found:
    """A split of one structure at one batch."""

    costs: StageCosts
    counts: list[list[int]]
    """Kinds by stages."""
    proved: Proved | None = None
    ways: Ways = ()
    """How each group of chips is cut."""

    @property
    def groups(self) -> tuple[int, ...]:
        """The group of each stage, counted from 1."""
        return tuple(g for g, (_, stages) in enumerate(self.ways, 1) for _ in range(stages))

    def stage_s(self, s: int) -> float:
        """Seconds of one stage's layers in the steady state."""
        return sum(row[s] * n[s] for row, n in zip(self.costs.time_s, self.counts, strict=True))

    def memory(self, s: int) -> float:
        """Bytes on each chip of one stage."""
        c = self.costs
        return c.base_memory[s] + sum(m[s] * n[s] for m, n in zip(c.memory, self.counts, strict=True))

    @property
    def slowest_s(self) -> float:
        """Seconds of the slowest stage's layers."""
        return max(map(self.stage_s, range(self.costs.stages)))

    @property
    def tpot_s(self) -> float:
        """Seconds of a round of turns."""
        return self.costs.fixed_s + self.costs.stages * self.slowest_s

    @property
    def ttft_s(self) -> float:
        """Half a round of waiting, then a prompt through every stage."""
        c = self.costs
        prompts = [
            sum(row[s] * n[s] for row, n in zip(c.prompt_s, self.counts, strict=True))
            for s in range(c.stages)
        ]
        return self.tpot_s / 2 + c.prompt_fixed_s + c.stages * max(prompts)

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.costs.stages * self.costs.batch / self.tpot_s

    def fits(self, share: float | None) -> bool:
        """Whether every stage keeps within a share of what the engine fills of its chips."""
        return share is None or all(self.memory(s) <= share * room for s, room in enumerate(self.costs.rooms))


def spread_by_speed(costs: StageCosts, counts: Sequence[int]) -> list[list[int]]:
    """A split that gives each stage layers by its speed, at least one to each; memory is not looked at."""
    left = [1.0 / max(sum(row[s] for row in costs.time_s), 1e-30) for s in range(costs.stages)]
    busy = [0.0] * costs.stages
    found = [[0] * costs.stages for _ in counts]
    empty = set(range(costs.stages))
    for k in sorted(range(len(counts)), key=lambda k: -sum(costs.time_s[k])):
        for _ in range(counts[k]):
            among = sorted(empty) or range(costs.stages)
            s = min(among, key=lambda s: (busy[s] + costs.time_s[k][s], -left[s]))
            busy[s] += costs.time_s[k][s]
            found[k][s] += 1
            empty.discard(s)
    return found


def evenly(counts: Sequence[int], stages: int) -> list[list[int]]:
    """As equal numbers of layers of each kind on each stage as can be; what is left over goes round."""
    found, at = [], 0
    for n in counts:
        row = [n // stages] * stages
        for i in range(n % stages):
            row[(at + i) % stages] += 1
        at += n % stages
        found.append(row)
    return found
