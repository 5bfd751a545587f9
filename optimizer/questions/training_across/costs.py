"""What the stages of one way to use a cluster cost: numbers, and arrays over the layers of a stage.

All are those of `optimizer/cost/training`; what memory a stage takes is linear in its layers, and in the
microbatches under way, so that a few stages say it for all.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.cost.training.across import Link, Turn, away_s, end_of_step, next_s, turn_of
from optimizer.cost.training.job import shape_of
from optimizer.cost.training.layout import Layout, layout_of
from optimizer.cost.training.memory import stage_memory
from optimizer.cost.training.work import Work, work
from optimizer.questions.training_across.problem import AcrossProblem
from optimizer.questions.training_across.ways import Cluster, Ranks, Way, setup_of
from optimizer.spec.architecture import Architecture

_NOISE = 1e-9


@dataclass(frozen=True)
class Room:
    """Bytes on a chip of a stage: of any, of a layer, of a layer and microbatch under way, of the ends."""

    stage: float
    layer: float
    flight: float
    tables: float
    logits: float

    def bytes_of(self, layers: Any, flight: Any, end: Any, last: Any) -> Any:
        """Of a stage; `end`, `last`: whether it is the first or last, and the last."""
        grown = layers * (self.layer + self.flight * flight)
        return self.stage + grown + self.tables * end + self.logits * last

    def most_layers(self, room: Any, flight: Any, end: Any, last: Any) -> Any:
        """Layers that fit into so many bytes."""
        left = room - self.bytes_of(0, flight, end, last)
        return np.floor(left / (self.layer + self.flight * flight) + _NOISE)

    def below(self, other: "Room") -> bool:
        """Whether no stage takes more than it would so."""
        return all(getattr(self, f.name) <= getattr(other, f.name) for f in fields(self))


@dataclass(frozen=True)
class WayCosts:
    """One way of one cluster, at one number of replicas and one microbatch."""

    cluster: Cluster
    way: Way
    at: Layout
    own: Work
    architecture: Architecture
    link: Link | None

    @cached_property
    def turn(self) -> Turn:
        """Of all layers, and of the head."""
        return turn_of(self.own, self.at, self.cluster.chip)

    @cached_property
    def layer_s(self) -> float:
        """Seconds of a layer for one microbatch."""
        return float(self.turn.layers / self.architecture.n_layers)

    @cached_property
    def head_s(self) -> float:
        """The same of the head."""
        return float(self.turn.head)

    @cached_property
    def end_s(self) -> Any:
        """Seconds of the end of a step, by the layers of the largest stage; of none, nothing."""
        n = np.arange(1, self.architecture.n_layers + 1)
        once, optimizer = end_of_step(
            self.architecture, replace(self.at, layers=n), self.cluster.chip, self.turn.computing
        )
        return np.concatenate([[0.0], np.broadcast_to(once + optimizer, n.shape)])

    @cached_property
    def least_end_s(self) -> float:
        """The same at least, of any number of layers."""
        return float(self.end_s[1:].min())

    @cached_property
    def room(self) -> Room:
        """Bytes on a chip."""
        layers, behind = np.array([1, 2, 1, 1, 1]), np.array([0, 0, 1, 0, 0])
        first, last = np.array([0, 0, 0, 1, 0]), np.array([0, 0, 0, 0, 1])
        found = stage_memory(self.architecture, self.at, layers, behind, first, last).total
        one, two, more, begins, ends = (float(value) for value in found)
        flight = more - one  # nothing, where a step has one microbatch
        return Room(one - (two - one), two - one - flight, flight, begins - one, ends - begins)

    @cached_property
    def away_s(self) -> float:
        """Seconds of a microbatch to or from another cluster."""
        return float(away_s(self.own, self.at, self.cluster.chip, self.link))

    def next_s(self, stages: Any) -> Any:
        """Seconds of a microbatch to the next of so many stages here."""
        return next_s(self.own, self.at, self.cluster.chip, stages)

    def no_worse(self, other: "WayCosts") -> bool:
        """Whether any plan is as good with this way as with another of the same ranks, whatever is asked."""
        times = self.layer_s <= other.layer_s and self.head_s <= other.head_s
        return times and self.room.below(other.room) and bool(np.all(self.end_s <= other.end_s))

    @property
    def usable(self) -> float:
        """Bytes of a chip that a program can have."""
        return float(self.cluster.chip.hbm_for_programs)


class Prices:
    """The costs of every way, each worked out when it is first asked for."""

    def __init__(self, problem: AcrossProblem, architecture: Architecture, link: Link | None) -> None:
        self.problem, self.architecture, self.link = problem, architecture, link
        self._work: dict[tuple[int, Ranks, int], Work] = {}
        self._known: dict[tuple[int, Way, int, int, bool], WayCosts] = {}
        self._layers: dict[tuple[int, Ranks, int], tuple[float, float]] = {}

    def of(self, cluster: Cluster, way: Way, data: int, batch: int, alone: bool = False) -> WayCosts:
        """Of one way; `alone`: as the only stage, which holds both tables."""
        key = (cluster.number, way, data, batch, alone)
        if key not in self._known:
            setup = setup_of(self.problem, way, data, batch, 1 if alone else 2)
            own = self._work_of(cluster, way.ranks, batch)
            self._known[key] = WayCosts(cluster, way, layout_of(setup), own, self.architecture, self.link)
        return self._known[key]

    def least(self, cluster: Cluster, ranks: Ranks, batch: int) -> tuple[float, float]:
        """Least seconds of (a layer, the head) of all ways of some ranks."""
        key = (cluster.number, ranks, batch)
        if key not in self._layers:
            own = [self.of(cluster, Way(ranks, again, 0), 1, batch) for again in self.problem.setup.recompute]
            self._layers[key] = min(o.layer_s for o in own), min(o.head_s for o in own)
        return self._layers[key]

    def _work_of(self, cluster: Cluster, ranks: Ranks, batch: int) -> Work:
        key = (cluster.number, ranks, batch)
        if key not in self._work:
            setup = setup_of(self.problem, Way(ranks, "none", 0), 1, batch, 1)
            self._work[key] = work(self.architecture, cluster.chip, shape_of(setup))
        return self._work[key]
