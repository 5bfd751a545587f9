"""Why some replicas carry no more of a service's traffic: what a request of each bucket is worth at most."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Worth:
    """What a request of each bucket is worth at most to the traffic served: its prefill, and its decode."""

    prefill: tuple[Fraction, ...]
    decode: tuple[Fraction, ...]
    models: tuple["Worth", ...] = ()
    """What it is worth answered by each of several models, whose answers differ in quality."""

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


def split_by_phase(whole: list[Fraction], balances: Sequence[Fraction]) -> Worth:
    """The worth of each bucket, split as the two phases of pairs limit them; without pairs, of prefill."""
    if not balances:
        return Worth(tuple(whole), (Fraction(0),) * len(whole))
    halves = [
        (u * p / (p + d), u * d / (p + d)) if d else (u, Fraction(0))
        for u, p, d in zip(whole, balances[: len(whole)], balances[len(whole) :], strict=True)
    ]
    return Worth(tuple(p for p, _ in halves), tuple(d for _, d in halves))
