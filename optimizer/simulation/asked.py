"""What is asked of arrivals: how many requests of what lengths, and what the process makes of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.errors import InputError
from optimizer.simulation.replay import Clients
from optimizer.simulation.requests import MOST, Requests, requests_of
from optimizer.spec.scalars import decimal


@dataclass(frozen=True)
class Size:
    """Requests of one kind among several: their lengths, and their part of all."""

    input_tokens: int
    output_tokens: int
    requests_per_s: float


@dataclass(frozen=True)
class Asked:
    """Lengths, numbers and the seed of a replay. InputError for too many."""

    input_tokens: int
    output_tokens: int
    prefix_tokens: int = 0
    mix: tuple[Size, ...] = ()
    """Requests of several kinds, in place of these lengths; kinds are numbered in this order."""
    requests: int = 10_000
    range_ratio: float = 1.0
    """Lengths are drawn evenly from this share of the nominal to all of it, one number a token apart."""
    ramp_s: float = 0.0
    """Clients begin one after another over so long."""
    think_s: float = 0.0
    """Clients wait so long between an answer and their next request."""
    stream_interval: int = 1
    """A token is seen with the next of every so many; the first when so many are made, or the answer ends."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.requests <= MOST:  # before so many are drawn
            raise InputError(f"requests: {self.requests:,} of them; give 1 to {MOST:,}")

    @cached_property
    def random(self) -> np.random.Generator:
        """The generator of this replay; what is drawn first is the same for the same seed."""
        return np.random.default_rng(self.seed)

    def of(self, arrival_s: Any) -> Requests:
        """Requests of the lengths asked for with these arrivals."""
        n = len(arrival_s)
        kind: Any = 0
        nominal: Any = (self.input_tokens, self.output_tokens)
        if self.mix:
            rates = np.array([size.requests_per_s for size in self.mix])
            kind = self.random.choice(len(rates), n, p=rates / rates.sum())
            own = [(size.input_tokens, size.output_tokens) for size in self.mix]
            nominal = np.array(own)[kind].T
        prompts, answers = (self._lengths(tokens, n) for tokens in nominal)
        return requests_of(arrival_s, prompts, answers, self.prefix_tokens, kind)

    def _lengths(self, nominal: Any, n: int) -> Any:
        if self.range_ratio == 1:
            return nominal
        least = np.maximum(1, (np.asarray(nominal) * self.range_ratio).astype(np.int64))
        return self.random.integers(least, nominal, n, endpoint=True)


@dataclass(frozen=True, eq=False)
class Arriving:
    """Requests, and the clients that send them where each waits for its answer."""

    requests: Requests
    clients: Clients | None = None
    rate: float | None = None
    """Requests a second in the mean, where that does not hang on the answers."""
    recorded: bool = False
    """Whether they came so, rather than were drawn."""


def number(text: str, what: str, most: float = 1e6) -> float:
    """A positive number of a process. InputError names it."""
    try:
        value = decimal(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= most:
        raise InputError(f"arrivals: {what} is '{text[:40]}'; give a number above 0, at most {most:g}")
    return value
