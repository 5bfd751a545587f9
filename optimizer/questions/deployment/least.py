"""The least that any plan of a deployment takes, known before a configuration is priced.

A plan has one replica at least, or a pair of them where prefill and decode lie apart. A replica lies on as
many chips as its smallest split, and on as many as hold the weights once: parts that several chips hold only
add to that. The weights are those that the memory of every replica is priced with.
"""

import math
from collections.abc import Sequence

from optimizer import catalog
from optimizer.columns.replica import Replica, common, engine_of
from optimizer.columns.supply import Supply
from optimizer.columns.totals import each_of
from optimizer.cost.memory_parts import memory_parts
from optimizer.cost.memory_room import filled_share
from optimizer.metrics import counted, each, scale
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.spec.deployment import as_stored
from optimizer.spec.engine import engine_name
from optimizer.spec.split import Formats, Split


def least_total(problem: DeploymentProblem, offered: Sequence[Supply], name: str) -> float | None:
    """A total that no plan is below, in its unit; None where nothing is known without a price."""
    if problem.performance_table is not None or name not in counted():
        return None
    chips = least_chips(problem, offered)
    if name == "nodes":
        nodes = [s.node for s in offered if s.node is not None]
        return float(-(-chips // max(nodes))) if len(nodes) == len(offered) else 1.0
    if any(each(name, s) is None for s in offered):
        return None
    return chips * min(each_of(s, name) for s in offered) / scale(name)


def highest(*bounds: float | None) -> float | None:
    """The highest of the bounds on a total that are known."""
    return max((bound for bound in bounds if bound is not None), default=None)


def least_chips(problem: DeploymentProblem, offered: Sequence[Supply]) -> int:
    """Chips that no plan is below: of its smallest replica, or of two; once more for each that is lost."""
    space = problem.deployment
    one = int(Split(**{name: min(values) for name, values in vars(space.split).items()}).chips)
    usable = [s.usable_gib for s in offered if s.usable_gib is not None]
    if True not in space.second_tier and len(usable) == len(offered):
        share = max(filled_share(engine_of(space, engine_name(own))) for own in space.engines)
        room = max(usable) * share * problem.constraints.memory_capacity
        one = max(one, math.ceil(weights_gib(problem, offered[0]) / room - _NOISE))
    lost = max(problem.constraints.spares or 0, (problem.robust and problem.robust.losses) or 0)
    return (one if "aggregated" in space.mode else 2 * one) * (1 + lost)


_NOISE = 1e-9


def weights_gib(problem: DeploymentProblem, supply: Supply) -> float:
    """GiB of the weights once, in the smallest format that is asked for."""
    if supply.chip is None:
        return 0.0
    model = catalog.model(problem.architecture or "", problem.documents)
    space = as_stored(problem.deployment, model.checkpoint)
    formats = space.formats
    setup, cache = common(space, problem.workload), formats.kv_dtype[0]
    each = [Replica(supply, supply.chip, Split(), Formats(w, cache)) for w in formats.weight_dtype]
    frames = [replica.frame(model, setup) for replica in each]
    return min(float(memory_parts(frame, model)["weights"]) for frame in frames)
