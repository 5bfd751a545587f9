"""CP-SAT: one solve, deterministic, and a second opinion where it matters; how any engine is cancelled.

CP-SAT 9.15 was caught returning OPTIMAL at a value 8 % off, and INFEASIBLE on a feasible model, with
presolve on (tests/data/cp_sat_wrong_optimal.pb.txt). One solve is therefore never a proof here.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from optimizer.solver.cp_sat import helper
from optimizer.watch import UNWATCHED, Watch, never

_LOOK_S = 0.1
"""How often somebody who may cancel is asked while an engine runs."""


_STATUS = {"OPTIMAL": "optimal", "FEASIBLE": "feasible", "INFEASIBLE": "infeasible"}


@dataclass(frozen=True)
class SolveSettings:
    """How engines run. One worker of CP-SAT is reproducible, and faster on these models than several."""

    seed: int = 0
    workers: int = 1
    presolve: bool = True
    tolerance: float = 0.0
    """The share by which an optimum of counts may be missed; 0 is exact."""


@dataclass(frozen=True)
class Solve:
    """What one solve said: 'optimal', 'feasible', 'infeasible' or 'unknown', and its solution."""

    status: str
    objective: int | None
    bound: int | None
    values: tuple[int, ...]
    deterministic_time: float


_WHOLE = 1e-6
_NO_BOUND = 2.0**62


def engine_version() -> str:
    """Version of OR-Tools, without importing it."""
    from importlib.metadata import version

    return version("ortools")


@contextmanager
def cancelled_by(watch: Watch, stop: Callable[[], object]) -> Iterator[None]:
    """While an engine runs in here, `stop` is called soon after the watch is cancelled, until it ends.

    Engines run outside Python and look at no watch; their deadline is a limit of their own. The thread that
    looks lives as long as the solve; where nobody can cancel there is none.
    """
    if watch.cancelled is never:
        yield
        return
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            if watch.cancelled():
                stop()  # once may be too early: the engine has to be running

    looking = threading.Thread(target=look, name="archsat cancel", daemon=True)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def solve(
    model: Any,
    settings: SolveSettings = SolveSettings(),
    watch: Watch = UNWATCHED,
    work_limit: float | None = None,
) -> Solve:
    """Solve once, until the watch ends it.

    `work_limit` is in CP-SAT's deterministic time: it stops at the same point on every run.
    """
    parameters = helper().SatParameters()
    parameters.num_workers = settings.workers
    parameters.random_seed = settings.seed
    parameters.cp_model_presolve = settings.presolve
    parameters.catch_sigint_signal = False  # Ctrl-C is Python's, or it would be lost here
    if (left := watch.left()) is not None:
        parameters.max_time_in_seconds = left
    if work_limit is not None:
        parameters.max_deterministic_time = work_limit
    engine = helper().SolveWrapper()
    engine.set_parameters(parameters)
    with cancelled_by(watch, engine.stop_search):
        response = engine.solve(model.proto)
    name = _STATUS.get(response.status.name, "unknown")
    values = tuple(response.solution)
    has_objective = model.has_objective()
    return Solve(
        name,
        round(response.objective_value) if values and has_objective else None,
        _bound(response.best_objective_bound) if has_objective and name != "infeasible" else None,
        values,
        float(response.deterministic_time),
    )


def _bound(value: float) -> int | None:
    """A whole number that is no higher; None where the engine has none yet."""
    return math.floor(value + _WHOLE) if abs(value) < _NO_BOUND else None


def prove(
    model: Any, settings: SolveSettings = SolveSettings(), watch: Watch = UNWATCHED
) -> tuple[Solve, bool]:
    """Solve with and without presolve; return the better answer and whether the two agree.

    Minimisation is assumed. When they disagree the answer without presolve is believed only if a third
    solve, without presolve and from another seed, says the same.
    """
    first = solve(model, settings, watch)
    second = solve(model, replace(settings, presolve=False), watch)
    if (first.status, first.objective) == (second.status, second.objective):
        return first, first.status in ("optimal", "infeasible")
    third = solve(model, replace(settings, presolve=False, seed=settings.seed + 1), watch)
    agreed = (second.status, second.objective) == (third.status, third.objective)
    return second, agreed and second.status in ("optimal", "infeasible")
