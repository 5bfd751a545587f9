"""Models built on OR-Tools' compiled half are, letter for letter, those that its Python class builds."""

import subprocess
import sys
from typing import Any

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.sat.python import cp_model

from optimizer.questions.architecture import slice_model
from optimizer.search.programme import Programme
from optimizer.solver import cp_sat, cp_sat_twice, proving
from optimizer.studies.solve import solve


def both(build: Any) -> tuple[str, str]:
    found = []
    for kind in (cp_sat.CpModel, cp_model.CpModel):
        built = kind()
        build(built)
        found.append(str(built.proto))
    return found[0], found[1]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 9)), min_size=1, max_size=4),
    st.lists(st.integers(-(10**12), 10**12), min_size=4, max_size=4),
    st.booleans(),
    st.integers(-9, 9),
)
def test_every_method_builds_what_or_tools_builds(ends, factors, rises, constant) -> None:
    def build(m: Any) -> None:
        xs = [m.new_int_var(low, low + more, f"x{i}") for i, (low, more) in enumerate(ends)]
        on = [m.new_bool_var(f"b{i}") for i in range(3)]
        total = cp_sat.weighted_sum(xs, factors[: len(xs)]) + constant
        m.add_exactly_one(on)
        m.add_bool_or([~on[0], on[1]]).only_enforce_if(on[2])
        m.add_bool_or([]).only_enforce_if(on[0])
        m.add(xs[0] == 1).only_enforce_if(on[0], ~on[1])
        m.add(sum(xs) <= total)
        m.add_linear_constraint(total, -(10**15), 10**15)
        m.add_linear_expression_in_domain(total, cp_sat.domain_of([[-7, -3], [0, 10**9]]))
        (m.maximize if rises else m.minimize)(total)

    ours, theirs = both(build)
    assert ours == theirs
    assert "scaling_factor: -1" in ours or not rises


def test_a_model_without_a_goal_has_none() -> None:
    for kind in (cp_sat.CpModel, cp_model.CpModel):
        built = kind()
        assert not built.has_objective()
        built.minimize(built.new_int_var(0, 1, "x"))
        assert built.has_objective()


def test_a_second_goal_takes_the_place_of_the_first() -> None:
    def build(m: Any) -> None:
        x, y = m.new_int_var(0, 9, "x"), m.new_int_var(0, 9, "y")
        m.minimize(3 * x + 1)
        m.maximize(2 * y)

    ours, theirs = both(build)
    assert ours == theirs
    assert "coeffs: [-2]" in ours or "coeffs: -2" in ours


def test_the_models_of_a_study_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[Any, list[str]] = {cp_sat.CpModel: [], cp_model.CpModel: []}
    answers = []
    honest = cp_sat_twice.solve
    for kind, models in seen.items():
        monkeypatch.setattr(slice_model, "CpModel", kind)
        monkeypatch.setattr(
            cp_sat_twice, "solve", lambda m, *rest, kept=models: kept.append(str(m.proto)) or honest(m, *rest)
        )
        answers.append(solve(samples.problem(constraints={"ttft_ms_max": 1000.0})).objective.value)
    ours, theirs = seen.values()
    assert len(ours) > 2
    assert ours == theirs
    assert answers[0] == answers[1]


def test_the_models_of_a_covering_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    m = Programme()
    five, two = m.variable(0, 9), m.variable(0, 9)
    m.row({five: 5, two: 2}, low=17)
    m.row({}, low=0)
    m.objective = {five: 5, two: 2}
    seen = []
    for kind in (cp_sat.CpModel, cp_model.CpModel):
        monkeypatch.setattr(proving, "CpModel", kind)
        monkeypatch.setattr(proving, "solve", lambda built, *rest: seen.append(str(built.proto)))
        proving._better(m, 30, cp_sat_twice.SolveSettings(), proving.UNWATCHED)
    assert seen[0] == seen[1]
    assert "v1" in seen[0]


@pytest.mark.parametrize("problem", ["dense-8b-b200", "llama-70b-chat"])
def test_a_study_imports_no_pandas(problem: str) -> None:
    """OR-Tools' Python class needs it, and the import takes longer than the study."""
    code = (
        "import sys\nfrom optimizer import cli\n"
        f"cli.main(['solve', {problem!r}, '-q', '--time-limit', '1'])\n"
        "print([m for m in ('pandas', 'matplotlib', 'plotly', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
