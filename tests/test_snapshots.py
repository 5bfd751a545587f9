"""Answers that ship are what they were: a few here, all of them by `python benchmarks/snapshots.py`."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "snapshots.py"
QUICK = (
    "solve dense-1b-b200",
    "solve deepseek-v3-h200-disaggregated",
    "solve fleet-three-models",
    "solve gpt-oss-120b-b200",
    "solve infeasible-70b-one-h100",
    "solve llama-70b-a100-h100-pipeline",
    "solve llama-70b-training-deadline",
    "frontier llama-70b-mi300x",
)
"""One of each kind of problem, an infeasible one, and a study."""


@pytest.fixture(scope="module")
def snapshots():
    found = importlib.util.spec_from_file_location("snapshots", SCRIPT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", QUICK)
def test_an_answer_is_what_it_was(snapshots, name: str) -> None:
    """Up to the last digits, in which machines differ. Meant otherwise: `benchmarks/snapshots.py --write`."""
    old = snapshots.stored(name)
    assert old is not None
    new = snapshots.answer(snapshots.cases()[name])
    assert list(snapshots.differences(old, new, tolerance=1e-9)) == []


def test_every_case_is_stored_and_nothing_else(snapshots) -> None:
    names = {snapshots._path(name).name for name in snapshots.cases()}
    assert {path.name for path in snapshots.STORE.iterdir()} == names


def test_a_difference_is_named(snapshots) -> None:
    old = {"a": {"b": [1.0, "x"]}, "c": 1}
    near = {"a": {"b": [1.0 + 1e-12, "x"]}, "c": 1}
    assert list(snapshots.differences(old, near)) == [f"a.b[0]: 1.0 -> {1.0 + 1e-12}"]
    assert list(snapshots.differences(old, near, tolerance=1e-9)) == []
    assert list(snapshots.differences(old, old | {"c": True})) == ["c: 1 -> true"]
    assert next(iter(snapshots.differences(old, {"c": 1, "a": old["a"]}))).startswith("the answer: fields")
    assert list(snapshots.differences([1, 2], [1])) == [": [1, 2] -> [1]"]
