"""Limits written with four digits: never tighter than what is needed, and no looser than a digit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.search.rounding import outward


@pytest.mark.parametrize(
    ("value", "up", "down"),
    [
        (0.0, 0.0, 0.0),
        (12345.0, 12345.0, 12345.0),
        (12345.5, 12350.0, 12340.0),
        (0.00123456, 0.001235, 0.001234),
        (-2.34567, -2.345, -2.346),
        (9.9996, 10.0, 9.999),
        (7.5, 7.5, 7.5),
        (0.1 + 0.2, 0.3, 0.3),
    ],
)
def test_outward(value: float, up: float, down: float) -> None:
    assert outward(value, 1) == up
    assert outward(value, -1) == down


@given(st.floats(1e-9, 1e12))
def test_it_keeps_the_plan_and_is_near(value: float) -> None:
    assert value * (1 - 1e-12) <= outward(value, 1) <= value * (1 + 1e-3)
    assert value * (1 + 1e-12) >= outward(value, -1) >= value * (1 - 1e-3)
