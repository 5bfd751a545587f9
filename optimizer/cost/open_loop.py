"""What requests that come at random see of one replica, at the rate that keeps so many in flight.

l requests a second come, each of O tokens. Prompts wait for rounds of the replica (`cost.rounds`), which take
T(s) seconds for s prompts (`cost.round_times`) beside

    n = l (O - 1) tpot        sequences that decode (Little); a token's own sequence sees one more

Work is conserved: with d a round without prompts, and p = E[T - d] / E[s] what each prompt adds,

    l = b / O / (d + b / O p)           b: sequences in flight

First tokens are those of `cost.waits`, their percentiles those of a gamma distribution of three moments.
Answers are those of `cost.answers`; their variance is that of their rounds, and of the number beside them:
each request that comes meanwhile runs beside an answer for what is left, one that was there for a while (the
arrivals, weighed by a triangle of two lives: 2/3 and 1/2 are its square and its half).

The number in flight is a branching process, each prompt letting l p others come, and each sequence, beside
the others for half of its time, l (O - 1) d' / 2 more, d' what one more adds to a step: its variance is
b / (1 - l p - l (O - 1) d' / 2)^2 (Consul and Jain, 1973); what others add to an answer varies as much more.
No constant is fitted; benchmarks/closed_form.py compares with the replay.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.answers import Answers
from optimizer.cost.frame import Frame
from optimizer.cost.round_times import RoundTimes, round_times
from optimizer.cost.rounds import Rounds, grid
from optimizer.cost.serving import NONE, Least, Served
from optimizer.cost.waits import Waits
from optimizer.spec.architecture import Architecture

_LOADS = np.array([0.01, *(0.05 * 2 ** (i / 2) for i in range(35))])
"""Sequences in flight on a lane that the chain is solved for; others lie between them."""
_NEAR = (0.25, 0.5, 0.75)
"""Of the way, in powers, from the last of them that leaves prompts time to the next: solved for as well."""
_ROUNDS = 5
_SETTLED = 5e-3
"""Of a rate."""
_BUSIEST = 0.985
"""Of the rate that full rounds of prompts would serve."""
_DEEP = 120.0
"""Full rounds that may wait."""


@dataclass(frozen=True)
class OpenLoop:
    """Latencies of a replica, or of an array of numbers in flight."""

    batch: Number
    """In flight in the mean."""
    requests_per_s: Number
    ttft_s: Number
    shortest_s: Number
    """Of a prompt that meets nobody."""
    ttft_deviation: Number
    ttft_skewness: Number
    tpot_s: Number
    decode_s: Number
    """Between tokens where no prompt passes."""
    tpot_deviation: Number
    flying_deviation: Number
    """Of the number in flight."""

    def served(self, percentile: float | None = None) -> Served:
        """Means, which rise with the load, or what a percentile of requests does not exceed (95)."""
        if percentile is None:
            return Served(self.ttft_s, self.tpot_s, self.requests_per_s)
        z = NormalDist().inv_cdf(percentile / 100)
        ttft = self.ttft_s + self.ttft_deviation * _gamma(self.ttft_skewness, z)
        over = np.maximum(1e-12, self.tpot_s - self.decode_s)
        tpot = self.tpot_s + self.tpot_deviation * _gamma(2 * self.tpot_deviation / over, z)
        return Served(np.maximum(self.shortest_s, ttft), np.maximum(self.decode_s, tpot), self.requests_per_s)


def _gamma(skewness: Number, z: float) -> Number:
    """Quantile of a gamma distribution of mean 0 and deviation 1 (Wilson and Hilferty, 1931)."""
    k = np.clip(skewness, 1e-6, 8.0)
    return 2 / k * (np.maximum(0.0, 1 + k * z / 6 - k * k / 36) ** 3 - 1)


def open_loop(frame: Frame, architecture: Architecture, least: Least = NONE) -> OpenLoop:
    """A replica that prefills and decodes, at the rate that keeps `frame.batch` sequences in flight.

    Latencies are infinite where prompts alone take all of its time.
    """
    batch = np.atleast_1d(np.asarray(frame.batch, float))
    if least:  # which is of each batch, and nothing of what lies between two
        floors = {name: np.broadcast_to(value, batch.shape) for name, value in least.items()}
        found = _solved(replace(frame, batch=batch), architecture, floors)
    else:
        found = _between(_nodes(frame, architecture, float(batch.max())), batch)
    return found if np.ndim(frame.batch) else OpenLoop(**{name: v[0] for name, v in vars(found).items()})


def _nodes(frame: Frame, architecture: Architecture, most: float) -> OpenLoop:
    """At the loads of `_LOADS` up to a number in flight, and some near the first that leaves no time.

    Each is as it would be without the others.
    """
    lanes = frame.split.lanes
    own = lanes * _LOADS[: 1 + int(np.searchsorted(lanes * _LOADS, most))]
    found = _solved(replace(frame, batch=own), architecture, NONE)
    over = np.flatnonzero(np.isinf(found.ttft_s))
    if len(over) and (first := int(over[0])):
        between = own[first - 1] * (own[first] / own[first - 1]) ** np.array(_NEAR)
        near = _solved(replace(frame, batch=between), architecture, NONE)
        parts = {name: np.insert(v, first, getattr(near, name)) for name, v in vars(found).items()}
        own, found = np.insert(own, first, between), OpenLoop(**parts)
    rising = ("requests_per_s", "ttft_s", "tpot_s")
    return replace(found, batch=own, **{name: np.maximum.accumulate(getattr(found, name)) for name in rising})


def _between(nodes: OpenLoop, batch: Any) -> OpenLoop:
    """At other numbers in flight."""

    def at(values: Any) -> Any:
        return np.interp(batch, nodes.batch, values)

    parts = {name: at(values) for name, values in vars(nodes).items()}
    in_flight_s = at(nodes.batch / nodes.requests_per_s)  # nearly even between two loads
    return OpenLoop(**parts | {"requests_per_s": batch / in_flight_s})


def _solved(frame: Frame, architecture: Architecture, least: Least) -> OpenLoop:
    """At each number in flight of an array, as if it were the only one."""
    load = _Load.of(frame, architecture, least)
    waits = load.waits()
    return OpenLoop(
        batch=frame.batch,
        requests_per_s=load.rate,
        ttft_s=np.where(load.possible, waits.mean, np.inf),
        shortest_s=load.times.alone_s,
        ttft_deviation=np.sqrt(waits.variance),
        ttft_skewness=waits.skewness,
        tpot_s=load.between_tokens(load.answers.step_s),
        decode_s=load.between_tokens(load.times.decode_s),
        tpot_deviation=load.tpot_deviation,
        flying_deviation=np.sqrt(load.batch) / load.calm,
    )


@dataclass(frozen=True, eq=False)
class _Load:
    """A replica at several numbers in flight, none of which knows of the others."""

    batch: Any
    gained: float
    times: RoundTimes
    answers: Answers
    """While somebody decodes."""
    possible: Any
    """Whether prompts leave time."""

    @classmethod
    def of(cls, frame: Frame, architecture: Architecture, least: Least) -> "_Load":
        """At the rates that keep so many in flight."""
        batch = frame.batch
        answer = max(1.0, frame.output_tokens / frame.tokens_per_step)
        decoding = batch * (1 - 1 / answer)
        times = round_times(frame, architecture, least, decoding + 1)
        states = grid(times.empty_room, _DEEP * max(1.0, times.empty_room))
        pace = times.of_one if times.ranks > 1 else 1.0
        served = np.minimum(states * pace, times.room[:, None])
        seconds = times.from_none(served)

        def at(rate: Any) -> Answers:
            return Answers(answer, times, Rounds(states, served, seconds, rate))

        highest = _BUSIEST * times.room / times.of(times.room)
        answers, possible = _settled(at, batch / answer, _guess(times, batch / answer), highest)
        return cls(batch, frame.tokens_per_step, times, answers, possible)

    @property
    def rate(self) -> Any:
        """l."""
        return self.answers.rounds.rate

    def waits(self) -> Waits:
        """Of requests that come, who meet as many sequences as there are; the number is Poisson's."""
        own = self.answers.rounds
        decoding = self.batch * (1 - 1 / self.answers.answer)
        times = self.times.without(decoding + 1 - np.maximum(1.0, decoding))
        met = replace(own, seconds=times.from_none(own.served))
        nobody, gap = np.exp(-decoding), own.rate * times.decode_s
        return Waits(times, replace(met, idle=nobody * gap / (1 - nobody + nobody * gap)))

    @property
    def left(self) -> Any:
        """Share of the time that prompts leave."""
        return np.maximum(0.05, 1 - self.rate * self.answers.price_s)

    @property
    def calm(self) -> Any:
        """What is left of it where each holds up the others for half of its time, and they stay longer."""
        crowd = self.rate * self.answers.steps * self.times.sequence_s
        return np.maximum(0.05, self.left - crowd / 2)

    def between_tokens(self, step_s: Any) -> Any:
        """Seconds, of those of a step: the first token leaves a pipeline late, the others round by round."""
        early_s = np.minimum(self.times.lag_s / self.answers.steps, self.times.decode_s / 2)
        return (step_s - early_s) / self.gained

    @property
    def tpot_deviation(self) -> Any:
        """Of the mean of an answer, by prompts that pass and by sequences beside it."""
        own, steps = self.answers, self.answers.steps
        came = self.rate * steps * own.round_s
        crowd = steps * self.times.sequence_s
        beside = came * (2 / 3 * crowd**2 + crowd * own.price_s) / self.calm**2
        return np.sqrt(own.variance * (self.left / self.calm) ** 2 + beside) / steps / self.gained


