"""The independent check of an answer: every metric and every rule again, on the plan itself.

It shares no code with `solver`: the architecture is built as a model file would build it, the cost model
is run on it operator by operator, and each rule is evaluated as a mask on plain numbers.
"""

from dataclasses import dataclass
from typing import Any

from optimizer.blocks import rule_words
from optimizer.columns.rules import Rules, frame_values
from optimizer.cost.frame import Frame
from optimizer.metrics import evaluate
from optimizer.scope import Scope, Unsaid, holds
from optimizer.spec.architecture import Architecture

_FLOAT_NOISE = 1e-9


@dataclass(frozen=True)
class Check:
    """What the plan is, and which rules it breaks."""

    metrics: dict[str, float]
    broken: tuple[str, ...]


def check(frame: Frame, architecture: Architecture, rules: Rules) -> Check:
    """Evaluate an architecture in a frame against rules. Layer kinds are checked one by one."""
    metrics = evaluate(frame, architecture)
    broken = [name for name in rules.values if not _keeps(name, frame, architecture, rules, metrics)]
    return Check(metrics, tuple(broken))


def _keeps(
    name: str, frame: Frame, architecture: Architecture, rules: Rules, metrics: dict[str, float]
) -> bool:
    try:
        return all(
            bool(holds(rules.relation(name, _Lenient(words, metrics.__getitem__), frame)).all())
            for words in _words(frame, architecture)
        )
    except Unsaid:  # a rule on shapes that these layers do not have
        return True


def _words(frame: Frame, architecture: Architecture) -> list[dict[str, Any]]:
    """What rules may name, for each group of layers; a missing half has the words of the other layers'."""
    groups = [rule_words(g.block.mixer) | rule_words(g.block.ffn) for g in architecture.layers]
    anywhere = {name: value for group in reversed(groups) for name, value in group.items()}
    facts = {**frame_values(frame), "n_layers": architecture.n_layers}
    return [facts | anywhere | group for group in groups]


class _Lenient(Scope):
    """Numbers computed along another path differ in the last digits; a bound is not broken by that."""

    def at_most(self, left: Any, right: Any) -> Any:
        return super().at_most(left, right + abs(right) * _FLOAT_NOISE)
