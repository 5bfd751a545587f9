"""The parts of benchmarks/gpu/measure.py that need no GPU, with a made-up clock."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer import catalog

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "measure.py"


@pytest.fixture(scope="module")
def script():
    found = importlib.util.spec_from_file_location("measure", SCRIPT)
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules["measure"] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    yield module
    del sys.modules["measure"]


class Clock:
    """Every call takes half as long again as predicted; products of one row cannot be run."""

    has_fp8, rank = True, 0

    def __init__(self, script, world: int = 8) -> None:
        self.script, self.world, self.chip = script, world, catalog.chip("h200")

    def __call__(self, case) -> float | None:
        return None if case.m == 1 else 1.5 * self.script.predicted_us(case, self.chip)


def test_the_file_and_the_table(script, tmp_path, capsys) -> None:
    out = tmp_path / "measured.csv"
    assert script.main(["--chip", "h200", "--out", str(out)], Clock(script)) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == script.COLUMNS
    assert {row["operator"] for row in rows} == {
        "gemm",
        "copy",
        "prefill_attention",
        "decode_attention",
        *script.EXCHANGES,
    }
    assert not [row for row in rows if row["m"] == "1"]
    assert {row["chip"] for row in rows} == {"nvidia-h200-sxm"}
    for row in rows:
        assert float(row["measured_us"]) == pytest.approx(1.5 * float(row["predicted_us"]), rel=0.01)
    printed = capsys.readouterr().out
    assert "median ratio 0.67, median error 33%" in printed
    assert f"{len(rows)} rows in" in printed


def test_columns_of_an_operator_are_filled_and_no_others(script) -> None:
    needed = {
        "gemm": {"m", "n", "k"},
        "copy": {"size"},
        "prefill_attention": {"batch", "context", "heads", "kv_heads", "d_head"},
        "decode_attention": {"batch", "context", "heads", "kv_heads", "d_head"},
        **{operator: {"size", "n_chips"} for operator in script.EXCHANGES},
    }
    for case in script.grid(4, fp8=True):
        given = {name for name in script.COLUMNS[3:-2] if getattr(case, name) is not None}
        assert given == needed[case.operator]
        assert script.bytes_needed(case) > 0


def test_predictions_are_the_cost_models(script) -> None:
    """8192 cubed in bf16 on H100 measured 1.5001 ms (ai-dynamo/aiconfigurator @095f58a5)."""
    case = script.Case("gemm", m=8192, n=8192, k=8192)
    assert script.predicted_us(case, catalog.chip("h100")) == pytest.approx(1500.1, rel=0.12)
    assert len(script.grid(1, fp8=False)) < len(script.grid(1, fp8=True)) < len(script.grid(8, fp8=True))


def test_one_gpu_has_no_exchanges(script) -> None:
    assert not [case for case in script.grid(1, fp8=True) if case.operator in script.EXCHANGES]


def test_without_torch_or_with_a_wrong_name_it_says_so(script, tmp_path) -> None:
    """Importing the script needs no torch; running it without says what is missing."""
    (tmp_path / "torch.py").write_text("raise ImportError('No module named torch')")
    command = [sys.executable, str(SCRIPT), "--chip", "h200", "--out", str(tmp_path / "out.csv")]
    path = f"{tmp_path}:{SCRIPT.parents[2]}"
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": path})
    assert (done.returncode, done.stderr) == (
        2,
        "measure: needs torch and a CUDA GPU (No module named torch)\n",
    )
    assert script.main(["--chip", "h2000"], Clock(script)) == 2
