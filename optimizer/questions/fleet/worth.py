"""Why some replicas carry no more of a service's traffic: what a request of each bucket is worth at most."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Worth:
    """What a request of each bucket is worth at most to the traffic served: its prefill, and its decode."""

    prefill: tuple[Fraction, ...]
    decode: tuple[Fraction, ...]
    models: tuple["Worth", ...] = ()
    """What it is worth answered by each of several models, whose answers differ in quality."""
    case: int = 0
    """Of what may go wrong: which of the cases it is said of."""

    def of(self, phase: str, model: int = 0) -> list[Fraction]:
        """The worth of each bucket to replicas of a phase, and of a model."""
        if self.models:
            return self.models[model].of(phase)
        return self._own(phase)

    def _own(self, phase: str) -> list[Fraction]:
        if phase == "aggregated":
            return [a + b for a, b in zip(self.prefill, self.decode, strict=True)]
        return list(self.prefill if phase == "prefill" else self.decode)

    def unserved(self, demand: Sequence[int]) -> Fraction:
        """Traffic that replicas need not carry to be served: what is left of each bucket."""
        return sum((d * (1 - u) for d, u in zip(demand, self._own("aggregated"), strict=True)), Fraction(0))

    def replica(self, phase: str, rates: Sequence[int], model: int = 0) -> Fraction:
        """What one replica adds at most."""
        return max((r * u for r, u in zip(rates, self.of(phase, model), strict=True)), default=Fraction(0))

    def replicas(self, phase: str, rates: Any, model: int = 0) -> list[Fraction]:
        """The same of many setups at once; `rates` by bucket and setup, in whole numbers."""
        worth = self.of(phase, model)
        part = math.lcm(*(u.denominator for u in worth))
        whole = [int(u * part) for u in worth]
        small = max(map(abs, whole)) * int(rates.max(initial=1)) < 2**63
        kind = np.int64 if small else object
        added = rates.astype(kind) * np.array(whole, dtype=kind)[:, None]
        return [Fraction(n, part) for n in added.max(axis=0).tolist()]


def by_models(
    whole: Sequence[Fraction],
    sides: Sequence[tuple[Sequence[Fraction], Sequence[Fraction]]],
    gains: Sequence[Sequence[Fraction]] | None,
    gain: Fraction,
) -> Worth:
    """The worth of each bucket, below 1, answered by each model; `gain` is what quality adds.

    `sides`: by model what a request's prefill and its decode are worth to each other, by bucket.
    """
    found = []
    for model, (prefill, decode) in enumerate(sides):
        more = gains[model] if gains else [Fraction(0)] * len(whole)
        worth = [max(Fraction(0), u + gain * g) for u, g in zip(whole, more, strict=True)]
        found.append(split_by_phase(worth, [*prefill, *decode]))
    return Worth(tuple(whole), (Fraction(0),) * len(whole), tuple(found))


def split_by_phase(whole: list[Fraction], balances: Sequence[Fraction]) -> Worth:
    """The worth of each bucket, split as the two phases of pairs limit them; without pairs, of prefill."""
    if not balances:
        return Worth(tuple(whole), (Fraction(0),) * len(whole))
    halves = [
        (u * p / (p + d), u * d / (p + d)) if d else (u, Fraction(0))
        for u, p, d in zip(whole, balances[: len(whole)], balances[len(whole) :], strict=True)
    ]
    return Worth(tuple(p for p, _ in halves), tuple(d for _, d in halves))
