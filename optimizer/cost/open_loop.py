"""What requests that come at random see of one replica, at the rate that keeps so many in flight.

On each lane l requests a second come, each of O tokens, in k = 1 or several steps of its prompt. With

    d    a decode step                          P    what one more prompt adds to a step
    g    prompts that a step has room for       F    what the first adds beyond that

work is conserved: of each second l p goes to prompts, p = (F + m P)/m of m prompts that share a step, and the
rest to decode steps,

    tpot = d / (1 - l p),    b = rate O tpot        b: sequences in flight (Little)

A request that comes meets a step, on average one as long as C* = E[C^2] / E[C], and waits for half of it;
its own step then takes d + F + P (1 + n), n = min(l C*, g - 1) others that came meanwhile. Steps beget steps:
C = d + p Poisson(l C'), so its second and third central moments are p^k l E[C] / (1 - (l p)^k).
Near the rate at which all steps are full the queue is that of a server of batches of g, each as long:

    ttft = C*/2 + d + F + P (1 + n) + (s/g) r^g / (2 (1 - r))        s = d + F + g P, r = l s / g

and where a prompt takes several steps a queue of them with vacations of d (Pollaczek and Khinchine; Levy and
Yechiali): ttft = l S^2 / (2 (1 - l S)) + d/2 + S, S = k d + P. Engines whose prompts have steps of their own
have no d in theirs. Percentiles: what waiting adds to the shortest ttft as a gamma distribution of its mean
and variance; tpot normal, by the number in flight (Poisson) and by the prompts that pass (Poisson). Short
answers are made in busy times, for their own prompt came then: a first step's excess fades with l P a step.

No constant is fitted; benchmarks/closed_form.py holds the form to the replay.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.crowding import rises
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import JOINED, QUANTITIES, n_chunks
from optimizer.cost.serving import NONE, Least, Served
from optimizer.spec.architecture import Architecture

_TOGETHER = 8.0
"""Prompts in a step from which the next one's price is taken, where there is room."""
_FULL = 60.0
"""Prompts a step from which the queue behind full steps is nothing before they are full."""
_ROUNDS = 6


@dataclass(frozen=True)
class OpenLoop:
    """Latencies of a replica, or of an array of batches."""

    requests_per_s: Number
    ttft_s: Number
    shortest_s: Number
    """Of a prompt that meets nobody."""
    ttft_variance: Number
    tpot_s: Number
    tpot_deviation: Number
    crowding: Number = 1.0
    """Variance of the number in flight over its mean: 1 is Poisson's; more where full replicas are slow."""

    def served(self, percentile: float | None = None) -> Served:
        """Means, or what a percentile of requests does not exceed (95)."""
        if percentile is None:
            return Served(self.ttft_s, self.tpot_s, self.requests_per_s)
        z = NormalDist().inv_cdf(percentile / 100)
        waiting = gamma_quantile(self.ttft_s - self.shortest_s, self.ttft_variance, z)
        return Served(self.shortest_s + waiting, self.tpot_s + z * self.tpot_deviation, self.requests_per_s)


def gamma_quantile(mean: Number, variance: Number, z: float) -> Number:
    """Quantile of a gamma distribution (Wilson and Hilferty, 1931), z that of the normal one."""
    mean = np.maximum(mean, 0.0)
    spread = variance / np.maximum(9 * mean * mean, 1e-300)
    return mean * np.maximum(0.0, 1 - spread + z * np.sqrt(spread)) ** 3


def open_loop(frame: Frame, architecture: Architecture, least: Least = NONE) -> OpenLoop:
    """A replica that prefills and decodes, at the rate that keeps `frame.batch` sequences in flight.

    Latencies are infinite where prompts alone take all of its time.
    """
    own = _Steps.of(frame, architecture, least)
    ttft, shortest, variance = own.several_steps() if own.several else own.shared_steps()
    possible = own.busy < 1
    return OpenLoop(
        requests_per_s=own.rate * frame.split.lanes,
        ttft_s=np.where(possible, ttft, np.inf),
        shortest_s=shortest,
        ttft_variance=np.where(possible, np.maximum(variance, 0.0), 0.0),
        tpot_s=_tpot_s(own),
        tpot_deviation=_tpot_deviation(own),
        crowding=own.crowding,
    )


