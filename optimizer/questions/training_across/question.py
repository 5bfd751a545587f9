"""A question of training over clusters: every metric is searched for over one lattice, under edited rules."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from optimizer.anatomy.assumptions import price_of
from optimizer.anatomy.training import chip_assumptions, losses, unmodelled
from optimizer.cost.training.rules import SENTENCES
from optimizer.errors import InternalMismatch
from optimizer.questions.question import Best
from optimizer.questions.training_across.check import INVENTORY, AcrossCheck
from optimizer.questions.training_across.explain import broken_choices, never_kept
from optimizer.questions.training_across.plan import read
from optimizer.questions.training_across.proof import proof_of
from optimizer.questions.training_across.search import Counts
from optimizer.questions.training_across.searched import EVERYWHERE, MORE_CHIPS, Rules, SearchedPlans
from optimizer.questions.training_across.vocabulary import MEMORY_SHARE
from optimizer.search.rounding import outward
from optimizer.spec.answer import Assumption, Conflict, Proof, Relaxation, Status
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Work
from optimizer.watch import UNWATCHED, Stopped, Watch

_HALVINGS = 12


@dataclass(frozen=True)
class _Solved:
    """What `best` keeps of its search."""

    counts: Counts
    check: AcrossCheck | None


class AcrossQuestion(SearchedPlans):
    """The `Question` of such a problem."""

    def best(self) -> Best:
        """The best plan, priced again; structures that bounds ruled out are looked at too."""
        counts, rules = Counts(), self.rules()
        search = self._search(rules, self.name, EVERYWHERE, counts, self.watch)
        found = search.run()
        status: Status = "infeasible" if found is None else "optimal"
        if counts.unfinished is not None:
            status = "unknown" if found is None else "feasible"
        else:
            with contextlib.suppress(Stopped):
                search.witness(found)
        plan, check = (None, None) if found is None else self.checked(found, rules)
        value = None if plan is None else plan.metrics[self.name]
        bound = value
        if counts.unfinished is not None:
            bound = -counts.unfinished if self.metric.more else counts.unfinished
            bound = bound if math.isfinite(bound) else None
        return Best(status, plan, value, bound, found=_Solved(counts, check))

    def optimum_without(self, rule: str, best: Best) -> float | None:
        """The optimum without a rule."""
        found = self.searched({name: value for name, value in self.rules().items() if name != rule})
        return None if found is None else self.values(found)[self.name]

    def reached(self, rule: str, best: Best) -> tuple[float | None, float | None, str | None]:
        """The limit of a rule, what the plan makes of it, and the unit."""
        check: AcrossCheck | None = best.found.check
        if check is not None and rule == MEMORY_SHARE:
            return self.rules()[rule], check.share, "of the usable memory"
        if check is not None and rule.startswith(INVENTORY):
            return self.rules()[rule], float(check.used(rule.removeprefix(INVENTORY))), "chips"
        return super().reached(rule, best)

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """The smallest conflict; where no rule is to blame, those of divisibility that the choices break."""
        found = super().conflict(watch)
        return broken_choices(self.problem, self.clusters) if found and not found.constraints else found

    def why_nothing_runs(self) -> str:
        """The rules of divisibility that the choices leave no way to keep."""
        broken = never_kept(self.problem, self.clusters)
        return "setup: " + "; ".join(f"{rule}: {SENTENCES[rule]}" for rule in broken)

    def relaxation(self, rule: str, watch: Watch = UNWATCHED) -> Relaxation:
        """The nearest value of one rule at which the others leave a plan, and which was tried."""
        others = {name: value for name, value in self.rules().items() if name != rule}
        before, to = self.rules()[rule], None
        unit, side = ("chips", 1) if rule.startswith(INVENTORY) else ("of the usable memory", 1)
        if rule not in self.bounds:
            to = self._enough(rule, before, others, watch)
        else:
            metric = self.table[rule.rpartition("_")[0]]
            unit, side = metric.unit, -1 if metric.more else 1
            found = self.searched(others, metric.name, watch=watch)
            to = None if found is None else outward(self.values(found)[metric.name], side)
        if to is None:
            words = "no value is enough by itself"
            return Relaxation(constraint=rule, sentence=words, from_=before, to=None, unit=unit)
        if self.searched({**others, rule: to}, watch=watch, any_plan=True) is None:
            raise InternalMismatch(f"{rule} {to:g} was found to be enough and is not; no answer is given")
        least = "at least" if side > 0 else "at most"
        sentence = f"{least} {to:g} {unit} instead of {before:g}".replace("  ", " ")
        return Relaxation(constraint=rule, sentence=sentence, from_=before, to=to, unit=unit)

    def _enough(self, rule: str, before: float, others: Rules, watch: Watch) -> float | None:
        """About the least number of chips, or share of the memory, that is enough with the other rules."""

        def does(value: float) -> bool:
            return self.searched({**others, rule: value}, watch=watch, any_plan=True) is not None

        low, high = before, before * MORE_CHIPS
        if not does(high):
            return None
        whole = rule.startswith(INVENTORY)
        for _ in range(64 if whole else _HALVINGS):
            middle = (low + high) // 2 if whole else (low + high) / 2
            if middle <= low:
                break
            low, high = (low, middle) if does(middle) else (middle, high)
        return high if whole else outward(high, 1)

    def adds(self, best: Best) -> dict[str, Any]:
        """The stages, each cluster's setup, the step by part, and what each cluster does alone."""
        check: AcrossCheck | None = best.found.check
        if check is None or best.plan is None:
            return {"architecture": self.model.name, "deployment": None}
        times = check.priced.times
        return {
            "deployment": None,
            "stages": best.plan.pools,
            "setups": tuple(own.setup for own in check.clusters),
            "used": {own.chip.name: own.n_chips for own in check.stages},
            "waiting": check.waiting,
            "unmodelled": unmodelled(self.model, check.clusters[0].setup),
            "step_ms": {f.name: 1e3 * float(getattr(times, f.name)) for f in fields(times)},
            "alone": self._alone(),
        }

    def _alone(self) -> dict[str, float | None]:
        """The optimum on each cluster by itself, as far as the watch lets it be known."""
        found: dict[str, float | None] = {}
        with contextlib.suppress(Stopped):
            for own in self.clusters if len(self.clusters) > 1 else ():
                one = self.searched(self.rules(), within={"order": (own.chip.name,)})
                found[own.chip.name] = None if one is None else self.values(one)[self.name]
        return found

    def assumptions(self, best: Best) -> tuple[Assumption, ...]:
        """What the plan's figures assume, and what the problem leaves to defaults."""
        found = self.of_chips((best.plan,) if best.plan else (), self.price_decides())
        if best.plan is None:
            return found
        n = int(best.plan.metrics["chips"])
        return (*found, *losses(n, self.problem.long_run), self._network())

    def _network(self) -> Assumption:
        if self.link is not None:
            value = f"{self.link.bandwidth / 1e9:g} GB/s a chip, {self.link.latency * 1e6:g} us"
            return Assumption(name="network between clusters", value=value, source="the problem")
        value = "the slower of the networks of the two chips"
        return Assumption(name="network between clusters", value=value, source="default of archsat")

    def of_chips(self, plans: Sequence[Plan], money: bool) -> tuple[Assumption, ...]:
        """What is assumed of the chips of some plans, and their prices."""
        found: dict[str, Assumption] = {}
        for plan in plans:
            for own in read(self.problem, self.clusters, plan, {}):
                rows = (*chip_assumptions(own.chip, own.setup), *price_of(own.chip, money))
                found |= {row.name: row for row in rows}
        return tuple(found.values())

    def proof(self, best: Best) -> Proof:
        """The counts of the search."""
        return proof_of(best.found.counts, best.plan is not None)

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, each an optimum proven by bounds of cells and structures, in numpy",
            f"layers of {work.enumerated} of {work.slices} structures placed exactly, all that bounds left",
            "step, memory, rules and limits of every plan priced again from its stages alone",
        )
