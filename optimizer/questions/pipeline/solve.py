"""The best split of one replica's layers over stages on unlike chips, with its proof."""

import time

from optimizer import catalog
from optimizer.anatomy.chips_assumed import chips_assumed
from optimizer.columns.supply import GIB, Supply, supplies
from optimizer.errors import InternalMismatch
from optimizer.questions.options import Options
from optimizer.questions.pipeline.answer import PipelineAnswer
from optimizer.questions.pipeline.check import PipelineCheck
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.questions.pipeline.search import Found, Outcome, StageSearch, evenly
from optimizer.search.binding import WhatBinds, what_binds
from optimizer.solver.engine import engine_version
from optimizer.spec.answer import Assumption, Binding, Conflict, Objective, Proof, Relaxation
from optimizer.spec.deployment import Offer
from optimizer.spec.plan import Pool
from optimizer.version import VERSION
from optimizer.watch import Stopped

_BOUNDS = ("tpot_ms_max", "ttft_ms_max", "memory_capacity")
_HALVINGS = 6
"""Steps in which the change of a bound that would do is narrowed down."""


def solve(problem: PipelineProblem, options: Options = Options()) -> PipelineAnswer:
    """Split the layers to proven optimality, or say what keeps every split from running.

    Raises InputError for what cannot be asked, InternalMismatch if an answer fails its own check.
    """
    start = time.monotonic()
    study = _Stages(problem, options)
    outcome = study.search.best(problem.constraints.model_dump())
    best = outcome.best
    if best is not None:
        study.require(best)
    status = ("unknown", "infeasible", "feasible", "optimal")[2 * (best is not None) + outcome.proven]
    binds = study.binds(best) if best and status == "optimal" else WhatBinds(())
    conflict = study.explain() if status == "infeasible" else None
    return PipelineAnswer(
        status=status,
        objective=study.objective(outcome),
        architecture=problem.architecture,
        stages=study.stages(best) if best else (),
        batch=best.costs.batch if best else None,
        metrics=study.metrics(best) if best else {},
        equal_split=study.equal_split(best) if best else {},
        binding=study.binding(best, binds) if best else (),
        binding_untried=binds.untried,
        conflict=conflict,
        assumptions=study.assumptions(best),
        certificate=study.certificate(outcome),
        wall_s=time.monotonic() - start,
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


class _Stages:
    def __init__(self, problem: PipelineProblem, options: Options) -> None:
        self.problem, self.options, self.watch = problem, options, options.watch()
        self.model = catalog.model(problem.architecture, problem.documents)
        groups = problem.pipeline.stages
        self.supplies = [supplies([Offer(chip=g.chip)], documents=problem.documents)[0] for g in groups]
        self.search = StageSearch(self.model, problem, self.supplies, options.settings, self.watch)

    def objective(self, outcome: Outcome) -> Objective:
        """What was optimised, reached and proven."""
        value = None if outcome.best is None else self._objective(outcome.best)
        if self.problem.maximize:
            return Objective.of(self.problem.maximize, "tokens/s", -1, value, outcome.bound)
        return Objective.of("tpot_ms", "ms", 1, value, outcome.bound)

    def require(self, found: Found) -> None:
        """InternalMismatch unless the split holds and has the figures it claims, priced a second time."""
        check = PipelineCheck(
            self.model,
            self.problem,
            tuple((setup.chip, setup.tensor_parallel) for setup in found.costs.setups),
            tuple(map(tuple, found.counts)),
            found.costs.batch,
        )
        if broken := check.broken(self.metrics(found)):
            raise InternalMismatch(f"the split found breaks {', '.join(broken)} when recomputed")

    def stages(self, found: Found) -> tuple[Pool, ...]:
        """The stages in order."""
        return tuple(
            Pool(
                chip=setup.chip.name,
                tensor_parallel=setup.tensor_parallel,
                layers=tuple(row[s] for row in found.counts),
                ms=1e3 * found.stage_s(s),
                utilisation=found.stage_s(s) / found.slowest_s,
                memory_gib=found.memory(s) / GIB,
                hbm_usable_gib=setup.chip.hbm_usable / GIB,
            )
            for s, setup in enumerate(found.costs.setups)
        )

    def metrics(self, found: Found) -> dict[str, float]:
        """Totals of the replica."""
        groups = self.problem.pipeline.stages
        chips = sum(group.chips for group in groups)
        used = sum(setup.tensor_parallel for setup in found.costs.setups)
        out = {
            "stage_ms": 1e3 * found.tpot_s / found.costs.stages,
            "tpot_ms": 1e3 * found.tpot_s,
            "ttft_ms": 1e3 * found.ttft_s,
            "output_tokens_per_s": found.rate,
            "requests_per_s": found.rate / self.problem.workload.output_tokens,
            "chips": float(chips),
            **({"chips_idle": float(chips - used)} if used < chips else {}),
        }
        prices = [s.usd_per_hour for s in self.supplies]
        if None not in prices:
            usd = sum(g.chips * (p or 0.0) for g, p in zip(groups, prices, strict=True))
            out |= {"usd_per_hour": usd, "usd_per_million_tokens": usd / 3600 / found.rate * 1e6}
        return out

    def equal_split(self, found: Found) -> dict[str, float]:
        """The same structure and batch with as equal numbers of layers as can be."""
        counts = [group.count for group in self.model.layers]
        equal = Found(found.costs, evenly(counts, found.costs.stages))
        if not equal.fits(self.problem.constraints.memory_capacity):
            return {}
        return {"stage_ms": 1e3 * equal.tpot_s / equal.costs.stages, "output_tokens_per_s": equal.rate}

    def binds(self, best: Found) -> WhatBinds:
        """The bounds without which alone the best split is better."""
        given = [name for name in _BOUNDS if self.problem.constraints.model_dump()[name] is not None]
        sense = -1 if self.problem.maximize else 1
        return what_binds(given, self._objective(best), sense, self._optimum_without, self.watch)

    def _objective(self, found: Found) -> float:
        return found.rate if self.problem.maximize else 1e3 * found.tpot_s

    def _optimum_without(self, rule: str) -> float | None:
        other = self.search.best(self.problem.constraints.model_dump() | {rule: None})
        if not other.proven:
            raise Stopped  # not proven: no gain is better than a guess
        return None if other.best is None else self._objective(other.best)

    def binding(self, best: Found, binds: WhatBinds) -> tuple[Binding, ...]:
        """The same with the limits and what the split makes of them."""
        rows = []
        for row in binds.rules:
            limit = self.problem.constraints.model_dump()[row.rule]
            value, _ = self._needs(row.rule, best)
            unit = "of the usable memory" if row.rule == "memory_capacity" else "ms"
            rows.append(Binding(constraint=row.rule, bound=limit, value=value, unit=unit, gain=row.gain))
        return tuple(rows)

    @property
    def kinds(self) -> tuple[Supply, ...]:
        """Each kind of chip once."""
        return tuple({s.name: s for s in self.supplies}.values())

    def assumptions(self, best: Found | None) -> tuple[Assumption, ...]:
        """What the answer rests on that the problem did not say."""
        used = [stage.chip for stage in self.stages(best)] if best else []
        chips = chips_assumed(self.kinds, used)
        if not self.search.whole_groups:
            return chips
        said = "each group is used whole or not at all; with fewer tensor_parallel, parts of it too"
        return (Assumption(name="idle stages", value=said, source="docs/deployments.md"), *chips)

    def explain(self) -> Conflict | None:
        """Which single bounds, lifted, leave a split; all if none alone does. None if the time is over."""
        bounds = self.problem.constraints.model_dump()
        changes = []
        for name in _BOUNDS:
            if bounds[name] is None:
                continue
            to, words = None, "no change of it alone is enough"
            outcome = self.search.best(bounds | {name: None}, tpot=True)
            if outcome.best is None and not outcome.proven:
                return None
            if outcome.best is not None:
                to, words = self._needs(name, self._nearest(name, bounds, outcome.best))
            unit = "ms" * ("ms" in name)
            changes.append(Relaxation(constraint=name, sentence=words, from_=bounds[name], to=to, unit=unit))
        alone = [change for change in changes if change.to is not None] or changes
        return Conflict(constraints=tuple(c.constraint for c in alone), relaxations=tuple(alone))

    def _nearest(self, name: str, bounds: dict[str, float | None], found: Found) -> Found:
        """A split that needs less of a bound that is too tight, by halving; the least TPOT was asked for."""
        least = bounds[name] or 0.0
        for _ in range(_HALVINGS if name != "tpot_ms_max" else 0):
            need = self._needs(name, found)[0]
            middle = (least + need) / 2
            outcome = self.search.best(bounds | {name: middle}, tpot=True)
            if outcome.best is not None:
                found = outcome.best
            elif outcome.proven:
                least = middle
            else:
                break
        return found

    def _needs(self, name: str, best: Found) -> tuple[float, str]:
        if name == "memory_capacity":
            most = max(best.memory(s) / x.chip.hbm_usable for s, x in enumerate(best.costs.setups))
            return most, f"{most:.4g} times the usable memory would do"
        value = 1e3 * (best.tpot_s if name == "tpot_ms_max" else best.ttft_s)
        return value, f"{name.removesuffix('_max')} at most {value:.4g} ms would do"

    def certificate(self, outcome: Outcome) -> Proof:
        """Why the answer can be believed."""
        search, found, said = self.search, outcome.best, list[str]()
        if found and found.proved:
            rest = search.structures - outcome.opened
            said = [*found.proved.confirmed_by, f"bounds of the other {rest} structures, in numpy"]
            said += [f"{outcome.sampled} of those priced: none beats its bound"] if outcome.sampled else []
        return Proof(
            counts={
                "setups": 0,
                "columns": search.structures,
                "columns_solved": outcome.opened,
                "dropped": dict(search.dropped),
            },
            engine="HiGHS and CP-SAT through OR-Tools",
            engine_version=engine_version(),
            solves=search.solves,
            confirmed_by=tuple(said) or ("no split of any structure fits",),
            checker="stages priced again from the cost model: times, memory, totals, limits"
            if found
            else "no plan to check",
            seed=self.options.settings.seed,
            witnesses=None,
        )
