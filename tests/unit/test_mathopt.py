"""What HiGHS, SCIP and GLOP are told, and what is made of their answers.

Guards the scaling between whole numbers and floats: a row that is told wrongly may still be answered by a
plan that keeps it, and then only the proof suffers, or the time.
"""

import io
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from ortools.math_opt.python import mathopt as engines

from optimizer.search.programme import Programme
from optimizer.solver import mathopt
from optimizer.solver.mathopt import Proposal, _objective_scale, _read, linear, propose
from optimizer.watch import Watch


def programme() -> Programme:
    """Two numbers of replicas, and the least of two sums of millions of them."""
    m = Programme()
    a, b = m.variable(-2, 7), m.variable(0, 3)
    m.row({a: 4, b: -8}, low=-8, high=16)
    m.row({a: 3, b: 2}, high=9)
    m.row({a: 1}, low=-1)
    m.row({}, high=0)
    least = m.least_of([({a: 5_000_000}, 0), ({b: 1_000_000}, 2_000_000)], -4_000_000, 1_000_000)
    m.objective = {least: -1, b: 2}
    return m


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models that an engine is given, with its name and parameters."""
    seen: list[Any] = []
    honest = engines.solve

    def watched(model: Any, kind: Any, params: Any) -> Any:
        seen.append((model, kind, params))
        return honest(model, kind, params=params)

    monkeypatch.setattr(engines, "solve", watched)
    return seen


def test_an_engine_is_told_each_row_by_its_largest_coefficient(told: list[Any]) -> None:
    """The tolerance of an engine is absolute: 1e-6 of a million is much, of one little."""
    m = programme()
    propose(m, "HIGHS")
    ((model, kind, parameters),) = told
    a, b, least = model.variables()
    assert kind == engines.SolverType.HIGHS
    assert [(v.lower_bound, v.upper_bound, v.integer) for v in (a, b, least)] == [
        (-2, 7, True),
        (0, 3, True),
        (-1, 0.25, False),  # in units of four million
    ]
    rows = []
    for row in model.linear_constraints():
        terms = {v: row.get_coefficient(v) for v in (a, b, least) if row.get_coefficient(v)}
        rows.append((terms, row.lower_bound, row.upper_bound))
    assert rows == [
        ({a: 0.5, b: -1}, -1, 2),
        ({a: 1, b: pytest.approx(2 / 3)}, -math.inf, 3),
        ({a: 1}, -1, math.inf),
        ({}, -math.inf, 0),
        ({a: -1, least: 0.8}, -math.inf, 0),
        ({b: -0.25, least: 1}, -math.inf, 0.5),
    ]
    goal = {v: model.objective.get_linear_coefficient(v) for v in (a, b, least)}
    assert goal == {a: 0, b: 2 / 4_000_000, least: -1}
    assert not model.objective.is_maximize
    assert (parameters.relative_gap_tolerance, parameters.absolute_gap_tolerance) == (0, 0)
    assert parameters.time_limit is None


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [(0, 0, (0, 0)), (0, 1, (0, 1)), (0, 8, (0, 1)), (-8, 2, (-1, 0.25)), (-8, -2, (-1, -0.25))],
)
def test_the_least_of_sums_is_told_in_units_of_its_larger_end(
    told: list[Any], low: int, high: int, ends: tuple[float, float]
) -> None:
    m = Programme()
    m.least_of([({}, high)], low, high)
    propose(m, "HIGHS")
    ((model, _, _),) = told
    (variable,) = model.variables()
    assert (variable.lower_bound, variable.upper_bound) == ends


def test_the_time_left_is_an_engines_limit(told: list[Any]) -> None:
    propose(programme(), "GSCIP", Watch.within(50))
    linear([1.0], [{0: 1.0}], [3.0], Watch.within(50))
    linear([1.0], [{0: 1.0}], [3.0], Watch())
    limits = [parameters.time_limit for _, _, parameters in told]
    assert all(timedelta(seconds=40) < limit <= timedelta(seconds=50) for limit in limits[:2])
    assert limits[2] is None
    assert [kind.name for _, kind, _ in told] == ["GSCIP", "GLOP", "GLOP"]


@pytest.mark.parametrize("engine", ["HIGHS", "GSCIP"])
def test_what_comes_back_is_in_whole_numbers(engine: str) -> None:
    """b = 0 costs nothing and lets the sum be a million only if a >= 1; two b cost four."""
    m = programme()
    found = propose(m, engine)
    assert found.status == "optimal"
    assert m.complete(found.values)[1:] == (0, 1_000_000)
    assert found.bound == -1_000_000
    m.row({0: 1}, low=4)
    assert propose(m, engine) == Proposal("infeasible", (), None)


def test_the_goal_is_told_in_its_common_divisor_where_all_is_whole() -> None:
    m = Programme()
    x, y = m.variable(0, 9), m.variable(0, 9)
    m.objective = {x: 6, y: -15}
    assert _objective_scale(m, [1.0, 1.0]) == 3
    m.objective = {}
    assert _objective_scale(m, [1.0, 1.0]) == 1
    least = m.least_of([({x: 1}, 0)], 0, 9)
    m.objective = {x: 6, y: -15}
    assert _objective_scale(m, [1.0, 1.0, 9.0]) == 3
    m.objective = {x: -6, least: -2}
    assert _objective_scale(m, [1.0, 1.0, 9.0]) == 18
    m.objective = {x: -60, least: 2}
    assert _objective_scale(m, [1.0, 1.0, 9.0]) == 60


def result(reason: Any, dual: float, values: dict[str, float] | None) -> Any:
    """What MathOpt might return."""
    return SimpleNamespace(
        termination=SimpleNamespace(reason=reason, objective_bounds=SimpleNamespace(dual_bound=dual)),
        has_primal_feasible_solution=lambda: values is not None,
        variable_values=lambda: values,
    )


R = engines.TerminationReason
VALUES = {"a": 0.9999999, "b": 0.2500001}


@pytest.mark.parametrize(
    ("reason", "dual", "values", "wanted"),
    [
        (R.OPTIMAL, 2.5, VALUES, Proposal("optimal", (1, 10), 7)),
        (R.FEASIBLE, -2.5, VALUES, Proposal("feasible", (1, 10), -8)),
        (R.FEASIBLE, -math.inf, VALUES, Proposal("feasible", (1, 10), None)),
        (R.OPTIMAL, 2.0, None, Proposal("optimal", (), 6)),
        (R.INFEASIBLE, math.inf, None, Proposal("infeasible", (), None)),
        (R.INFEASIBLE, math.inf, VALUES, Proposal("infeasible", (), None)),
        (R.NO_SOLUTION_FOUND, 1.0, None, Proposal("unknown", (), 3)),
        (R.NUMERICAL_ERROR, math.nan, VALUES, Proposal("unknown", (), None)),
    ],
)
def test_an_answer_is_read(reason: Any, dual: float, values: Any, wanted: Proposal) -> None:
    """A bound is rounded to what is no higher; the second variable is in units of 40, the goal of 3."""
    assert _read(result(reason, dual, values), [("a", 1.0), ("b", 40.0)], 3.0, R) == wanted


# In floats.


def test_a_linear_programme_and_its_duals() -> None:
    """Most of 3x + 5y within x <= 4, 2y <= 12, 3x + 2y <= 18."""
    found = linear([3.0, 5.0], [{0: 1.0}, {1: 2.0}, {0: 3.0, 1: 2.0}], [4.0, 12.0, 18.0], Watch())
    assert found is not None
    assert found[0] == pytest.approx([2, 6]) and found[1] == pytest.approx([0, 1.5, 1])
    found = linear([-1.0], [{0: 1.0}], [4.0], Watch())
    assert found is not None and found[0] == [0]


def test_what_is_not_known_in_floats() -> None:
    assert linear([1.0], [{0: -1.0}], [4.0], Watch()) is None, "nothing limits it"
    assert linear([1.0], [{0: 1.0}], [-4.0], Watch()) is None, "nothing keeps its row"


@pytest.mark.parametrize(("reason", "duals"), [(R.FEASIBLE, True), (R.OPTIMAL, False), (R.FEASIBLE, False)])
def test_without_an_optimum_or_its_duals_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, reason: Any, duals: bool
) -> None:
    said = SimpleNamespace(
        termination=SimpleNamespace(reason=reason),
        has_dual_feasible_solution=lambda: duals,
        variable_values=dict,
        dual_values=dict,
    )
    monkeypatch.setattr(engines, "solve", lambda *_, **__: said)
    assert linear([], [], [], Watch()) is None


# Where somebody may cancel.

SOON = Proposal("feasible", (1,), 0)
LATE = Proposal("optimal", (2,), 2)
NONE = Proposal("infeasible", (), None)


def asked_twice(
    monkeypatch: pytest.MonkeyPatch, first: Proposal, late: Proposal | None, watch: Watch, here_s: float = 0.0
) -> tuple[Proposal, int]:
    """What is proposed, and how often a process of its own was begun."""
    begun: list[int] = []
    monkeypatch.setattr(mathopt, "_HERE_S", here_s)
    monkeypatch.setattr(mathopt, "_here", lambda *_: first)
    monkeypatch.setattr(mathopt, "_in_a_process", lambda *_: begun.append(1) or late)
    return propose(Programme(), "HIGHS", watch), len(begun)


def no() -> bool:
    return False


@pytest.mark.parametrize(
    ("first", "late", "watch", "here_s", "wanted"),
    [
        (SOON, LATE, Watch(cancelled=no), 0.0, (LATE, 1)),
        (SOON, None, Watch(cancelled=no), 0.0, (SOON, 1)),  # the process failed
        (SOON, LATE, Watch(), 0.0, (SOON, 0)),  # nobody can cancel
        (LATE, SOON, Watch(cancelled=no), 0.0, (LATE, 0)),
        (NONE, SOON, Watch(cancelled=no), 0.0, (NONE, 0)),
        (SOON, LATE, Watch(cancelled=lambda: True), 0.0, (SOON, 0)),
        (SOON, LATE, Watch(deadline=0.0, cancelled=no), 0.0, (SOON, 0)),  # no time is left
        (SOON, LATE, Watch(cancelled=no), 99.0, (SOON, 0)),  # it gave up long before it had to
    ],
)  # fmt: skip
def test_only_what_takes_long_is_asked_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
    first: Proposal,
    late: Proposal | None,
    watch: Watch,
    here_s: float,
    wanted: tuple[Proposal, int],
) -> None:
    assert asked_twice(monkeypatch, first, late, watch, here_s) == wanted


CODE = "from optimizer.solver.mathopt import answer_stdin; answer_stdin()"


def test_one_question_is_answered_on_stdout_and_nothing_else_is() -> None:
    """SCIP's own lines go nowhere, whoever prints them; the answer is the one given here."""
    m = programme()
    noisy = (
        "import os\n"
        "from optimizer.solver import mathopt\n"
        "honest = mathopt._here\n"
        "def loud(*rest):\n"
        "    os.write(1, b'stray')\n"
        "    return honest(*rest)\n"
        "mathopt._here = loud\n"
        "mathopt.answer_stdin()\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for code in (CODE, noisy):
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=pickle.dumps((m, "GSCIP", 30.0, 0.0)),
            capture_output=True,
            env=env,
        )
        assert done.returncode == 0, done.stderr
        assert pickle.loads(done.stdout) == propose(m, "GSCIP")


