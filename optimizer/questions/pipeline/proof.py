"""Why the answer to a pipeline problem can be believed."""

from optimizer.questions.pipeline.search import Outcome, StageSearch
from optimizer.solver.cp_sat_twice import engine_version
from optimizer.spec.answer import Proof


def proof_of(search: StageSearch, outcome: Outcome, seed: int) -> Proof:
    """Why the answer can be believed."""
    found, said = outcome.best, list[str]()
    if found and found.proved:
        rest = len(search.structures) - outcome.opened
        said = [*found.proved.confirmed_by, f"bounds of the other {rest} structures, in numpy"]
        said += [f"{outcome.sampled} of those priced: none beats its bound"] if outcome.sampled else []
    return Proof(
        counts={
            "setups": 0,
            "columns": len(search.structures),
            "columns_solved": outcome.opened,
            "dropped": dict(search.structures.dropped),
        },
        engine="HiGHS and CP-SAT through OR-Tools",
        engine_version=engine_version(),
        solves=search.solves,
        confirmed_by=tuple(said) or ("no split of any structure fits",),
        checker="stages priced again from the cost model: times, memory, totals, limits"
        if found
        else "no plan to check",
        seed=seed,
        witnesses=None,
    )
