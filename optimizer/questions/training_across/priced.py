"""A plan over clusters priced again from its stages alone: choices changed, constants scaled."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from optimizer.questions.question import Question
from optimizer.questions.training_across.answer import AcrossAnswer
from optimizer.questions.training_across.check import AcrossCheck, Placed
from optimizer.questions.training_across.metrics import AcrossMetric, bounds_of, metrics_for, wanted
from optimizer.questions.training_across.offered import clusters_of, link_of
from optimizer.questions.training_across.plan import read
from optimizer.questions.training_across.problem import AcrossProblem
from optimizer.questions.training_across.ways import IDLE, Cluster, choice_of
from optimizer.questions.vary import HARDWARE, own_and_figures, scaled_chip, scaled_problem
from optimizer.questions.vocabulary import Priced
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.chip import Chip
from optimizer.spec.plan import Plan
from optimizer.watch import UNWATCHED, Watch


class PricedPlans(Question):
    """A question that knows its model, clusters and link, and prices any plan alone."""

    ANSWER = AcrossAnswer
    problem: AcrossProblem

    def __init__(
        self, problem: AcrossProblem, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        super().__init__(problem, watch, settings)
        self.use(clusters_of(problem))

    def use(self, clusters: Sequence[Cluster]) -> None:
        """Ask about these clusters; InputError where metrics or links cannot be had of them."""
        self.clusters = tuple(clusters)
        self.model = self.clusters[0].model
        self.link = link_of(self.problem, self.clusters)
        self.table = metrics_for(self.problem, self.model, [own.chip for own in self.clusters])
        self.name = wanted(self.problem, self.table)
        self.bounds = bounds_of(self.problem, self.table)

    @property
    def metric(self) -> AcrossMetric:
        """What is optimised."""
        return self.table[self.name]

    def varied(self, scaled: Mapping[str, float]) -> Self:
        """The question with some constants times a factor; kept, for it may be asked again."""
        return self.variant(lambda: self._varied(scaled), scaled)

    def _varied(self, scaled: Mapping[str, float]) -> Self:
        own, figures = own_and_figures(scaled)
        problem = scaled_problem(self.problem, own) if own else self.problem
        other = type(self)(problem, self.watch, self.settings)
        if figures:
            chips = {c.chip.name: self._scaled(c.chip, figures) for c in other.clusters}
            other.use(clusters_of(problem, chips))
        return other

    def _scaled(self, chip: Chip, figures: Mapping[str, float]) -> Chip:
        """A chip with its part of these figures: 'hardware.FIGURE' of all, 'hardware.CHIP.FIGURE' of one."""
        names = [own.chip.name for own in self.clusters]
        for path, factor in figures.items():
            rest = path.removeprefix(HARDWARE)
            named = next((name for name in names if rest.startswith(f"{name}.")), None)
            if named in (None, chip.name):
                figure = rest.removeprefix(f"{named}.")
                chip = scaled_chip(chip, {figure: factor})
        return chip

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor its chips have this number."""
        if path.startswith(HARDWARE):
            for own in self.clusters:
                self._scaled(own.chip, {path: 1.0})
        else:
            super().check_constant(path)

    def priced(
        self,
        plan: Plan,
        changed: Mapping[str, Any] = {},
        scaled: Mapping[str, float] = {},
        values: Mapping[str, Any] = {},
    ) -> Priced:
        """The plan priced by the checker; with other stages its layers cannot be kept."""
        structure = {"order", *(choice_of(g, "stages") for g in range(len(self.clusters)))}
        if structure & set(changed) or IDLE in changed.values():
            return Priced(None)
        other = self.varied(scaled)
        check = other.checker(read(other.problem, other.clusters, plan, changed))
        if unsound := check.unsound():
            return Priced(None, unsound)
        metrics = {name: check.metrics[name] for name in other.table}
        return Priced(metrics, check.broken({**other.rules(), **values}))

    def checker(self, clusters: tuple[Placed, ...]) -> AcrossCheck:
        """The independent computation of a plan."""
        own = self.problem
        return AcrossCheck(self.model, clusters, self.link, own.training_tokens, own.long_run)
