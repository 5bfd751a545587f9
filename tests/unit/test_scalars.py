"""Unquoted scalars of YAML: one reading, and a message for what YAML 1.1 and 1.2 read differently.

Guards numbers that mean something else to the writer than to the reader: 1:30, 010, 0x10, 1_000, yes.
"""

import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import InputError, catalog
from optimizer.commands._arguments import overrides
from optimizer.questions.architecture.problem import Problem
from optimizer.spec.loading import MAX_BYTES, MAX_VALUES, parse_yaml, validate
from optimizer.spec.scalars import decimal

TRAPS = {
    "1:30": "90",
    "-1:30": "-90",
    "1:30:00": "5400",
    "1:30.5": "90.5",
    "0x10": "16",
    "0xFF": "255",
    "010": "8 in YAML 1.1 and 10 in YAML 1.2",
    "-010": "-8 in YAML 1.1 and -10 in YAML 1.2",
    "08": "text in YAML 1.1 and 8 in YAML 1.2",
    "00": "0",
    "0o17": "15",
    "0b101": "5",
    "1_000": "1000",
    "1_000.5": "1000.5",
    "yes": "true in YAML 1.1 and text in YAML 1.2",
    "No": "false in YAML 1.1 and text in YAML 1.2",
    "on": "true",
    "OFF": "false",
    "y": "true",
    "n": "false",
    "2026-11-27": "date",
    "2026-11-27T10:30:00Z": "date",
    "2026-1-7 10:30:00.5 +01:00": "date",
    ".inf": "no finite number",
    "-.INF": "no finite number",
    ".nan": "no finite number",
    "1e999": "too large",
    "<<": "YAML 1.1",
    "=": "YAML 1.1",
}
READ = {
    "8": 8,
    "-5": -5,
    "+5": 5,
    "0": 0,
    "1e3": 1000.0,
    "1.5e3": 1500.0,
    ".5": 0.5,
    "5.": 5.0,
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "yesterday": "yesterday",
    "nvidia-h100": "nvidia-h100",
    "8.03B": "8.03B",
    "v0.11": "v0.11",
    "10:90": "10:90",
    "8\u0663": "8\u0663",
    "\uff18": "\uff18",
    "1e": "1e",
    "0x": "0x",
    "0xg": "0xg",
}


@pytest.mark.parametrize("text", TRAPS)
def test_a_scalar_of_two_readings_is_refused_with_both_and_in_quotes_is_text(text: str) -> None:
    for read in (lambda: parse_yaml(f"a: {text}", "f"), lambda: overrides([f"a={text}"])):
        with pytest.raises(InputError) as error:
            read()
        assert TRAPS[text] in str(error.value)
        assert text in str(error.value)
    assert parse_yaml(f"a: '{text}'", "f") == {"a": text}


@pytest.mark.parametrize("text", READ)
def test_a_scalar_of_one_reading(text: str) -> None:
    assert repr(parse_yaml(f"a: {text}", "f")["a"]) == repr(READ[text])


@pytest.mark.parametrize(
    "text", ["!!timestamp x", "!!int 3", "! x", "!!python/name:os.system", "!!binary eA=="]
)
def test_no_tag_reaches_a_constructor(text: str) -> None:
    with pytest.raises(InputError, match="tags"):
        parse_yaml(f"name: x\nquestion: {text}\n", "f")


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.text("0123456789.+-eExXoObB_:~yYnNsSfFtTrRuUaAlL=<>", min_size=1, max_size=8))
def test_what_is_read_is_what_yaml_1_1_reads_or_a_number_that_it_takes_for_text(text: str) -> None:
    """PyYAML reads 1.1. Whatever is not refused it reads alike, but for numbers such as 1e3."""
    try:
        old = yaml.safe_load(f"[{text}]")
        new = parse_yaml(f"[{text}]", "f")
    except (InputError, yaml.YAMLError, ValueError):
        return
    if old != new:
        assert all(isinstance(o, str) and float(o) == n for o, n in zip(old, new, strict=True))
    assert all(type(o) is type(n) or isinstance(n, float) for o, n in zip(old, new, strict=True))


@given(st.text() | st.floats().map(repr))
def test_a_number_in_a_cell_is_plain_and_finite(text: str) -> None:
    try:
        value = decimal(text)
    except ValueError as error:
        assert len(str(error)) < 250
    else:
        assert text.isascii() and "_" not in text and math.isfinite(value)
        assert value == float(text)


@pytest.mark.parametrize(
    "text", ["1_000", "\uff18", "\u0663", "inf", "nan", "0x10", "", " ", "1e999", "1" * 100]
)
def test_what_is_no_number_in_a_cell(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decimal(text)


def test_text_is_limited_like_a_file() -> None:
    with pytest.raises(InputError, match="at most"):
        parse_yaml("a" * (MAX_BYTES + 1), "f")
    with pytest.raises(InputError, match="values"):
        parse_yaml("[" + "1," * MAX_VALUES + "1]", "f")
    assert len(parse_yaml("[" + "1," * (MAX_VALUES - 2) + "1]", "f")) == MAX_VALUES - 1


def test_thousands_of_mistakes_are_a_few_and_a_count() -> None:
    data = {"name": "x", "hardware": [1] * 3_000, "architecture": {}, "workload": {}, "minimize": "loss"}
    with pytest.raises(InputError, match="and 2994 more mistakes") as error:
        validate(Problem, data, "f")
    assert len(str(error.value)) < 1_500


def as_read_now(old: Any) -> Any:
    """What 1.1 takes for text and 1.2 for a number: 1e-9."""
    if isinstance(old, dict):
        return {key: as_read_now(value) for key, value in old.items()}
    if isinstance(old, list):
        return [as_read_now(value) for value in old]
    return float(old) if isinstance(old, str) and re.fullmatch(r"[0-9.]+e-?[0-9]+", old) else old


def test_every_shipped_file_is_read_as_a_reader_of_yaml_1_1_reads_it() -> None:
    for folder in ("problems", "models", "engines", "hardware/chips", "hardware/systems"):
        for path in sorted(catalog.data_folder(folder).glob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            old = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            assert parse_yaml(text, path.name) == as_read_now(old)
