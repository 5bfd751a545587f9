"""What a pipeline problem says of itself: metrics, bounds, free choices; a split priced again."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

from optimizer import catalog
from optimizer.columns.supply import Supply, supplies
from optimizer.errors import InputError
from optimizer.questions.aims import aim_of, not_one_of
from optimizer.questions.moves import Move
from optimizer.questions.pipeline.answer import PipelineAnswer
from optimizer.questions.pipeline.check import PipelineCheck
from optimizer.questions.pipeline.plan import chips_and_cost
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.questions.pipeline.search import StageSearch
from optimizer.questions.pipeline.structures import Structures, group_name, way_in_words
from optimizer.questions.question import Question
from optimizer.questions.vocabulary import Priced
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.deployment import Offer
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim
from optimizer.watch import UNWATCHED, Watch

BOUNDS = ("tpot_ms_max", "ttft_ms_max", "memory_capacity")
_OPTIMISED = ("tpot_ms", "output_tokens_per_s", "requests_per_s")
"""What the search through structures can make best: a round, or the rate that follows from it."""


class PipelineVocabulary(Question):
    """What a pipeline problem says of itself."""

    ANSWER = PipelineAnswer
    problem: PipelineProblem

    def __init__(
        self, problem: PipelineProblem, watch: Watch = UNWATCHED, settings: SolveSettings = SolveSettings()
    ) -> None:
        super().__init__(problem, watch, settings)
        self.model = catalog.model(problem.architecture, problem.documents)
        groups = problem.pipeline.stages
        self.supplies = [supplies([Offer(chip=g.chip)], documents=problem.documents)[0] for g in groups]

    @cached_property
    def search(self) -> StageSearch:
        """All structures, bounded at once; InputError where none can run the model."""
        return StageSearch(Structures(self.model, self.problem, self.supplies), self.settings, self.watch)

    @property
    def kinds(self) -> tuple[Supply, ...]:
        """Each kind of chip once."""
        return tuple({s.name: s for s in self.supplies}.values())

    def varied(self, scaled: Mapping[str, float]) -> Self:
        """The question with some numbers of the problem times a factor; kept, for it may be asked again."""
        return self.variant(lambda: self.with_scaled(scaled), scaled)

    def metrics(self) -> tuple[str, ...]:
        """Metrics that can be optimised."""
        return _OPTIMISED

    def aim(self, metric: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective; InputError for one that can only be bounded, or does not exist."""
        if metric == "ttft_ms":
            raise InputError(
                "objectives ttft_ms: of a pipeline it can be bounded, not optimised; perturb moves "
                "constraints.ttft_ms_max"
            )
        if metric not in _OPTIMISED:
            why = not_one_of(_OPTIMISED, metric, "is no objective of a pipeline")
            raise InputError(f"objectives {metric[:64]}: {why}")
        return aim_of(metric, step)

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objective."""
        return (self.aim(self.problem.maximize or self.problem.minimize or ""),)

    def rules(self) -> dict[str, float]:
        """The bounds that are given."""
        given = self.problem.constraints.model_dump()
        return {name: given[name] for name in BOUNDS if given[name] is not None}

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a bound's own; no more memory than there is."""
        moves = super().moves(rule, plan)
        return [move for move in moves if rule != "memory_capacity" or move[1] <= 1]

    @cached_property
    def _domains(self) -> dict[str, tuple[Any, ...]]:
        groups = enumerate(self.search.structures.ways)
        found: dict[str, tuple[Any, ...]] = {group_name(g): tuple(map(way_in_words, w)) for g, w in groups}
        found["batch"] = self.problem.deployment.batch
        return {name: values for name, values in found.items() if len(values) > 1}

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """How each group of chips is cut into stages, and the sequences in a stage at a time."""
        return self._domains

    def choices(self, plan: Plan) -> dict[str, Any]:
        """The same of a plan, and its layers on every stage."""
        found: dict[str, Any] = {}
        for g in range(len(self.problem.pipeline.stages)):
            own = [pool for pool in plan.pools if pool.group == g + 1]
            way = (own[0].split.tensor_parallel if own else 1, len(own))
            found[group_name(g)] = way_in_words(way)
        layers = " | ".join("+".join(map(str, pool.layers)) for pool in plan.pools)
        return found | {"batch": plan.batch, "layers": layers}

    def priced(
        self,
        plan: Plan,
        changed: Mapping[str, Any] = {},
        scaled: Mapping[str, float] = {},
        values: Mapping[str, Any] = {},
    ) -> Priced:
        """The split priced by the checker; of another structure its layers cannot be kept."""
        if set(changed) - {"batch"}:
            return Priced(None)
        other = self.varied(scaled)
        batch = changed.get("batch", plan.batch)
        check = other.checker(plan, batch, values)
        metrics = other.metrics_of(check)
        return Priced(metrics, tuple(check.broken(metrics)))

    def checker(self, plan: Plan, batch: int, values: Mapping[str, Any] = {}) -> PipelineCheck:
        """The independent computation of a split, under some bounds at other values."""
        chips = {s.name: s.chip for s in self.supplies if s.chip is not None}
        stages = tuple((chips[pool.chip], pool.split.tensor_parallel) for pool in plan.pools)
        counts = tuple(zip(*(pool.layers for pool in plan.pools), strict=True))
        return PipelineCheck(self.model, self.problem, stages, counts, batch, {**self.rules(), **values})

    def metrics_of(self, check: PipelineCheck) -> dict[str, float]:
        """All metrics of a split that was priced again: its own, and what its chips cost."""
        used = sum(tensor_parallel for _, tensor_parallel in check.stages)
        metrics = check.metrics()
        rate = metrics["output_tokens_per_s"]
        return metrics | chips_and_cost(self.problem, self.supplies, used, rate)

    @property
    def lattice_points(self) -> int:
        """Structures at all their batches; layers are spread over each."""
        return len(self.search.structures)

    def identity(self) -> str:
        """The problem with its model and chips written out."""
        chips = [s.chip.model_dump_json(exclude_unset=True) for s in self.kinds if s.chip is not None]
        own = [
            self.problem.model_dump_json(exclude_unset=True),
            self.model.model_dump_json(exclude_unset=True),
        ]
        return "\n".join([*own, *chips])
