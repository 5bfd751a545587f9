"""What is proven of an integer programme when engines are silent, wrong or better than expected.

Guards the bound that is shown and the plan that is kept, with engines that answer as they are told to.
"""

from typing import Any

import pytest
from test_solver_parts import covering

from optimizer.search.programme import Programme, Proved
from optimizer.solver import proving
from optimizer.solver.cp_sat_twice import Solve, SolveSettings
from optimizer.solver.mathopt import Proposal
from optimizer.solver.proving import _better, prove
from optimizer.watch import UNWATCHED, Watch

NOTHING = Proposal("unknown", (), None)
SILENT = Solve("unknown", None, None, (), 0.0)
GONE = Solve("infeasible", None, None, (), 0.0)


class Engines:
    """HiGHS, CP-SAT and SCIP, each with its answers in turn; who was asked, and how."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, highs: Proposal, cp_sat: list[Solve], scip: Proposal = NOTHING
    ) -> None:
        self.highs, self.cp_sat, self.scip = highs, cp_sat, scip
        self.asked: list[Any] = []
        monkeypatch.setattr(proving, "propose", self.propose)
        monkeypatch.setattr(proving, "_better", self.better)

    def propose(self, m: Programme, name: str, watch: Watch, gap: float = 0.0) -> Proposal:
        self.asked.append((name, watch.left()))
        return {"HIGHS": self.highs, "GSCIP": self.scip}[name]

    def better(self, m: Programme, than: int | None, settings: SolveSettings, watch: Watch) -> Solve:
        self.asked.append((than, settings.presolve))
        return self.cp_sat[sum(isinstance(who, int | None) for who, _ in self.asked) - 1]


def sat(status: str, values: tuple[int, ...] = (), bound: int | None = None) -> Solve:
    return Solve(status, None, bound, values, 0.0)


def test_cp_sat_improves_a_plan_until_nothing_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """20, then 18, then 17; HiGHS said 20, so the last word needs a second, plain look."""
    answers = [sat("feasible", (2, 4)), sat("optimal", (3, 1)), GONE, GONE]
    engines = Engines(monkeypatch, Proposal("optimal", (4, 0), 20), answers)
    found = prove(covering())
    assert (found.status, found.objective, found.bound, found.values, found.solves) == (
        "optimal", 17, 17, (3, 1), 5,
    )  # fmt: skip
    assert engines.asked[1:] == [(20, True), (18, True), (17, True), (17, False)]
    assert found.confirmed_by == ("CP-SAT with and without presolve; HiGHS did not agree or had no answer",)


@pytest.mark.parametrize("values", [(0, 0), (10, 0)])
def test_a_plan_of_cp_sat_that_breaks_a_row_or_a_bound_is_none(
    monkeypatch: pytest.MonkeyPatch, values: tuple[int, ...]
) -> None:
    Engines(monkeypatch, NOTHING, [sat("optimal", values)])
    assert prove(covering()).status == "unknown"


def test_who_confirms_is_told_by_what_there_is_to_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    Engines(monkeypatch, Proposal("optimal", (3, 1), 17), [GONE])
    assert prove(covering()).confirmed_by == ("CP-SAT, which finds nothing better",)
    Engines(monkeypatch, Proposal("infeasible", (), None), [GONE])
    assert prove(covering()).confirmed_by == ("CP-SAT, which finds no plan either",)


def test_scip_may_know_a_plan_where_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a plan and no optimum: nobody else reaches it."""
    for status in ("optimal", "feasible"):
        Engines(monkeypatch, NOTHING, [SILENT], Proposal(status, (3, 1), 17))
        found = prove(covering())
        assert (found.status, found.objective, found.values, found.solves) == ("feasible", 17, (3, 1), 3)
    Engines(monkeypatch, NOTHING, [SILENT], Proposal("optimal", (0, 0), 0))
    assert prove(covering()).status == "unknown"
    Engines(monkeypatch, Proposal("optimal", (3, 1), 17), [SILENT], Proposal("optimal", (), 17))
    assert prove(covering()).status == "feasible", "an optimum without a plan is not the plan known"


def test_scip_has_twenty_seconds_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = Engines(monkeypatch, NOTHING, [SILENT])
    prove(covering(), watch=Watch.within(600))
    assert engines.asked[0][1] == pytest.approx(600, abs=5)
    assert engines.asked[-1] == ("GSCIP", pytest.approx(20, abs=1))


