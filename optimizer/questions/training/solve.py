"""The best setting of a training problem, with its proof; or the conflict that leaves none."""

import contextlib
import math
import time
from dataclasses import replace
from typing import Any

from optimizer import catalog
from optimizer.anatomy.assumptions import price_of
from optimizer.anatomy.training import train_estimate
from optimizer.cost.memory import GIB
from optimizer.cost.training.rules import SENTENCES
from optimizer.errors import InputError, InternalMismatch
from optimizer.questions.options import Options
from optimizer.questions.training.answer import TrainingAnswer
from optimizer.questions.training.check import check_training
from optimizer.questions.training.lattice import setup_of
from optimizer.questions.training.metrics import TrainingMetric, limits_of, metrics_for, wanted
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.search import (
    Counts,
    Found,
    Lattice,
    Limits,
    broken_everywhere,
    search,
    witness,
)
from optimizer.search.binding import WhatBinds, what_binds
from optimizer.search.conflict import smallest_conflict
from optimizer.search.rounding import outward
from optimizer.spec.answer import Assumption, Binding, Conflict, Objective, Proof, Relaxation, Status
from optimizer.spec.training_plan import TrainingEstimate
from optimizer.version import VERSION
from optimizer.watch import Progress, Stopped, Watch

_SAME = 1e-9
_MORE_CHIPS = (2, 4, 8)
"""How many times the chips are tried where they are part of a conflict."""


