"""A training problem as a `Question`: every metric is searched for over one lattice, under edited rules."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from optimizer.anatomy.assumptions import price_of
from optimizer.anatomy.models_assumed import models_assumed
from optimizer.anatomy.training import train_estimate
from optimizer.cost.memory import GIB
from optimizer.cost.training.rules import SENTENCES
from optimizer.errors import InternalMismatch
from optimizer.questions.question import Ask, Best
from optimizer.questions.training.explain import MORE_CHIPS, broken_choices, never_kept, relaxed
from optimizer.questions.training.metrics import TrainingMetric, metric_of_rule
from optimizer.questions.training.priced import SAME, Rules
from optimizer.questions.training.proof import proof_of
from optimizer.questions.training.search import (
    Counts,
    Found,
    Limits,
    search,
    witness,
)
from optimizer.questions.training.vocabulary import TrainingVocabulary
from optimizer.search.rounding import outward
from optimizer.search.steps import at_most, whole_steps
from optimizer.spec.answer import Assumption, Conflict, Proof, Relaxation, Status
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.spec.training_plan import TrainingEstimate
from optimizer.watch import UNWATCHED, Progress, Stopped, Watch


@dataclass(frozen=True)
class _Solved:
    """What `best` keeps of its search."""

    found: Found | None
    counts: Counts


class TrainingQuestion(TrainingVocabulary):
    """The `Question` of a training problem."""

    def limits(self, rules: Rules) -> Limits:
        """The limits of some rules."""
        measures = []
        for rule in sorted(set(rules) - {"memory_capacity", "chips"}):
            metric = self.table[metric_of_rule(rule)]
            most = -rules[rule] if metric.more else rules[rule]
            measures.append((metric.measure, most + abs(most) * SAME))
        return Limits(tuple(measures), rules.get("memory_capacity", math.inf) * GIB)

    def searched(
        self,
        rules: Rules,
        counts: Counts | None = None,
        metric: TrainingMetric | None = None,
        watch: Watch | None = None,
    ) -> Found | None:
        """The best setting by a metric under some rules; without `chips`, of up to eight times as many.

        Raises Stopped at the end of the watch, unless there are counts to say so.
        """
        own, by = counts or Counts(), metric or self.metric
        told = self._told(by, watch or self.watch)
        chips = int(rules.get("chips", self.problem.chips))
        for times in (1,) if "chips" in rules else (1, *MORE_CHIPS):
            found = search(self.lattice(chips * times), by.measure, self.limits(rules), own, told)
            if counts is None and own.unfinished is not None:
                raise Stopped
            if found:
                return found
        return None

    def _told(self, by: TrainingMetric, watch: Watch) -> Watch:
        """The watch, told of scores in the unit of a metric."""
        sign = -1.0 if by.more else 1.0

        def tell(progress: Progress) -> None:
            incumbent, bound = (None if v is None else sign * v for v in (progress.incumbent, progress.bound))
            watch.say(replace(progress, incumbent=incumbent, bound=bound, metric=self.name, unit=by.unit))

        return replace(watch, tell=tell) if watch.tell else watch

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Each aim in turn, the earlier held: exact in the first, the later in steps until the last."""
        other = self.varied(asked.within, asked.scaled)
        rules: Rules = {rule: v for rule, v in other.rules().items() if rule not in asked.without}
        rules = {rule: float(asked.values.get(rule, v)) for rule, v in rules.items()}
        for name, limit in asked.bounds.items():
            rules = other.held(rules, other.aim(name), limit)
        own, counts, found = dict(rules), Counts(), None
        for number, aim in enumerate(asked.aims):
            found = other.searched(rules, counts, other.table[aim.metric], watch)
            if counts.unfinished is not None:
                raise Stopped
            if found is None or asked.any_plan:
                break
            value = other.values(found)[aim.metric]
            exactly = number in (0, len(asked.aims) - 1)
            rules = other.held(rules, aim, value if exactly else at_most(aim, whole_steps(aim, value)))
        plan = None if found is None else other.plan_of(found, own)
        return Optimum(plan=plan, slices=counts.priced, solves=0, enumerated=counts.settings_priced)

    def held(self, rules: Rules, aim: Aim, limit: float) -> Rules:
        """The rules, and a metric no worse than a limit."""
        rule, tighter = (f"{aim.metric}_max", min) if aim.sign > 0 else (f"{aim.metric}_min", max)
        return {**rules, rule: tighter(limit, rules.get(rule, limit))}

    def best(self) -> Best:
        """The best setting, priced again; settings that bounds ruled out are looked at too."""
        counts, rules = Counts(), self.rules()
        found = self.searched(rules, counts)
        status: Status = "infeasible" if found is None else "optimal"
        if counts.unfinished is not None:
            status = "unknown" if found is None else "feasible"
        else:
            with contextlib.suppress(Stopped):
                lattice = self.lattice(self.problem.chips)
                witness(lattice, self.metric.measure, self.limits(rules), counts, found, self.watch)
        plan = None if found is None else self.plan_of(found, rules)
        value = None if plan is None else plan.metrics[self.name]
        sign = -1 if self.metric.more else 1
        bound = value if counts.unfinished is None else sign * counts.unfinished
        return Best(status, plan, value, bound, found=_Solved(found, counts))

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """The smallest conflict; where no rule is to blame, those of divisibility that the choices break."""
        found = super().conflict(watch)
        return broken_choices(self) if found is not None and not found.constraints else found

    def why_nothing_runs(self) -> str:
        """The rules of divisibility that the choices of the setup leave no way to keep."""
        return "setup: " + "; ".join(f"{rule}: {SENTENCES[rule]}" for rule in never_kept(self))

    def relaxation(self, rule: str, watch: Watch = UNWATCHED) -> Relaxation:
        """The nearest value of one rule at which the others hold, found and then tried."""
        others = {name: value for name, value in self.rules().items() if name != rule}
        metric = self.table[metric_of_rule(rule)]
        found = self.searched(others, metric=metric, watch=watch)
        if found is None:
            return relaxed(self, rule, None)
        reached = -found.score if metric.more else found.score
        to = outward(reached, -1 if metric.more else 1)
        if self.searched({**others, rule: to}, watch=watch) is None:
            raise InternalMismatch(f"{rule} {to:g} was found to be enough and is not; no answer is given")
        return relaxed(self, rule, to)

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum without a rule."""
        others = {name: value for name, value in self.rules().items() if name != rule}
        found = self.searched(others)
        return None if found is None else self.values(found)[self.name]

    def adds(self, best: Best) -> dict[str, Any]:
        """The setting as `estimate` shows it; a training run is deployed nowhere."""
        return {"estimate": self._estimate(best.plan), "architecture": None}

    def _estimate(self, plan: Plan | None) -> TrainingEstimate | None:
        if plan is None or plan.setup is None:
            return None
        own = self.problem
        return train_estimate(self.model, self.chip, plan.setup, own.training_tokens, own.long_run)

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the estimate assumes, and what the problem leaves to defaults."""
        chips = self.of_chips((best.plan,) if best.plan else (), self.price_decides())
        return (*models_assumed([self.model]), *chips)

    def of_chips(self, plans: Sequence[Plan], money: bool) -> tuple[Assumption, ...]:
        """What the estimate of the first plan assumes, and the price."""
        estimate = self._estimate(plans[0]) if plans else None
        return (*(estimate.assumptions if estimate else ()), *price_of(self.chip, money))

    def proof(self, best: Best) -> Proof:
        """The counts of the search."""
        return proof_of(best.found.counts, best.plan is not None)

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, each an optimum proven by bounds of cells and splits, in numpy",
            f"pricing of {work.enumerated} settings of {work.slices} splits, all that bounds left",
            "step, memory, rules and limits of every setting recomputed from the setup alone",
        )
