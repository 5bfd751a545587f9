"""Quantities with units: what is read, to which number, and what is refused.

Guards the units trap: GB against GiB, bits against bytes, and a bare number that means nothing.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.spec.quantity import EXAMPLES, UNITS, parse_count, parse_quantity


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("80 GiB", "bytes", 85_899_345_920),
        ("80 GB", "bytes", 80e9),
        ("80GB", "bytes", 80e9),
        ("  7.7 TB/s ", "bytes/s", 7.7e12),
        ("2.25 PFLOP/s", "FLOP/s", 2.25e15),
        ("989 TFLOP/s", "FLOP/s", 989e12),
        ("3.3e-6 s", "s", 3.3e-6),
        ("3.3 us", "s", 3.3e-6),
        ("400 ns", "s", 4e-7),
        ("1.73 kW", "W", 1730),
    ],
)
def test_reads_a_number_and_its_unit(text: str, dimension: str, value: float) -> None:
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "dimension", "named"),
    [
        (80, "bytes", "no unit"),
        (8e12, "bytes/s", "no unit"),
        (None, "bytes", "no unit"),
        (True, "bytes", "no unit"),
        ("80", "bytes", "no unit of bytes"),
        ("80 Gb", "bytes", "use one of"),
        ("80 gb", "bytes", "use one of"),
        ("3.35 TB", "bytes/s", "no unit of bytes/s"),
        ("3.35 TB/s", "bytes", "no unit of bytes"),
        ("989 TFLOPS", "FLOP/s", "TFLOP/s"),
        ("989 TFLOP", "FLOP/s", "TFLOP/s"),
        ("-5 W", "W", "not a quantity"),
        ("five W", "W", "not a quantity"),
        ("nan s", "s", "not a quantity"),
        ("inf s", "s", "not a quantity"),
        ("1e999 s", "s", "too large"),
        ("1 2 s", "s", "not a quantity"),
        ("", "s", "not a quantity"),
        ("9" * 10_000 + " s", "s", "not a quantity"),
    ],
)
def test_refuses_and_says_what_is_accepted(text: object, dimension: str, named: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_quantity(text, dimension)
    assert named in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("dimension", UNITS)
def test_the_example_in_a_message_is_itself_accepted(dimension: str) -> None:
    assert parse_quantity(EXAMPLES[dimension], dimension) > 0


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("8.03B", 8_030_000_000),
        ("15T", 15 * 10**12),
        ("405M", 405_000_000),
        ("8.03e9", 8_030_000_000),
        (8.03e9, 8_030_000_000),
        (7, 7),
        (70_553_706_496, 70_553_706_496),
    ],
)
def test_reads_a_count(value: object, count: int) -> None:
    assert parse_count(value) == count
    assert isinstance(parse_count(value), int)


@pytest.mark.parametrize(
    "value",
    ["8.03GB", "1.5", 0.5, "0.1B and more", True, None, [8], math.inf, math.nan, 10**30, "1e300", "-3B"],
)
def test_refuses_what_is_no_count(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a count|not a whole number|up to 1e18"):
        parse_count(value)


def test_a_huge_integer_does_not_flood_the_message() -> None:
    """Python refuses to print an integer of more than 4300 digits; the message must not trip over that."""
    with pytest.raises(ValueError, match="up to 1e18") as error:
        parse_count(10**5000)
    assert len(str(error.value)) < 200


@given(st.text() | st.integers() | st.floats() | st.none() | st.lists(st.integers()))
def test_anything_else_is_a_value_error(value: object) -> None:
    for dimension in UNITS:
        try:
            assert math.isfinite(parse_quantity(value, dimension))
        except ValueError as error:
            assert str(error)
    try:
        assert isinstance(parse_count(value), int)
    except ValueError as error:
        assert str(error)
