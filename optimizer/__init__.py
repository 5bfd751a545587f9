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
    from optimizer.catalog import problem as load_problem
    from optimizer.errors import ArchsatError, InputError, InternalMismatch
    from optimizer.spec.plan import Result
    from optimizer.spec.problem import Problem
    from optimizer.studies.answer import solve
    from optimizer.studies.enumerate import enumerate_plans
    from optimizer.studies.estimate import Setup, estimate
    from optimizer.studies.solve import Options

_WHERE = {
    "load_problem": ("optimizer.catalog", "problem"),
    "solve": ("optimizer.studies.answer", "solve"),
    "estimate": ("optimizer.studies.estimate", "estimate"),
    "Setup": ("optimizer.studies.estimate", "Setup"),
    "enumerate_plans": ("optimizer.studies.enumerate", "enumerate_plans"),
    "Options": ("optimizer.studies.solve", "Options"),
    "Problem": ("optimizer.spec.problem", "Problem"),
    "Result": ("optimizer.spec.plan", "Result"),
    "ArchsatError": ("optimizer.errors", "ArchsatError"),
    "InputError": ("optimizer.errors", "InputError"),
    "InternalMismatch": ("optimizer.errors", "InternalMismatch"),
}

__all__ = [
    "ArchsatError",
    "InputError",
    "InternalMismatch",
    "Options",
    "Problem",
    "Result",
    "Setup",
    "__version__",
    "enumerate_plans",
    "estimate",
    "load_problem",
    "solve",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'optimizer' has no attribute '{name}'")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
