"""Why the answer to a fleet problem can be believed, and what it assumes."""

from collections.abc import Iterable

from optimizer.questions.deployment.proof import nothing_priced
from optimizer.questions.fleet.pricing import setups_of_fleet
from optimizer.questions.fleet.problem import Choice, FleetProblem
from optimizer.questions.fleet.vocabulary import FleetVocabulary
from optimizer.questions.question import Best
from optimizer.solver.cp_sat_twice import engine_version
from optimizer.spec.answer import Assumption, Proof
from optimizer.spec.plan import Pool

_PAGE = "docs/deployments.md"


def percentiles_of(problem: FleetProblem) -> dict[str, float]:
    """The percentile that latencies of each service are of; none of one whose replicas are always full."""
    each = {s.name: s.priced_at for s in problem.services if not all(map(_stated, s.answered_by))}
    return {name: own for name, own in each.items() if own is not None}


def _stated(model: Choice) -> bool:
    return model.performance_table is not None


def methods_of(problem: FleetProblem, pools: Iterable[Pool]) -> tuple[Assumption, ...]:
    """How replicas under traffic at random were priced, and what of the problem is without effect."""
    found, each = [], percentiles_of(problem)
    for percentile in dict.fromkeys(each.values()):
        own = [name for name, value in each.items() if value == percentile]
        whose = "" if len(own) == len(problem.services) else f" of {', '.join(own)}"
        found.append((f"latencies{whose}", f"p{percentile:g} of requests that come at random"))
    if any(len(pool.parts) > 1 and pool.service in each for pool in pools):
        how = "as if its replicas had each alone; shares of their time add up"
        found.append(("sizes of request on one pool", how))
    if problem.slices is not None:
        found.append(("slices", "traffic is split freely, not in equal parts; leave it out"))
    return tuple(Assumption(name=name, value=how, source=_PAGE) for name, how in found)


def proof_of(question: FleetVocabulary, best: Best) -> Proof:
    """Why the answer can be believed."""
    if best.found is None:
        return nothing_priced(setups_of_fleet(question.problem), question.settings.seed)
    columns, plan = question.columns, best.found.plan
    return Proof(
        counts={
            "setups": setups_of_fleet(question.problem),
            "columns": sum(map(len, question.tables())),
            "columns_solved": sum(len(item.setups) for item in columns.items),
            "dropped": columns.dropped,
        },
        engine="HiGHS and CP-SAT through OR-Tools",
        engine_version=engine_version(),
        solves=question.solves,
        confirmed_by=plan.proved.confirmed_by,
        checker="loads, stock and totals recomputed in fractions" if plan.replicas else "no plan to check",
        seed=question.settings.seed,
        witnesses=best.found.seen,
    )
