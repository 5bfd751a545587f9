"""Performance tables: what is read, and that each wrong row is named by file, line and field.

Guards against the quiet kind of error: a measurement read as another one, or not at all.
"""

from pathlib import Path

import pytest

from optimizer.columns.performance_table import read_table
from optimizer.errors import InputError

HEADER = "row_id,mode,chip,gpus_per_replica,tp,ttft_ms,tpot_ms,requests_per_s,memory_gb,kv_dtype,bucket"
ROWS = (
    "a,prefill,H100,2,2,502.163,,1.991,70.5,bfloat16,1",
    "b,decode,h100,4,4,,30.1,2.5,,fp8,1",
    "c,agg,nvidia-h100-sxm,8,8,900,35,4.25,60,bf16,2",
)


@pytest.fixture
def table(tmp_path: Path):
    def write(*rows: str, header: str = HEADER) -> Path:
        path = tmp_path / "table.csv"
        path.write_text("\n".join(["# a comment", header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


def test_aliases_comments_and_units(table) -> None:
    rows = [read_table(table(*ROWS)).row(i) for i in range(3)]
    assert [r["mode"] for r in rows] == ["prefill", "decode", "aggregated"]
    assert {r["chip"] for r in rows} == {"nvidia-h100-sxm"}
    assert [r["chips"] for r in rows] == [2, 4, 8]
    assert rows[0]["kv_dtype"] == "bf16"
    assert rows[0]["tpot_ms"] == 0.0
    assert rows[0]["memory_gib"] == pytest.approx(70.5e9 / 2**30)
    assert rows[1]["memory_gib"] == 0.0
    assert rows[2]["requests_per_s"] == 4.25


def test_rows_can_be_chosen_by_any_column(table) -> None:
    assert len(read_table(table(*ROWS), {"bucket": 1})) == 2
    assert len(read_table(table(*ROWS), {"bucket": "2", "label": "c"})) == 1
    with pytest.raises(InputError, match="no row of those asked for"):
        read_table(table(*ROWS), {"bucket": 7})
    with pytest.raises(InputError, match="'buckett', which is no column"):
        read_table(table(*ROWS), {"buckett": 1})


@pytest.mark.parametrize(
    "row, words",
    [
        ("d,prefill,H100,2,2,nan,,1.0,,bf16,1", "line 3: ttft_ms 'nan' is not a positive number"),
        ("d,prefill,H100,2,2,100,,nan,,bf16,1", "line 3: requests_per_s 'nan'"),
        ("d,prefill,H100,2,2,100,,-1,,bf16,1", "line 3: requests_per_s '-1'"),
        ("d,prefill,H100,2,2,100,,0,,bf16,1", "line 3: requests_per_s '0'"),
        ("d,prefill,H100,2,2,100,,2e9,,bf16,1", "line 3: requests_per_s '2e9' is not a rate of at most"),
        ("d,decode,H100,2,2,,,1.0,,bf16,1", "line 3: tpot_ms '' is not"),
        ("d,agg,H100,2,2,,20,1.0,,bf16,1", "line 3: ttft_ms '' is not"),
        ("d,mixed,H100,2,2,100,20,1.0,,bf16,1", "line 3: mode 'mixed' is not aggregated, prefill or decode"),
        ("d,agg,,2,2,100,20,1.0,,bf16,1", "line 3: chip '' is not the name of a chip"),
        ("d,agg,H100,2.5,2,100,20,1.0,,bf16,1", "line 3: chips '2.5' is not a whole number"),
        ("d,agg,H100,,2,100,20,1.0,,bf16,1", "line 3: chips '' is not a whole number"),
        ("d,agg,H100,6,4,100,20,1.0,,bf16,1", "line 3: chips '6' is not a multiple of tensor_parallel 4"),
        ("d,agg,H100,2,2,100,20,1.0,-3,bf16,1", "line 3: memory_gb '-3'"),
        ("d,agg,H100,2,2,100,20", "line 3: 7 cells under 11 columns"),
    ],
)
def test_a_wrong_row_is_named(table, row: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")) as caught:
        read_table(table(row))
    assert "table.csv" in str(caught.value)


def test_a_row_given_twice_is_refused(table) -> None:
    again = ROWS[0].replace("a,", "other,", 1)
    with pytest.raises(InputError, match="line 4 repeats line 3"):
        read_table(table(ROWS[0], again))


@pytest.mark.parametrize(
    "header, words",
    [
        ("mode,chip,requests_per_s,ttft_ms,tpot_ms", "lacks chips"),
        ("mode,mode,chip,chips,requests_per_s,ttft_ms,tpot_ms", "column 'mode' is given twice"),
        ("", "is empty|lacks"),
    ],
)
def test_a_wrong_header_is_named(table, header: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_table(table(header=header))


def test_a_table_without_rows_and_a_missing_file(table, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no row"):
        read_table(table())
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a directory"):
        read_table(tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_table(tmp_path / "binary.csv")
