"""Files in: hostile, broken and foreign ones end in one InputError, at once and without a traceback.

Guards against a YAML bomb that fills memory, a file that is read whole before its size is known, a
duplicate key that silently wins, and an exception of a library that reaches the user.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer import InputError
from optimizer.questions import problems
from optimizer.questions.architecture.lattice import ArchitectureSpace
from optimizer.questions.architecture.problem import Problem
from optimizer.spec.loading import MAX_BYTES, parse_yaml, read_yaml, validate

BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (BOMB, "aliases"),
        ("a: &x 1\nb: *x\n", "aliases"),
        ("base: &b {x: 1}\nuse:\n  <<: *b\n", "aliases"),
        ("a: &a [*a]\n", "aliases"),
        ("[" * 1_000, ""),
        ("[" * 1_000 + "]" * 1_000, ""),
        ("{a: " * 1_000 + "1" + "}" * 1_000, ""),
        ("a: 1\nb: 2\na: 3\n", "'a' is given twice"),
        ("outer:\n  a: 1\n  a: 2\n", "'a' is given twice"),
        ("- 1\n" * 250_000, "values"),
        ("", "empty"),
        ("# nothing but a comment\n", "empty"),
        ("a: b: c\n", "not valid YAML"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: 'open\n", "not valid YAML"),
        ("\tname: x\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']\n", "tags"),
        ("a: !custom 1\n", "tags"),
        ("a: 2026-99-99\n", ""),
        ("a: " + "9" * 6_000 + "\n", ""),
        ("a: 0x" + "f" * 6_000 + "\n", ""),
        ("? [a, b]\n: 1\n", ""),
        ("\x00", "not valid YAML"),
        ("a: \x07\n", "not valid YAML"),
    ],
)
def test_text_that_is_no_small_plain_document(text: str, named: str) -> None:
    with pytest.raises(InputError) as error:
        validate(Problem, parse_yaml(text, "file.yaml"), "file.yaml")
    message = str(error.value)
    assert named in message
    assert message.startswith("file.yaml")
    assert len(message) < 3_000


DEEP = {
    "unclosed": "'[' * 100_000",
    "list": "'name: ' + '[' * 100_000 + ']' * 100_000",
    "mapping": "'name: ' + '{a: ' * 50_000 + '1' + '}' * 50_000",
    "printed": "'name: ' + '[' * 5_000 + ']' * 5_000",
}


@pytest.mark.parametrize("text", DEEP)
def test_deep_nesting(text: str) -> None:
    """In a process of its own: a parser that recurses in C takes the whole interpreter down."""
    code = (
        "from optimizer.errors import InputError\n"
        "from optimizer.spec.loading import parse_yaml, validate\n"
        "from optimizer.questions.architecture.problem import Problem\n"
        "try:\n"
        f"    validate(Problem, parse_yaml({DEEP[text]}, 'file.yaml'), 'file.yaml')\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.startswith("file.yaml")
    assert len(done.stdout) < 500


def test_many_keys_take_no_square_of_their_number() -> None:
    text = "".join(f"k{i}: 1\n" for i in range(9_000))
    with pytest.raises(InputError, match="unknown field 'k0'"):
        validate(Problem, parse_yaml(text, "file.yaml"), "file.yaml")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        read_yaml(tmp_path)


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="not a regular file"):
        read_yaml(pipe)


def test_huge_file_is_refused_by_its_size(tmp_path: Path) -> None:
    """A sparse file of 10 GB: reading it before looking at its size would not end well."""
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(10 * 10**9)
    with pytest.raises(InputError, match=f"at most {MAX_BYTES} bytes"):
        read_yaml(huge)


@pytest.mark.parametrize(
    "content", [b"name: \xff\xfe\n", b"\xff\xfen\x00a\x00", "caf\xe9: 1".encode("latin-1")]
)
def test_other_encodings_are_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match="not UTF-8"):
        read_yaml(file)


def test_binary_file(tmp_path: Path) -> None:
    file = tmp_path / "binary.yaml"
    file.write_bytes(bytes(range(128)) * 10)
    with pytest.raises(InputError):
        read_yaml(file)


def test_a_path_that_no_file_system_has() -> None:
    for name in ("/" + "x" * 5_000 + ".yaml", "./nul\x00byte.yaml"):
        with pytest.raises(InputError):
            problems.load(name)


def test_home_of_nobody() -> None:
    with pytest.raises(InputError):
        problems.load("~nosuchuser/problem.yaml")


@pytest.mark.parametrize("data", [None, [], "text", 3, [1, 2]])
def test_a_document_without_fields(data: Any) -> None:
    with pytest.raises(InputError, match="not fields"):
        validate(Problem, data, "file.yaml")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hardwear": "h100"}, "Did you mean hardware"),
        ({"architecture": samples.SPACE | {"d_modell": 4096}}, "Did you mean d_model"),
        ({"workload": {"input_tokens": 1, "output_tokens": 1, "bach": 2}}, "Did you mean batch"),
        ({"architecture": samples.SPACE | {"d_model": []}}, "the domain is empty"),
        ({"architecture": samples.SPACE | {"d_model": {"min": 10, "max": 5}}}, "the domain is empty"),
        (
            {"architecture": samples.SPACE | {"d_ff": {"min": 65, "max": 127, "multiple_of": 64}}},
            "the domain is empty",
        ),
        ({"architecture": samples.SPACE | {"d_model": 4096.5}}, "whole number"),
        ({"architecture": samples.SPACE | {"d_model": True}}, "whole number"),
        ({"architecture": samples.SPACE | {"d_model": 0}}, "greater than or equal to 1"),
        ({"architecture": samples.SPACE | {"d_model": -64}}, "greater than or equal to 1"),
        ({"architecture": samples.SPACE | {"d_model": 10**300}}, "less than or equal"),
        ({"architecture": samples.SPACE | {"n_params": "8 GB"}}, "not a count"),
        ({"architecture": samples.SPACE | {"gated_ffn": "maybe"}}, "boolean"),
        ({"deployment": {"weight_dtype": "fp7"}}, "fp8"),
        ({"deployment": {"host_ms": float("nan")}}, "finite"),
        ({"minimize": None}, "minimize or maximize"),
        ({"maximize": "n_params"}, "minimize or maximize"),
        ({"minimize": []}, "at least 1"),
        ({"workload": {"input_tokens": 0, "output_tokens": 1}}, "greater than or equal to 1"),
        ({"workload": {"input_tokens": 1}}, "output_tokens"),
    ],
)
def test_wrong_problems_name_the_field_and_what_is_accepted(change: dict, named: str) -> None:
    with pytest.raises(InputError) as error:
        validate(Problem, samples.PROBLEM | change, "file.yaml")
    assert named in str(error.value)
    assert all(line.startswith("file.yaml: ") for line in str(error.value).splitlines())


def test_all_mistakes_are_told_at_once() -> None:
    wrong = samples.PROBLEM | {"workload": {"input_tokens": 0, "output_tokens": -1}, "name": ""}
    with pytest.raises(InputError) as error:
        validate(Problem, wrong, "file.yaml")
    assert len(str(error.value).splitlines()) == 3


def test_a_domain_of_a_billion_values_is_refused_before_it_is_made() -> None:
    wide = samples.SPACE | {"d_model": {"min": 1, "max": 2 * 10**6}}
    with pytest.raises(InputError, match="million"):
        validate(Problem, samples.PROBLEM | {"architecture": wide}, "file.yaml")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**400, max_value=10**401)
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
fields = st.sampled_from([*Problem.model_fields, *ArchitectureSpace.model_fields])
documents = st.dictionaries(fields | st.text(max_size=8), values | st.dictionaries(fields, values))


def only_input_errors(data: Any) -> None:
    try:
        validate(Problem, data, "file.yaml")
    except InputError as error:
        assert str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(documents)
def test_any_document_validates_or_is_an_input_error(data: dict) -> None:
    only_input_errors(data)
    only_input_errors(samples.PROBLEM | data)
    only_input_errors(samples.PROBLEM | {"architecture": samples.SPACE | data})


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,? \n\t0123456789.", max_size=60))
def test_any_text_is_read_or_is_an_input_error(text: str) -> None:
    try:
        data = parse_yaml(text, "file.yaml")
    except InputError as error:
        assert str(error).startswith("file.yaml")
    else:
        only_input_errors(data)
