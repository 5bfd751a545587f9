"""Why the answer to a fleet problem can be believed."""

from optimizer.questions.deployment.proof import nothing_priced
from optimizer.questions.fleet.pricing import setups_of_fleet
from optimizer.questions.fleet.vocabulary import FleetVocabulary
from optimizer.questions.question import Best
from optimizer.solver.cp_sat_twice import engine_version
from optimizer.spec.answer import Proof


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
