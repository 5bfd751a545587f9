"""What each constraint, dimension and constant costs: the problem solved again with one thing changed.

Every difference is between two proven optima. A constraint that is tightened without breaking the plan
leaves the plan optimal, since there are only fewer others; such a move needs no solve.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from math import isinf
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from optimizer.questions.options import Options
from optimizer.questions.question import Ask
from optimizer.search.binding import UNLIMITED, gain_of
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Bearing, Change, Critical, Optimum, Perturbation
from optimizer.studies.executors import Here
from optimizer.studies.resolves import Resolves
from optimizer.studies.sensitivity import critical_changes
from optimizer.version import VERSION
from optimizer.watch import Stopped

_TRIES = 6
"""Neighbouring values of a dimension tried on each side until one leaves a plan."""


@dataclass(frozen=True)
class Variation:
    """A constant times a factor: 'hardware.hbm_bandwidth', 1.1."""

    path: str
    factor: float

    @property
    def words(self) -> str:
        """As a person would write it."""
        return f"{100 * (self.factor - 1):+g} %"


def perturb(
    problem: BaseModel,
    vary: Sequence[Variation] = (),
    executor: Executor | None = None,
    journal: Path | None = None,
    options: Options = Options(),
) -> Perturbation:
    """Move and drop every constraint, hold every dimension at its neighbours, scale the constants named.

    Each is solved to its proven optimum; `alone` shows a dimension changed with all else kept. For each
    constant of `vary` it is also bisected how far it may be wrong, either way, before the plan changes.
    """
    study = {"study": "perturb"}
    resolves = Resolves(problem, study, executor or Here(), journal, options.watch())
    try:
        return _Perturb(problem, resolves, tuple(vary)).run()
    finally:
        resolves.close()


@dataclass(frozen=True)
class _Try:
    """One change to be solved."""

    kind: str
    name: str
    move: str
    old: Any
    new: Any
    ask: Ask
    change: float | None = None


class _Perturb:
    """One perturbation study in the making."""

    def __init__(self, problem: BaseModel, resolves: Resolves, vary: tuple[Variation, ...]) -> None:
        self.problem, self.resolves, self.vary = problem, resolves, vary
        self.question = resolves.question
        self.aims = self.question.own_aims()
        for variation in vary:
            self.question.check_constant(variation.path)
        self.changes: list[Change] = []

    def run(self) -> Perturbation:
        """Solve, then every change; InputError for a constant that does not exist."""
        critical: list[Critical] = []
        status = "complete"
        base: Plan | None = None
        try:
            base = self.resolves.one(Ask(aims=self.aims)).plan
            if base is not None:
                constants = self._constants(self.question.choices(base))
                self.resolves.say("constraints", left=len(constants), more=True)
                self._solved(base, self._constraints(base))
                self.resolves.say("constants", more=True)
                self._solved(base, constants)
                self.resolves.say("dimensions", more=True)
                self._dimensions(base)
                self.resolves.say("how far a constant may be wrong", more=True)
                critical = critical_changes(self.resolves, self.aims, base, [v.path for v in self.vary])
        except Stopped:
            status = "partial" if base is not None else "unknown"
        conflict = None
        if base is None and status == "complete":
            status, conflict = "infeasible", self.question.conflict(self.resolves.watch)
        bearings = self._bearings(base, self.changes)
        stopped = status == "unknown"
        return Perturbation(
            status=status,
            objective=self.aims[0],
            value=None if base is None else base.metrics[self.aims[0].metric],
            plan=base,
            bearings=tuple(bearings),
            changes=tuple(sorted(self.changes, key=_effect)),
            critical=tuple(critical),
            conflict=conflict,
            work=self.resolves.work,
            confirmed_by=() if base is None else self.question.witnesses(self.resolves.work),
            stopped=self.question.unprepared() if stopped else "",
            at_hand=self.question.at_hand(self.aims[0]) if stopped else None,
            version=VERSION,
            problem=self.problem.model_dump(mode="json", exclude_unset=True),
        )

    def _constraints(self, base: Plan) -> list[_Try]:
        tries, start = [], self.question.choices(base)
        for name, value in self.question.rules().items():
            for words, new, change in self.question.moves(name, base):
                ask = Ask(aims=self.aims, values={name: new}, start=start)
                tries.append(_Try("constraint", name, words, value, new, ask, change))
            if self.question.can_be_dropped(name):
                ask = Ask(aims=self.aims, without=(name,), start=start)
                tries.append(_Try("constraint", name, "dropped", value, None, ask))
        return tries

    def _constants(self, start: dict[str, Any]) -> list[_Try]:
        asks = [Ask(aims=self.aims, scaled={v.path: v.factor}, start=start) for v in self.vary]
        return [
            _Try("constant", v.path, v.words, 1.0, v.factor, ask)
            for v, ask in zip(self.vary, asks, strict=True)
        ]

    def _dimensions(self, base: Plan) -> None:
        """Each free choice held at the nearest other values: numbers on both sides, others at every one."""
        chosen = self.question.choices(base)
        sides: list[tuple[str, list[Any]]] = []
        for name, values in self.question.domains().items():
            own = chosen[name]
            if isinstance(own, str):
                sides += [(name, [value]) for value in values if value != own]
                continue
            lower = [value for value in reversed(values) if value < own][:_TRIES]
            higher = [value for value in values if value > own][:_TRIES]
            sides += [(name, side) for side in (lower, higher) if side]
        for depth in range(_TRIES):
            live = [(name, values[depth]) for name, values in sides if len(values) > depth]
            tries = [
                _Try("dimension", n, f"= {v}", chosen[n], v, Ask(aims=self.aims, within={n: (v,)}))
                for n, v in live
            ]
            changes = self._solved(base, tries)
            done = {(c.name, c.to) for c in changes if c.objective is not None}
            sides = [s for s in sides if len(s[1]) > depth + 1 and (s[0], s[1][depth]) not in done]

    def _solved(self, base: Plan, tries: list[_Try]) -> list[Change]:
        """Solve with each change; those that were solved are kept when the study is stopped among them."""
        live = [item for item in tries if not self._unchanged(base, item)]
        asks = [item.ask for item in live]
        try:
            self.resolves.all(asks)
        finally:
            answers = dict(zip(map(id, live), self.resolves.known(asks), strict=True))
            plans = [(item, answers[id(item)]) if id(item) in answers else (item, base) for item in tries]
            new = []
            for item, known in plans:
                if known is not None:
                    new += self._shown(base, item, known.plan if isinstance(known, Optimum) else known)
            self.changes += new
        return new

    def _shown(self, base: Plan, item: _Try, plan: Plan | None) -> list[Change]:
        """A change that was solved; none where no time is left to price the old plan with it."""
        try:
            return [self._change(base, item, plan)]
        except Stopped:
            return []

    def _unchanged(self, base: Plan, item: _Try) -> bool:
        """Whether a tighter constraint that the plan keeps leaves it optimal, with no solve."""
        return (
            item.kind == "constraint"
            and item.new is not None
            and self.question.tighter(item.name, item.old, item.new)
            and self.question.keeps(base, item.name, item.new)
        )

    def _change(self, base: Plan, item: _Try, plan: Plan | None) -> Change:
        first = self.aims[0].metric
        value = None if plan is None else plan.metrics[first]
        difference = None if value is None else value - base.metrics[first]
        alone: tuple[dict[str, float] | None, tuple[str, ...]] = None, ()
        if item.kind != "constraint":
            changed = {item.name: item.new} if item.kind == "dimension" else {}
            again = self.question.priced(base, changed, item.ask.scaled)
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
            plan={} if plan is None else self._differences(base, plan),
            alone=alone[0],
            alone_breaks=alone[1],
        )

    def _differences(self, base: Plan, plan: Plan) -> dict[str, tuple[Any, Any]]:
        return differences(self.question.choices(base), self.question.choices(plan))

    def _bearings(self, base: Plan | None, changes: list[Change]) -> list[Bearing]:
        """What `solve` calls binding, from the same optima; a rule not dropped has none."""
        aim = self.aims[0]
        dropped = {c.name: c for c in changes if c.kind == "constraint" and c.move == "dropped"}
        found = []
        for name, value in self.question.rules().items():
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


def _effect(change: Change) -> tuple[bool, float, str, str]:
    """The largest effect first, what leaves no plan last."""
    none = change.difference is None
    return (none, -abs(change.difference or 0.0), change.name, change.move)
