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
from optimizer.solver.deployment import optimum
from optimizer.spec.deployment import DeploymentProblem
from optimizer.studies.deploy_columns import all_bounds, prepare


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
