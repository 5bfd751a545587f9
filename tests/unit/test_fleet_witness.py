"""A fleet whose rows, dominance or engine is wrong is refused: the second look finds what was left out.

Wrong things are put in by hand, each as a mistake in one place would do it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from optimizer.errors import InternalMismatch
from optimizer.questions.fleet import columns
from optimizer.questions.fleet import rounds as solver
from optimizer.questions.fleet import witness as fleet_witness
from optimizer.questions.fleet.answer import FleetAnswer
from optimizer.questions.fleet.columns import Item
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.fleet.shares import Worth
from optimizer.questions.fleet.whole import plan_fleet
from optimizer.questions.options import Options
from optimizer.report.fleet import report
from optimizer.search.programme import Programme, Proved
from optimizer.solver.proving import prove
from optimizer.studies.solve import solve

TABLE = """mode,chip,chips,requests_per_s,ttft_ms,tpot_ms,kv_dtype,size
agg,nvidia-h100-sxm,1,1.0,100,10,bf16,short
agg,nvidia-h100-sxm,2,2.1,100,10,bf16,short
agg,nvidia-h100-sxm,4,4.0,100,10,bf16,short
agg,nvidia-h100-sxm,1,0.5,100,10,bf16,long
agg,nvidia-h100-sxm,2,1.4,100,10,bf16,long
agg,nvidia-h100-sxm,4,2.5,100,10,bf16,long
prefill,nvidia-h100-sxm,1,3.0,100,10,bf16,short
prefill,nvidia-h100-sxm,1,2.0,100,10,bf16,long
decode,nvidia-h100-sxm,1,1.2,100,10,bf16,short
decode,nvidia-h100-sxm,1,0.6,100,10,bf16,long
"""
"""Two chips carry more than twice what one does, four less than what two do twice."""


def problem(mode: str = "aggregated", **fields: Any) -> FleetProblem:
    traffic = [
        {"input_tokens": 100, "output_tokens": 100, "requests_per_s": rate, "rows": {"size": size}}
        for size, rate in (("short", 9), ("long", 3))
    ]
    services = [
        {"name": name, "performance_table": "table", "traffic": traffic, "deployment": {"mode": [mode]}}
        for name in ("one", "other")
    ]
    asked = {
        "name": "fleet",
        "documents": {"tables": {"table": TABLE}},
        "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 64}],
        "services": services,
        "minimize": "chips",
    }
    return FleetProblem.model_validate(asked | fields)


def most(chips: int) -> FleetProblem:
    return problem(
        minimize=None, maximize="requests_per_s", hardware=[{"chip": "nvidia-h100-sxm", "max_count": chips}]
    )


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (problem(), "optimal"),
        (problem("disaggregated"), "optimal"),
        (most(12), "optimal"),
        (problem(constraints={"chips_max": 11}), "infeasible"),
    ],
)
def test_an_answer_says_what_was_looked_at(asked: FleetProblem, status: str) -> None:
    found = solve(asked)
    assert found.status == status
    seen = found.certificate.witnesses
    assert seen is not None and seen == solve(asked).certificate.witnesses  # drawn by seed
    assert seen.setups_looked_at == seen.setups_left_out
    assert seen.plans > 0
    if asked.deployment.mode == ("aggregated",) and status == "optimal":
        assert f"looked at again: all of the {seen.setups_left_out} setups left out" in text_of(found)


def text_of(found: FleetAnswer) -> str:
    out = StringIO()
    Console(file=out, width=80).print(report(found))
    return " ".join(out.getvalue().split())


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
def test_rows_that_ask_for_22_percent_too_much_are_refused(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas are said to carry less than they do, so that the fewest chips are too many."""
    right, honest = solve(problem(mode)).objective.value, Worth.replicas
    monkeypatch.setattr(
        Worth, "replicas", lambda self, *asked: [x / Fraction(122, 100) for x in honest(self, *asked)]
    )
    with pytest.raises(InternalMismatch, match="but a plan is; no answer is given"):
        solve(problem(mode))
    if mode == "aggregated":  # the answer that would have been given
        monkeypatch.setattr(fleet_witness._Look, "_try", lambda *plan: None)
        wrong = solve(problem(mode))
        assert wrong.status == "optimal" and wrong.objective.value > right