def test_the_answer_is_all_that_is_written_to_the_descriptor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In this process, with a file for stdout."""

    def loud(*question: Any) -> Proposal:
        os.write(1, b"stray")
        return LATE if question == (programme(), "GSCIP", 3.0) else NONE

    monkeypatch.setattr(mathopt, "_here", loud)
    asked = io.BytesIO(pickle.dumps((programme(), "GSCIP", 3.0)))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=asked))
    kept = [os.dup(n) for n in (1, 2)]
    with (tmp_path / "said").open("wb") as out:
        os.dup2(out.fileno(), 1)
        try:
            mathopt.answer_stdin()
        finally:
            for n, own in enumerate(kept, 1):
                os.dup2(own, n)
                os.close(own)
    assert (tmp_path / "said").read_bytes() == pickle.dumps(LATE)


class Child:
    """A process that answers at the n-th look."""

    def __init__(self, looks: int, code: int) -> None:
        self.looks, self.returncode, self.killed, self.began = looks, code, 0, {}
        self.questions: list[bytes | None] = []

    def __call__(self, command: list[str], **how: Any) -> "Child":
        self.began = how | {"command": command}
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.killed, "or leaving it would wait for as long as the engine takes"

    def communicate(self, question: bytes | None, timeout: float) -> tuple[bytes, bytes]:
        self.questions.append(question)
        if len(self.questions) < self.looks:
            raise subprocess.TimeoutExpired("engine", timeout)
        return pickle.dumps(LATE), b""

    def kill(self) -> None:
        self.killed += 1


@pytest.mark.parametrize(
    ("looks", "code", "cancelled", "wanted"),
    [
        (1, 0, lambda: False, LATE),
        (3, 0, lambda: False, LATE),
        (1, 1, lambda: False, None),
        (3, 0, lambda: True, None),
    ],
)
def test_a_process_is_looked_at_until_it_answers_or_somebody_cancels(
    monkeypatch: pytest.MonkeyPatch, looks: int, code: int, cancelled: Callable[[], bool], wanted: Any
) -> None:
    child = Child(looks, code)
    monkeypatch.setattr(mathopt.subprocess, "Popen", child)
    m = programme()
    assert mathopt._in_a_process(m, "HIGHS", Watch(cancelled=cancelled), 0.0) == wanted
    assert child.killed == 1
    first, *later = child.questions
    assert pickle.loads(first or b"") == (m, "HIGHS", None, 0.0)
    assert set(later) <= {None}, "the question is on its way"
    assert child.began["start_new_session"], "a Ctrl-C at the terminal is for us"
    assert child.began["env"]["PYTHONPATH"].split(os.pathsep) == sys.path
    assert child.began["env"]["PATH"] == os.environ["PATH"]
