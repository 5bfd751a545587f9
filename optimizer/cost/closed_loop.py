"""What clients in a closed loop see of one replica: the replay of `optimizer.simulation` in closed form.

On each lane of a replica n sequences run, of I prompt and O answer tokens in the mean. With

    d      a decode step                    g    prompts that a step has room for, 1 where each takes several
    a(c)   c prompts alone                  k    steps that they take
    j(c)   c prompts beside n sequences     p    (j(c) - k d) / c, what a prompt adds

all first requests come together and queue (the first alone, then g by g, K = (n - 1) / g of them):

    first  = a(1) + (n - 1)/n [ a(g) (K + 1)/2 + (j(g) - a(g)) (K^2 - 1)/(6 K) ]

A later one comes when the client's last answer ends, with a step, and then passes the front end for f seconds
(evenly 0 to 2 f). Others end in the same step: after w answers their ends lie sigma steps apart,

    sigma^2 = w (spread of lengths^2 + (2 f / step)^2) / 12 + (K^2 - 1)/12
    c       = 1 + (n - 1) max(1/O, (1 + 4 pi sigma^2)^-1/2)          the mean over all w

It waits for the step it meets, m = d + p (those that end a step before), and for those before it, w:

    ttft   = f + max(m / 2, m - f) + w + j(min(c, g))

w is the mean wait of a closed network (mean value analysis, service k or 1/g steps, thinking O - 1 steps) or
half of what of c has no room, whichever is longer. An answer is held up by the prompts that pass meanwhile:

    tpot   = d + p (n - 1 - those that passed before its first token) / (O - 1)

Engines whose prompts have steps of their own (`prompts: alone`) have j = a, p = a(c)/c, and no such queue:
while prompts are computed nobody's answer ends. Clients beyond the places wait for one. The form has no
constant that was fitted; benchmarks/closed_form.py holds it to the replay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, exp, pi, sqrt
from typing import Any

import numpy as np

from optimizer.cost.first_wave import FirstWave, first_wave
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import JOINED, QUANTITIES, Quantity, n_chunks, passes
from optimizer.cost.serving import Served, front_s
from optimizer.spec.architecture import Architecture
from optimizer.spec.protocol import Protocol

_MOST_WAVES = 30
_SETTLED = 4
_NONE = 1e-9


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


def closed_loop(steps: LoopSteps, protocol: Protocol, idle_s: float = 0.0) -> Served:
    """Mean latencies of all requests, and requests per second; `idle_s` is f where the server is idle."""
    own = _Loop(steps, protocol, front_s(idle_s, steps.served_share))
    answer_s = (steps.answer - 1) * own.tpot_s
    first, over = min(1.0, 1 / protocol.per_client), max(0, protocol.clients - steps.places)
    turn_s = (own.later_s + answer_s) / steps.places
    places_s = over * turn_s * (first * over / protocol.clients / 2 + 1 - first)
    ttft_s = first * own.first.ttft_s + (1 - first) * own.later_s + steps.lag_s + places_s
    unseen = min(protocol.stream_interval, steps.answer) - 1
    rate = protocol.clients / (ttft_s + answer_s)
    return Served(ttft_s + unseen * own.tpot_s, own.tpot_s * (1 - unseen / max(1, steps.answer - 1)), rate)


@dataclass(frozen=True)
class _Loop:
    """The parts of the form, in its letters."""

    steps: LoopSteps
    protocol: Protocol
    front_s: float

    @property
    def answer_steps(self) -> float:
        """Steps from the first token to the last."""
        return max(1.0, (self.steps.answer - 1) / self.steps.gained)

    @property
    def groups(self) -> float:
        """K."""
        return max(1.0, (self.steps.places - 1) / self.steps.group)

    @cached_property
    def first(self) -> FirstWave:
        """What those see that all come together."""
        return first_wave(self.steps, self.front_s, self.answer_steps)

    @cached_property
    def _apart(self) -> list[float]:
        """sigma^2 after each answer but the last, in steps^2."""
        own, waves = self.steps, ceil(self.protocol.per_client) - 1
        step_s, together = own.joined_s[0] / own.chunks[0], 1.0
        staggered = (self.groups**2 - 1) / 12 if own.mixes else 0.0
        for _ in range(_SETTLED if self.front_s else 1):
            own_s = (own.spread / own.gained) ** 2 + (2 * self.front_s / step_s) ** 2
            found = [w * own_s / 12 + staggered for w in range(1, min(waves, _MOST_WAVES) + 1)]
            together = min(own.group, self._prompts_at(found, 0))
            step_s = own.joined(together) / own.steps(together)
        return found

    @cached_property
    def _numbers(self) -> tuple[Any, Any]:
        """How many prompts come together, as one sees it, and how often: each other does or not."""
        others = self.steps.places - 1
        share = (self._together - 1) / max(1, others)
        if not 0 < share < 1:
            return np.array([self._together]), np.ones(1)
        n = np.arange(others + 1)
        ways = np.concatenate([[0.0], np.cumsum(np.log((others - n[:-1]) / n[1:]))])
        return 1.0 + n, np.exp(ways + n * np.log(share) + (others - n) * np.log(1 - share))

    @cached_property
    def _price_s(self) -> float:
        """What a prompt adds for itself."""
        numbers, often = self._numbers
        prices = [self.steps.added(min(n, self.steps.group)) for n in numbers]
        return float(np.dot(often, prices))

    @cached_property
    def _together(self) -> float:
        """c."""
        return self._prompts_at(self._apart, 0)

    def _prompts_at(self, apart: list[float], steps: int) -> float:
        """c for 0 steps; those that end a step before, for 1."""
        others, least = self.steps.places - 1, 1 / self.answer_steps
        if not apart:
            return 1.0 - steps
        near = [exp(-steps / (4 * s + _NONE)) / sqrt(1 + 4 * pi * s) for s in apart]
        return (1 - steps) + others * float(np.mean([max(least, own) for own in near]))

    @cached_property
    def later_s(self) -> float:
        """TTFT of all others."""
        own, together = self.steps, self._together
        now = min(together, own.group)
        before = min(own.group, self._prompts_at(self._apart, 1)) if own.mixes else 0.0
        met_s = (own.decode_s + before * own.added(now)) * (own.places > 1)
        met_s = max(met_s / 2, met_s - self.front_s)
        met_s = met_s if self._wait_s <= met_s else 0.0
        ttft_s = self.front_s + met_s + self._wait_s + own.joined(now)
        return ttft_s + self._alone * (self.first.ttft_s - ttft_s)

    @property
    def _alone(self) -> float:
        """How often nobody decodes when one comes, as at the beginning: all have ended in its step."""
        if self.steps.mixes or not self._apart:
            return 0.0
        near = float(np.mean([1 / sqrt(1 + 4 * pi * s) for s in self._apart]))
        return float(near ** (self.steps.places - 1))

    @cached_property
    def _wait_s(self) -> float:
        """For prompts that came before."""
        own, together = self.steps, self._together
        clump_s = own.joined(min(together, own.group)) * max(0.0, together / own.group - 1) / 2
        if not own.mixes:
            return clump_s
        several = own.chunks[0] > 1 and own.ranks == 1
        service = own.chunks[0] if several else 1 / own.group
        thinking = self.answer_steps + self.front_s / own.decode_s
        queued = _mean_value(service, thinking, own.places)
        step_s = own.joined_s[0] / own.chunks[0] if several else own.joined_s[-1]
        return max(clump_s, step_s * max(0.0, queued - max(1.0, service)))

    @cached_property
    def tpot_s(self) -> float:
        """Seconds between tokens."""
        own, together = self.steps, self._together
        now, first = min(together, own.group), min(1.0, 1 / self.protocol.per_client)
        passed = now - 1 + self._wait_s / (own.joined(now) / now)
        later_s = max(0.0, own.places - 1 - passed) * self._price_s
        held_s = first * self.first.held_s + (1 - first) * later_s - own.lag_s
        step_s = own.decode_s + held_s / self.answer_steps
        if own.mixes:  # no step is longer than one full of prompts
            step_s = min(step_s, max(own.decode_s, own.joined_s[-1] / own.chunks[-1]))
        return step_s / own.gained


def _mean_value(service: float, thinking: float, customers: int) -> float:
    """Mean time at a queue of deterministic service in a closed network (Reiser and Lavenberg, 1980).

    What is under way when one comes has half of its service left.
    """
    queue = busy = 0.0
    stay = service
    for n in range(1, customers + 1):
        stay = max(service, service * (1 + queue - busy / 2))
        rate = n / (stay + thinking)
        queue, busy = rate * stay, min(1.0, rate * service)
    return stay
