"""Batches of one setup whose weights and cache spill into the chip's second tier of memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.memory_parts import memory_parts
from optimizer.cost.overflow import in_fast_memory, placement, streamed_s
from optimizer.errors import InputError
from optimizer.spec.architecture import Architecture


@dataclass(frozen=True, eq=False)
class Overflowing:
    """The batches that both tiers together hold, and what the slow one means for each."""

    kept: Any
    """Which of the frame's batches these are."""
    least: Mapping[str, Any]
    """Seconds a step of each phase lasts at least (`cost.serving`)."""
    memory_gib: Any
    """In the fast memory of one chip, room for layers on their way included."""
    second_tier_gib: Any


def overflowing(frame: Frame, architecture: Architecture, share: float) -> Overflowing:
    """Place every batch of a frame; `share` of the usable fast memory may be filled.

    InputError if the chip has no second tier, or the replica more than tensor parallelism, or no batch fits.
    """
    tier = frame.chip.second_tier
    if tier is None:
        raise InputError(f"{frame.chip.name} has no second tier of memory")
    if frame.n_chips > frame.split.tensor_parallel:
        raise InputError("second_tier goes with tensor parallelism alone")
    n = len(frame.batch)
    parts = {name: np.broadcast_to(v, n) for name, v in memory_parts(frame, architecture).items()}
    prompts = np.broadcast_to(frame.prefill_batch, n)
    kept: list[int] = []
    rows: list[dict[str, Any]] = []
    for i in range(n):
        own = {name: float(v[i]) for name, v in parts.items()}
        one = replace(frame, batch=int(frame.batch[i]), prefill_batch=int(prompts[i]))
        try:
            placed = placement(one, architecture, tier, own, share)
        except InputError:  # this batch is too large for both tiers
            continue
        kept.append(i)
        fast = sum(in_fast_memory(one, own, placed).values())
        slow = placed.slow_bytes / memory.GIB
        rows.append({**streamed_s(one, tier, own, placed), "fast": fast, "slow": slow})
    if not rows:
        raise InputError(f"{frame.chip.name}'s two tiers of memory are too small")
    found = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    return Overflowing(
        kept=np.array(kept),
        memory_gib=found.pop("fast"),
        second_tier_gib=found.pop("slow"),
        least=found,
    )
