"""All ways to cut a pipeline's chips into stages, and what no split over them beats.

A structure says of each group of chips how it is cut into stages, and how many of them are in use. Its bound
is the work of all layers shared out as evenly as can be, by the times that price its plans, with the host and
without what else is outside the layers.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.questions.pipeline.columns import StagePrices, Ways, ways_of
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.spec.architecture import Architecture

_MOST_STRUCTURES = 200_000
_SAME = 1e-9

Bounds = Mapping[str, float | None]
"""Limits of the problem, and `output_tokens_per_s_min`."""
Within = Mapping[str, tuple[object, ...]]
"""Choices, `batch` or the ways of a group by `group_name`, and the values that are left of each."""


NOTHING: Within = {}


def group_name(group: int) -> str:
    """The choice of how a group of chips is cut into stages, counted from 0."""
    return f"stages.{group + 1}"


def way_in_words(way: tuple[int, int]) -> str:
    """A way to cut a group: how many stages of how many chips."""
    chips, stages = way
    return f"{stages} x tp{chips}" if stages else "idle"


@dataclass
class Structures:
    """All structures of a problem, bounded at once."""

    model: Architecture
    problem: PipelineProblem
    supplies: Sequence[Supply]
    dropped: Counter[str] = field(default_factory=Counter)
    whole_groups: bool = False
    """Whether groups are used whole or not at all: there were too many structures else."""

    def __post_init__(self) -> None:
        self.prices = StagePrices(self.model, self.problem)
        self.counts = [group.count for group in self.model.layers]
        self.ways = self._all_ways()
        shape = tuple(map(len, self.ways))
        places = np.indices(shape).reshape(len(shape), -1)
        stages = sum(np.array([n for _, n in w])[at] for w, at in zip(self.ways, places, strict=True))
        keep = (stages >= 1) & (stages <= self.model.n_layers)
        self.places, self.stages = places[:, keep], np.asarray(stages)[keep]
        if not len(self.stages):
            reasons = "; ".join(f"{why} ({n})" for why, n in self.dropped.most_common(4))
            raise InputError(f"pipeline: no structure can run {self.model.name}: {reasons or 'no divisor'}")
        self._floors = [self._least_rounds(batch) for batch in self.problem.deployment.batch]

    def __len__(self) -> int:
        """Structures at all their batches."""
        return len(self.stages) * len(self.problem.deployment.batch)

    def _all_ways(self) -> list[list[tuple[int, int]]]:
        """The ways to use each group that can run the model."""
        found = []
        for group, supply in zip(self.problem.pipeline.stages, self.supplies, strict=True):
            runs = []
            for t, n in ways_of(group, supply, "kv_heads" in self.prices.engine.pads):
                why = self._why_not(supply, t) if n else ""
                if why:
                    self.dropped[why] += 1
                elif n <= self.model.n_layers:
                    runs.append((t, n))
            found.append(runs)
        if math.prod(map(len, found)) > _MOST_STRUCTURES:
            self.whole_groups = True
            found = [
                [(t, n) for t, n in ways if n in (0, group.chips // t)]
                for group, ways in zip(self.problem.pipeline.stages, found, strict=True)
            ]
        if (n := math.prod(map(len, found))) > _MOST_STRUCTURES:
            raise InputError(
                f"pipeline: {n} ways to cut its groups into stages; give fewer tensor_parallel to each"
            )
        return found

    def _why_not(self, supply: Supply, t: int) -> str:
        [setup] = self.prices.setups_of([supply], ((t, 1),))
        return self.prices.why_not(setup)

    def _least_rounds(self, batch: int) -> Any:
        """Seconds of a round of every structure, at least: shape (structures,)."""
        total, hosts = sum(self.counts), list[float]()
        shares: list[list[float]] = []
        speeds: list[list[float]] = []
        for supply, ways in zip(self.supplies, self.ways, strict=True):
            speeds.append([])
            for t, n in ways:
                if not n:
                    speeds[-1].append(0.0)
                    continue
                [setup] = self.prices.setups_of([supply], ((t, 1),))
                times = self.prices.layer_s(setup, batch)
                mean = sum(c * x for c, x in zip(self.counts, times, strict=True)) / total
                speeds[-1].append(n / mean)
                shares.append([x / mean for x in times])
                hosts.append(self.prices.host_s(setup, batch))
        work = sum(c * min(column) for c, column in zip(self.counts, zip(*shares, strict=True), strict=True))
        speed = sum(np.array(v)[at] for v, at in zip(speeds, self.places, strict=True))
        return min(hosts) + self.stages * (work / np.asarray(speed))

    def bounds(self, bounds: Bounds, tpot: bool, within: Within) -> tuple[Any, Any, Any]:
        """(key at least, structure, batch) of all that may keep the bounds, best first."""
        keys, batches = [], self.problem.deployment.batch
        left = self._left(within)
        for batch, rounds in zip(batches, self._floors, strict=True):
            key = 1e3 * rounds if tpot else -self.stages * batch / rounds
            out = ~left if batch in within.get("batch", (batch,)) else np.ones(len(rounds), bool)
            if (limit := self._round_ms(bounds, batch)) is not None:
                out |= 1e3 * rounds > limit * (1 + _SAME)
            keys.append(np.where(out, np.inf, key))
        table = np.array(keys)
        order = np.argsort(table, axis=None, kind="stable")
        order = order[: int(np.isfinite(table).sum())]
        which, structure = np.unravel_index(order, table.shape)
        return table[which, structure], structure, which

    def _left(self, within: Within) -> Any:
        """Structures whose groups are cut in one of the ways that are left."""
        left = np.ones(len(self.stages), dtype=bool)
        for group, (ways, places) in enumerate(zip(self.ways, self.places, strict=True)):
            if (values := within.get(group_name(group))) is not None:
                left &= np.array([way_in_words(way) in values for way in ways])[places]
        return left

    def _round_ms(self, bounds: Bounds, batch: int) -> Any:
        """The longest round that bounds on a token's time and on the rate leave each structure; None: any."""
        limit, rate = bounds.get("tpot_ms_max"), bounds.get("output_tokens_per_s_min")
        if rate is None:
            return limit
        longest = 1e3 * self.stages * batch / rate
        return longest if limit is None else np.minimum(longest, limit)

    def ways_of(self, structure: int) -> Ways:
        """How one structure cuts each group."""
        places = self.places[:, structure].tolist()
        return tuple(ways[at] for ways, at in zip(self.ways, places, strict=True))
