"""From a problem to its `Question`, and re-solves as plain functions of plain data, for any executor."""

import json
from functools import lru_cache
from typing import Any

from optimizer.spec.deployment import DeploymentProblem
from optimizer.spec.kinds import kind_of
from optimizer.spec.problem import Problem
from optimizer.spec.studies import Answer
from optimizer.studies.architecture_question import ArchitectureQuestion
from optimizer.studies.deployment_question import DeploymentQuestion
from optimizer.studies.question import Ask, Question
from optimizer.watch import Watch

AnyProblem = Problem | DeploymentProblem


def question_of(problem: AnyProblem) -> Question:
    """The question that a problem poses."""
    if isinstance(problem, DeploymentProblem):
        return DeploymentQuestion(problem)
    return ArchitectureQuestion(problem)


def ask(problem_json: str, asked: Ask, time_limit_s: float | None = None) -> Answer:
    """Answer one re-solve; runs in any thread, process or machine. What a problem prepares is kept."""
    return prepared(problem_json).optimum(asked, Watch.within(time_limit_s))


def text_of(problem: AnyProblem) -> str:
    """A problem as text from which `ask` makes the same problem."""
    return problem.model_dump_json(exclude_unset=True)


def begin(problem: AnyProblem) -> Question:
    """The question of a problem at the start of a study: files it names may have changed since the last."""
    prepared.cache_clear()
    return prepared(text_of(problem))


@lru_cache(maxsize=8)
def prepared(problem_json: str) -> Question:
    """The question of a problem, with what it has prepared so far in this process."""
    model: Any = kind_of(json.loads(problem_json)).load()
    return question_of(model.model_validate_json(problem_json))
