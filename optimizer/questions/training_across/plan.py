"""A plan over clusters as people read it, and back: stages as pools, clusters with their setups."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from optimizer.cost.memory import GIB
from optimizer.errors import InternalMismatch
from optimizer.questions.training_across.check import AcrossCheck, Placed, side_by_side
from optimizer.questions.training_across.inside import Found
from optimizer.questions.training_across.problem import AcrossProblem
from optimizer.questions.training_across.ways import ZERO, Cluster, Ranks, Way, choice_of, setup_of
from optimizer.spec.plan import Deployment, Plan, Pool

STAGE_OF = {words: stage for stage, words in ZERO.items()}
_WIDTH = ("tensor_parallel", "context_parallel", "expert_parallel", "data_parallel")


def placed_of(problem: AcrossProblem, found: Found) -> tuple[Placed, ...]:
    """The clusters of what the search found."""
    stages = sum(p for _, p in found.used)
    part = found.part
    return tuple(
        Placed(costs.cluster.chip, setup_of(problem, costs.way, part.data, part.batch, stages), layers)
        for (costs, _), layers in zip(found.used, found.layers, strict=True)
    )


def plan_of(name: str, clusters: Sequence[Cluster], check: AcrossCheck) -> Plan:
    """A plan with its figures as the check has them; `name` of the model."""
    numbers = {own.chip.name: own.number + 1 for own in clusters}
    slowest, s, pools = max(check.priced.stage_s), 0, []
    for own in check.clusters:
        setup = own.setup
        width: dict[str, Any] = {name: getattr(setup, name) for name in _WIDTH}
        for layers in own.layers:
            taken = check.priced.stage_s[s]
            pools.append(
                Pool(
                    group=numbers[own.chip.name],
                    chip=own.chip.name,
                    **width,
                    batch=setup.microbatch,
                    layers=(layers,),
                    recompute=setup.recompute,
                    zero_stage=setup.zero_stage,
                    ms=1e3 * taken,
                    utilisation=taken / slowest,
                    memory_gib=check.memory[s] / GIB,
                    hbm_usable_gib=own.chip.hbm_for_programs / GIB,
                )
            )
            s += 1
    return Plan(
        architecture=name,
        deployment=Deployment(pools=tuple(pools)),
        batch=check.clusters[0].setup.microbatch,
        metrics=check.metrics,
    )


def read(
    problem: AcrossProblem, clusters: Sequence[Cluster], plan: Plan, changed: Mapping[str, Any]
) -> tuple[Placed, ...]:
    """The clusters of a plan, with some choices changed that leave its stages as they are."""
    pools = plan.pools
    if not pools or not side_by_side([pool.group for pool in pools]):
        raise InternalMismatch("the plan is of no pipeline over these clusters")
    found = []
    for group, own in groupby(pools, key=lambda pool: pool.group):
        stages = list(own)
        data = changed.get("data_parallel", stages[0].split.data_parallel)
        batch = changed.get("microbatch", stages[0].batch)
        own_way = way_of(stages)
        way = Way(
            own_way.ranks,
            changed.get(choice_of(group - 1, "recompute"), own_way.recompute),
            STAGE_OF[changed.get(choice_of(group - 1, "zero_stage"), ZERO[own_way.zero_stage])],
        )
        setup = setup_of(problem, way, data, batch, len(pools))
        layers = tuple(stage.layers[0] for stage in stages)
        found.append(Placed(clusters[group - 1].chip, setup, layers))
    return tuple(found)


def way_of(pools: Sequence[Pool]) -> Way:
    """How the stages of one cluster run."""
    split = pools[0].split
    ranks = Ranks(split.tensor_parallel, split.context_parallel, split.expert_parallel)
    return Way(ranks, pools[0].recompute, pools[0].zero_stage)
