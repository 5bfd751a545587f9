"""The structures of a cell whose ranks are held, with their bounds: arrays of one axis a cluster.

A structure is a way and a number of stages for each cluster. Its bound is the law of the step fed with what
no placement of layers can do better: layers in parts, as few microbatches under way on every stage as on its
cluster's last.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from optimizer.cost.training.across import step_of
from optimizer.cost.training.pipeline import Turns
from optimizer.cost.training.run import mean_chip
from optimizer.questions.training_across.costs import WayCosts
from optimizer.questions.training_across.structures import Part, Space
from optimizer.questions.training_across.ways import FREE, Within, choice_of, words_of


def opened(space: Space, part: Part, within: Within) -> "Opened":
    """The structures of a cell whose ranks are held; few are kept, for they may be asked again.

    Ways that are worse in everything than another are left out, unless ways are chosen.
    """
    chosen = any(choice_of(g, what) in within for g in part.order for what in FREE[1:])
    found: Opened = space.opened.get((part, chosen)) or Opened(space, part, every_way=chosen)
    if len(found) <= _FEW and len(space.opened) < _KEPT:
        space.opened[part, chosen] = found
    return found


class Opened:
    """The structures of a cell whose ranks are held, as arrays of one axis a cluster."""

    def __init__(self, space: Space, part: Part, every_way: bool = True) -> None:
        self.space, self.part = space, part
        options = [space.options(part, i, every_way) for i in range(len(part.order))]
        self.ways, self._stages = zip(*options, strict=True)
        pairs = zip(self.ways, self._stages, strict=True)
        self.shape = tuple(len(own) * len(stages) for own, stages in pairs)
        if len(self):
            self._bound()

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def of(self, index: int) -> tuple[tuple[WayCosts, int], ...]:
        """One structure: the way and the stages of each cluster, in order."""
        found = []
        for i, row in enumerate(np.unravel_index(index, self.shape)):
            way, stages = divmod(int(row), len(self._stages[i]))
            found.append((self.ways[i][way], self._stages[i][stages]))
        return tuple(found)

    def allowed(self, within: Within) -> Any:
        """Which structures use their clusters in ways that are wanted."""
        keeps: Any = True
        for i, g in enumerate(self.part.order):
            wanted = [within.get(choice_of(g, what)) for what in FREE]
            if any(values is not None for values in wanted):
                pairs = [words_of(own.way, p) for own in self.ways[i] for p in self._stages[i]]
                sets = [None if values is None else set(values) for values in wanted]
                keeps = keeps & self._axis(i, [_inside(pair, sets) for pair in pairs])
        return self._flat(keeps)

    def fits(self, share: float, most: float) -> Any:
        """Which may hold all layers in a share of each chip's memory, and in so many bytes on any."""
        rooms = [np.minimum(own * share, most) for own in self._column("usable")]
        sizes = zip(rooms, self._column("stage"), self._each, strict=True)
        layers = [np.floor((room - own) / more + _NOISE) for room, own, more in sizes]
        n = self.space.architecture.n_layers
        keeps = self.stages <= n
        keeps = keeps & (sum(own * count for own, count in zip(layers, self._p, strict=True)) >= n)
        for own in layers:
            keeps = keeps & (own >= 1)
        return self._flat(keeps)

    def _axis(self, i: int, values: Any) -> Any:
        """Figures of the pairs of a way and stages of one cluster, along its axis."""
        shape = [1] * len(self.shape)
        shape[i] = self.shape[i]
        return np.asarray(values).reshape(shape)

    def _column(self, name: str) -> list[Any]:
        return [
            self._axis(i, np.repeat([_figure(costs, name) for costs in own], len(self._stages[i])))
            for i, own in enumerate(self.ways)
        ]

    def _bound(self) -> None:
        n = self.space.architecture.n_layers
        p = [
            self._axis(i, np.tile(stages, len(own)))
            for i, (own, stages) in enumerate(zip(self.ways, self._stages, strict=True))
        ]
        self.stages = sum(p)
        layer, head = self._column("layer_s"), self._column("head_s")[-1]
        rate = sum(own / each for own, each in zip(p, layer, strict=True))
        turn = (n + head / layer[-1]) / rate
        for each in (*layer[:-1], layer[-1] + head):
            turn = np.maximum(turn, each)
        fewest = np.minimum.reduce(np.broadcast_arrays(*layer))
        all_s = sum(own * each for own, each in zip(p, layer, strict=True)) + (n - self.stages) * fewest
        ends = np.maximum.reduce(np.broadcast_arrays(*self._column("least_end_s")))
        at = replace(self.ways[0][0].at, pipeline_parallel=self.stages)
        turns = Turns(0.0, turn, (all_s + head) / self.stages)
        self.step_s = self._flat(step_of(at, turns, self._message_s(), ends, 0.0).total)
        self._room(p)
        self._chips(p)

    def _flat(self, values: Any) -> Any:
        return np.broadcast_to(values, self.shape).reshape(-1)

    def _message_s(self) -> Any:
        """Seconds of the slowest message."""
        inside = [
            self._axis(i, [costs.next_s(np.array(stages)) for costs in own])
            for i, (own, stages) in enumerate(zip(self.ways, self._stages, strict=True))
        ]
        away = self._column("away_s") if len(self.shape) > 1 else []
        return np.maximum.reduce(np.broadcast_arrays(*inside, *away))

    def _room(self, p: Sequence[Any]) -> None:
        """Bytes on the fullest chip at least."""
        n, m = self.space.architecture.n_layers, self.space.microbatches(self.part)
        names = ("stage", "layer", "flight", "tables", "logits")
        stage, layer, flight, tables, logits = (self._column(name) for name in names)
        each: list[Any] = []
        behind: Any = 0
        for i in reversed(range(len(p))):
            each.insert(0, layer[i] + flight[i] * np.minimum(m, behind + 1))
            behind = behind + p[i]
        self._each, self._p = each, p
        held = sum(count * own / more for count, own, more in zip(p, stage, each, strict=True))
        least = (n + held) / sum(count / more for count, more in zip(p, each, strict=True))
        first = stage[0] + layer[0] + flight[0] * np.minimum(m, self.stages) + tables[0]
        least = np.maximum(least, first)
        least = np.maximum(least, stage[-1] + layer[-1] + flight[-1] + tables[-1] + logits[-1])
        self.memory = self._flat(least)

    def _chips(self, p: Sequence[Any]) -> None:
        each = [own * r.each * self.part.data for own, r in zip(p, self.part.ranks, strict=True)]
        self.chips = self._flat(sum(each))
        clusters = [self.space.clusters[g] for g in self.part.order]
        flat = [self._flat(own) for own in each]
        self.chip = mean_chip([(own.chip, count) for own, count in zip(clusters, flat, strict=True)])


def _inside(pair: Sequence[Any], wanted: Sequence[set[Any] | None]) -> bool:
    return all(own is None or value in own for value, own in zip(pair, wanted, strict=True))


_NOISE = 1e-9
_FEW, _KEPT = 2_000, 512
"""Structures of a cell that is kept, and cells kept."""


def _figure(costs: WayCosts, name: str) -> float:
    own = costs if hasattr(type(costs), name) else costs.room
    return float(getattr(own, name))
