"""The lattice of a problem in cells, and what each can reach at best.

A cell holds replicas, microbatch and the order of clusters; opened, the ranks of their stages as well; opened
again, it is structures (`opened.py`). Each has an optimistic bound, the law of the step fed with what no plan
inside can do better: the pace of the fastest way, on as many stages and chips as there may be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from optimizer.cost.training.across import Link, step_of
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.pipeline import Turns
from optimizer.questions.training.splits import divisors
from optimizer.questions.training_across.costs import Prices, WayCosts
from optimizer.questions.training_across.metrics import optimistic
from optimizer.questions.training_across.problem import AcrossProblem
from optimizer.questions.training_across.ways import (
    FREE,
    IDLE,
    Cluster,
    Ranks,
    Way,
    Within,
    choice_of,
    orders,
    setup_of,
    ways_of,
)
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip


@dataclass(frozen=True)
class Part:
    """A cell: replicas, microbatch and clusters in order; their ranks, where they are held."""

    data: int
    batch: int
    order: tuple[int, ...]
    ranks: tuple[Ranks, ...] = ()
    alone: bool = False
    """Whether one stage has all layers."""


@dataclass(frozen=True)
class Reach:
    """What a cell can reach: seconds of a step at least, by the chips in use, and the chips on average."""

    step_s: Any
    chips: Any
    chip: Chip


class Space:
    """The lattice of a problem on some chips, within some values of its choices."""

    def __init__(
        self,
        problem: AcrossProblem,
        architecture: Architecture,
        clusters: Sequence[Cluster],
        link: Link | None,
        prices: Prices | None = None,
    ) -> None:
        self.problem, self.architecture, self.clusters = problem, architecture, tuple(clusters)
        self.prices = prices or Prices(problem, architecture, link)
        self.orders = orders([own.chip.name for own in self.clusters])
        space = problem.setup
        self.data = [d for d in space.data_parallel or divisors(problem.global_batch) if self._fits(d)]
        self.batches = list(space.microbatch or divisors(problem.global_batch))
        self._ranks: dict[tuple[int, int], list[Ranks]] = {}
        self.opened: dict[tuple[Part, bool], Any] = {}
        """Cells whose structures were worked out (`opened.py`)."""
        self._reach: dict[Part, Reach] = {}
        self._plain = layout_of(setup_of(problem, Way(Ranks(1, 1, 1), "none", 0), 1, 1, 1))

    def _fits(self, data: int) -> bool:
        most = max(own.chips for own in self.clusters)
        return data <= most and self.problem.global_batch % data == 0

    @cached_property
    def _all_ranks(self) -> list[list[Ranks]]:
        return [own.ranks(self.problem) for own in self.clusters]

    def ranks(self, g: int, data: int) -> list[Ranks]:
        """Degrees of a cluster's stages at so many replicas, of which at least one stage fits."""
        if (g, data) not in self._ranks:
            own = self.clusters[g]
            self._ranks[g, data] = [
                r
                for r in self._all_ranks[g]
                if own.allows(self.problem, r, data) and len(own.stages(r, data))
            ]
        return self._ranks[g, data]

    def microbatches(self, part: Part) -> int:
        """Of each replica in a step."""
        return self.problem.global_batch // (part.data * part.batch)

    def parts(self, within: Within) -> Iterator[Part]:
        """The cells."""
        wanted = set(within.get("order", self.orders))
        everywhere = set(range(len(self.clusters)))
        idle = {
            g for g in everywhere if all(IDLE in within.get(choice_of(g, what), (IDLE,)) for what in FREE)
        }
        used = [o for words, o in self.orders.items() if words in wanted and everywhere - set(o) <= idle]
        for d, b in product(self.data, self.batches):
            whole = self.problem.global_batch % (d * b) == 0
            if whole and d in within.get("data_parallel", (d,)) and b in within.get("microbatch", (b,)):
                for order in used:
                    if all(self.ranks(g, d) for g in order):
                        yield Part(d, b, order)

    def held(self, part: Part) -> Iterator[Part]:
        """The same, ranks held."""
        for ranks in product(*(self.ranks(g, part.data) for g in part.order)):
            yield replace(part, ranks=ranks)
            if len(ranks) == 1:
                yield replace(part, ranks=ranks, alone=True)

    def reach(self, part: Part) -> Reach:
        """What a cell can reach, before any of its structures is priced; kept, for it may be asked again."""
        found = self._reach.get(part) or self._reached(part)
        if len(found.chips) <= _FEW and len(self._reach) < _FEW:
            self._reach[part] = found
        return found

    def _reached(self, part: Part) -> Reach:
        n, rate, speed, chips, fewest, widest = self.architecture.n_layers, 0.0, 0.0, 0, np.inf, 1
        for i, g in enumerate(part.order):
            own, rates = self.clusters[g], []
            for ranks in part.ranks[i : i + 1] or self.ranks(g, part.data):
                layer_s, _ = self.prices.least(own, ranks, part.batch)
                stages = own.stages(ranks, part.data)
                rates.append(float(stages[-1]) / layer_s)
                speed, fewest = max(speed, 1 / (layer_s * ranks.each)), min(fewest, layer_s)
                widest = max(widest, ranks.each)
            rate, chips = rate + max(rates), chips + own.chips
        used = np.arange(part.data, chips + 1, part.data)
        turn = np.maximum(n / rate, n * part.data / (used * speed))
        stages = np.maximum(len(part.order), np.ceil(used / (part.data * widest)))
        at = replace(self._plain, data_parallel=part.data, microbatch=part.batch, pipeline_parallel=stages)
        step_s = step_of(at, Turns(0.0, turn, n * fewest / stages), 0.0, 0.0, 0.0).total
        return Reach(step_s, used, optimistic([self.clusters[g].chip for g in part.order]))

    def has_room(self, part: Part, share: float, most: float) -> bool:
        """Whether all layers may fit on the most stages that a cell whose ranks are held can have."""
        layers = 0.0
        for i in range(len(part.order)):
            ways, stages = self.options(part, i)
            usable = min(ways[0].usable * share, most)
            each = max(float(own.room.most_layers(usable, 1, 0, 0)) for own in ways)
            if not stages or each < 1:
                return False
            layers += stages[-1] * each
        return layers >= self.architecture.n_layers

    def options(self, part: Part, i: int, every_way: bool = True) -> tuple[list[WayCosts], list[int]]:
        """Ways of one cluster of a cell whose ranks are held, and its stages; any of both go together."""
        own, ranks = self.clusters[part.order[i]], part.ranks[i]
        stages = [int(p) for p in own.stages(ranks, part.data)]
        if len(part.order) == 1:
            stages = [p for p in stages if (p == 1) == part.alone]
        ways = ways_of(self.problem, ranks)
        found = [self.prices.of(own, way, part.data, part.batch, part.alone) for way in ways]
        return found if every_way else _best_of(found), stages


def _best_of(ways: list[WayCosts]) -> list[WayCosts]:
    """Ways of the same ranks without those that another is no worse than in anything."""
    found: list[WayCosts] = []
    for own in ways:
        if not any(other.no_worse(own) for other in found):
            found = [other for other in found if not own.no_worse(other)] + [own]
    return found


_FEW = 2_000
"""Numbers of chips of a cell whose reach is kept, and such cells, at most."""
