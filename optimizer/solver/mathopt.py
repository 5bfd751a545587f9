"""HiGHS and SCIP through OR-Tools' MathOpt: fast on covering with large integers, in floating point.

Their answers are proposals. Each row is scaled by its largest coefficient, so that the tolerance is relative;
variables that stand for the least of sums are fractions here, and computed exactly afterwards.

HiGHS cannot be interrupted and SCIP complains when it is. Where somebody may cancel, what takes longer than a
second is asked again in a process of its own, which can be ended.
"""

import math
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from optimizer.search.programme import Programme
from optimizer.watch import UNWATCHED, Watch, never

_HERE_S = 1.0
"""Longest solve in this process where somebody may cancel."""
_LOOK_S = 0.1


@dataclass(frozen=True)
class Proposal:
    """What an engine says: 'optimal', 'feasible', 'infeasible' or 'unknown', rounded values and a bound."""

    status: str
    values: tuple[int, ...]
    bound: int | None


def propose(m: Programme, engine: str, watch: Watch = UNWATCHED, gap: float = 0.0) -> Proposal:
    """Minimise a programme by 'HIGHS' or 'GSCIP', to a relative gap; values are rounded, not yet verified."""
    if watch.cancelled is never:
        return _here(m, engine, watch.left(), gap)
    short = watch.at_most(_HERE_S)
    found = _here(m, engine, short.left(), gap)
    if found.status in ("optimal", "infeasible") or watch.over or not short.over:
        return found
    return _in_a_process(m, engine, watch, gap) or found


def _in_a_process(m: Programme, engine: str, watch: Watch, gap: float) -> Proposal | None:
    """The same in a process of its own, ended when the watch is over; None if it was, or failed."""
    code = "from optimizer.solver.mathopt import answer_stdin; answer_stdin()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,  # a Ctrl-C at the terminal is for us
    ) as child:
        question: bytes | None = pickle.dumps((m, engine, watch.left(), gap))
        try:
            while True:
                try:
                    said, _ = child.communicate(question, timeout=_LOOK_S)
                except subprocess.TimeoutExpired:
                    question = None  # is on its way
                    if watch.cancelled():
                        return None
                else:
                    return pickle.loads(said) if child.returncode == 0 else None
        finally:
            child.kill()


def answer_stdin() -> None:
    """Answer one pickled question; what the engine prints goes nowhere."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    question = pickle.load(sys.stdin.buffer)
    with answer:
        pickle.dump(_here(*question), answer)


def _here(m: Programme, engine: str, left: float | None, gap: float) -> Proposal:
    from ortools.math_opt.python import mathopt

    stated = _stated(m, whole=True)
    parameters = mathopt.SolveParameters(
        relative_gap_tolerance=gap, absolute_gap_tolerance=0.0, time_limit=_limit(left)
    )
    result: Any = mathopt.solve(stated.model, mathopt.SolverType[engine], params=parameters)
    variables = list(zip(stated.variables, stated.units, strict=True))
    return _read(result, variables, stated.scale, mathopt.TerminationReason)


def row_duals(m: Programme, watch: Watch = UNWATCHED) -> list[float] | None:
    """The duals of a programme's rows when fractions are allowed, by GLOP; None where they are not known."""
    from ortools.math_opt.python import mathopt

    stated = _stated(m, whole=False)
    parameters = mathopt.SolveParameters(time_limit=_limit(watch.left()))
    result: Any = mathopt.solve(stated.model, mathopt.SolverType.GLOP, params=parameters)
    if not result.has_dual_feasible_solution():
        return None
    duals = result.dual_values()
    rows = zip(stated.rows, stated.row_scales, strict=True)
    return [duals[row] * stated.scale / scale for row, scale in rows]


@dataclass(frozen=True)
class _Stated:
    """A programme as MathOpt has it: in units of its variables, rows and objective scaled."""

    model: Any
    variables: list[Any]
    units: list[float]
    rows: list[Any]
    row_scales: list[float]
    scale: float
    """Of the objective."""


def _stated(m: Programme, whole: bool) -> _Stated:
    from ortools.math_opt.python import mathopt

    model = mathopt.Model()
    units = [float(max(1, -m.lows[i], m.highs[i])) if i in m.least else 1.0 for i in range(len(m.lows))]
    variables = [
        model.add_variable(lb=low / unit, ub=high / unit, is_integer=whole and i not in m.least)
        for i, (low, high, unit) in enumerate(zip(m.lows, m.highs, units, strict=True))
    ]
    rows, scales = [], []
    for row in m.rows:
        scale = float(max((abs(c) * units[i] for i, c in row.terms.items()), default=1.0))
        low = -math.inf if row.low is None else row.low / scale
        high = math.inf if row.high is None else row.high / scale
        constraint = model.add_linear_constraint(lb=low, ub=high)
        for i, coefficient in row.terms.items():
            constraint.set_coefficient(variables[i], coefficient * units[i] / scale)
        rows.append(constraint)
        scales.append(scale)
    scale = _objective_scale(m, units)
    model.objective.is_maximize = False
    for i, coefficient in m.objective.items():
        model.objective.set_linear_coefficient(variables[i], coefficient * units[i] / scale)
    return _Stated(model, variables, units, rows, scales, scale)


def _limit(left: float | None) -> timedelta | None:
    return None if left is None else timedelta(seconds=left)


def linear(
    objective: Sequence[float], rows: Sequence[Mapping[int, float]], limits: Sequence[float], watch: Watch
) -> tuple[list[float], list[float]] | None:
    """Variables >= 0 that maximise `objective` within the limits of rows, and the rows' duals, in floats.

    None where that is not known.
    """
    from ortools.math_opt.python import mathopt

    model = mathopt.Model()
    variables = [model.add_variable(lb=0.0) for _ in objective]
    constraints = []
    for row, limit in zip(rows, limits, strict=True):
        constraints.append(model.add_linear_constraint(ub=limit))
        for i, coefficient in row.items():
            constraints[-1].set_coefficient(variables[i], coefficient)
    model.objective.is_maximize = True
    for variable, coefficient in zip(variables, objective, strict=True):
        model.objective.set_linear_coefficient(variable, coefficient)
    parameters = mathopt.SolveParameters(time_limit=_limit(watch.left()))
    result: Any = mathopt.solve(model, mathopt.SolverType.GLOP, params=parameters)
    optimal = result.termination.reason == mathopt.TerminationReason.OPTIMAL
    if not optimal or not result.has_dual_feasible_solution():
        return None
    found, duals = result.variable_values(), result.dual_values()
    return [found[v] for v in variables], [duals[c] for c in constraints]


def _objective_scale(m: Programme, units: list[float]) -> float:
    """The common divisor where all is whole, so that HiGHS can round its bounds; else the largest."""
    if not set(m.objective) & set(m.least):
        return float(max(1, math.gcd(*m.objective.values())))
    return max(abs(c) * units[i] for i, c in m.objective.items())


def _read(result: Any, variables: list[tuple[Any, float]], scale: float, reason: Any) -> Proposal:
    names = {reason.OPTIMAL: "optimal", reason.FEASIBLE: "feasible", reason.INFEASIBLE: "infeasible"}
    status = names.get(result.termination.reason, "unknown")
    values: tuple[int, ...] = ()
    if status in ("optimal", "feasible") and result.has_primal_feasible_solution():
        found = result.variable_values()
        values = tuple(round(found[variable] * unit) for variable, unit in variables)
    dual = result.termination.objective_bounds.dual_bound
    bound = math.floor(dual * scale) if math.isfinite(dual) else None
    return Proposal(status, values, bound)