@pytest.mark.parametrize(
    ("highs", "cp_sat", "scip", "bound"),
    [
        (15, 13, 16, 13),  # CP-SAT's, not SCIP's
        (15, 16, None, 15),
        (15, None, 14, 14),
        (14, None, 15, 14),
        (15, None, None, 0),
        (None, 15, None, 0),
        (18, 19, None, 17),  # never above the plan that is known
    ],
)
def test_the_bound_shown_is_what_two_engines_accept(
    monkeypatch: pytest.MonkeyPatch, highs: int | None, cp_sat: int | None, scip: int | None, bound: int
) -> None:
    Engines(
        monkeypatch,
        Proposal("feasible", (3, 1), highs),
        [sat("unknown", (), cp_sat)],
        Proposal("unknown", (), scip),
    )
    found = prove(covering())
    assert (found.status, found.bound) == ("feasible", bound)
    Engines(
        monkeypatch,
        Proposal("unknown", (), highs),
        [sat("unknown", (), cp_sat)],
        Proposal("unknown", (), scip),
    )
    found = prove(covering())
    assert (found.status, found.bound) == ("unknown", 18 if bound == 17 else bound)


def test_the_bound_of_a_first_look_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """CP-SAT's second look is at the same plan, with a weaker engine."""
    answers = [sat("infeasible", (), 12), sat("unknown", (), 11)]
    Engines(monkeypatch, Proposal("feasible", (3, 1), 15), answers)
    assert prove(covering()).bound == 12


def test_no_solution_is_below_what_its_variables_allow() -> None:
    m = Programme()
    x, y, z = m.variable(2, 7), m.variable(-3, 5), m.variable(4, 6)
    m.objective = {x: 3, y: -2, z: 1}
    assert m.floor() == 3 * 2 - 2 * 5 + 4


def test_without_confirmation_nobody_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = Engines(monkeypatch, Proposal("optimal", (3, 1), 16), [])
    assert prove(covering(), confirm=False) == Proved("feasible", (3, 1), 17, 16, 1, ())
    engines = Engines(monkeypatch, NOTHING, [])
    assert prove(covering(), confirm=False) == Proved("unknown", (), None, 0, 1, ())
    assert [who for who, _ in engines.asked] == ["HIGHS"]


# What CP-SAT is asked.


def test_cp_sat_is_asked_for_less_than_what_is_known() -> None:
    m = covering()
    found = _better(m, 18, SolveSettings(), UNWATCHED)
    assert (found.status, found.objective, m.holds(found.values)) == ("optimal", 17, True)
    assert _better(m, 17, SolveSettings(), UNWATCHED).status == "infeasible"
    assert _better(m, None, SolveSettings(), UNWATCHED).objective == 17
    m.row({0: 1}, high=0)
    assert _better(m, None, SolveSettings(), UNWATCHED).objective == 18


def test_without_a_goal_nothing_is_better_and_any_plan_will_do() -> None:
    m = covering()
    m.objective = {}
    assert _better(m, 0, SolveSettings(), UNWATCHED) == GONE
    found = _better(m, None, SolveSettings(), UNWATCHED)
    assert m.holds(found.values)


def test_cp_sat_is_told_rows_of_any_size() -> None:
    m = Programme()
    x, y = m.variable(0, 10**9), m.variable(0, 10**9)
    m.row({x: 10**6}, low=7 * 10**12)
    m.row({y: -(10**6)}, high=-(10**12))
    m.objective = {x: 3, y: 2}
    assert _better(m, None, SolveSettings(), UNWATCHED).values == (7 * 10**6, 10**6)
    m.objective = {x: -1, y: -1}
    assert _better(m, -(10**9), SolveSettings(), UNWATCHED).values == (10**9, 10**9)


def test_the_least_of_sums_where_no_engine_has_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is completed from a plan, and of no plan there is nothing to complete."""
    m = covering()
    m.least_of([({0: 1}, 0)], 0, 9)
    for cp_sat, status in (([SILENT], "unknown"), ([GONE], "infeasible")):
        Engines(monkeypatch, Proposal("infeasible", (), None), cp_sat)
        assert prove(m).status == status


def test_a_witness_is_asked_of_a_plan_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    Engines(monkeypatch, NOTHING, [SILENT])
    assert prove(covering(), witness=lambda best: True).status == "unknown"
