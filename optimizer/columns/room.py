"""What replicas have room for, asked of the cost model where a question is about it.

Rows of one setup are asked of at once: where the chips of a replica lie changes no memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.columns.replica import common
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.memory_tokens import has_room
from optimizer.metrics import metric
from optimizer.spec.architecture import Architecture
from optimizer.spec.deployment import ReplicaSpace, Traffic
from optimizer.spec.split import DEGREES, FORMATS, formats_of, split_of

_SETUP = ("chip", "engine", *DEGREES, *FORMATS)


@dataclass(frozen=True, eq=False)
class Room:
    """The rows of a table that the cost model priced, and what it says of their memory."""

    replicas: Replicas
    supplies: Sequence[Supply]
    architecture: Architecture
    space: ReplicaSpace
    traffic: Traffic

    def tokens(self, name: str) -> Any:
        """A metric of what each row has room for; 0 for phases that count none."""
        module = metric(name, "held")
        return self._of_rows(lambda frame: module.held(frame, self.architecture), 0.0, module.COUNTED_IN)

    def reaches(self, name: str, tokens: float) -> Any:
        """Whether each row has room for so many tokens in the sense of a metric; phases that need not do."""
        module = metric(name, "holding")

        def holds(frame: Frame) -> Any:
            return has_room(module.holding(frame, tokens), self.architecture)

        return self._of_rows(holds, True, module.COUNTED_IN)

    def _of_rows(self, of: Callable[[Frame], Any], otherwise: Any, phases: Sequence[str]) -> Any:
        found = np.full(len(self.replicas), otherwise)
        for frame, rows in self._setups:
            found[rows] = of(frame)
        return np.where(np.isin(self.replicas.mode, phases), found, otherwise)

    @cached_property
    def _setups(self) -> list[tuple[Frame, Any]]:
        """The frame of each setup with the batches of its rows, and the rows."""
        r = self.replicas
        rows: dict[tuple[Any, ...], list[int]] = {}
        for row, key in enumerate(zip(*(getattr(r, name).tolist() for name in _SETUP), strict=True)):
            rows.setdefault(key, []).append(row)
        found = []
        for key, own in rows.items():
            said = dict(zip(_SETUP, key, strict=True))
            at = np.array(own)
            setup = common(self.space, self.traffic, said["engine"])
            setup = replace(setup, **vars(split_of(said)), **vars(formats_of(said)), batch=r.batch[at])
            chip = next(s.known for s in self.supplies if s.name == said["chip"])
            found.append((self._prompts(frame_of(self.architecture, chip, setup), r.mode[at]), at))
        return found

    def _prompts(self, frame: Frame, modes: Any) -> Frame:
        """With the prompts that replicas for prompts alone take together."""
        together = np.where(modes == "prefill", frame.batch // frame.split.lanes, 1)
        return replace(frame, prefill_batch=together)
