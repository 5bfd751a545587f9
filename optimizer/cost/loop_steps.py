"""Seconds of the steps of a replica whose clients all run: what `cost.closed_loop` is a form of.

A prompt lies on one attention rank, whose step the others wait for, so that as many prompts as ranks take as
long as one. Its chunks are spread over the stages of a pipeline.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.cost.frame import Frame
from optimizer.cost.quantities import JOINED, QUANTITIES, Quantity, n_chunks, passes
from optimizer.spec.architecture import Architecture
from optimizer.spec.protocol import Protocol


@dataclass(frozen=True)
class LoopSteps:
    """Seconds of the steps of a replica whose places are full, for requests of mean length."""

    places: int
    """Sequences that run together."""
    answer: int
    """Tokens of it."""
    spread: float
    """Tokens between the shortest and the longest answer."""
    decode_s: float
    prompts: Sequence[float]
    """One, as many as there are attention ranks, and a group: what a step has room for."""
    alone_s: Sequence[float]
    """Of so many prompts."""
    joined_s: Sequence[float]
    """The same beside the sequences that decode, or alone again where the engine does not mix them."""
    chunks: Sequence[float]
    """Steps that they take."""
    mixes: bool
    served_share: float
    """Of a step that the server needs for the tokens of all its sequences."""
    gained: float = 1.0
    ranks: int = 1
    """Attention ranks; a prompt lies on one, and all wait for it."""
    lag_s: float = 0.0
    """Of a first token behind its step, at the end of a pipeline."""

    @property
    def group(self) -> float:
        """g."""
        return self.prompts[-1]

    def joined(self, prompts: float) -> float:
        """Seconds of so many prompts, at most a group."""
        return float(np.interp(prompts, self.prompts, self.joined_s))

    def taken(self, prompts: float, beside: float) -> float:
        """The same beside a share of the places that decode."""
        alone = float(np.interp(prompts, self.prompts, self.alone_s))
        return alone + beside * (self.joined(prompts) - alone)

    def steps(self, prompts: float) -> float:
        """Steps that they take."""
        return float(np.interp(prompts, self.prompts, self.chunks))

    def added(self, prompts: float) -> float:
        """Seconds that each of so many prompts adds."""
        beside = self.steps(prompts) * self.decode_s if self.mixes else 0.0
        return max(0.0, self.joined(prompts) - beside) / prompts


def loop_steps(frame: Frame, architecture: Architecture, places: int, protocol: Protocol) -> LoopSteps:
    """The steps of a replica with so many places at most. Its lengths are the nominal ones."""
    own, split = min(protocol.clients, places), frame.split
    answer, nominal = protocol.mean(frame.output_tokens), frame.output_tokens
    at = replace(frame, input_tokens=protocol.mean(frame.input_tokens), output_tokens=answer, batch=own)
    room = at.step_tokens / at.computed_tokens
    group = max(1.0, min(own - 1, room * split.lanes))
    mixes = frame.engine.prompts == "beside" and own > 1
    decode_s = float(QUANTITIES["decode_s"].total(at, architecture))
    prompts = sorted({1.0, min(float(split.data_parallel), group), group})
    each = [
        replace(at, prefill_batch=max(n / split.data_parallel, 1) / split.pipeline_parallel) for n in prompts
    ]
    alone = [_rounds_s(QUANTITIES["prefill_s"], f, architecture) for f in each]
    return LoopSteps(
        places=own,
        answer=answer,
        spread=(1 - protocol.range_ratio) * nominal,
        decode_s=decode_s,
        prompts=prompts,
        alone_s=alone,
        joined_s=[_rounds_s(JOINED, f, architecture) for f in each] if mixes else alone,
        chunks=[float(n_chunks(f)) for f in each],
        mixes=mixes,
        ranks=split.data_parallel,
        lag_s=_lag_s(at, architecture),
        served_share=own * frame.engine.host_us_per_sequence * 1e-6 / decode_s,
        gained=frame.tokens_per_step,
    )


def _rounds_s(quantity: Quantity, frame: Frame, architecture: Architecture) -> float:
    """Seconds of the rounds that the prompts of a lane take, of its whole pipeline."""
    return float(quantity.total(frame, architecture) / passes(frame) * n_chunks(frame))


def _lag_s(frame: Frame, architecture: Architecture) -> float:
    """By which a last chunk leaves the pipeline after its round (`simulation.step_times`)."""
    stages, chunk = (
        frame.split.pipeline_parallel,
        min(1.0, frame.step_tokens / frame.computed_tokens * (1 - 1e-9)),
    )
    if stages == 1:
        return 0.0
    whole, own = (
        _rounds_s(QUANTITIES["prefill_s"], replace(frame, prefill_batch=chunk / n), architecture)
        for n in (1, stages)
    )
    return whole - own
