"""Re-solves of a question of training over clusters: any metric, under edited rules; each plan checked."""

import math
from collections.abc import Mapping
from typing import Any

from optimizer.cost.memory import GIB
from optimizer.errors import InternalMismatch
from optimizer.questions.question import Ask
from optimizer.questions.training_across.check import INVENTORY, AcrossCheck
from optimizer.questions.training_across.costs import Prices
from optimizer.questions.training_across.inside import Found, Limits
from optimizer.questions.training_across.metrics import MEMORY
from optimizer.questions.training_across.plan import placed_of, plan_of
from optimizer.questions.training_across.search import Counts, Search
from optimizer.questions.training_across.structures import Space
from optimizer.questions.training_across.vocabulary import MEMORY_SHARE, AcrossVocabulary
from optimizer.questions.training_across.ways import Within
from optimizer.search.steps import held_at
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum
from optimizer.watch import UNWATCHED, Stopped, Watch

MORE_CHIPS = 8
"""How many times the chips there are where their number is no rule."""
EVERYWHERE: Within = {}
_SAME = 1e-9
Rules = Mapping[str, float]


class SearchedPlans(AcrossVocabulary):
    """A question that finds the best plan under any rules."""

    def use(self, clusters: Any) -> None:
        """Ask about these clusters."""
        super().use(clusters)
        self.prices = Prices(self.problem, self.model, self.link)
        self.spaces: dict[tuple[int, ...], Space] = {}

    def space(self, chips: Mapping[int, int]) -> Space:
        """The lattice on so many chips of each cluster."""
        key = tuple(chips[own.number] for own in self.clusters)
        if key not in self.spaces:
            own = [cluster.with_chips(chips[cluster.number]) for cluster in self.clusters]
            self.spaces[key] = Space(self.problem, self.model, own, self.link, self.prices)
        return self.spaces[key]

    def limits(self, rules: Rules) -> Limits:
        """The limits of some rules."""
        measures, most = [], math.inf
        for rule in sorted(set(rules) - {MEMORY_SHARE}):
            if rule.startswith(INVENTORY):
                continue
            metric, limit = self.table[rule.rpartition("_")[0]], rules[rule]
            if metric.name == MEMORY:
                most = limit * GIB * (1 + _SAME)
                continue
            least = -limit if metric.more else limit
            measures.append((metric, least + abs(least) * _SAME))
        return Limits(tuple(measures), rules.get(MEMORY_SHARE, math.inf), most)

    def searched(
        self,
        rules: Rules,
        metric: str | None = None,
        within: Within = EVERYWHERE,
        counts: Counts | None = None,
        watch: Watch | None = None,
        any_plan: bool = False,
    ) -> Found | None:
        """The best plan by a metric under some rules. Raises Stopped, unless there are counts to say so."""
        own = counts or Counts()
        search = self._search(rules, metric or self.name, within, own, watch or self.watch)
        found = search.run(any_plan)
        if counts is None and own.unfinished is not None and not (any_plan and found):
            raise Stopped
        return found

    def _search(self, rules: Rules, metric: str, within: Within, counts: Counts, watch: Watch) -> Search:
        chips = {}
        for own in self.clusters:
            most = rules.get(f"{INVENTORY}{own.chip.name}", own.chips * MORE_CHIPS)
            chips[own.number] = int(most)
        return Search(self.space(chips), self.table[metric], self.limits(rules), within, counts, watch)

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Each aim in turn, the earlier held: exact in the first, the later in steps until the last."""
        other = self.varied(asked.scaled)
        rules = {rule: v for rule, v in other.rules().items() if rule not in asked.without}
        rules = {rule: float(asked.values.get(rule, v)) for rule, v in rules.items()}
        for name, limit in asked.bounds.items():
            rules = held(rules, other.aim(name), limit)
        own, found, placed, looked = dict(rules), None, 0, 0
        for number, aim in enumerate(asked.aims):
            counts = Counts()
            found = other.searched(rules, aim.metric, asked.within, counts, watch, asked.any_plan)
            placed, looked = placed + counts.placed, looked + counts.structures
            if counts.unfinished is not None and not (asked.any_plan and found):
                raise Stopped
            if found is None or asked.any_plan:
                break
            value = other.values(found)[aim.metric]
            rules = held(rules, aim, held_at(asked.aims, number, value))
        plan = None if found is None else other.checked(found, own)[0]
        return Optimum(plan=plan, slices=looked, solves=0, enumerated=placed)

    def values(self, found: Found) -> dict[str, float]:
        """Every metric of what the search found, as it has them."""
        figures = found.step_s, found.chips, found.memory, found.chip
        return {name: float(metric.value(*figures)) for name, metric in self.table.items()}

    def checked(self, found: Found, rules: Rules) -> tuple[Plan, AcrossCheck]:
        """The plan, priced again from its stages; one that fails is no answer."""
        check = self.checker(placed_of(self.problem, found))
        if broken := (*check.unsound(), *check.broken(rules)):
            raise InternalMismatch(f"the plan found breaks {', '.join(broken)} when priced again")
        for name, value in self.values(found).items():
            own = check.metrics[name]
            if abs(value - own) > _SAME * abs(own):
                raise InternalMismatch(
                    f"the search found {name} {value:.9g}, the check {own:.9g} for the same plan; "
                    "no answer is given"
                )
        return plan_of(self.model.name, self.clusters, check), check


def held(rules: Rules, aim: Aim, limit: float) -> dict[str, float]:
    """The rules, and a metric no worse than a limit."""
    rule, tighter = (f"{aim.metric}_max", min) if aim.sign > 0 else (f"{aim.metric}_min", max)
    return {**rules, rule: tighter(limit, rules.get(rule, limit))}
