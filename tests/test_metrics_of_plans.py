"""What a metric's file says of plans of replicas and of training, and what planners and checkers make of it.

Guards totals: planner and checker must add up the same figures, whatever a file multiplies.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import small_problems

from optimizer import InternalMismatch, catalog, solve
from optimizer.columns.supply import Supply, supplies
from optimizer.metrics import each, having, is_whole, listed, scale, sign, step_of, totals, unit
from optimizer.plugins import plugins
from optimizer.spec.deployment import Offer

UNKNOWN = Supply("unheard-of", None, None, None, None, None, None)
FORMS = ("value", "each", "PACKED", "ABSENT_IN", "per_request", "trained", "held")


@pytest.mark.parametrize("name", sorted(plugins("objectives")))
def test_file_says_what_every_kind_needs(name: str) -> None:
    module: Any = plugins("objectives")[name]
    sentence, *rest = (module.__doc__ or "").strip().splitlines()
    assert sentence.endswith(".")
    assert any(line.strip().startswith(f"{name} =") for line in rest), "the formula is of something else"
    assert module.TITLE and module.BETTER in ("lower", "higher") and step_of(name) > 0
    assert any(hasattr(module, form) for form in FORMS), "no kind of problem has it"
    assert unit(name) or name == "mfu"


@pytest.mark.parametrize("name", totals())
def test_a_total_is_counted_finely_enough(name: str) -> None:
    """Of every chip that ships whole units lose less than a thousandth; a figure that lacks has a name."""
    assert sign(name) == 1, "a total is made small"
    module: Any = having("each")[name]
    for supply in supplies([Offer(chip=chip) for chip in catalog.chips()]):
        own = module.each(supply)
        assert (own is None) == (each(name, supply) is None)
        if own is not None:
            assert each(name, supply) == pytest.approx(own, rel=1e-3)
    assert each(name, UNKNOWN) is not None or module.GIVEN_BY


def test_steps_units_and_whole_things() -> None:
    assert [step_of(name) for name in ("tpot_ms", "usd_per_hour", "mfu")] == [1e-3, 0.01, 1e-6]
    assert [unit(name) for name in ("power_w", "train_days", "requests_per_s")] == ["W", "days", "requests/s"]
    found = ("chips", "nodes", "usd_per_hour", "ttft_ms", "inventory:red")
    assert [is_whole(name) for name in found] == [True, True, False, False, False]
    assert [scale(name) for name in ("inventory:red", "power_w", "requests_per_s")] == [1, 10**3, 10**8]


def test_lists_are_in_the_order_that_files_say() -> None:
    assert listed("each", "PACKED") == ("chips", "nodes", "usd_per_hour", "power_w")
    assert listed("trained")[:2] == ("step_s", "train_tokens_per_s")


def test_what_a_chip_adds_is_a_whole_number_of_units() -> None:
    odd = replace(UNKNOWN, usd_per_hour=1.23456789, power_w=333.33333333)
    assert (each("usd_per_hour", odd), each("power_w", odd)) == (1.234568, 333.333)
    assert each("power_w", UNKNOWN) is None


def test_no_chip_takes_away_from_a_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planners leave out what uses more chips: if a total fell with them that would lose the optimum."""
    credit = SimpleNamespace(SCALE=1, UNIT="kg/h", each=lambda chip: -1.0)
    monkeypatch.setitem(plugins("objectives"), "credit", credit)
    with pytest.raises(InternalMismatch, match="credit: a unheard-of adds -1"):
        each("credit", UNKNOWN)


@pytest.mark.parametrize("kind", ["deployment", "fleet"])
@pytest.mark.parametrize(("goal", "value"), [("usd_per_hour", 6.203704), ("power_w", 1699.999)])
def test_planner_and_checker_add_up_the_same(kind: str, goal: str, value: float) -> None:
    """Figures finer than a unit: three red chips, 1.234568 USD or 333.333 W each, and a blue one."""
    red = small_problems.OFFERS[0] | {"usd_per_chip_hour": 1.23456789, "power_w": 333.33333333}
    own = {"hardware": [red, small_problems.OFFERS[1]], "minimize": goal}
    best = solve(small_problems.problem(kind, **own))
    assert best.objective.value == best.metrics[goal] == value
    limits = small_problems.PROBLEMS[kind].get("constraints", {}) | {f"{goal}_max": value}
    assert solve(small_problems.problem(kind, **own, constraints=limits)).objective.value == value
