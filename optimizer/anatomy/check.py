"""The independent check of an answer: every metric and every rule again, on the plan itself.

It shares no code with `solver`: the architecture is built as a model file would build it, the cost model
is run on it operator by operator, and each rule is evaluated as a mask on plain numbers.
"""

from dataclasses import dataclass
from typing import Any

from optimizer.columns.rules import Rules, layer_words, split_bound
from optimizer.cost.frame import Frame
from optimizer.metrics import evaluate, held, listed
from optimizer.scope import Scope, Unsaid, holds
from optimizer.spec.architecture import Architecture

_FLOAT_NOISE = 1e-9


@dataclass(frozen=True)
class Check:
    """What the plan is, and which rules it breaks."""

    metrics: dict[str, float]
    broken: tuple[str, ...]


def check(frame: Frame, architecture: Architecture, rules: Rules, room: bool = False) -> Check:
    """Evaluate an architecture in a frame against rules. Layer kinds are checked one by one.

    What there is room for takes as long as all other metrics: without `room` only where a rule is about it.
    """
    about = {split_bound(name)[0] for name in rules.values}
    wanted = [name for name in listed("held") if room or name in about]
    metrics = evaluate(frame, architecture) | held(frame, architecture, wanted)
    broken = [name for name in rules.values if not _keeps(name, frame, architecture, rules, metrics)]
    return Check(metrics, tuple(broken))


def _keeps(
    name: str, frame: Frame, architecture: Architecture, rules: Rules, metrics: dict[str, float]
) -> bool:
    try:
        return all(
            bool(holds(rules.relation(name, _Lenient(words, metrics.__getitem__), frame)).all())
            for words in layer_words(frame, architecture, name)
        )
    except Unsaid:  # a rule on shapes that these layers do not have
        return True


class _Lenient(Scope):
    """Numbers computed along another path differ in the last digits; a bound is not broken by that."""

    def at_most(self, left: Any, right: Any) -> Any:
        return super().at_most(left, right + abs(right) * _FLOAT_NOISE)
