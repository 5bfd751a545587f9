"""One front door: a problem of any kind to its answer."""

from typing import Any

from pydantic import BaseModel

from optimizer.questions.kinds import kind_of_problem
from optimizer.questions.options import Options


def solve(problem: BaseModel, options: Options = Options()) -> Any:
    """Solve a problem to proven optimality, or name the smallest conflict.

    The kind of problem decides the study, and the type of the result. Raises InputError for what cannot be
    asked, InternalMismatch if an answer fails its own check.
    """
    return kind_of_problem(problem).module("solve").solve(problem, options)
