"""A split of a model over stages as people read it: stages, totals, and what equal stages would give."""

from collections.abc import Sequence
from typing import Any

from optimizer import catalog
from optimizer.columns.replica import Replica
from optimizer.columns.supply import GIB, Supply
from optimizer.questions.pipeline.cut import Found, evenly
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.spec.architecture import Architecture
from optimizer.spec.plan import Deployment, Plan, Pool


def plan_of(problem: PipelineProblem, supplies: Sequence[Supply], found: Found) -> Plan:
    """A split as a plan; `supplies` of each group of chips."""
    return Plan(
        architecture=problem.architecture,
        deployment=Deployment(pools=_stages(problem, found)),
        batch=found.costs.batch,
        metrics=totals_of(problem, supplies, found),
    )


def _stages(problem: PipelineProblem, found: Found) -> tuple[Pool, ...]:
    """The stages in order."""
    own = catalog.model(problem.architecture, problem.documents).checkpoint
    return tuple(
        Pool(
            group=found.groups[s],
            chip=setup.chip.name,
            **_width(setup),
            **setup.formats.published(own).kept(),
            layers=tuple(row[s] for row in found.counts),
            ms=1e3 * found.stage_s(s),
            utilisation=found.stage_s(s) / found.slowest_s,
            memory_gib=found.memory(s) / GIB,
            hbm_usable_gib=setup.chip.hbm_usable / GIB,
        )
        for s, setup in enumerate(found.costs.setups)
    )


def totals_of(problem: PipelineProblem, supplies: Sequence[Supply], found: Found) -> dict[str, float]:
    """Totals of the replica."""
    used = sum(setup.split.tensor_parallel for setup in found.costs.setups)
    own = {
        "stage_ms": 1e3 * found.tpot_s / found.costs.stages,
        "tpot_ms": 1e3 * found.tpot_s,
        "ttft_ms": 1e3 * found.ttft_s,
        "output_tokens_per_s": found.rate,
        "requests_per_s": found.rate / problem.workload.output_tokens,
    }
    return own | chips_and_cost(problem, supplies, used, found.rate)


def chips_and_cost(
    problem: PipelineProblem, supplies: Sequence[Supply], used: int, rate: float
) -> dict[str, float]:
    """Chips there are and those left idle; USD, where all have prices. `rate` in tokens/s."""
    groups = problem.pipeline.stages
    chips = sum(group.chips for group in groups)
    found = {"chips": float(chips), **({"chips_idle": float(chips - used)} if used < chips else {})}
    prices = [s.usd_per_hour for s in supplies]
    if None not in prices:
        usd = sum(g.chips * (p or 0.0) for g, p in zip(groups, prices, strict=True))
        found |= {"usd_per_hour": usd, "usd_per_million_tokens": usd / 3600 / rate * 1e6}
    return found


def equal_split(problem: PipelineProblem, model: Architecture, found: Found) -> dict[str, float]:
    """The same structure and batch with as equal numbers of layers as can be."""
    equal = Found(found.costs, evenly([group.count for group in model.layers], found.costs.stages))
    if not equal.fits(problem.constraints.memory_capacity):
        return {}
    return {"stage_ms": 1e3 * equal.tpot_s / equal.costs.stages, "output_tokens_per_s": equal.rate}


def _width(setup: Replica) -> dict[str, Any]:
    """The degree of parallelism that a stage has."""
    return {"tensor_parallel": setup.split.tensor_parallel}
