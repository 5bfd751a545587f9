"""Seconds of any step of a replica, read from three tables that the cost model fills once.

Operators run in series, so a step falls into parts that depend on two things each:

    T = D(b, c)                               b sequences decode, c tokens behind each in the mean
      + P(b, p)                               p prompt tokens beside them, as one prompt
      + sum over prompts X(u, q) - X(p, 0)    their own lengths u behind q cached tokens

X(u, q) is u / R of a full step of R prompt tokens that come as prompts of u behind q tokens each: what is no
attention goes with u, and cancels. Between its nodes each table is linear, so that many decode steps in a
row are one integral. A test compares with `cost.quantities.round_s` at random points.
"""

from bisect import bisect_right
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np

from optimizer.blocks.step import Step
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import round_s
from optimizer.spec.architecture import Architecture

_SMALL = 64
"""Sequences a lane up to which every number of them has a row of its own."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A function that is linear between its nodes, and on beyond the last two; with its integral."""

    nodes: list[float]
    values: list[float]
    areas: list[float]

    def at(self, x: float) -> float:
        """Its value; that of the first node before it."""
        i = self._piece(x)
        return self.values[i] + self._slope(i) * (x - self.nodes[i])

    def area(self, x: float) -> float:
        """Its integral from the first node."""
        i = self._piece(x)
        over = x - self.nodes[i]
        return self.areas[i] + over * (self.values[i] + self._slope(i) * over / 2)

    def reaches(self, area: float) -> float:
        """Where the integral comes to an area."""
        i = max(0, min(bisect_right(self.areas, area), len(self.nodes) - 1) - 1)
        slope, value, left = self._slope(i), self.values[i], area - self.areas[i]
        root = sqrt(max(0.0, value * value + 2 * slope * left))
        return self.nodes[i] + 2 * left / (value + root)

    def _piece(self, x: float) -> int:
        return max(0, min(bisect_right(self.nodes, x), len(self.nodes) - 1) - 1)

    def _slope(self, i: int) -> float:
        return (self.values[i + 1] - self.values[i]) / (self.nodes[i + 1] - self.nodes[i])


def curve(nodes: Any, values: Any) -> Curve:
    """A curve through points, with at least two nodes that rise."""
    x, y = np.asarray(nodes, float), np.asarray(values, float)
    areas = np.concatenate([[0.0], np.cumsum(np.diff(x) * (y[1:] + y[:-1]) / 2)])
    return Curve(x.tolist(), y.tolist(), areas.tolist())


@dataclass(frozen=True, eq=False)
class Decoding:
    """Steps of one number of sequences: by their mean context, and what prompts add."""

    steps: Curve
    prompts: Curve

    def seconds(self, context: float, steps: int, gained: float) -> float:
        """Of so many steps, from a mean context on that grows by `gained` a step."""
        start = context - gained / 2
        return (self.steps.area(start + steps * gained) - self.steps.area(start)) / gained

    def reaching(self, context: float, seconds: float, gained: float) -> int:
        """The fewest steps that take so long."""
        start = context - gained / 2
        end = self.steps.reaches(self.steps.area(start) + seconds * gained)
        return max(1, ceil((end - start) / gained - 1e-9))


