"""Deployments of priced replicas, on drawn chips with drawn engines, against brute force over their mixes.

The instances of test_deployment.py have made-up rows; here the cost model prices them.
"""

from typing import Any

import drawn
import numpy as np
from hypothesis import HealthCheck, given, settings
from test_deployment import compare

from optimizer.columns.deployment import DeploymentColumns
from optimizer.errors import InputError
from optimizer.questions.deployment.columns import all_bounds, offered_by, prepare
from optimizer.questions.deployment.least import least_total, weights_gib
from optimizer.questions.deployment.optimum import optimum
from optimizer.questions.deployment.problem import DeploymentProblem


def mixed(problem: DeploymentProblem, rows: tuple[int, ...]) -> str:
    """'optimal' or 'infeasible', once the best mix of a few rows has been compared with brute force."""
    try:
        columns = prepare(problem)
    except InputError:  # nothing fits
        return "infeasible"
    few = np.unique(np.array(rows) % max(1, len(columns.replicas)))[: len(columns.replicas)]
    columns = DeploymentColumns(**{**vars(columns), "replicas": columns.replicas.take(few)})
    (name, sense), *_ = problem.objectives
    bounds = all_bounds(problem, columns.supplies)
    compare(columns, name, sense, bounds)
    return optimum(columns, ((name, sense),), bounds).status


def case(d: drawn.Draw) -> tuple[DeploymentProblem, tuple[int, ...]]:
    """A deployment, and which of its rows are mixed."""
    return drawn.deployment(d), tuple(d.whole(0, 1000) for _ in range(3))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(drawn.by_hypothesis(case))
def test_the_best_mix_is_brute_forces(drawing: Any) -> None:
    mixed(*drawing)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(drawn.by_hypothesis(drawn.deployment))
def test_no_plan_takes_less_than_is_known_without_a_price(problem: DeploymentProblem) -> None:
    """The chips of every replica hold the weights, and no optimum is below the bound of a stopped study."""
    try:
        columns = prepare(problem)
    except InputError:  # nothing fits
        return
    r, offered = columns.replicas, offered_by(problem)
    assert (r.chips * r.memory_gib >= weights_gib(problem, offered[0]) * (1 - 1e-9)).all()
    for name in ("chips", "nodes", "usd_per_hour", "power_w"):
        least = least_total(problem, offered, name)
        if least is None:
            continue
        found = optimum(columns, ((name, 1),), {"requests_per_s": 1e-8} | all_bounds(problem, offered))
        if found.counts:
            assert 0 < least <= found.values[name]
