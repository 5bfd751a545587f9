"""Quantities with units: what is read, to which number, and what is refused.

Guards the units trap: GB against GiB, bits against bytes, and a bare number that means nothing.
"""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer import InputError
from optimizer.questions import problems
from optimizer.questions.architecture.space import resolve
from optimizer.questions.kinds import kinds
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip, System
from optimizer.spec.engine import Engine
from optimizer.spec.quantity import EXAMPLES, UNITS, parse_count, parse_quantity, parse_time
from optimizer.spec.training import TrainingSetup


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


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("63k", 63_000),
        ("64k", 64_000),
        ("64Ki", 65_536),
        ("1.5k", 1_500),
        ("1Mi", 1 << 20),
        ("131072", 131_072),
    ],
)
def test_counts_with_a_suffix_are_exact(text: str, count: int) -> None:
    assert parse_count(text) == count


def test_a_suffix_of_two_meanings_is_refused_with_both_spellings() -> None:
    with pytest.raises(ValueError, match=r"64k .*64Ki"):
        parse_count("64K")
    for text in ("1.0005k", "0.3Ki", "1e-999999999", "1e999999999"):
        with pytest.raises(ValueError, match=r"whole number|up to 1e18"):
            parse_count(text)


@given(st.integers(1, 10**12), st.sampled_from(["", "k", "M", "Ki"]))
def test_a_count_with_a_suffix_is_the_product(number: int, suffix: str) -> None:
    scale = {"": 1, "k": 1000, "M": 10**6, "Ki": 1024}[suffix]
    if number * scale <= 10**18:
        assert parse_count(f"{number}{suffix}") == number * scale


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("4s", "ms", 4000.0),
        ("4 s", "ms", 4000.0),
        ("800us", "ms", 0.8),
        ("1.5h", "s", 5400.0),
        ("3 min", "s", 180.0),
        ("36h", "days", 1.5),
        (7, "ms", 7),
        (0.3, "s", 0.3),
    ],
)
def test_times_with_a_unit_of_their_own(text: object, unit: str, value: float) -> None:
    assert parse_time(text, unit) == value


@pytest.mark.parametrize(
    "text", ["4", "4 m", "4 S", "-4s", "s", "", "4 ms s", "1e400 s", "\u0664s", "9" * 99 + "s"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"number of ms|too large"):
        parse_time(text, "ms")


def test_fields_of_counts_and_times_take_suffixes_and_others_show_the_spelling() -> None:
    changed = {
        "workload.input_tokens": "63k",
        "constraints.ttft_ms_max": "4s",
        "constraints.n_params_max": "8B",
        "deployment.host_ms": "300us",
    }
    problem = problems.load("dense-8b-b200", changed)
    assert problem.workload.input_tokens == 63_000
    assert problem.deployment.host_ms == 0.3
    values = resolve(problem).rules.values
    assert (values["ttft_ms_max"], values["n_params_max"]) == (4000, 8e9)
    for key, value, shown in (
        ("workload.batch", "4k", "write 4000, or 4096 for 4Ki"),
        ("architecture.d_model", "4k", "write 4000, or 4096 for 4Ki"),
        ("workload.input_tokens", "64K", "64k for thousands, 64Ki"),
        ("training_tokens", 1, "greater than or equal to 1000000"),
        ("workload.batch", True, "got true"),
        ("workload.requests_per_s", True, "got true"),
        ("architecture.gated_ffn", 1, "boolean"),
    ):
        with pytest.raises(InputError) as error:
            problems.load("dense-8b-b200", {key: value})
        assert shown in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("tpot_ms_max", -5, "positive"),
        ("tpot_ms_max", 0, "positive"),
        ("loss_min", -1, "positive"),
        ("ffn_ratio", [True, 5], "valid number"),
        ("ffn_ratio", ["2", 5], "valid number"),
        ("memory_capacity", "0.9", "valid number"),
        ("memory_gib_max", "80", "not a number"),
        ("n_params_max", "8K", "8k"),
    ],
)
def test_a_bound_is_a_number_that_plans_can_keep_or_miss(name: str, value: object, shown: str) -> None:
    problem = problems.load("dense-8b-b200", {f"constraints.{name}": value})
    with pytest.raises(InputError, match=shown):
        resolve(problem)


def test_no_number_of_a_file_is_read_from_text_or_from_a_switch() -> None:
    """Every number and switch of every model that reads a file is strict, keys of mappings apart."""
    models = [kind.load() for kind in kinds().values()]
    for model in (*models, Chip, System, Engine, Architecture, TrainingSetup):
        stack: list[Any] = [model.__pydantic_core_schema__]
        while stack:
            node = stack.pop()
            if isinstance(node, dict):
                if node.get("type") in ("int", "float", "bool"):
                    assert node.get("strict") is True, (model, node)
                skipped = ("keys_schema", "metadata", "default", "serialization", "expected")
                stack += [value for key, value in node.items() if key not in skipped]
            elif isinstance(node, list | tuple):
                stack += node
