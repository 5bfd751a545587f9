"""Progress is data and true: counts that count, what is left and never less, lists that end where sure."""

from typing import Any

import numpy as np
import pytest
import samples

from optimizer import Options, Variation, enumerate_plans, explain, frontier, perturb, solve, sweep
from optimizer.commands._output import sentence
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.listing import Unfinished, best_plans
from optimizer.questions.architecture.space import resolve
from optimizer.report.architecture import report
from optimizer.report.enumerate import report as enumeration
from optimizer.watch import Progress, Watch

NAMES, STEPS = ("tpot_ms", "loss"), {"loss": 2e-5}


def told(study: Any) -> tuple[Any, list[Progress]]:
    seen: list[Progress] = []
    return study(Options(tell=seen.append)), seen


@pytest.mark.parametrize(
    "study",
    [
        lambda o: frontier(samples.problem(), NAMES, STEPS, options=o),
        lambda o: perturb(samples.problem(), [Variation("hardware.hbm_bandwidth", 1.1)], options=o),
        lambda o: sweep(samples.problem(), {"workload.batch": [1, 2, 4, 8]}, options=o),
    ],
)
def test_studies_of_re_solves_say_how_many_are_done_and_left(study: Any) -> None:
    found, seen = told(study)
    counted = [p for p in seen if p.done is not None]
    done = [p.done for p in counted]
    assert seen[0].done is None  # said before anything is prepared
    assert done == sorted(done)
    assert done[-1] == found.work.asked
    assert {p.done for p in counted} == set(range(found.work.asked + 1))
    for p in counted:
        assert p.left >= 0
        assert p.more or p.done + p.left <= found.work.asked  # what is known to be left is left
    for p in counted[:-1]:
        assert p.left > 0 or p.more, "nothing left is said while there is"


def test_a_frontier_says_how_many_points_it_has() -> None:
    found, seen = told(lambda o: frontier(samples.problem(), NAMES, STEPS, options=o))
    points = [p.points for p in seen if p.points is not None]
    assert points == sorted(points)
    assert 0 < points[-1] <= len(found.points)


def test_a_search_says_bound_incumbent_and_gap() -> None:
    result, seen = told(lambda o: solve(samples.problem(), o))
    search = [p for p in seen if p.phase == "search" and p.metric == "tpot_ms"]
    assert search
    for p in search:
        assert p.incumbent >= result.objective.value * (1 - 1e-9)
        assert p.bound <= p.incumbent
        assert 0 <= p.gap < 1


def test_conflicts_are_counted() -> None:
    tight = samples.problem(constraints={"tpot_ms_max": 1e-3, "memory_gib_max": 0.1})
    found, seen = told(lambda o: explain(tight, options=o))
    assert max(p.points for p in seen if p.points is not None) == len(found.conflicts)
    assert [p.left for p in seen if p.phase.startswith("relaxing")] == [2, 1]


def test_the_line_is_made_of_the_data() -> None:
    line = sentence(Progress("frontier", points=3, done=5, left=2, more=True, pace_s=0.0182))
    assert line == "frontier, 3 found, 5 done, 2 left, more may turn up, 0.0182 s each"
    assert (
        sentence(Progress("x", "tpot_ms", "ms", 2.0, 1.0))
        == "x, tpot_ms 2 ms, bound tpot_ms 1 ms, gap 50.00%"
    )


def stopping(after: int) -> Watch:
    looked: list[int] = []

    def cancelled() -> bool:
        looked.append(1)
        return len(looked) > after

    return Watch(cancelled=cancelled)


@pytest.mark.parametrize("after", [0, 20, 60, 100, 140])
def test_a_listing_that_is_stopped_is_the_beginning_of_the_whole(after: int) -> None:
    space = resolve(samples.problem())
    asked = (space, space.rules, symbol("tpot_ms"), 1, 10**6)
    whole = best_plans(*asked)
    try:
        found = best_plans(*asked, np.inf, stopping(after))
    except Unfinished as stopped:
        found = stopped.plans
        assert len(found) < len(whole)
    assert found == whole[: len(found)]


def test_an_enumeration_that_is_stopped_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*rest: Any) -> Any:
        raise Unfinished([])

    monkeypatch.setattr("optimizer.questions.architecture.question.best_plans", stopped)
    result = enumerate_plans(samples.problem())
    assert (result.status, result.plans_complete, result.plans) == ("feasible", False, ())
    assert "stopped before all plans were listed" in text_of(enumeration(result))
    assert result.objective.gap == 0


def test_a_solve_that_is_stopped_at_once_says_so() -> None:
    result = solve(samples.problem(), Options(cancelled=lambda: True))
    assert result.status == "unknown"
    assert "stopped before any plan was found" in text_of(report(result))


def text_of(what: Any) -> str:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    Console(file=out, width=200).print(what)
    return out.getvalue()
