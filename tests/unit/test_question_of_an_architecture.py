"""What an architecture question says of plans it is handed: the batch that a deployment fixes stays fixed."""

import pytest
import samples

from optimizer.questions.architecture.question import ArchitectureQuestion
from optimizer.questions.question import Ask


@pytest.mark.parametrize("batch", [None, [16], [16, 32]])
def test_a_plan_held_has_its_own_figures(batch) -> None:
    """Whether the batch is the workload's, the only one of the deployment, or one of two."""
    question = ArchitectureQuestion(samples.problem(deployment={"batch": batch} if batch else {}))
    plan = question.optimum(Ask(aims=(question.aim("tpot_ms"),))).plan
    assert plan is not None
    again = question.priced(plan)
    assert again.metrics == plan.metrics
    assert again.broken == ()


def test_a_workload_of_another_batch_is_priced_with_it() -> None:
    question = ArchitectureQuestion(samples.problem())
    plan = question.optimum(Ask(aims=(question.aim("tpot_ms"),))).plan
    assert plan is not None
    workload = samples.problem().workload
    doubled = samples.problem(workload=workload.model_copy(update={"batch": 2 * workload.batch}))
    held = question.priced(plan, scaled={"workload.batch": 2.0}).metrics
    own = ArchitectureQuestion(doubled).priced(plan).metrics
    assert held == own != plan.metrics