def _guess(times: RoundTimes, per_step: Any) -> Any:
    """The rate at which so many come a step, if as many share each round as come in one."""
    together = np.minimum(1.0, times.room)
    for _ in range(_ROUNDS):
        seconds = times.of(together)
        rate = per_step / (times.decode_s + per_step * (seconds - times.beside_s) / together)
        together = np.clip(rate * seconds, np.minimum(1.0, times.room), times.room)
    return rate


def _settled(at: Callable[[Any], Answers], per_step: Any, guess: Any, highest: Any) -> tuple[Answers, Any]:
    """Answers at the rates whose own answers let so many come a step; whether one is below the highest.

    The more come the longer answers take, and the fewer may come: secants, in the logarithm of the rate, each
    load by itself.
    """
    most = np.log(highest)
    x, last, last_over = np.minimum(np.log(guess), most), 0.0, 0.0
    low, high = np.full(len(most), -np.inf), most
    for i in range(_ROUNDS):
        own = at(np.exp(x))
        come = per_step / np.clip(own.longer, 0.2, 5.0)
        over = np.log(come / (own.times.decode_s + come * own.price_s)) - x
        low, high = np.where(over > 0, x, low), np.where(over > 0, high, x)
        settled = (np.abs(over) < _SETTLED) | (low >= most)
        if i == _ROUNDS - 1 or settled.all():
            break
        moved = np.where(x == last, 1.0, x - last)
        slope = np.where(np.abs(moved) > 1e-9, np.minimum((over - last_over) / moved, -0.1), -1.0)
        last, last_over = x, over
        trial = x - over / (slope if i else -1.0)
        inside = np.where(np.isfinite(low), (low + high) / 2, trial)
        trial = np.where((trial > low) & (trial < high), trial, np.minimum(inside, high))
        x = np.where(settled, x, trial)
    return own, (x < most) | (over <= 0)
