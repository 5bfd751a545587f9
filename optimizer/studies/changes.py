"""One change of a problem that `perturb` tries: what it asks, and what came of it beside the old plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf
from typing import Any

from optimizer.bands import LATENCIES, METRICS, RATES, around
from optimizer.questions.question import Ask, Question
from optimizer.search.binding import UNLIMITED, gain_of
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Bearing, Change


@dataclass(frozen=True)
class Variation:
    """A constant times a factor: 'hardware.hbm_bandwidth', 1.1."""

    path: str
    factor: float

    @property
    def words(self) -> str:
        """As a person would write it."""
        return f"{100 * (self.factor - 1):+g} %"


@dataclass(frozen=True)
class Try:
    """One change to be solved."""

    kind: str
    name: str
    move: str
    old: Any
    new: Any
    ask: Ask
    change: float | None = None


def tries_of_rules(question: Question, aims: tuple[Aim, ...], base: Plan) -> list[Try]:
    """Every rule moved to values near its own, and dropped where the question allows it."""
    tries, start = [], question.choices(base)
    for name, value in question.rules().items():
        for words, new, change in question.moves(name, base):
            ask = Ask(aims=aims, values={name: new}, start=start)
            tries.append(Try("constraint", name, words, value, new, ask, change))
        if question.can_be_dropped(name):
            ask = Ask(aims=aims, without=(name,), start=start)
            tries.append(Try("constraint", name, "dropped", value, None, ask))
    return tries


def tries_of_constants(
    question: Question, aims: tuple[Aim, ...], base: Plan, vary: Sequence[Variation]
) -> list[Try]:
    """Every constant named, times its factor."""
    start = question.choices(base)
    asks = [Ask(aims=aims, scaled={v.path: v.factor}, start=start) for v in vary]
    return [Try("constant", v.path, v.words, 1.0, v.factor, ask) for v, ask in zip(vary, asks, strict=True)]


def tries_of_bands(question: Question, aims: tuple[Aim, ...], base: Plan) -> list[Try]:
    """The cost model at the far end of the plan's bands; nothing where no bound of the problem would feel it.

    Latencies times a factor break the bounds that a bound divided by it would; rates likewise.
    """
    bands = around(dict.fromkeys(METRICS, 1.0), question.groups(base))
    if not bands:
        return []
    factors = {}
    for rule in question.rules():
        metric = rule.removesuffix("_max").removesuffix("_min")
        if metric in LATENCIES and rule.endswith("_max"):
            factors[rule] = metric, bands[metric].high
        elif metric in RATES and not rule.endswith("_max"):
            factors[rule] = metric, bands[metric].low
    if not factors:
        return []
    values = {rule: question.rules()[rule] / factor for rule, (_, factor) in factors.items()}
    words = ", ".join(f"{metric} x {factor:.3g}" for metric, factor in factors.values())
    return [
        Try(
            "band",
            "cost model",
            words,
            None,
            None,
            Ask(aims=aims, values=values, start=question.choices(base)),
        )
    ]


def change_of(question: Question, aim: Aim, base: Plan, item: Try, plan: Plan | None) -> Change:
    """What the optimum of a change is, beside the old plan; a dimension or constant also changed alone."""
    first = aim.metric
    value = None if plan is None else plan.metrics[first]
    difference = None if value is None else value - base.metrics[first]
    alone: tuple[dict[str, float] | None, tuple[str, ...]] = None, ()
    if item.kind != "constraint":
        changed = {item.name: item.new} if item.kind == "dimension" else {}
        again = question.priced(base, changed, item.ask.scaled, item.ask.values)
        alone = None if again.metrics is None else _less(again.metrics, base.metrics), again.broken
    return Change(
        kind=item.kind,
        name=item.name,
        move=item.move,
        from_=item.old,
        to=item.new,
        objective=value,
        difference=difference,
        price=difference / item.change if item.change and difference is not None else None,
        metrics={} if plan is None else _less(plan.metrics, base.metrics),
        plan={} if plan is None else differences(question.choices(base), question.choices(plan)),
        alone=alone[0],
        alone_breaks=alone[1],
    )


def bearings_of(question: Question, aim: Aim, base: Plan | None, changes: list[Change]) -> list[Bearing]:
    """What `solve` calls binding, from the same optima; a rule not dropped has none."""
    dropped = {c.name: c for c in changes if c.kind == "constraint" and c.move == "dropped"}
    found = []
    for name, value in question.rules().items():
        change = dropped.get(name)
        if change is None or base is None:
            found.append(Bearing(constraint=name, value=value, binds=None, gain=None))
            continue
        optimum = base.metrics[aim.metric]
        without = -aim.sign * UNLIMITED if change.objective is None else change.objective
        gain = gain_of(optimum, without, aim.sign)
        found.append(
            Bearing(constraint=name, value=value, binds=bool(gain), gain=None if isinf(gain) else gain)
        )
    return found


def differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Choices that differ: name to (old, new)."""
    return {name: (old[name], new[name]) for name in old if old[name] != new[name]}


def _less(new: dict[str, float], old: dict[str, float]) -> dict[str, float]:
    return {name: value - old[name] for name, value in new.items() if name in old}


def effect(change: Change) -> tuple[bool, float, str, str]:
    """The largest effect first, what leaves no plan last."""
    none = change.difference is None
    return (none, -abs(change.difference or 0.0), change.name, change.move)
