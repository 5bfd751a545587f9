"""What users of a replica see: first token, tokens after it, and the rate, from the seconds of its steps.

Clients in a closed loop, each sending its next request when the last is answered, are `closed_loop`'s; open
arrivals at a rate are `queueing`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Frame
from optimizer.cost.memory_room import room_bytes
from optimizer.cost.quantities import JOINED, QUANTITIES, n_chunks, passes
from optimizer.spec.architecture import Architecture

_MOST_BUSY = 0.9
Least = Mapping[str, Number]
"""Seconds a step of a phase takes at least, whatever its operators do: as long as a slower memory streams."""
NONE: Least = {}


@dataclass(frozen=True, slots=True)
class Served:
    """Mean seconds to the first token, between later ones, and requests per second, of one replica."""

    ttft_s: Number
    tpot_s: Number
    requests_per_s: Number


def front_s(idle_s: float, busy: float) -> float:
    """Seconds of a request in the server's front, of `idle_s` where it has nothing else to do.

    Answers pass the same server token by token, which is `busy` with them a share of the time (M/M/1).
    """
    return idle_s / (1 - min(_MOST_BUSY, busy))


def most_scheduled(frame: Frame) -> int:
    """Sequences that a replica decodes together at most, memory apart.

    Each step has room for `step_tokens` tokens a rank, and a full batch needs input / output new prompt
    tokens for each token it decodes; pipelines have one step in flight per stage.
    """
    per_sequence = frame.tokens_per_step * (1 + frame.computed_tokens / frame.output_tokens)
    tokens = frame.step_tokens * frame.split.pipeline_parallel / per_sequence
    return max(1, int(min(tokens, frame.engine.max_sequences))) * int(frame.split.data_parallel)


def aggregated(frame: Frame, architecture: Architecture, least: Least = NONE) -> Served:
    """One replica that prefills and decodes, its `frame.batch` sequences always full; an array of batches.

    A prompt arrives in the middle of a step, and then takes its own chunks while the others decode on.
    """
    mixed = np.maximum(QUANTITIES["mixed_s"].total(frame, architecture), least.get("mixed_s", 0.0))
    joined = np.maximum(JOINED.total(frame, architecture), least.get("joined_s", 0.0))
    ttft = mixed / 2 + joined
    tokens_per_s = frame.batch * frame.tokens_per_step / mixed
    return Served(ttft, mixed / frame.tokens_per_step, tokens_per_s / frame.output_tokens)


def prefill(frame: Frame, architecture: Architecture, least: Least = NONE) -> Served:
    """One replica that only prefills, `frame.prefill_batch` prompts at a time on each attention rank."""
    busy = np.maximum(QUANTITIES["prefill_s"].total(frame, architecture), least.get("prefill_s", 0.0))
    stage_s = busy * n_chunks(frame) / passes(frame) / frame.split.pipeline_parallel
    return Served(busy, 0.0, frame.prefill_batch * frame.split.data_parallel / stage_s)


def decode(frame: Frame, architecture: Architecture, least: Least = NONE) -> Served:
    """One replica that only decodes, from caches that others have filled."""
    step = np.maximum(QUANTITIES["decode_s"].total(frame, architecture), least.get("decode_s", 0.0))
    tokens_per_s = frame.batch * frame.tokens_per_step / step
    return Served(0.0, step / frame.tokens_per_step, tokens_per_s / frame.output_tokens)


def largest_batch(frame: Frame, architecture: Architecture) -> int:
    """The most sequences that the engine's schedule and memory let a replica run together, one at least."""
    low, high = 1, most_scheduled(frame) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(replace(frame, batch=middle), architecture) else (low, middle)
    return low


def fits(frame: Frame, architecture: Architecture) -> bool:
    """Whether the batch of a frame has room in what the engine fills of its chips."""
    held = QUANTITIES["memory_bytes"].total(frame, architecture)
    return bool(held <= room_bytes(frame.chip, frame.engine))
