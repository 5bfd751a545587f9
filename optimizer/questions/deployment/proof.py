"""What an answer to a deployment problem rests on: what was priced and asked, how its figures are made."""

from optimizer.anatomy.losses import any_of
from optimizer.columns.replica_costs import UNPRICED
from optimizer.metrics import is_whole, scale, unit
from optimizer.questions.deployment.columns import setups_of
from optimizer.questions.deployment.optimum import Packed
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.programme import spares_of
from optimizer.questions.deployment.vocabulary import DeploymentVocabulary
from optimizer.questions.question import Best
from optimizer.solver.cp_sat_twice import engine_version
from optimizer.spec.answer import Assumption, Proof


def next_better(question: DeploymentVocabulary, found: Packed) -> str:
    """What the next smaller value of the objective would reach, by HiGHS alone."""
    problem, columns = question.problem, question.columns
    name, _ = problem.objectives[0]
    value, demand = found.values[name], columns.demand or 0.0
    less = value - 1 / scale(name)
    if less <= 0:
        return ""
    bounds = question.bounds | {f"{name}_max": less}
    bounds.pop("requests_per_s")
    most = question.asked((("requests_per_s", -1),), bounds, confirm=False)
    whole = is_whole(name)
    what = f"{less:g} {unit(name)}" if whole else f"less than {value:g} {unit(name)}"
    if not most.counts:
        return f"{what} serve no traffic within the bounds"
    gap = demand - most.served
    lost = f" with {any_of(spares)} lost" if (spares := spares_of(bounds)) else ""
    return f"{what} serve at most {most.served:.6g} requests/s{lost}, {gap:.4g} short of {demand:g}"


def methods_of(problem: DeploymentProblem) -> tuple[Assumption, ...]:
    """How the figures of replicas and the bounds on latency are made."""
    page = "docs/deployments.md"
    found = []
    if problem.performance_table is not None:
        files = ", ".join(problem.performance_table)
        found.append(("replica rates", "as the table states them", files))
    else:
        found.append(("replica rates", "predicted by the cost model", "docs/cost-model.md"))
        space = problem.deployment
        if {"disaggregated", "separated"} & set(space.mode):
            how = "every chip sends its share over the slowest network on offer"
            found.append(("cache hand-over", how, page))
        if "separated" in space.mode:
            how = "over the network, hidden behind the other microbatches as far as these last"
            found.append(("tokens between attention and experts", how, page))
        if True in space.second_tier:
            how = "streams overlap with computing, at the share of the chip file; all experts streamed"
            found.append(("second tier", how, page))
    if (percentile := problem.priced_at) is not None:
        found.append(("latencies", f"p{percentile:g} of requests that come at random", page))
    elif problem.queued_at is not None:
        found.append(("percentile", "an M/M/1 queue in front of each replica", page))
    else:
        found.append(("latency bounds", "for a request that does not wait", page))
    if spares := problem.constraints.spares:
        found.append(("spares", f"requests_per_s is what is served with {any_of(spares)} lost", page))
    if problem.robust is not None:
        found.append(("robust", "requests_per_s is what is served in the worst case of it", page))
    return tuple(Assumption(name=n, value=v, source=s) for n, v, s in found)


def proof_of(question: DeploymentVocabulary, best: Best) -> Proof:
    """Why the answer can be believed."""
    problem, seed = question.problem, question.settings.seed
    if best.found is None:
        return nothing_priced(setups_of(problem, question.offered), seed)
    columns, found = question.columns, best.found.found
    return Proof(
        counts={
            "setups": setups_of(problem, columns.supplies),
            "columns": len(columns.replicas),
            "columns_solved": found.columns,
            "dropped": dict(columns.dropped) | dict(found.dropped),
        },
        engine="HiGHS and CP-SAT through OR-Tools",
        engine_version=engine_version(),
        solves=question.solves,
        confirmed_by=found.confirmed_by,
        checker="all totals and limits recomputed in fractions, replicas placed node by node"
        if best.plan
        else "no plan to check",
        seed=seed,
        witnesses=None,
    )


def nothing_priced(setups: int, seed: int) -> Proof:
    """Of a study that was stopped before any setup had a price."""
    return Proof(
        counts={"setups": setups, "columns": 0, "columns_solved": 0, "dropped": {UNPRICED: setups}},
        engine="none",
        engine_version=engine_version(),
        solves=0,
        confirmed_by=(),
        checker="no plan to check",
        seed=seed,
        witnesses=None,
    )