def _fuller(frame: Frame) -> Frame:
    """One deviation more of the sequences on each lane."""
    flying = frame.batch / frame.split.lanes
    return replace(frame, batch=frame.split.lanes * (flying + np.sqrt(flying)))


@dataclass(frozen=True)
class _Steps:
    """The parts of the form, in its letters; arrays where batches are."""

    d: Number
    d_fuller: Number
    """d with as many more sequences as one deviation of their number."""
    flying: Number
    """Sequences of a lane in the mean."""
    one: Number
    """A prompt from its first step to its last, decode steps beside it included."""
    first: Number
    """F; below 0 where the first hides behind what decoding reads."""
    more: Number
    """P."""
    room: float
    """g."""
    several: bool
    steps_of_a_prompt: float
    answer: float
    """Steps of an answer."""
    gained: float
    per_step: Number
    """Prompts that come for each decode step."""
    mixes: bool

    @classmethod
    def of(cls, frame: Frame, architecture: Architecture, least: Least) -> "_Steps":
        """Priced."""
        several = frame.computed_tokens > frame.step_tokens
        room = 1.0 if several else frame.step_tokens / frame.computed_tokens
        mixes = frame.engine.prompts == "beside"
        k = float(n_chunks(replace(frame, prefill_batch=1)))
        d, one = _seconds(frame, architecture, least, mixes, 1.0)
        flying = frame.batch / frame.split.lanes
        together = min(room, _TOGETHER)
        alone = one - (k * d if mixes else 0.0)
        more = alone
        if together > 1:
            more = (_seconds(frame, architecture, least, mixes, together)[1] - one) / (together - 1)
        answer = frame.output_tokens / frame.tokens_per_step
        return cls(
            d=d,
            d_fuller=QUANTITIES["decode_s"].total(_fuller(frame), architecture),
            one=one,
            first=alone - more,
            more=np.maximum(0.0, more),
            room=room,
            several=several,
            steps_of_a_prompt=k,
            answer=max(1.0, answer),
            gained=frame.tokens_per_step,
            flying=flying,
            per_step=flying / answer,
            mixes=mixes,
        )

    @cached_property
    def together(self) -> Number:
        """m: prompts that share a step with any."""
        if self.several or self.room <= 1:
            return 1.0
        if self.mixes:
            q = self.per_step
            return np.clip(q / -np.expm1(-q), 1.0, self.room)
        m: Number = 1.0
        for _ in range(_ROUNDS):
            p = (self.first + m * self.more) / m
            rate = self.per_step / (self.d + self.per_step * p)
            met = (1 - rate * p) * self.d + rate * p * (self.first + m * self.more)
            m = np.clip(1 + rate * met, 1.0, self.room)
        return m

    @cached_property
    def price(self) -> Number:
        """p."""
        return (self.first + self.together * self.more) / self.together

    @cached_property
    def step(self) -> Number:
        """Seconds for a token of each sequence, prompts included."""
        return self.d + self.per_step * self.price

    @cached_property
    def rate(self) -> Number:
        """l."""
        return self.per_step / self.step

    @cached_property
    def crowding(self) -> Number:
        """From one deviation more of the sequences in flight."""
        share = 1 + 1 / np.sqrt(self.flying)
        fuller = self.d_fuller + share * self.per_step * self.price
        return 1 / rises(share, self.step, fuller)

    @cached_property
    def full(self) -> Number:
        """Share of its time that a lane would need with full steps of prompts."""
        return self.rate * (self._beside + self.first + self.room * self.more) / self.room

    @cached_property
    def busy(self) -> Number:
        """Share of the time that prompts take, the decode steps beside them included."""
        return self.rate * self.one if self.several else self.full

    @property
    def _beside(self) -> Number:
        return self.d if self.mixes else 0.0

    def several_steps(self) -> tuple[Number, Number, Number]:
        """ttft, the shortest, and the variance, where a prompt takes several steps."""
        idle = np.maximum(1e-9, 1 - self.busy)
        wait = self.rate * self.one**2 / (2 * idle)
        variance = wait * wait + self.rate * self.one**3 / (3 * idle) + self.d**2 / 12
        return wait + self.d / 2 + self.one, self.one, variance

    def shared_steps(self) -> tuple[Number, Number, Number]:
        """The same where prompts share steps."""
        first, more, rate = self.first, self.more, self.rate
        shortest = self._beside + first + more
        queued = self._queued()
        if self.mixes:
            mean, price = self.step, self.price
            second, third = (
                price**k * self.per_step / np.maximum(0.02, 1 - (rate * price) ** k) for k in (2, 3)
            )
            met = mean + second / mean
            cubes = mean**2 + 3 * second + third / mean  # E[C^3] / E[C]
            others = np.minimum(rate * met, self.room - 1)
            share = others / np.maximum(1e-12, met) * more
            variance = cubes / 3 - met**2 / 4 + more**2 * others + queued**2
            variance = variance + (share + share**2) * (cubes - met**2)
            return met / 2 + shortest + more * others + queued, shortest, variance
        busy, own = rate * self.price, first + self.together * more
        behind = own * (1 - 1 / self.room)
        others = np.minimum(rate * ((1 - busy) * self.d + busy * own), self.room - 1)
        ttft = (1 - busy) * self.d / 2 + busy * behind / 2 + shortest + more * others + queued
        variance = (1 - busy) * self.d**2 / 12 + busy * own * behind / 3 + more**2 * others + queued**2
        return ttft, shortest, variance

    def _queued(self) -> Number:
        """Behind full steps."""
        if self.room >= _FULL:
            return 0.0
        r = np.minimum(self.full, 1 - 1e-9)
        return r / self.rate * r**self.room / (2 * (1 - r))


