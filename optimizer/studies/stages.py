"""The best split of one replica's layers over stages on unlike chips, with its proof."""

import math
import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from optimizer import catalog
from optimizer.columns.stages import StageCosts, priced, structures
from optimizer.columns.supply import GIB, Supply, supplies
from optimizer.errors import InputError, InternalMismatch
from optimizer.solver.engine import engine_version
from optimizer.solver.milp import Proved
from optimizer.solver.stages import Split, slowest_stage
from optimizer.spec.deployment import Offer
from optimizer.spec.deployment_plan import DeploymentCertificate
from optimizer.spec.pipeline import PipelineProblem, PipelineResult, Stage
from optimizer.spec.plan import Binding, Conflict, Objective, Relaxation
from optimizer.studies.assumptions import chips_assumed
from optimizer.studies.binding import WhatBinds, what_binds
from optimizer.studies.solve import Options
from optimizer.version import VERSION

_NS = 1e9
_BOUNDS = ("tpot_ms_max", "ttft_ms_max", "memory_capacity")


@dataclass(frozen=True)
class _Found:
    costs: StageCosts
    counts: list[list[int]]
    """Kinds by stages."""
    proved: Proved

    def stage_s(self, s: int) -> float:
        """Seconds of one stage in the steady state."""
        c = self.costs
        return c.base_s[s] + sum(row[s] * n[s] for row, n in zip(c.time_s, self.counts, strict=True))

    def memory(self, s: int) -> float:
        """Bytes on each chip of one stage."""
        c = self.costs
        return c.base_memory[s] + sum(m[s] * n[s] for m, n in zip(c.memory, self.counts, strict=True))

    @property
    def slowest_s(self) -> float:
        return max(map(self.stage_s, range(len(self.costs.setups))))

    @property
    def tpot_s(self) -> float:
        return len(self.costs.setups) * self.slowest_s

    @property
    def ttft_s(self) -> float:
        """A whole prompt through every stage, after half a turn of waiting for the first."""
        c = self.costs
        path = sum(c.prompt_base_s) + sum(
            t * n for ts, ns in zip(c.prompt_s, self.counts, strict=True) for t, n in zip(ts, ns, strict=True)
        )
        return path + self.slowest_s / 2

    @property
    def rate(self) -> float:
        return self.costs.batch / self.slowest_s


