"""Integer programmes: both engines agree with enumeration, and a wrong engine is not believed."""

import dataclasses
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.search.programme import Programme
from optimizer.solver import proving
from optimizer.solver.cp_sat_twice import Solve
from optimizer.solver.mathopt import Proposal
from optimizer.solver.proving import prove


def covering() -> Programme:
    """Two sizes of replica for a demand of 17: three of 5 and one of 2 cost 17, the least."""
    m = Programme()
    five, two = m.variable(0, 9), m.variable(0, 9)
    m.row({five: 5, two: 2}, low=17)
    m.objective = {five: 5, two: 2}
    return m


@st.composite
def programmes(draw):
    m = Programme()
    variables = [m.variable(0, draw(st.integers(0, 4))) for _ in range(draw(st.integers(1, 4)))]
    coefficient = st.integers(-(10**9), 10**9)
    for _ in range(draw(st.integers(0, 3))):
        row = {v: draw(coefficient) for v in variables}
        low = draw(st.none() | coefficient)
        m.row(row, low=low, high=None if low is not None else draw(coefficient))
    m.objective = {v: draw(st.integers(-1000, 1000)) for v in variables}
    if draw(st.booleans()):
        sums = [({v: draw(st.integers(0, 10**8)) for v in variables}, 0) for _ in range(2)]
        m.objective = {m.least_of(sums, 0, 10**9): -1}
    return m


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programmes())
def test_the_optimum_is_the_enumerations(m: Programme) -> None:
    free = [i for i in range(len(m.lows)) if i not in m.least]
    values = []
    for numbers in product(*(range(m.lows[i], m.highs[i] + 1) for i in free)):
        whole = [0] * len(m.lows)
        for i, number in zip(free, numbers, strict=True):
            whole[i] = number
        completed = m.complete(whole)
        if m.holds(completed):
            values.append(m.value(completed))
    found = prove(m)
    assert found.status == ("optimal" if values else "infeasible")
    assert found.objective == min(values, default=None)
    assert found.confirmed_by


def test_a_proposal_that_breaks_a_row_is_not_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS rounds a solution that violates the demand by a little: CP-SAT's exact answer is taken."""
    monkeypatch.setattr(proving, "propose", lambda *_: Proposal("optimal", (3, 0), 15))
    found = prove(covering())
    assert (found.status, found.objective) == ("optimal", 17)
    assert "presolve" in found.confirmed_by[0]


def test_a_false_infeasible_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "propose", lambda *_: Proposal("infeasible", (), None))
    found = prove(covering())
    assert (found.status, found.objective) == ("optimal", 17)
    assert "HiGHS did not agree" in found.confirmed_by[0]


def test_a_poor_proposal_is_improved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "propose", lambda *_: Proposal("optimal", (4, 0), 20))
    assert prove(covering()).objective == 17


def test_nobody_to_confirm_is_no_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CP-SAT and SCIP out of time, HiGHS's word alone is 'feasible'."""
    unknown = proving.Solve("unknown", None, None, (), 0.0)
    monkeypatch.setattr(proving, "_better", lambda *_: unknown)
    real = proving.propose
    monkeypatch.setattr(
        proving,
        "propose",
        lambda m, e, *rest: real(m, e, *rest) if e == "HIGHS" else Proposal("unknown", (), None),
    )
    found = prove(covering())
    assert (found.status, found.objective, found.confirmed_by) == ("feasible", 17, ())
    assert prove(covering(), witness=lambda best: best == 17).status == "optimal"


def test_a_third_engine_confirms_where_cp_sat_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = proving.Solve("unknown", None, None, (), 0.0)
    monkeypatch.setattr(proving, "_better", lambda *_: unknown)
    found = prove(covering())
    assert (found.status, found.confirmed_by) == ("optimal", ("SCIP, which reaches the same optimum",))


def test_stray_lines_of_a_library_do_not_reach_stdout() -> None:
    """A whole process: what is written to its descriptor is not among the answers; a full disk is told of."""
    code = (
        "import os, sys\n"
        "from optimizer.commands._output import own_stdout, write_out\n"
        "print('before'); own_stdout(); os.write(1, b'stray\\n'); write_out('after\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    command = [sys.executable, "-m", "optimizer", "chips"]
    with Path("/dev/full").open("w") as full:
        told = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (told.returncode, told.stderr) == (
        2,
        "archsat: stdout: No space left on device; give --out FILE\n",
    )


def test_a_bound_that_is_not_proven_is_one_that_both_engines_accept(monkeypatch) -> None:
    """HiGHS was caught 0.1 % above the optimum: its bound is never shown alone."""
    m = Programme()
    x, y = m.variable(0, 10), m.variable(0, 10)
    m.row({x: 2, y: 3}, low=12)
    m.objective = {x: 5, y: 7}
    truth = proving.prove(m)
    assert truth.status == "optimal"
    honest = proving.propose

    def too_high(*rest):
        return dataclasses.replace(honest(*rest), bound=truth.objective + 3)

    def silent(*rest):
        return Solve("unknown", None, None, (), 0.0)

    monkeypatch.setattr(proving, "propose", too_high)
    for better, bound in (
        (silent, 0),
        (lambda *rest: dataclasses.replace(silent(), bound=truth.objective - 2), truth.objective - 2),
    ):
        monkeypatch.setattr(proving, "_better", better)
        monkeypatch.setattr(proving._Confirmation, "_by_scip", proving._Confirmation._unanswered)
        found = proving.prove(m)
        assert found.status == "feasible"
        assert found.bound == bound <= truth.objective
