"""aiconfigurator's own predictions, optimised exactly: every answer found independently of archsat is met.

benchmarks/tables/answers.csv has 291 questions over six cases; the exact answers come from HiGHS over all
rows, CP-SAT over the undominated ones, and enumeration, which agreed. All 291 are compared here.
"""

import sys
from pathlib import Path

import pytest

from optimizer.questions.deployment.columns import prepare

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import deployments  # noqa: E402

ANSWERS = list(deployments.answers())
CASES = sorted({row["case"] for row in ANSWERS})


def test_all_questions_are_here() -> None:
    assert len(ANSWERS) == 291
    assert len(CASES) == 6


@pytest.mark.parametrize("case", CASES)
def test_every_answer_is_the_exact_one(case: str) -> None:
    for mix in ("same", "any", "any, all rows"):
        rows = [row for row in ANSWERS if (row["case"], row["mix"]) == (case, mix)]
        if not rows:
            continue
        problem = deployments.question(case, mix)
        columns = prepare(problem)
        for row in rows:
            found, _ = deployments.solve_row(columns, problem.constraints.given(), row)
            assert deployments.equal(found, row), (row, found.status, found.values)


def test_the_other_tool_is_never_better() -> None:
    """Its own answers lie on or above the exact minima, and on or below the exact maxima."""
    for row in ANSWERS:
        if not row["aic"] or row["exact"] == "infeasible":
            continue
        theirs, exact = float(row["aic"]), float(row["exact"])
        if row["objective"] == "requests_per_s":
            assert theirs <= exact + 1e-4
        else:
            assert theirs >= exact
