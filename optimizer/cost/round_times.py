"""Seconds of a round of a replica that serves prompts, by how many: a table over the prompts of a lane.

A round is a step of every lane. A prompt lies on one attention rank, whose round the others wait for, and
its chunks are spread over the stages of a pipeline; s prompts are on each lane

    y = max(s / ranks, what a round does of one) / stages
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.cost.frame import Frame
from optimizer.cost.quantities import JOINED, QUANTITIES, n_chunks, passes
from optimizer.cost.serving import Least
from optimizer.spec.architecture import Architecture

_PROMPTS = (1.0, 6.0, 64.0)
"""Of a lane, where there is room for so many."""
_ROOM_LEFT = 0.1
"""Of a step at least, where sequences that decode take the rest."""


@dataclass(frozen=True, eq=False)
class RoundTimes:
    """Arrays have a row for each load."""

    decode_s: Any
    """d: a round without prompts."""
    sequence_s: Any
    """What one more sequence adds to it."""
    prompts: Any
    """y, of shape (n,)."""
    seconds: Any
    """Of shape (loads, n); none of a decode step where prompts have rounds of their own."""
    room: Any
    """g: prompts that a round has room for, of shape (loads,)."""
    of_one: float
    """Of one prompt what a round does at most."""
    ranks: int
    stages: int
    lane_room: float
    mixes: bool

    def of(self, served: Any) -> Any:
        """Seconds of a round that serves so many; a row for each load."""
        rows = served.reshape(len(served), -1)
        lane = np.maximum(rows / self.ranks, np.minimum(rows, self.of_one)) / self.stages
        return self._at(lane).reshape(served.shape)

    def from_none(self, served: Any) -> Any:
        """The same for states of which the first serves none: a decode step."""
        found = self.of(served)
        found[:, 0] = self.decode_s
        return found

    def without(self, sequences: Any) -> "RoundTimes":
        """Beside so many fewer sequences that decode."""
        less = sequences * self.sequence_s
        seconds = self.seconds - less[:, None] if self.mixes else self.seconds
        return replace(self, decode_s=self.decode_s - less, seconds=seconds)

    @property
    def empty_room(self) -> float:
        """Prompts that a round has room for where nobody decodes."""
        return self.lane_room * self.ranks * self.stages

    @property
    def beside_s(self) -> Any:
        """What a round with prompts has of a decode step."""
        return self.decode_s if self.mixes else 0.0 * self.decode_s

    @property
    def lag_s(self) -> Any:
        """By which the last chunk of a prompt leaves a pipeline after its round (`simulation.step_times`)."""
        if self.stages == 1:
            return 0.0
        chunk = min(1.0, self.lane_room) * np.ones((len(self.seconds), 1))
        return (self._at(chunk) - self._at(chunk / self.stages))[:, 0]

    @property
    def alone_s(self) -> Any:
        """Of a prompt that meets nobody, from its first round to its last."""
        full = np.minimum(self.of_one, self.room)[:, None]
        before = np.ceil(1 / full - 1e-9) - 1
        return (before * self.of(full) + self.of(1 - before * full))[:, 0] + self.lag_s

    def _at(self, lane: Any) -> Any:
        """Of so many prompts of each lane."""
        found: Any = self.seconds[:, :1]
        for i, slope in enumerate(np.moveaxis(self._slopes, 1, 0)):
            last = i == len(self.prompts) - 2
            within = (
                lane - self.prompts[i] if last else np.minimum(lane, self.prompts[i + 1]) - self.prompts[i]
            )
            found = found + slope[:, None] * (np.maximum(within, 0.0) if i else within)
        return found

    @cached_property
    def _slopes(self) -> Any:
        return np.diff(self.seconds, axis=1) / np.diff(self.prompts)


def round_times(frame: Frame, architecture: Architecture, least: Least, decoding: Any) -> RoundTimes:
    """Rounds beside so many sequences that decode, an array; `frame.batch` counts for nothing."""
    split, mixes, n = frame.split, frame.engine.prompts == "beside", len(decoding)
    tokens = frame.step_tokens - (decoding / split.lanes * (1 + frame.draft_tokens) if mixes else 0.0)
    tokens = np.maximum(_ROOM_LEFT * frame.step_tokens, tokens)
    lane_room = frame.step_tokens / frame.computed_tokens
    nodes = {1 / split.pipeline_parallel, *_PROMPTS} | ({min(1.0, lane_room) / 8} if lane_room < 4 else set())
    nodes = {min(y, lane_room * (1 - 1e-9)) for y in nodes}
    quantity, name = (JOINED, "joined_s") if mixes else (QUANTITIES["prefill_s"], "prefill_s")
    floor = least.get(name, 0.0) / n_chunks(replace(frame, prefill_batch=1))
    more = split.lanes * np.maximum(0.5, np.sqrt(decoding / split.lanes))
    both = replace(frame, batch=np.concatenate([decoding, decoding + more]))
    alone, fuller = np.split(QUANTITIES["decode_s"].total(both, architecture), 2)
    decode_s = np.maximum(alone, least.get("decode_s", 0.0))
    rows = [decode_s if mixes else np.zeros(n)]
    for prompts in sorted(nodes):
        own = replace(frame, batch=decoding, prefill_batch=prompts)
        rows.append(np.maximum(quantity.total(own, architecture) / passes(own), floor) + np.zeros(n))
    return RoundTimes(
        decode_s=decode_s,
        sequence_s=np.maximum(0.0, fuller - alone) / more,
        prompts=np.array([0.0, *sorted(nodes)]),
        seconds=np.maximum.accumulate(np.stack(rows, axis=1), axis=1),
        room=tokens * split.lanes / frame.computed_tokens + np.zeros(n),
        of_one=min(1.0, lane_room * split.pipeline_parallel),
        ranks=split.data_parallel,
        stages=split.pipeline_parallel,
        lane_room=lane_room,
        mixes=mixes,
    )
