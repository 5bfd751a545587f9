"""The rows of one setup in one mode: full replicas at some batches, or loads of requests at random times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.columns.operating_points import BUSY, loads, slots_of
from optimizer.cost.frame import Frame
from optimizer.cost.serving import NONE, Served, aggregated, decode, prefill
from optimizer.cost.under_load import under_load
from optimizer.spec.architecture import Architecture

_SERVED = {"aggregated": aggregated, "prefill": prefill, "decode": decode}


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one setup in one mode, all in fast memory."""

    frame: Frame
    """Its `batch`: an array, the sequences that memory is held for."""
    served: Served
    in_flight: Any = 0.0
    """In the mean, of each row; 0 where replicas are always full."""

    @classmethod
    def full(cls, a: Architecture, frame: Frame, mode: str) -> "Rows":
        """Replicas that are never idle."""
        return cls(frame, _full(a, frame, mode))

    @classmethod
    def at(cls, a: Architecture, frame: Frame, mode: str, percentile: float) -> "Rows":
        """Loads under requests that come at random; the batches of the frame are the slots there may be."""
        if mode == "prefill":
            frame = some_batches(frame, np.repeat(np.arange(len(frame.batch)), len(BUSY)))
            each = frame.batch * np.tile(BUSY, len(frame.batch) // len(BUSY))
            return cls(frame, _prefilling(a, frame, each, percentile), each)
        if not len(frame.batch):
            return cls(frame, Served(np.zeros(0), np.zeros(0), np.zeros(0)), np.zeros(0))
        each = loads(frame.split.lanes, frame.batch[-1])
        own = under_load(mode, frame, a, each, percentile)
        slots = slots_of(own.slots, frame.batch)
        return cls(replace(frame, batch=slots), own.served, each).some(slots > 0)

    def some(self, kept: Any) -> "Rows":
        """Those of a mask or of indices."""

        def of(values: Any) -> Any:
            return values if np.ndim(values) == 0 else values[kept]

        own = self.served
        served = Served(of(own.ttft_s), of(own.tpot_s), of(own.requests_per_s))
        return Rows(some_batches(self.frame, kept), served, of(self.in_flight))

    def no_quicker_than(
        self, a: Architecture, mode: str, percentile: float | None, least: Mapping[str, Any]
    ) -> "Rows":
        """The same with steps that last as long as a slower memory streams."""
        if percentile is None:
            return replace(self, served=_full(a, self.frame, mode, least))
        if mode == "prefill":
            return replace(self, served=_prefilling(a, self.frame, self.in_flight, percentile, least))
        found = under_load(mode, self.frame, a, self.in_flight, percentile, least).served
        streams = np.any([values > 0 for values in least.values()], axis=0)  # the others are as they were
        both = zip(_figures(found), _figures(self.served), strict=True)
        return replace(self, served=Served(*(np.where(streams, slow, fast) for slow, fast in both)))


def _figures(served: Served) -> tuple[Any, Any, Any]:
    return served.ttft_s, served.tpot_s, served.requests_per_s


def _full(a: Architecture, frame: Frame, mode: str, least: Mapping[str, Any] = NONE) -> Served:
    if mode != "prefill":
        return _SERVED[mode](frame, a, least)
    return _by_prompts(frame, least, lambda one, slow, own: prefill(one, a, slow))


def _prefilling(
    a: Architecture, frame: Frame, each: Any, percentile: float, least: Mapping[str, Any] = NONE
) -> Served:
    """Prefill replicas at so many prompts in flight."""

    def priced(one: Frame, slow: Mapping[str, Any], own: Any) -> Served:
        return under_load("prefill", one, a, each[own], percentile, slow).served

    return _by_prompts(frame, least, priced)


def _by_prompts(
    frame: Frame, least: Mapping[str, Any], priced: Callable[[Frame, Mapping[str, Any], Any], Served]
) -> Served:
    """Prefill replicas: those with as many prompts together are priced at once."""
    n = len(frame.batch)
    ttft_s, rate = np.zeros(n), np.zeros(n)
    for together in np.unique(frame.prefill_batch).tolist():
        own = np.broadcast_to(frame.prefill_batch == together, n)
        one = replace(frame, batch=together * frame.split.lanes, prefill_batch=together)
        found = priced(one, {name: values[own] for name, values in least.items()}, own)
        ttft_s[own], rate[own] = found.ttft_s, found.requests_per_s
    return Served(ttft_s, 0.0, rate)


def some_batches(frame: Frame, kept: Any) -> Frame:
    """Those of a mask or of indices."""
    prompts = frame.prefill_batch if np.ndim(frame.prefill_batch) == 0 else frame.prefill_batch[kept]
    return replace(frame, batch=frame.batch[kept], prefill_batch=prompts)