def test_a_bound_that_is_too_high_is_refused_of_a_stopped_fleet_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown below a feasible plan is held against plans as well."""

    def stopped(m: Programme, *asked: Any, **more: Any) -> Proved:
        found = prove(m, *asked, **more)
        return replace(found, status="feasible", bound=found.objective)

    monkeypatch.setattr(solver, "prove", stopped)
    assert solve(problem()).status == "feasible"
    monkeypatch.setattr(solver, "prove", lambda *asked, **more: dearer(stopped(*asked, **more), asked[0]))
    with pytest.raises(InternalMismatch, match="none is better"):
        solve(problem())


def dearer(found: Proved, m: Programme) -> Proved:
    """The same with one more replica of everything that is in use."""
    if not found.values:
        return found
    used = set(m.objective)
    values = tuple(v + (i in used and v > 0) for i, v in enumerate(found.values))
    return replace(found, values=values, objective=m.value(values), bound=m.value(values))


def test_an_engine_that_says_optimal_of_what_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "prove", lambda *asked, **more: dearer(prove(*asked, **more), asked[0]))
    with pytest.raises(InternalMismatch, match="none is better"):
        solve(problem())


def test_no_plan_where_there_is_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Proved("infeasible", (), None, None, 1, ("a wrong word",))
    monkeypatch.setattr(solver, "prove", lambda *asked, **more: none)
    with pytest.raises(InternalMismatch, match="no fleet is possible, but a plan is"):
        solve(problem())


def test_less_traffic_than_there_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The most traffic of 12 chips, said to be that of 6."""
    few, real = solve(most(6)), plan_fleet
    assert few.objective.value < solve(most(12)).objective.value

    def on_six(found: Any, goal: Any, bounds: Mapping[str, float], *more: Any) -> Any:
        return real(found, goal, {**bounds, "inventory:nvidia-h100-sxm": 6.0}, *more)

    monkeypatch.setattr("optimizer.questions.fleet.vocabulary.plan_fleet", on_six)
    with pytest.raises(InternalMismatch, match="none is better"):
        solve(most(12))


def test_a_setup_left_out_that_nothing_covers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dominance that keeps the largest setup alone."""

    def largest(item: Item, apart: object) -> Item:
        k = np.array([int(np.argmax(item.setups.chips))])
        return Item(item.service, item.phase, item.setups.take(k), item.rates[:, k], item.rows[:, k])

    monkeypatch.setattr(columns, "_undominated", largest)
    with pytest.raises(InternalMismatch, match="one: a setup was left out that none of those kept covers"):
        solve(problem())


def test_a_batch_that_is_not_the_best_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setup kept at a rate below that of its best row is a setup left out."""
    table = TABLE.replace(
        "agg,nvidia-h100-sxm,2,2.1", "agg,nvidia-h100-sxm,2,1.9,100,10,bf16,short\nagg,nvidia-h100-sxm,2,2.1"
    )
    asked = problem(documents={"tables": {"table": table}})
    assert solve(asked).objective.value == solve(problem()).objective.value
    honest = columns._best_rows

    def first(priced: Any, rows: Any) -> Any:
        return honest(priced, rows[priced.replicas.requests_per_s[rows] != 2.1])

    monkeypatch.setattr(columns, "_best_rows", first)
    with pytest.raises(InternalMismatch, match="a setup was left out"):
        solve(asked)


def test_a_watch_ends_the_second_look_and_the_answer_says_how_far_it_came() -> None:
    asked: list[None] = []
    whole = solve(problem(), Options(cancelled=lambda: bool(asked.append(None)))).certificate.witnesses
    assert whole is not None
    seen = []
    for looks in range(1, len(asked), 4):
        found = solve(problem(), Options(cancelled=after(looks))).certificate.witnesses
        if found is not None:
            seen.append((found.setups_looked_at, found.plans))
    assert seen == sorted(seen)
    assert seen[0] < (whole.setups_looked_at, whole.plans) == seen[-1]


def after(looks: int) -> Callable[[], bool]:
    count = iter(range(10**9))
    return lambda: next(count) >= looks
