"""CSV files in: a row that has lost a cell, gained one or was cut ends in one message with line and column.

Guards readers of columns that trust each row: a missing cell is None, and None has no strip().
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import InputError
from optimizer.cli import main
from optimizer.columns.performance_table import read_table
from optimizer.evidence.points import Point, Unscored, read_points
from optimizer.evidence.validate import validate_points
from optimizer.spec.cells import number, parse_cells, whole

POINT = {
    "id": "trtllm-0001",
    "model": "EleutherAI/gpt-j-6b",
    "chip": "H100-SXM",
    "tp": "1",
    "weight_dtype": "fp8",
    "kv_dtype": "fp8",
    "engine": "TensorRT-LLM",
    "engine_version": "v0.5",
    "batch_or_concurrency": "64",
    "isl": "128",
    "osl": "128",
    "metric": "output_tok_s_total",
    "value": "10907.0",
    "point_type": "fixed_batch",
}
TABLE = {
    "row_id": "0",
    "mode": "prefill",
    "chip": "nvidia-h200-sxm",
    "chips": "8",
    "tp": "1",
    "kv_dtype": "bf16",
    "ttft_ms": "876.86",
    "tpot_ms": "",
    "requests_per_s": "1.14",
}


def csv(row: dict[str, str], *more: str) -> str:
    return "\n".join([",".join(row), ",".join(row.values()), *more]) + "\n"


@pytest.fixture
def file(tmp_path: Path):
    """Write a CSV file; return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "file.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_whole_row_is_scored(file) -> None:
    assert validate_points(file(csv(POINT))).scored == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (csv(POINT, "trtllm-0002,EleutherAI/gpt-j-6b,"), r"line 3: 3 cells .* 'tp' has none"),
        (csv(POINT, "trtllm"), r"line 3: 1 cells .* 'model' has none"),
        (csv(POINT).replace("128,128", "128128"), r"line 2: 13 cells .* 'point_type' has none"),
        (csv(POINT).replace(",v0.5", "\n,v0.5"), r"line 2: 7 cells .* 'engine_version' has none"),
        (csv(POINT).replace("10907.0", "10,907.0"), r"line 2: 15 cells"),
        (csv(POINT).replace("batch_or_concurrency", "zzz"), "need the column batch_or_concurrency"),
        (csv(POINT).replace("isl,", "chip,"), "column 'chip' is given twice"),
        (csv(POINT | {"id": '"open'}), "not a CSV file"),
        ("", "is empty"),
        ("\n\n", "is empty"),
    ],
)
def test_a_broken_row_names_its_line_and_column(file, run, text: str, named: str) -> None:
    path = file(text)
    with pytest.raises(InputError, match=named):
        read_points(path)
    assert main(["validate", str(path)]) == 2


@pytest.fixture
def run(capsys):
    return main


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"isl": "1e11"}, "isl is not a whole number"),
        ({"isl": "99999999999"}, "isl is not a whole number"),
        ({"isl": "\uff18"}, "isl is not a whole number"),
        ({"isl": "1_0"}, "isl is not a whole number"),
        ({"isl": "1e1"}, "isl is not a whole number"),
        ({"value": "1e-300"}, "value is not a positive number"),
        ({"value": "1_0"}, "value is not a number"),
        ({"kv_dtype": "fp7"}, "cache format 'fp7' is not known"),
        ({"engine": "[red]"}, "engine '[red]' has no profile"),
    ],
)
def test_a_cell_that_cannot_be_meant_is_a_reason_and_no_score(file, change: dict, reason: str) -> None:
    found = validate_points(file(csv(POINT | change)))
    assert found.scored == 0
    assert any(reason in said for said in found.unscored)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"chips": "\uff18"}, "chips '\uff18' is not a whole number"),
        ({"chips": "1_0"}, "chips '1_0' is not a whole number"),
        ({"requests_per_s": "1_000"}, "is not a positive number"),
        ({"requests_per_s": "1e-300"}, "is not a positive number"),
        ({"kv_dtype": "anything"}, "kv_dtype 'anything' is not a format"),
        ({"chip": "a" * 300}, ""),
    ],
)
def test_a_cell_of_a_table_is_what_it_says_or_is_refused(file, change: dict, named: str) -> None:
    path = file(csv(TABLE | change))
    if not named:
        assert read_table(path).chip.tolist() == [change["chip"]]
        return
    with pytest.raises(InputError, match=named):
        read_table(path)


def test_a_header_of_something_else_is_not_printed(file) -> None:
    """Any file of a user's may be named by mistake; what is in it is none of the message's business."""
    with pytest.raises(InputError) as error:
        read_table(file("root:x:0:0:secret,more\n1,2\n"))
    assert "secret" not in str(error.value)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_any_damage_to_a_file_is_an_input_error_or_a_reason(data: st.DataObject) -> None:
    text = csv(POINT, ",".join(POINT.values()))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 20))
        text = (
            text[:at]
            + data.draw(st.sampled_from(["", ",", "\n", '"', "\x00", "x", "9" * 30]))
            + text[at + cut :]
        )
    try:
        cells = parse_cells(text, "file.csv")
    except InputError as error:
        assert str(error).startswith("file.csv: ")
    else:
        assert all(set(row) == set(cells.columns) for row in cells.rows)
        assert all(isinstance(cell, str) for row in cells.rows for cell in row.values())


@given(st.text(max_size=12))
def test_numbers_of_cells_are_positive_and_counts_whole(text: str) -> None:
    for read in (number, whole):
        try:
            assert 0 < read(text) <= 1e15
        except ValueError as error:
            assert str(error).startswith("not a")


def test_the_kinds_of_rows_are_the_two_that_are_known(file) -> None:
    assert [type(item) for item in read_points(file(csv(POINT)))] == [Point]
    assert [type(item) for item in read_points(file(csv(POINT | {"tp": ""})))] == [Unscored]