def _tpot_s(own: _Steps) -> Number:
    """The mean of answers, short ones in the busy time that their own prompt made."""
    later = max(1.0, own.answer - 1)
    if own.several and own.mixes:
        started = own.rate * own.steps_of_a_prompt * own.step
        excess = np.maximum(0.0, own.busy - started) * (own.one / own.steps_of_a_prompt - own.d)
        fades = np.minimum(1.0, own.steps_of_a_prompt / np.maximum(1e-9, 1 - own.busy) / later)
    elif own.mixes:
        begets = np.minimum(0.98, own.rate * own.more)
        after = own.d + own.rate * own.more * (own.d + own.first + own.more)
        excess = np.maximum(0.0, after - own.step)
        fades = (1 - begets**later) / (later * (1 - begets))
    else:
        made = own.first + own.together * own.more
        behind = 2 * np.maximum(1e-9, 1 - own.busy) if own.several else 1.0
        excess, fades = own.rate * own.price * made / behind, 1 / later
    return (own.step + excess * fades) / own.gained


def _tpot_deviation(own: _Steps) -> Number:
    """Of the mean of an answer.

    Each request that comes while it is made passes once as a prompt, then runs beside it for what is left;
    one that came before runs beside it for a while: the mean number beside it is the arrivals', weighed by a
    triangle of two lives (2/3 and 1/2 are its square and its half). What takes longer meets more arrivals.
    """
    came = own.rate * own.answer * own.step
    crowd = own.answer * (own.d_fuller - own.d) / np.sqrt(own.flying)
    each = 2 / 3 * crowd**2 + own.price**2 + crowd * own.price
    lasts = np.maximum(0.05, 1 - own.rate * own.price)
    return np.sqrt(came * each) / lasts / max(1.0, own.answer - 1) / own.gained


def _seconds(
    frame: Frame, architecture: Architecture, least: Least, mixes: bool, prompts: float
) -> tuple[Number, Number]:
    """A decode step, and so many prompts on each attention rank."""
    at = replace(frame, prefill_batch=prompts)
    quantity, name = (JOINED, "joined_s") if mixes else (QUANTITIES["prefill_s"], "prefill_s")
    decode = np.maximum(QUANTITIES["decode_s"].total(frame, architecture), least.get("decode_s", 0.0))
    return decode, np.maximum(quantity.total(at, architecture), least.get(name, 0.0))
