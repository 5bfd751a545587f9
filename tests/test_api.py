"""The public names of the package, and the schema of a problem file.

Guards what users import and what editors validate against.
"""

import json

import pytest
import samples
from pydantic import BaseModel

import optimizer
from optimizer.questions.architecture.problem import Problem

PUBLIC = {
    "Answer",
    "compare",
    "load_problem",
    "read_problem",
    "solve",
    "enumerate_plans",
    "estimate",
    "frontier",
    "perturb",
    "Variation",
    "explain",
    "sweep",
    "simulate",
    "Replaying",
    "stress",
    "Setup",
    "Options",
    "Problem",
    "Result",
    "ArchsatError",
    "InputError",
    "InternalMismatch",
    "__version__",
}


def test_all_names_what_is_there() -> None:
    assert set(optimizer.__all__) == PUBLIC
    assert len(optimizer.__all__) == len(PUBLIC)
    for name in optimizer.__all__:
        assert getattr(optimizer, name) is not None


def test_each_public_name_is_what_it_says() -> None:
    assert callable(optimizer.solve)
    assert callable(optimizer.load_problem)
    assert callable(optimizer.enumerate_plans)
    assert issubclass(optimizer.Result, BaseModel)
    assert issubclass(optimizer.InputError, optimizer.ArchsatError)
    assert issubclass(optimizer.InternalMismatch, optimizer.ArchsatError)
    assert not issubclass(optimizer.InternalMismatch, optimizer.InputError)
    assert optimizer.__version__.count(".") == 2


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="frontierr"):
        _ = optimizer.frontierr


def test_schema_is_json_and_describes_every_field() -> None:
    schema = json.loads(json.dumps(Problem.model_json_schema(), allow_nan=False))
    assert set(schema["properties"]) == set(Problem.model_fields)
    assert {"name", "architecture", "hardware", "workload"} <= set(schema["required"])
    assert schema["additionalProperties"] is False
    space = schema["$defs"]["ArchitectureSpace"]["properties"]
    assert {"type": "integer"} in space["d_model"]["anyOf"]


def test_the_readme_example_runs() -> None:
    """Loading, solving and reading, as the docstring of the package shows."""
    problem = optimizer.load_problem(
        "dense-1b-b200", {"architecture.d_model": 2048, "architecture.n_layers": [16, 18]}
    )
    result = optimizer.solve(problem)
    assert result.status == "optimal"
    assert result.architecture.d_model == 2048
    assert result.objective.value > 0


def test_enumerate_lists_the_best_plans_in_order() -> None:
    result = optimizer.enumerate_plans(samples.problem(), top=5)
    values = [plan.metrics["tpot_ms"] for plan in result.plans]
    assert len(values) == 5
    assert values == sorted(values)
    assert values[0] == pytest.approx(result.objective.value, rel=1e-12)