def solve(problem: PipelineProblem, options: Options = Options()) -> PipelineResult:
    """Split the layers to proven optimality, or say what keeps every split from running."""
    start = time.monotonic()
    study = _Stages(problem, options)
    best = study.best(problem.constraints.model_dump())
    status = "infeasible" if best is None else "optimal" if study.all_proved else "feasible"
    name = problem.maximize or "tpot_ms"
    value = None if best is None else best.rate if problem.maximize else 1e3 * best.tpot_s
    direction: Literal["min", "max"] = "max" if problem.maximize else "min"
    proven = value if status == "optimal" else None
    objective = Objective(
        name=name,
        sense=direction,
        value=value,
        unit="tokens/s" if problem.maximize else "ms",
        bound=proven,
        gap=0.0 if proven else None,
    )
    if best is not None:
        study.require(best)
    binds = study.binds(best) if best and status == "optimal" else WhatBinds(())
    return PipelineResult(
        status=status,
        objective=objective,
        architecture=problem.architecture,
        stages=study.stages(best) if best else (),
        batch=best.costs.batch if best else None,
        metrics=study.metrics(best) if best else {},
        equal_split=study.equal_split(best) if best else {},
        binding=study.binding(best, binds) if best else (),
        binding_untried=binds.untried,
        conflict=study.explain() if best is None else None,
        assumptions=chips_assumed(study.kinds, [s.chip for s in study.stages(best)] if best else []),
        certificate=study.certificate(best),
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
        self.solves, self.all_proved, self.dropped = 0, True, Counter[str]()
        self.costs = list(self._priced())
        if not self.costs:
            reasons = "; ".join(f"{why} ({n})" for why, n in self.dropped.most_common(4))
            raise InputError(f"pipeline: no structure can run {self.model.name}: {reasons or 'no divisor'}")

    def _priced(self) -> list[StageCosts]:
        found = []
        for setups in structures(self.problem, self.supplies):
            for batch in self.problem.deployment.batch:
                costs = priced(self.model, self.problem, setups, batch)
                if isinstance(costs, str):
                    self.dropped[costs] += 1
                    break
                found.append(costs)
        return found

    def best(self, bounds: dict[str, float | None]) -> _Found | None:
        """The best split over all structures and batches under these bounds."""
        return min(self._splits(bounds), key=self._key, default=None)

    def _splits(self, bounds: dict[str, float | None]) -> list[_Found]:
        """The best split of every structure at every batch that keeps the bounds."""
        return [found for costs in self.costs if (found := self._split(costs, bounds)) is not None]

    def _key(self, found: _Found) -> tuple[float, float]:
        return (-found.rate, found.tpot_s) if self.problem.maximize else (found.tpot_s, -found.rate)

    def _split(self, costs: StageCosts, bounds: dict[str, float | None]) -> _Found | None:
        """The best split of one structure at one batch; None if none keeps the bounds."""
        share = bounds.get("memory_capacity")
        rooms = [
            math.floor(share * s.chip.hbm_usable - fixed) if share else 2**50
            for s, fixed in zip(costs.setups, costs.base_memory, strict=True)
        ]
        if min(rooms) < 0:
            return None
        limit, whole = bounds.get("ttft_ms_max"), None
        if limit:
            path = [[_ns(t) for t in row] for row in costs.prompt_s]
            whole = (path, math.floor(limit * 1e6) - _ns(sum(costs.prompt_base_s)))
        question = Split(
            time=[[_ns(t) for t in row] for row in costs.time_s],
            memory=[[math.ceil(b) for b in row] for row in costs.memory],
            base_time=[_ns(t) for t in costs.base_s],
            capacity=rooms,
            counts=[group.count for group in self.model.layers],
            total=self.model.n_layers,
            whole=whole,
        )
        proved, counts = slowest_stage(question, self.options.settings, self.watch)
        self.solves += proved.solves
        if proved.status not in ("optimal", "infeasible"):
            self.all_proved = False
        if not counts:
            return None
        found = _Found(costs, counts, proved)
        most = bounds.get("tpot_ms_max")
        return None if most is not None and 1e3 * found.tpot_s > most else found

    def require(self, found: _Found) -> None:
        """InternalMismatch unless every layer is placed once and every stage fits."""
        placed = [sum(row) for row in found.counts]
        wanted = [group.count for group in self.model.layers]
        share = self.problem.constraints.memory_capacity
        fits = all(
            found.memory(s) <= share * setup.chip.hbm_usable * (1 + 1e-9)
            for s, setup in enumerate(found.costs.setups)
        )
        claimed = (
            -(found.proved.objective or 0) if (found.proved.objective or 0) < 0 else found.proved.objective
        )
        near = abs(found.slowest_s * _NS - (claimed or 0)) <= self.model.n_layers + 2
        if placed != wanted or not fits or not near:
            raise InternalMismatch("the split found does not hold when recomputed; no answer is given")

    def stages(self, found: _Found) -> tuple[Stage, ...]:
        """The stages in order."""
        return tuple(
            Stage(
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

    def metrics(self, found: _Found) -> dict[str, float]:
        """Totals of the replica."""
        chips = {g.chip: g.chips for g in self.problem.pipeline.stages}
        out = {
            "stage_ms": 1e3 * found.slowest_s,
            "tpot_ms": 1e3 * found.tpot_s,
            "ttft_ms": 1e3 * found.ttft_s,
            "output_tokens_per_s": found.rate,
            "requests_per_s": found.rate / self.problem.workload.output_tokens,
            "chips": float(sum(chips.values())),
        }
        prices = [s.usd_per_hour for s in self.supplies]
        groups = self.problem.pipeline.stages
        if None not in prices:
            usd = sum(g.chips * (p or 0.0) for g, p in zip(groups, prices, strict=True))
            out |= {"usd_per_hour": usd, "usd_per_million_tokens": usd / 3600 / found.rate * 1e6}
        return out

    def equal_split(self, found: _Found) -> dict[str, float]:
        """The same structure and batch with as equal numbers of layers as can be."""
        stages = len(found.costs.setups)
        counts = [
            [n // stages + (s < n % stages) for s in range(stages)]
            for n in (group.count for group in self.model.layers)
        ]
        equal = _Found(found.costs, counts, found.proved)
        share = self.problem.constraints.memory_capacity
        if any(equal.memory(s) > share * x.chip.hbm_usable for s, x in enumerate(found.costs.setups)):
            return {}
        return {"stage_ms": 1e3 * equal.slowest_s, "output_tokens_per_s": equal.rate}

    def binds(self, best: _Found) -> WhatBinds:
        """The bounds without which alone the best split is better."""
        given = [name for name in _BOUNDS if self.problem.constraints.model_dump()[name] is not None]
        sense = -1 if self.problem.maximize else 1
        return what_binds(given, self._objective(best), sense, self._optimum_without, self.watch)

    def _objective(self, found: _Found) -> float:
        return found.rate if self.problem.maximize else 1e3 * found.tpot_s

    def _optimum_without(self, rule: str) -> float | None:
        self.watch.check()
        other = self.best(self.problem.constraints.model_dump() | {rule: None})
        return None if other is None else self._objective(other)

    def binding(self, best: _Found, binds: WhatBinds) -> tuple[Binding, ...]:
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

    def explain(self) -> Conflict:
        """Which single bounds, lifted, leave a split; all of them if none alone does."""
        bounds = self.problem.constraints.model_dump()
        changes = []
        for name in _BOUNDS:
            if bounds[name] is None:
                continue
            to, words = None, "no change of it alone is enough"
            if found := self._splits(bounds | {name: None}):
                to, words = min(self._needs(name, split) for split in found)
            changes.append(
                Relaxation(
                    constraint=name, sentence=words, from_=bounds[name], to=to, unit="ms" * ("ms" in name)
                )
            )
        alone = [change for change in changes if change.to is not None] or changes
        return Conflict(constraints=tuple(c.constraint for c in alone), relaxations=tuple(alone))

    def _needs(self, name: str, best: _Found) -> tuple[float, str]:
        if name == "memory_capacity":
            most = max(best.memory(s) / x.chip.hbm_usable for s, x in enumerate(best.costs.setups))
            return most, f"{most:.4g} times the usable memory would do"
        value = 1e3 * (best.tpot_s if name == "tpot_ms_max" else best.ttft_s)
        return value, f"{name.removesuffix('_max')} at most {value:.4g} ms would do"

    def certificate(self, found: _Found | None) -> DeploymentCertificate:
        """Why the answer can be believed."""
        said = found.proved.confirmed_by if found else ("no split of any structure fits",)
        return DeploymentCertificate(
            columns=len(self.costs),
            columns_solved=len(self.costs),
            dropped=dict(self.dropped),
            engine="HiGHS and CP-SAT through OR-Tools",
            engine_version=engine_version(),
            solves=self.solves,
            confirmed_by=said,
            checker="layers placed, stage times and memory recomputed" if found else "no plan to check",
            seed=self.options.settings.seed,
        )


def _ns(seconds: float) -> int:
    return math.ceil(seconds * _NS)
