"""Fits of a few constants: exact rows are met exactly, wild rows do not pull, what rows do not tell is left.

Guards users' own chips and engines, whose constants nobody else reviews.
"""

import numpy as np
import pytest

from optimizer.evidence.fitting import Constant, fit

RNG = np.random.default_rng(0)
FLOPS, BYTES = 10 ** RNG.uniform(8, 14, 60), 10 ** RNG.uniform(4, 9, 60)
TRUE = {"compute": 0.63, "memory": 0.81, "overhead": 4.2}


def constants(**old: float) -> list[Constant]:
    return [
        Constant("compute", "", old.get("compute", 0.5), 0.02, 1.2, 0.3),
        Constant("memory", "", old.get("memory", 0.7), 0.02, 1.2, 0.3),
        Constant("overhead", "us", old.get("overhead", 5.0), 0.01, 1000.0, 1.0, (True, False)),
    ]


def seconds(values: dict[str, float]) -> np.ndarray:
    compute, memory = FLOPS / (1e15 * values["compute"]), BYTES / (3e12 * values["memory"])
    return np.maximum(compute, memory) + values["overhead"] * 1e-6


def residuals(measured: np.ndarray, rows: slice = slice(None)):
    return lambda values: np.log(seconds(values)[rows] / measured[rows])


def test_exact_rows_give_the_exact_constants() -> None:
    found = fit(constants(), residuals(seconds(TRUE)), starts=4)
    assert found.left == {}
    assert found.values == pytest.approx(TRUE, rel=1e-3)


def test_two_runs_are_one() -> None:
    measured = seconds(TRUE) * np.exp(np.random.default_rng(1).normal(0, 0.1, 60))
    assert fit(constants(), residuals(measured), 4) == fit(constants(), residuals(measured), 4)


def test_a_tenth_of_wild_rows_does_not_pull() -> None:
    measured = seconds(TRUE) * np.exp(np.random.default_rng(2).normal(0, 0.03, 60))
    measured[::10] *= 5
    assert fit(constants(), residuals(measured), 4).values == pytest.approx(TRUE, rel=0.06)


def test_a_constant_that_no_row_depends_on_keeps_its_old_value() -> None:
    """Rows with next to no bytes tell nothing of bandwidth."""
    big = np.flatnonzero(FLOPS / (1e15 * 1.2) > BYTES / (3e12 * 0.02))
    found = fit(constants(), residuals(seconds(TRUE), big))
    assert found.left == {"memory": "no row depends on it"}
    assert found.values == pytest.approx(TRUE | {"memory": 0.7}, rel=2e-3)


def test_an_old_value_that_does_as_well_is_kept() -> None:
    found = fit(constants(compute=0.63), residuals(seconds(TRUE)))
    assert found.left == {"compute": "its old value does as well"}
    assert found.values["compute"] == 0.63


def test_a_fit_on_a_limit_is_no_answer_but_a_natural_end_is() -> None:
    fast = seconds(TRUE | {"compute": 3.0, "overhead": 1e-9})
    found = fit(constants(), residuals(fast))
    assert "runs to the limit 1.2" in found.left["compute"]
    assert found.values["compute"] == 0.5
    only = fit(constants()[2:], lambda v: np.log((1 + v["overhead"]) / np.ones(5)))
    assert only.left == {}
    assert only.values["overhead"] == pytest.approx(0.01, abs=1e-3)