def solve(problem: TrainingProblem, options: Options = Options()) -> TrainingAnswer:
    """Find the best setting and prove it, or name the smallest conflict and what would do.

    Raises InputError for what cannot be asked, InternalMismatch if the answer fails its own check.
    """
    start = time.monotonic()
    study = _Study(problem, options.watch())
    counts = Counts()
    best = study.best(study.rules, counts)
    status: Status = "infeasible" if best is None else "optimal"
    if counts.unfinished is not None:
        status = "unknown" if best is None else "feasible"
    else:
        study.witness(best, counts)
    estimate = study.checked(best) if best else None
    binds = study.binds(best) if best and status == "optimal" else WhatBinds(())
    return TrainingAnswer(
        status=status,
        objective=study.objective(best, counts),
        estimate=estimate,
        metrics=study.values(best) if best else {},
        binding=study.binding(best, binds) if best else (),
        binding_untried=binds.untried,
        conflict=study.conflict() if status == "infeasible" else None,
        assumptions=(*(estimate.assumptions if estimate else ()), *study.assumptions()),
        certificate=study.certificate(best, counts),
        wall_s=time.monotonic() - start,
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


class _Study:
    def __init__(self, problem: TrainingProblem, watch: Watch) -> None:
        self.problem, self.watch = problem, watch
        self.model = catalog.model(problem.train_model, problem.documents)
        self.chip = catalog.chip(problem.hardware, problem.documents)
        self.metrics = metrics_for(problem, self.model, self.chip)
        self.name = wanted(problem, self.metrics)
        self.bounds = limits_of(problem, self.metrics)
        self.rules = frozenset({"memory_capacity", "chips", *self.bounds})
        self.usable = self.chip.hbm_usable - problem.setup.reserve_gib * GIB
        self.lattices: dict[int, Lattice] = {}
        if self.usable <= 0:
            raise InputError(f"{problem.name}: setup.reserve_gib leaves no memory of {self.chip.name}")

    @property
    def metric(self) -> TrainingMetric:
        """What is optimised."""
        return self.metrics[self.name]

    def lattice(self, times: int = 1) -> Lattice:
        """The lattice of some times the problem's chips."""
        if times not in self.lattices:
            chips = self.problem.chips * times
            self.lattices[times] = Lattice(self.problem, self.model, self.chip, chips)
        return self.lattices[times]

    def limits(self, rules: frozenset[str]) -> Limits:
        """The limits of some rules."""
        measures = []
        for rule in sorted(rules & set(self.bounds)):
            metric, bound = self.bounds[rule]
            most = -bound if metric.more else bound
            measures.append((metric.measure, most + abs(most) * _SAME))
        return Limits(tuple(measures), self.usable if "memory_capacity" in rules else math.inf)

    def best(
        self, rules: frozenset[str], counts: Counts | None = None, metric: TrainingMetric | None = None
    ) -> Found | None:
        """The best setting by a metric under some rules; without `chips`, of up to eight times as many.

        Raises Stopped at the end of the watch, unless there are counts to say so.
        """
        own = counts or Counts()
        by, limits = metric or self.metric, self.limits(rules)
        for times in (1,) if "chips" in rules else (1, *_MORE_CHIPS):
            found = search(self.lattice(times), by.measure, limits, own, self._told(by))
            if counts is None and own.unfinished is not None:
                raise Stopped
            if found:
                return found
        return None

    def _told(self, by: TrainingMetric) -> Watch:
        """The watch, told of scores in the unit of a metric."""
        sign = -1.0 if by.more else 1.0

        def tell(progress: Progress) -> None:
            incumbent, bound = (None if v is None else sign * v for v in (progress.incumbent, progress.bound))
            shown = replace(progress, incumbent=incumbent, bound=bound, metric=self.name, unit=by.unit)
            self.watch.say(shown)

        return replace(self.watch, tell=tell) if self.watch.tell else self.watch

    def witness(self, best: Found | None, counts: Counts) -> None:
        """Price splits that bounds ruled out, as far as there is time; InternalMismatch if one is better."""
        with contextlib.suppress(Stopped):
            witness(self.lattice(), self.metric.measure, self.limits(self.rules), counts, best, self.watch)

    def setup(self, best: Found) -> Any:
        """The setting found, as a setup of its own."""
        return setup_of(self.problem, best.split, best.inner, best.row)

    def checked(self, best: Found) -> TrainingEstimate:
        """The setting recomputed alone, from its setup; a setting that fails is no answer."""
        setup, tokens = self.setup(best), self.problem.training_tokens
        limits = {"memory_capacity": self.usable, "chips": float(self.problem.chips)}
        limits |= {rule: bound for rule, (_, bound) in self.bounds.items()}
        checked = check_training(self.model, self.chip, setup, tokens, limits)
        if checked.broken:
            broken = ", ".join(checked.broken)
            raise InternalMismatch(f"the setting found breaks {broken} when recomputed; no answer is given")
        for name, value in self.values(best).items():
            own = checked.metrics[name]
            if abs(value - own) > _SAME * abs(own):
                raise InternalMismatch(
                    f"the search found {name} {value:.9g}, the check {own:.9g} for the same setting; "
                    "no answer is given"
                )
        return train_estimate(self.model, self.chip, setup, tokens)

    def values(self, best: Found) -> dict[str, float]:
        """Every metric of a setting."""
        n = math.prod(best.split[k] for k in best.split if k not in ("expert_parallel", "microbatch"))
        return {name: float(m.value(best.step_s, n, best.memory)) for name, m in self.metrics.items()}

    def objective(self, best: Found | None, counts: Counts) -> Objective:
        """What was reached, and what is proven."""
        sign = -1 if self.metric.more else 1
        value = None if best is None else self.values(best)[self.name]
        bound = value if counts.unfinished is None else sign * counts.unfinished
        return Objective.of(self.name, self.metric.unit, sign, value, bound)

    def binds(self, best: Found) -> WhatBinds:
        """The rules without which alone the best setting is better; the chips there are are the question."""
        sense = -1 if self.metric.more else 1
        rules = sorted(self.rules - {"chips"})
        return what_binds(rules, self.values(best)[self.name], sense, self._optimum_without, self.watch)

    def _optimum_without(self, rule: str) -> float | None:
        counts = Counts()
        other = self.best(self.rules - {rule}, counts)
        if counts.unfinished is not None:
            raise Stopped
        return None if other is None else self.values(other)[self.name]

    def binding(self, best: Found, binds: WhatBinds) -> tuple[Binding, ...]:
        """The same with the limits and what the setting makes of them."""
        rows = []
        for row in binds.rules:
            metric, limit = self._what(row.rule)
            name = "memory_gib" if row.rule == "memory_capacity" else row.rule.rpartition("_")[0]
            value = self.values(best)[name]
            rows.append(
                Binding(constraint=row.rule, bound=limit, value=value, unit=metric.unit, gain=row.gain)
            )
        return tuple(rows)

    def conflict(self) -> Conflict | None:
        """The smallest set of rules that cannot hold together, and the nearest change of each.

        None if there was no time to find it.
        """
        names = sorted(self.rules)
        try:
            together = smallest_conflict(names, lambda rules: self.best(rules) is not None)
            changes = [self._relaxed(rule) for rule in together]
        except Stopped:
            return None
        if not together:
            return self._nothing_runs()
        return Conflict(constraints=tuple(together), relaxations=tuple(changes))

    def _nothing_runs(self) -> Conflict:
        """The rules of divisibility that the choices of the setup leave no way to keep."""
        rules = broken_everywhere(self.problem, self.lattice(_MORE_CHIPS[-1]))
        changes = [
            Relaxation(constraint=f"setup: {rule}", sentence=SENTENCES[rule], from_=None, to=None, unit="")
            for rule in rules
        ]
        return Conflict(constraints=tuple(c.constraint for c in changes), relaxations=tuple(changes))

    def _relaxed(self, rule: str) -> Relaxation:
        """The nearest value of one rule at which the others hold, found and then tried."""
        others = self.rules - {rule}
        metric, before = self._what(rule)
        found = self.best(others, metric=metric)
        if found is None:
            sentence = "no value is enough by itself"
            return Relaxation(constraint=rule, sentence=sentence, from_=before, to=None, unit=metric.unit)
        reached = -found.score if metric.more else found.score
        to = outward(reached, -1 if metric.more else 1)
        self._verify(rule, to)
        least = "at most" if metric.more else "at least"
        return Relaxation(
            constraint=rule,
            sentence=f"{least} {to:g} {metric.unit} instead of {before:g}".replace("  ", " "),
            from_=before,
            to=to,
            unit=metric.unit,
        )

    def _what(self, rule: str) -> tuple[TrainingMetric, float]:
        if rule == "memory_capacity":
            return self.metrics["memory_gib"], self.usable / GIB
        if rule == "chips":
            return self.metrics["chips"], float(self.problem.chips)
        return self.bounds[rule]

    def _verify(self, rule: str, to: float) -> None:
        """Solve again with the changed rule: a change that does not help is no advice."""
        if rule == "chips":
            changed = self.problem.model_copy(update={"chips": int(to)})
            again = _Study(changed, self.watch).best(self.rules)
        else:
            trial = _Study(self.problem, self.watch)
            trial.lattices = self.lattices
            if rule == "memory_capacity":
                trial.usable = to * GIB
            else:
                trial.bounds = trial.bounds | {rule: (self.bounds[rule][0], to)}
            again = trial.best(self.rules)
        if again is None:
            raise InternalMismatch(f"{rule} {to:g} was found to be enough and is not; no answer is given")

    def assumptions(self) -> tuple[Assumption, ...]:
        """What the problem leaves to defaults."""
        reserve = self.problem.setup.reserve_gib
        chips = [Assumption(name="setup.reserve_gib", value=f"{reserve:g} GiB a chip", source="a guess")]
        return (*chips, *price_of(self.chip))

    def certificate(self, best: Found | None, counts: Counts) -> Proof:
        """The counts of the search."""
        confirmed = [
            f"optimistic bounds of {counts.cells - counts.cells_opened} cells not opened and of the "
            f"{counts.splits - counts.priced} splits not priced, in numpy"
        ]
        if counts.witnesses:
            confirmed.append(
                f"{counts.witnesses} splits that bounds ruled out, priced all the same: none is better"
            )
        if counts.settings_priced:
            confirmed.append(f"all {counts.settings_priced} settings of the splits priced, in numpy")
        checked = "step, memory, rules and limits recomputed from the setup alone"
        return Proof(
            counts={
                "cells": counts.cells,
                "cells_opened": counts.cells_opened,
                "settings": counts.settings,
                "splits": counts.splits,
                "splits_without_memory": counts.without_memory,
                "splits_by_bound": counts.by_bound,
                "splits_priced": counts.priced,
                "settings_priced": counts.settings_priced,
                "witnesses": counts.witnesses,
            },
            confirmed_by=tuple(confirmed),
            checker=checked if best else "no setting to check",
        )
