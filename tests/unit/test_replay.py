"""The replay against theory, and against a loop that takes every step one by one."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.simulation.replay import Served, Station, replay
from optimizer.simulation.requests import Requests, requests_of
from optimizer.simulation.server import Server


@dataclass(frozen=True)
class Linear:
    """Step times by hand: a fixed time, and times for each sequence, cached token and prompt token."""

    fixed: float = 0.0
    sequence: float = 0.0
    cached: float = 0.0
    prompt: float = 0.0

    def decoding(self, batch: int) -> "Steps":
        return Steps(self.fixed + batch * self.sequence, batch * self.cached)

    def lag(self, batch: int, tokens: int) -> float:
        return 0.0

    def seconds(self, batch: int, context: float, chunks: list[tuple[int, int]]) -> float:
        own = self.decoding(batch)
        return own.fixed + own.cached * context + self.prompt * sum(tokens for tokens, _ in chunks)


@dataclass(frozen=True)
class Steps:
    fixed: float
    cached: float

    def seconds(self, context: float, steps: int, gained: float) -> float:
        return steps * (self.fixed + self.cached * (context + gained * (steps - 1) / 2))

    def reaching(self, context: float, seconds: float, gained: float) -> int:
        steps = 1
        while self.seconds(context, steps, gained) < seconds - 1e-12:
            steps += 1
        return steps


def server(times: Linear, **own) -> Server:
    usual = {"slots": 8, "blocks": 10**6, "block_tokens": 16, "step_tokens": 10**6, "prompt_tokens": 10**6}
    return Server(**({"name": "a replica", "role": "aggregated", "times": times} | usual | own))


def one_by_one(rate: float, prompts: np.ndarray) -> tuple[Served, np.ndarray]:
    """Requests of one token at random on a server that takes them one at a time."""
    random = np.random.default_rng(7)
    arrivals = random.exponential(1 / rate, len(prompts)).cumsum()
    alone = server(Linear(prompt=1e-3), slots=1)
    served = replay([Station(alone, 1, 1.0)], requests_of(arrivals, prompts, 1))
    return served, 1e-3 * prompts


@pytest.mark.parametrize("rho", [0.3, 0.6])
def test_m_d_1_waits_as_pollaczek_and_khinchine_say(rho: float) -> None:
    served, service = one_by_one(rho, np.full(80_000, 1000))
    waits = served.admitted_s - served.arrival_s
    assert waits.mean() == pytest.approx(rho / (2 * (1 - rho)), rel=0.02)
    assert served.finish_s - served.admitted_s == pytest.approx(service)


@pytest.mark.parametrize("rho", [0.3, 0.6])
def test_m_m_1_waits_as_theory_says(rho: float) -> None:
    random = np.random.default_rng(3)
    prompts = np.maximum(1, random.exponential(1000, 100_000)).astype(int)
    served, service = one_by_one(rho / 0.9995, prompts)
    busy = rho * service.mean() / 0.9995
    waits = served.admitted_s - served.arrival_s
    assert waits.mean() == pytest.approx(busy * service.mean() / (1 - busy), rel=0.03)


class OneByOne:
    """A replica that takes every step by itself and adds everything up anew: no leap, no heap."""

    def __init__(self, requests: Requests, own: Server) -> None:
        self.requests, self.own, self.now, self.preempted = requests, own, 0.0, 0
        n = len(requests)
        self.first, self.last = np.full(n, np.nan), np.full(n, np.nan)
        self.prompt, self.left = requests.input_tokens.tolist(), requests.output_tokens.tolist()
        self.done, self.context, self.held = [0] * n, [0] * n, [0] * n
        self.coming, self.waiting = list(range(n)), []
        self.filling, self.decoding, self.order = [], [], []

    def blocks(self, tokens: int) -> int:
        return -(-tokens // self.own.block_tokens)

    def growth(self) -> int:
        grows = self.decoding if not self.own.whole_requests else []
        return sum(self.blocks(self.context[i] + 1) - self.blocks(self.context[i]) for i in grows)

    def make_room(self) -> bool:
        crowded = False
        while self.growth() > self.own.blocks - sum(self.held):
            crowded, i = True, self.order.pop()
            self.preempted += 1
            if i in self.decoding:
                self.decoding.remove(i)
                self.prompt[i] = self.context[i]
            else:
                self.filling.remove(i)
            self.held[i] = self.done[i] = 0
            self.waiting.insert(0, i)
        return crowded

    def chunks(self, beside: bool) -> list[tuple[int, int]]:
        own, found = self.own, []
        room = own.step_tokens - (len(self.decoding) if beside else 0)
        free = own.blocks - (self.growth() if beside else 0)
        for i in list(self.filling) + list(self.waiting):
            if i in self.waiting:
                wanted = self.blocks(self.prompt[i] + (max(1, self.left[i]) if own.whole_requests else 1))
                full = len(self.decoding) + len(self.filling) >= own.slots
                if room <= 0 or full or sum(self.held) + wanted > free:
                    break
                self.waiting.remove(i)
                self.filling.append(i)
                self.order.append(i)
                self.held[i] = wanted
            tokens = min(self.prompt[i] - self.done[i], room, own.prompt_tokens)
            if tokens > 0:
                found.append((i, tokens))
                room -= tokens
        return found

    def step(self) -> None:
        beside = not self.own.prompts_alone
        crowded = beside and self.make_room()
        chunks = [] if crowded else self.chunks(beside)
        if not chunks:
            self.make_room()
        decodes = list(self.decoding) if beside or not chunks else []
        mean = sum(self.context[i] for i in decodes) / len(decodes) if decodes else 0.0
        self.now += self.own.times.seconds(len(decodes), mean, [(tokens, 0) for _, tokens in chunks])
        for i in decodes:
            self.context[i] += 1
            self.left[i] -= 1
            self.held[i] = self.held[i] if self.own.whole_requests else self.blocks(self.context[i])
            if not self.left[i]:
                self.decoding.remove(i)
                self.leave(i)
        for i, tokens in chunks:
            self.done[i] += tokens
            if self.done[i] == self.prompt[i]:
                self.filling.remove(i)
                self.first[i] = self.now if np.isnan(self.first[i]) else self.first[i]
                self.left[i] -= 1
                self.context[i] = self.prompt[i] + 1
                self.decoding.append(i) if self.left[i] else self.leave(i)

    def leave(self, i: int) -> None:
        self.last[i], self.held[i] = self.now, 0
        self.order.remove(i)

    def all(self) -> None:
        while self.coming or self.waiting or self.filling or self.decoding:
            if not (self.waiting or self.filling or self.decoding):
                self.now = max(self.now, self.requests.arrival_s[self.coming[0]])
            while self.coming and self.requests.arrival_s[self.coming[0]] <= self.now + 1e-9:
                self.waiting.append(self.coming.pop(0))
            self.step()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_leaps_are_the_steps_one_by_one(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    n = int(random.integers(1, 40))
    prompts, answers = random.integers(1, 60, n), random.integers(1, 50, n)
    arrivals = np.sort(random.uniform(0, 2, n))
    size = int(random.integers(1, 9))
    own = server(
        Linear(*random.uniform([1e-3, 0, 0, 1e-5], [1e-2, 1e-3, 1e-5, 1e-3])),
        slots=int(random.integers(1, 12)),
        block_tokens=size,
        blocks=-(-110 // size) + int(random.integers(0, 200)),
        step_tokens=int(random.integers(12, 80)),
        prompt_tokens=int(random.integers(5, 80)),
        whole_requests=bool(random.integers(2)),
        prompts_alone=bool(random.integers(2)),
    )
    requests = requests_of(arrivals, prompts, answers)
    served, slow = replay([Station(own, 1, 1.0)], requests), OneByOne(requests, own)
    slow.all()
    assert served.first_s == pytest.approx(slow.first, rel=1e-9)
    assert served.finish_s == pytest.approx(slow.last, rel=1e-9)
    assert served.preempted == slow.preempted