class StepTimes:
    """The tables of one replica."""

    def __init__(self, frame: Frame, architecture: Architecture, most_batch: int, most_context: int) -> None:
        """`most_batch`: sequences that the whole replica runs together at most."""
        self._frame, self._architecture = frame, architecture
        lanes = frame.split.lanes
        self.lanes = lanes
        each = max(1.0, most_batch / lanes)
        self._batches = np.unique(np.r_[1.0 : min(each, _SMALL) + 1, np.geomspace(1, max(each, 2.0), 40)])
        self._contexts = np.unique(np.r_[0.0, np.geomspace(1, max(2, most_context), 48)])
        self._tokens = np.unique(np.r_[0.0, np.geomspace(1, max(2, frame.step_tokens), 28)])
        self._decodes = self._table(self._contexts, self._batches, prompts=False)
        self._beside = self._table(self._tokens, self._batches, prompts=True)
        self._known: dict[int, Decoding] = {0: self._no_decodes()}
        self._prefixes = np.unique(np.r_[0.0, np.geomspace(256, max(512, most_context), 10)])
        self._lengths = [1.0, *np.geomspace(8, max(32, frame.step_tokens), 20).tolist()]
        self._prompts = [self._prompts_of(u) for u in self._lengths]

    def decoding(self, batch: int) -> Decoding:
        """Steps of so many sequences of the whole replica."""
        if batch not in self._known:
            each = max(1.0, batch / self.lanes)
            self._known[batch] = Decoding(
                curve(self._contexts, _between(self._batches, self._decodes, each)),
                curve(self._tokens, _between(self._batches, self._beside, each)),
            )
        return self._known[batch]

    def seconds(self, batch: int, context: float, chunks: list[tuple[int, int]]) -> float:
        """A step of `batch` sequences with a mean context, and chunks (tokens, cached tokens before them).

        Chunks are spread over the lanes; one that is longer than its share keeps its attention rank busy.
        """
        own = self.decoding(batch)
        seconds = own.steps.at(context) if batch else 0.0
        if not chunks:
            return float(seconds)
        total, split = sum(tokens for tokens, _ in chunks), self._frame.split
        longest = max(tokens for tokens, _ in chunks)
        lane = max(total / split.data_parallel, longest) / split.pipeline_parallel
        apart = sum(self._prompt(tokens, prefix) for tokens, prefix in chunks) * lane / total
        return float(seconds + own.prompts.at(lane) + apart - self._prompt(lane, 0.0))

    def lag(self, batch: int, tokens: float) -> float:
        """Seconds by which the last chunk of a prompt leaves a pipeline after the round that it counts for.

        A round is as long as its work is spread over all stages; alone, a chunk goes from stage to stage.
        """
        stages = self._frame.split.pipeline_parallel
        if stages == 1:
            return 0.0
        own, chunk = self.decoding(batch).prompts, min(tokens, self._frame.step_tokens)
        return float(own.at(chunk) - own.at(chunk / stages))

    def _prompt(self, tokens: float, prefix: float) -> float:
        """X: a prompt of so many tokens behind so many."""
        i = max(0, min(bisect_right(self._lengths, tokens), len(self._lengths) - 1) - 1)
        low, high = self._lengths[i], self._lengths[i + 1]
        share = (tokens - low) / (high - low)
        return float((1 - share) * self._prompts[i].at(prefix) + share * self._prompts[i + 1].at(prefix))

    def _prompts_of(self, tokens: float) -> Curve:
        rows = self._frame.step_tokens
        own = [self._step(0.0, 0.0, rows / tokens, tokens, prefix) for prefix in self._prefixes]
        return curve(self._prefixes, tokens / rows * np.array(own))

    def _table(self, columns: Any, batches: Any, prompts: bool) -> Any:
        """Seconds, or what prompts add to them, of shape (batches, columns)."""
        if not prompts:
            return np.stack([self._step(batches, context) for context in columns], axis=1)
        alone = self._step(batches, _CONTEXT)
        added = [self._step(batches, _CONTEXT, 1.0, tokens) - alone for tokens in columns[1:]]
        return np.stack([np.zeros(len(batches)), *added], axis=1)

    def _no_decodes(self) -> Decoding:
        """Prompts alone: a step of none takes nothing, one of any the whole of what steps cost."""
        seconds = [self._step(0.0, 0.0, 1.0, tokens) for tokens in self._tokens[1:]]
        return Decoding(curve([0.0, 1.0], [0.0, 0.0]), curve(self._tokens, [seconds[0], *seconds]))

    def _step(
        self, batch: Any, context: float, prompts: float = 0.0, tokens: float = 0.0, prefix: float = 0.0
    ) -> Any:
        frame = self._frame
        drafted = frame.draft_tokens if np.any(batch) else 0
        step = Step(
            d_model=frame.d_model,
            split=frame.split,
            batch=batch,
            context=context,
            prompts=prompts,
            prompt_tokens=tokens,
            prefix=prefix,
            queries=1 + drafted,
        )
        return round_s(frame, self._architecture, step)


_CONTEXT = 1024.0
"""Behind each sequence where prompts come beside them."""


def _between(batches: Any, table: Any, each: float) -> Any:
    """A row of a table between two numbers of sequences."""
    i = int(np.clip(np.searchsorted(batches, each, side="right") - 1, 0, len(batches) - 2))
    share = (each - batches[i]) / (batches[i + 1] - batches[i])
    return (1 - share) * table[i] + share * table[i + 1]
