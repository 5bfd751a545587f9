"""Layers over the stages of one structure, so that a step takes least: exact.

A structure fixes everything but the layers. With k_g layers on the largest stage of cluster g, L_g on all of
its stages, and n on the last stage of all

    step = m T + w (sum over g of l_g L_g + h) + max over g of end_g(k_g) + messages
    T = max(max over g of l_g k_g, l_last n + h)

for l_g seconds of a layer and h of the head (`cost/training/across.py` says m and w). Of every (k, n) that
could be as good as a plan at hand, the least is found by filling clusters in the order of l_g, each between
the least and the most layers that k and memory leave it: the rest of the step does not ask where they are. So
all plans are looked at, most of them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

_NOISE = 1e-9
_AT_ONCE = 200_000


@dataclass(frozen=True)
class Part:
    """The stages of one cluster."""

    layer_s: float
    end_s: Any
    """Seconds of the end of a step by the layers of the largest stage, from 0."""
    most: tuple[int, ...]
    """Layers that fit on each stage."""


@dataclass(frozen=True)
class Question:
    """A structure: its parts in order, the head on the last stage of the last."""

    n_layers: int
    turns: float
    """Seconds of a step for each second of its slowest stage."""
    weight: float
    """The same for each second of all stages together."""
    parts: tuple[Part, ...]
    head_s: float
    fixed_s: float
    """Of messages, once a step."""

    @property
    def stages(self) -> int:
        """Of all parts."""
        return sum(len(part.most) for part in self.parts)

    @cached_property
    def others(self) -> tuple[tuple[int, ...], ...]:
        """Layers that fit, of all stages but the last of all."""
        *rest, last = self.parts
        return (*(part.most for part in rest), last.most[:-1])

    @cached_property
    def held(self) -> tuple[Any, ...]:
        """Layers on those stages at most, by the most on any of them, from 0."""
        k = np.arange(self.n_layers + 1)
        return tuple(
            np.sum([np.minimum(k, n) for n in most], axis=0) if most else np.zeros_like(k)
            for most in self.others
        )

    @cached_property
    def least_layers_s(self) -> float:
        """Seconds of all layers at least: one on each stage, the others where they take least."""
        one = sum(part.layer_s * len(part.most) for part in self.parts)
        return one + (self.n_layers - self.stages) * min(part.layer_s for part in self.parts)

    @cached_property
    def least_end_s(self) -> float:
        """Seconds of the end of a step at least."""
        return max(float(part.end_s[1 : max(part.most) + 1].min()) for part in self.parts)

    @cached_property
    def least_turn(self) -> float | None:
        """The least turn in which all layers are placed; None if they never fit."""
        if self.stages > self.n_layers or any(min(part.most) < 1 for part in self.parts):
            return None
        return _least_turn(self)

    @property
    def least_s(self) -> float:
        """No placement takes less than this; inf where there is none."""
        turn = self.least_turn
        if turn is None:
            return float("inf")
        return float(self.step_s(turn, self.least_layers_s, self.least_end_s))

    def step_s(self, slowest: Any, layers_s: Any, end_s: Any) -> Any:
        """Seconds of a step."""
        return self.turns * slowest + self.weight * (layers_s + self.head_s) + end_s + self.fixed_s


@dataclass(frozen=True)
class Placed:
    """Layers of each stage, part by part, and the step that they make."""

    step_s: float
    layers: tuple[tuple[int, ...], ...]


def placed(question: Question) -> Placed | None:
    """The placement of the least step; None if none fits."""
    turn = question.least_turn
    if turn is None:
        return None
    found = _best(question, turn)
    if found is None:
        worth = float(max(part.layer_s for part in question.parts) * question.n_layers + question.head_s)
    else:
        worth = turn + (found.step_s - question.least_s) / question.turns
    return _best(question, worth) if worth > turn * (1 + _NOISE) else found


def _ranges(question: Question, turn: Any) -> tuple[list[Any], Any]:
    """Layers on any stage of each part, and on the last of all, at most within a turn; arrays broadcast."""
    last = question.parts[-1]
    room = [min(max(part.most), question.n_layers) for part in question.parts]
    each = [
        np.minimum(np.floor(turn / part.layer_s + _NOISE), most).astype(np.int64)
        for part, most in zip(question.parts, room, strict=True)
    ]
    end = np.floor((turn - question.head_s) / last.layer_s + _NOISE)
    return each, np.clip(end, 0, min(last.most[-1], question.n_layers)).astype(np.int64)


def _least_turn(question: Question) -> float | None:
    """The least turn in which all layers are placed; None if they never fit."""
    n, last = np.arange(1, question.n_layers + 1), question.parts[-1]
    turns = [part.layer_s * n for part in question.parts]
    times = np.unique(np.concatenate([*turns, last.layer_s * n + question.head_s]))
    each, end = _ranges(question, times)
    total = end + sum(held[k] for held, k in zip(question.held, each, strict=True))
    holds = (total >= question.n_layers) & (end >= 1) & np.logical_and.reduce([k >= 1 for k in each])
    return float(times[np.argmax(holds)]) if holds.any() else None


@dataclass(frozen=True)
class _Side:
    """Layers on each part, arrays over what is tried: between these, whatever the others have."""

    low: Any
    high: Any
    right: Any
    """Whether the largest stage has as many as it should."""


def _sides(question: Question, largest: Sequence[Any], end: Any) -> list[_Side]:
    """What each part may hold where its largest stage, and the last stage of all, have so many layers."""
    found = []
    for g, (k, most, held) in enumerate(zip(largest, question.others, question.held, strict=True)):
        n, top = len(most), max(most, default=0)
        if g < len(largest) - 1:
            found.append(_Side(k + n - 1, held[k], k <= top))
            continue
        full = end == k
        low = end + np.where(full, n, k + n - 1)
        found.append(_Side(low, end + held[k], full | ((end < k) & (k <= top) & (n > 0))))
    return found


def _best(question: Question, turn: float) -> Placed | None:
    """The placement of the least step among those of this turn at most; None if there is none."""
    each, end = _ranges(question, turn)
    most = [int(held[k]) for held, k in zip(question.held, each, strict=True)]
    room = sum(most) + int(end)
    axes = []
    for held, k, own in zip(question.held, each, most, strict=True):
        spare = room - question.n_layers
        values = np.arange(1, int(k) + 1)
        # Fewer leave too little room, unless the last stage of all is the largest of its part.
        axes.append(values[(held[values] >= own - spare) | (values >= k)])
    axes.append(np.arange(1, int(end) + 1))
    best: Placed | None = None
    rows = max(1, _AT_ONCE // max(1, int(np.prod([len(axis) for axis in axes[1:]]))))
    for i in range(0, len(axes[0]), rows):
        found = _least_of(question, [axes[0][i : i + rows], *axes[1:]])
        if found and (best is None or found.step_s < best.step_s):
            best = found
    return best


def _least_of(question: Question, axes: Sequence[Any]) -> Placed | None:
    """The best of all combinations of the layers of largest stages, and of the last stage of all."""
    *largest, end = np.meshgrid(*axes, indexing="ij", sparse=True)
    sides = _sides(question, largest, end)
    low, high = (sum(getattr(side, name) for side in sides) for name in ("low", "high"))
    n = question.n_layers
    holds = (low <= n) & (high >= n)
    for side in sides:
        holds = holds & side.right & (side.low <= side.high)
    if not np.any(holds):
        return None
    rest, layers_s = n - low, np.zeros(holds.shape)
    added: list[Any] = [0] * len(sides)
    for g in sorted(range(len(sides)), key=lambda g: question.parts[g].layer_s):
        added[g] = np.minimum(sides[g].high - sides[g].low, rest)
        rest = rest - added[g]
        layers_s = layers_s + question.parts[g].layer_s * (sides[g].low + added[g])
    slowest = question.parts[-1].layer_s * end + question.head_s
    for part, k in zip(question.parts, largest, strict=True):
        slowest = np.maximum(slowest, part.layer_s * k)
    ends = [part.end_s[k] for part, k in zip(question.parts, largest, strict=True)]
    steps = question.step_s(slowest, layers_s, np.maximum.reduce(np.broadcast_arrays(*ends)))
    steps = np.where(holds, steps, np.inf)
    at = np.unravel_index(int(np.argmin(steps)), steps.shape)

    def chosen(values: Any) -> int:
        return int(np.broadcast_to(values, steps.shape)[at])

    counts = [chosen(side.low + more) for side, more in zip(sides, added, strict=True)]
    tops, final = [chosen(k) for k in largest], chosen(end)
    return Placed(float(steps[at]), _spread(question, counts, tops, final))


def _spread(
    question: Question, counts: Sequence[int], largest: Sequence[int], end: int
) -> tuple[tuple[int, ...], ...]:
    """Layers of each stage: one of each part with the most, the others as even as memory lets them be."""
    found = []
    for g, (most, count, k) in enumerate(zip(question.others, counts, largest, strict=True)):
        last = g == len(counts) - 1
        rest = count - end * last
        own = [min(k, n) for n in most]
        stages = [1] * len(own)
        if not (last and end == k):
            stages[max(i for i, n in enumerate(own) if n == k)] = k
        for _ in range(rest - sum(stages)):
            few = min((i for i, n in enumerate(own) if stages[i] < n), key=lambda i: stages[i])
            stages[few] += 1
        found.append((*stages, end) if last else tuple(stages))
    return tuple(found)
