"""CP-SAT: one solve, deterministic, and a second opinion where it matters.

OR-Tools is imported here only, and only when a model is solved: the import costs about half a second.
CP-SAT 9.15 was caught returning OPTIMAL at a value 8 % off, and INFEASIBLE on a feasible model, with
presolve on (tests/data/cp_sat_wrong_optimal.pb.txt). One solve is therefore never a proof here.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any


@dataclass(frozen=True)
class SolveSettings:
    """How CP-SAT runs. One worker is reproducible, and faster on these models than several."""

    seed: int = 0
    workers: int = 1
    presolve: bool = True


@dataclass(frozen=True)
class Solve:
    """What one solve said: 'optimal', 'feasible', 'infeasible' or 'unknown', and its solution."""

    status: str
    objective: int | None
    bound: int | None
    values: tuple[int, ...]
    deterministic_time: float


def cp_model() -> Any:
    """The OR-Tools module, imported late."""
    from ortools.sat.python import cp_model as module

    return module


@cache
def _model_class() -> Any:
    """CpModel without its deprecated names, whose making takes longer than a small solve."""

    class Model(cp_model().CpModel):  # type: ignore[misc]
        def _add_pre_pep8_methods(self) -> None:
            return None

    return Model


def new_model() -> Any:
    """An empty CP-SAT model."""
    return _model_class()()


def engine_version() -> str:
    """Version of OR-Tools, without importing it."""
    from importlib.metadata import version

    return version("ortools")


def solve(
    model: Any,
    settings: SolveSettings = SolveSettings(),
    time_limit_s: float | None = None,
    work_limit: float | None = None,
) -> Solve:
    """Solve once. `work_limit` is in CP-SAT's deterministic time: it stops at the same point on every run."""
    cp = cp_model()
    solver = cp.CpSolver()
    solver.parameters.num_workers = settings.workers
    solver.parameters.random_seed = settings.seed
    solver.parameters.cp_model_presolve = settings.presolve
    solver.parameters.catch_sigint_signal = False  # Ctrl-C is Python's, or it would be lost here
    if time_limit_s is not None:
        solver.parameters.max_time_in_seconds = max(0.01, time_limit_s)
    if work_limit is not None:
        solver.parameters.max_deterministic_time = work_limit
    status = solver.solve(model)
    names = {cp.OPTIMAL: "optimal", cp.FEASIBLE: "feasible", cp.INFEASIBLE: "infeasible"}
    name = names.get(status, "unknown")
    response = solver.response_proto
    values = tuple(response.solution) if name in ("optimal", "feasible") else ()
    has_objective = model.has_objective()
    return Solve(
        name,
        round(response.objective_value) if values and has_objective else None,
        round(response.best_objective_bound) if values and has_objective else None,
        values,
        float(response.deterministic_time),
    )


def prove(
    model: Any, settings: SolveSettings = SolveSettings(), time_limit_s: float | None = None
) -> tuple[Solve, bool]:
    """Solve with and without presolve; return the better answer and whether the two agree.

    Minimisation is assumed. When they disagree the answer without presolve is believed only if a third
    solve, without presolve and from another seed, says the same.
    """
    first = solve(model, settings, time_limit_s)
    second = solve(model, replace(settings, presolve=False), time_limit_s)
    if (first.status, first.objective) == (second.status, second.objective):
        return first, first.status in ("optimal", "infeasible")
    third = solve(model, replace(settings, presolve=False, seed=settings.seed + 1), time_limit_s)
    agreed = (second.status, second.objective) == (third.status, third.objective)
    return second, agreed and second.status in ("optimal", "infeasible")
