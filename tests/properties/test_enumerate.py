"""All plans within a share of the optimum, against full enumeration: none is missing, none comes twice."""

import drawn
import numpy as np
from hypothesis import HealthCheck, given, settings

from optimizer import enumerate_plans
from optimizer.questions.architecture.enumeration import all_values
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.space import resolve

WITHIN = 0.02


def listed(problem: Problem) -> str:
    """'optimal' or 'infeasible', once the list has been compared with enumeration."""
    (name, sense), *_ = problem.objectives
    space = resolve(problem)
    keys = np.sort(sense * all_values(space, space.rules, (symbol(name),))[:, 0])
    found = enumerate_plans(problem, within=WITHIN)
    assert found.status == ("optimal" if len(keys) else "infeasible")
    if not len(keys):
        return found.status
    edge, unclear = keys[0] + abs(keys[0]) * WITHIN, 1e-9 * abs(keys[0])
    values = sorted(sense * plan.metrics[name] for plan in found.plans)
    assert (keys < edge - unclear).sum() <= len(values) <= (keys <= edge + unclear).sum()
    assert np.allclose(values, keys[: len(values)], rtol=1e-9, atol=0)
    seen = {(p.architecture.model_dump_json(), p.deployment.model_dump_json()) for p in found.plans}
    assert len(seen) == len(values)
    return found.status


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(drawn.by_hypothesis(drawn.problem))
def test_the_list_is_complete(problem: Problem) -> None:
    listed(problem)
