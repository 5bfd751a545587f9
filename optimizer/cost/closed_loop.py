"""What clients in a closed loop see of one replica: the replay of `optimizer.simulation` in closed form.

n sequences run on a replica, of I prompt and O answer tokens in the mean. With

    d      a decode step                    g    prompts that a step has room for, 1 where each takes several
    j(c)   c prompts beside n sequences     k    steps that they take
                                            p    (j(c) - k d) / c, what a prompt adds

all first requests come together and are `cost.first_wave`'s. A later one comes when the client's last answer
ends, with a step, and then passes the front end for f seconds (evenly 0 to 2 f). Others end in the same step:
those that began together lie sigma steps apart after w answers, others as many more as their groups did,

    sigma^2 = w (spread of lengths^2 + (2 f / step)^2) / 12
    c       = 1 + sum over others max(1/O, exp(-apart^2 / 4 sigma^2) (1 + 4 pi sigma^2)^-1/2)     mean over w

A front mixes groups: with one all others lie sigma^2 + (K^2 - 1)/12 apart, K = (n - 1) / g groups. It waits
for the step it meets, m = d + p (those that end a step before), and for those before it, w:

    ttft   = f + max(m / 2, m - f) + w + j(min(c, g))

w is the mean wait of a closed network (mean value analysis, service k or 1/g steps, thinking O - 1 steps) or
half of what of c has no room, whichever is longer. An answer is held up by the prompts that pass meanwhile,
each at the mean price of those that one sees come together (each other does or not):

    tpot   = d + p (n - 1 - those that passed before its first token) / (O - 1)

Engines whose prompts have steps of their own (`prompts: alone`) have no such queue: while they are computed
nobody's answer ends, but some are in the front and find a prompt before them; where all end in one step the
next wave is as the first. Clients beyond the places wait for one. The form has no constant that was fitted;
benchmarks/closed_form.py compares it with the replay.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, exp, pi, sqrt
from typing import Any

import numpy as np

from optimizer.cost.first_wave import FirstWave, first_wave
from optimizer.cost.loop_steps import LoopSteps
from optimizer.cost.serving import Served, front_s
from optimizer.spec.protocol import Protocol

_MOST_WAVES = 30
_SETTLED = 4
_NONE = 1e-9


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
    if over:  # a short run ends before the last have waited as long as those between
        rate = min(rate, 1 / turn_s)
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
        """sigma^2 of those that began together, after each answer but the last, in steps^2."""
        own, waves = self.steps, ceil(self.protocol.per_client) - 1
        step_s, together = own.joined_s[0] / own.chunks[0], 1.0
        for _ in range(_SETTLED if self.front_s else 1):
            own_s = (own.spread / own.gained) ** 2 + (2 * self.front_s / step_s) ** 2
            found = [w * own_s / 12 for w in range(1, min(waves, _MOST_WAVES) + 1)]
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

    @cached_property
    def _pairs(self) -> tuple[Any, Any]:
        """Steps between groups of the first wave, and how many others of such groups one has, in the mean."""
        own = self.steps
        if not own.mixes:  # none decodes before all are served
            return np.zeros(1), np.array([own.places - 1.0])
        whole = int((own.places - 1) / own.group + _NONE)
        sizes = np.array([1.0, *([own.group] * whole), own.places - 1 - whole * own.group])
        pairs = np.correlate(sizes, sizes, "full") / own.places
        pairs[len(sizes) - 1] -= 1
        return own.chunks[0] * np.arange(1 - len(sizes), len(sizes)), np.maximum(0.0, pairs)

    def _prompts_at(self, apart: list[float], steps: int) -> float:
        """c for 0 steps; those that end a step before, for 1."""
        if not apart:
            return 1.0 - steps
        others = self.steps.places - 1
        if self.front_s:
            wide = [s + (self.groups**2 - 1) / 12 * self.steps.mixes for s in apart]
            near = [others * exp(-steps / (4 * s + _NONE)) / sqrt(1 + 4 * pi * s) for s in wide]
        else:
            between, pairs = self._pairs
            far = (between + steps) ** 2
            near = [pairs @ np.exp(-far / (4 * s + _NONE)) / sqrt(1 + 4 * pi * s) for s in apart]
        least = others / self.answer_steps
        return (1 - steps) + float(np.mean([max(least, own) for own in near]))

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
        if not own.mixes:  # others end while it is in the front, and are in their prompts when it comes
            others = (
                (together - 1 + (own.places - together) / self.answer_steps) * self.front_s / own.decode_s
            )
            return clump_s + min(1.0, others) * max(0.0, own.joined_s[0] - self.front_s)
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
