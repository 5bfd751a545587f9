"""archsat: the best LLM architecture or deployment for a chip, with a proof.

    from optimizer import load_problem, solve
    result = solve(load_problem("problems/dense-8b-b200.yaml"))
    print(result.architecture, result.objective.value)

The names below are imported when first used, so that `import optimizer` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from optimizer.version import VERSION as __version__

if TYPE_CHECKING:
    from optimizer.anatomy.estimate import estimate
    from optimizer.errors import ArchsatError, InputError, InternalMismatch
    from optimizer.questions.architecture.problem import Problem
    from optimizer.questions.options import Options
    from optimizer.questions.problems import load as load_problem
    from optimizer.questions.problems import read as read_problem
    from optimizer.spec.answer import Answer
    from optimizer.spec.answer import Answer as Result
    from optimizer.spec.setup import Setup
    from optimizer.studies.changes import Variation
    from optimizer.studies.compare import compare
    from optimizer.studies.enumerate import enumerate_plans
    from optimizer.studies.explain import explain
    from optimizer.studies.frontier import frontier
    from optimizer.studies.perturb import perturb
    from optimizer.studies.simulate import Replaying, simulate
    from optimizer.studies.solve import solve
    from optimizer.studies.stress import stress
    from optimizer.studies.sweep import sweep

_WHERE = {
    "load_problem": ("optimizer.questions.problems", "load"),
    "read_problem": ("optimizer.questions.problems", "read"),
    "solve": ("optimizer.studies.solve", "solve"),
    "estimate": ("optimizer.anatomy.estimate", "estimate"),
    "Setup": ("optimizer.spec.setup", "Setup"),
    "compare": ("optimizer.studies.compare", "compare"),
    "enumerate_plans": ("optimizer.studies.enumerate", "enumerate_plans"),
    "frontier": ("optimizer.studies.frontier", "frontier"),
    "perturb": ("optimizer.studies.perturb", "perturb"),
    "Variation": ("optimizer.studies.changes", "Variation"),
    "explain": ("optimizer.studies.explain", "explain"),
    "sweep": ("optimizer.studies.sweep", "sweep"),
    "simulate": ("optimizer.studies.simulate", "simulate"),
    "stress": ("optimizer.studies.stress", "stress"),
    "Replaying": ("optimizer.studies.simulate", "Replaying"),
    "Options": ("optimizer.questions.options", "Options"),
    "Problem": ("optimizer.questions.architecture.problem", "Problem"),
    "Answer": ("optimizer.spec.answer", "Answer"),
    "Result": ("optimizer.spec.answer", "Answer"),
    "ArchsatError": ("optimizer.errors", "ArchsatError"),
    "InputError": ("optimizer.errors", "InputError"),
    "InternalMismatch": ("optimizer.errors", "InternalMismatch"),
}

__all__ = [
    "Answer",
    "ArchsatError",
    "InputError",
    "InternalMismatch",
    "Options",
    "Problem",
    "Replaying",
    "Result",
    "Setup",
    "Variation",
    "__version__",
    "compare",
    "enumerate_plans",
    "estimate",
    "explain",
    "frontier",
    "load_problem",
    "perturb",
    "read_problem",
    "simulate",
    "solve",
    "stress",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'optimizer' has no attribute '{name}'")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
