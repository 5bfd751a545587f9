"""The best plan of one structure: its chips are fixed, and its layers are placed.

So it is the plan of the least step within its memory; of the least memory, where that is asked for.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.cost.memory import GIB
from optimizer.cost.training.across import step_of
from optimizer.cost.training.pipeline import Turns
from optimizer.cost.training.run import mean_chip
from optimizer.questions.training_across import layers
from optimizer.questions.training_across.costs import WayCosts
from optimizer.questions.training_across.metrics import MEMORY, AcrossMetric
from optimizer.questions.training_across.opened import Opened
from optimizer.questions.training_across.structures import Part
from optimizer.search.cells import NOTHING, Rank
from optimizer.spec.chip import Chip

_SAME = 1e-9


@dataclass(frozen=True)
class Limits:
    """What must hold: each metric's measure at most its number, and memory."""

    measures: tuple[tuple[AcrossMetric, float], ...] = ()
    share: float = 1.0
    """Of the memory that a program can have on each chip."""
    most: float = float("inf")
    """Bytes on any chip."""

    def hold(self, step_s: Any, chips: Any, memory: Any, chip: Chip) -> Any:
        """Where all measures hold, and none is above the bytes of any chip."""
        keeps = np.less_equal(memory, self.most)
        for metric, most in self.measures:
            keeps = keeps & (metric.measure(step_s, chips, memory, chip) <= most)
        return keeps


@dataclass(frozen=True)
class Found:
    """One plan."""

    part: Part
    used: tuple[tuple[WayCosts, int], ...]
    """The way and the number of stages of each cluster, in order."""
    layers: tuple[tuple[int, ...], ...]
    step_s: float
    memory: float
    chips: int
    chip: Chip
    score: float

    @property
    def rank(self) -> tuple[float, float]:
        """The lower the better."""
        return self.score, self.step_s


class Structure:
    """One structure: everything but the layers of its stages is fixed."""

    def __init__(self, own: Opened, row: int, limits: Limits) -> None:
        self.own, self.limits, self.used = own, limits, own.of(row)
        self.chips = int(own.chips[row])
        counts = [p * r.each * own.part.data for (_, p), r in zip(self.used, own.part.ranks, strict=True)]
        self.chip = mean_chip([(c.cluster.chip, n) for (c, _), n in zip(self.used, counts, strict=True)])
        self.stages = sum(p for _, p in self.used)
        self.m = own.space.microbatches(own.part)

    def best(self, metric: AcrossMetric, limit: Rank) -> Found | None:
        """The plan of the least score, ties by step time; None if none keeps all limits."""
        if metric.name == MEMORY:
            return self._least_memory(metric, limit)
        return self._within(metric, self.limits.most, limit)

    def _least_memory(self, metric: AcrossMetric, limit: Rank) -> Found | None:
        """The plan whose fullest chip holds least: the least of all sizes of a stage that leaves a plan."""
        n = np.arange(1, self.own.space.architecture.n_layers + 1)
        sizes = np.unique(np.concatenate([costs.room.bytes_of(n, *at) for costs, at in self._places()]))
        sizes = sizes[sizes <= min(self.limits.most, limit[0] * GIB * (1 + _SAME))]
        low, high, best = 0, len(sizes) - 1, None
        if high >= 0:
            best = self._within(metric, float(sizes[high]), NOTHING)
        while best is not None and low < high:
            middle = (low + high) // 2
            found = self._within(metric, float(sizes[middle]), NOTHING)
            low, high, best = (middle + 1, high, best) if found is None else (low, middle, found)
        return best

    def _places(self) -> list[tuple[WayCosts, tuple[int, int, int]]]:
        """Of each stage: its costs, microbatches under way, whether it is an end, and the last."""
        found, s = [], 0
        for costs, p in self.used:
            for _ in range(p):
                behind = self.stages - 1 - s
                at = (min(self.m, behind + 1), int(s == 0 or not behind), int(not behind))
                found.append((costs, at))
                s += 1
        return found

    def _within(self, metric: AcrossMetric, most: float, limit: Rank) -> Found | None:
        """The plan of the least step within so many bytes on a chip, if it may rank below a limit."""
        question = self._question(most)
        least = question.least_s
        if not np.isfinite(least) or (self._score(metric, least), least) >= limit:
            return None
        placed = layers.placed(question)
        if placed is None:
            return None
        flat = [k for own in placed.layers for k in own]
        places = zip(self._places(), flat, strict=True)
        memory = max(float(costs.room.bytes_of(k, *at)) for (costs, at), k in places)
        free = replace(self.limits, most=float("inf"))
        if not np.all(free.hold(placed.step_s, self.chips, memory, self.chip)):
            return None
        score = self._score(metric, placed.step_s, memory)
        own = self.own.part, self.used, placed.layers
        return Found(*own, placed.step_s, memory, self.chips, self.chip, score)

    def _score(self, metric: AcrossMetric, step_s: float, memory: float = 0.0) -> float:
        return float(metric.measure(step_s, self.chips, memory, self.chip))

    def _question(self, most: float) -> layers.Question:
        n = self.own.space.architecture.n_layers
        room: list[list[int]] = [[] for _ in self.used]
        rows = [g for g, (_, p) in enumerate(self.used) for _ in range(p)]
        for g, (costs, place) in zip(rows, self._places(), strict=True):
            usable = min(costs.usable * self.limits.share, most)
            room[g].append(int(np.clip(costs.room.most_layers(usable, *place), 0, n)))
        first, last = self.used[0][0], self.used[-1][0]
        at = replace(first.at, pipeline_parallel=self.stages)

        def law(turns: Turns, message: float = 0.0) -> float:
            return float(step_of(at, turns, message, 0.0, 0.0).total)

        inside = [float(costs.next_s(p)) for costs, p in self.used]
        away = [costs.away_s for costs, _ in self.used] if len(self.used) > 1 else []
        parts = [
            layers.Part(costs.layer_s, costs.end_s, tuple(own))
            for (costs, _), own in zip(self.used, room, strict=True)
        ]
        return layers.Question(
            n,
            law(Turns(0.0, 1.0, 0.0)),
            law(Turns(0.0, 0.0, 1.0)) / self.stages,
            tuple(parts),
            last.head_s,
            law(Turns(0.0, 0.0, 0.0), max([*inside, *away])),
        )
