"""Quantities in whole numbers, each worked out by hand, at the noise that a float may carry.

Guards the rounding of limits and prices that every planner shares: a limit of 0.1 + 0.2 USD is three tenths,
and half a milliwatt is not lost by the thousand.
"""

import pytest

from optimizer.columns.supply import Supply
from optimizer.columns.totals import asked, each_of, limit_of

RED = Supply("red", None, 1.234567, 700.125, 8, None, None)


@pytest.mark.parametrize(
    ("quantity", "each", "value", "limit"),
    [
        ("chips", 1, 3.0, 3),
        ("chips", 1, 3.9, 3),
        ("usd_per_hour", 1_234_567, 0.1 + 0.2, 300_000),
        ("usd_per_hour", 1_234_567, 2.4691349, 2_469_134),
        ("power_w", 700_125, 1400.25, 1_400_250),
        ("power_w", 700_125, 0.0019, 1),
    ],
)
def test_what_a_chip_adds_and_a_limit_allows(quantity: str, each: int, value: float, limit: int) -> None:
    assert each_of(RED, quantity) == each
    assert limit_of(quantity, value) == limit


def test_counts_are_limited_as_they_are_and_traffic_by_1e_8() -> None:
    assert (limit_of("nodes", 7.0), limit_of("requests_per_s", 1.5)) == (7, 150_000_000)


def test_what_a_float_loses_is_no_less_of_a_limit() -> None:
    """A millionth of the unit is noise, and no more than that."""
    assert [limit_of("chips", 2 - short) for short in (0, 0.9e-6, 1.1e-6, 0.5)] == [2, 2, 1, 1]


def test_traffic_is_rounded_up_but_for_the_noise_of_a_float() -> None:
    """A thousandth of 1e-8 requests/s is noise, and no more than that."""
    assert [asked((10 + over) / 1e8) for over in (0, 0.9e-3, 1.1e-3, 0.5, 1)] == [10, 10, 11, 11, 11]
    assert (asked(0.1 + 0.2), asked(1 / 3)) == (30_000_000, 33_333_334)
