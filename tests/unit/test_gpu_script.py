"""The parts of benchmarks/gpu that need no GPU and no torch, with made-up times."""

import csv
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from optimizer import catalog
from optimizer.evidence.calibrate import calibrate
from optimizer.evidence.validate import validate_points

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"
NAMES = ("grid", "results", "machine", "processes", "predict", "measure")
CHIP = catalog.chip("h100")
ATTENTION = {"batch", "context", "heads", "kv_heads", "d_head"}


@pytest.fixture(scope="module")
def gpu():
    """The files of the folder that need no torch, by name; they import each other as a script does."""
    before = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path[:] = before
        for name in NAMES:
            sys.modules.pop(name, None)


def timed(us: float) -> SimpleNamespace:
    return SimpleNamespace(us=us, spread=0.01, calls=8, launch="graph", backend="made up", others="")


def every(gpu) -> list:
    return [case for cases in gpu.grid.grid().values() for case in cases]


@pytest.fixture(scope="module")
def measured(gpu, tmp_path_factory):
    """A folder in which everything took half as long again as predicted; products of one row did not run."""
    folder = tmp_path_factory.mktemp("measured")
    rows = gpu.results.Rows(folder, CHIP.name)

    def clock(case):
        if case.m == 1:
            raise RuntimeError("no such\nkernel")
        return timed(1.5 * gpu.predict.predicted_us(case, CHIP))

    assert gpu.processes.run_cases(every(gpu), clock, rows, 1e6, lambda error: False) == 0
    (folder / "machine.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def points(gpu, measured, tmp_path_factory):
    to = tmp_path_factory.mktemp("points")
    assert gpu.measure.main(["--predict", str(measured), "--to", str(to)]) == 0
    return to


def test_the_file_of_kernels(gpu, points) -> None:
    rows = list(csv.DictReader((points / "gpu_kernels_h100.csv").read_text().splitlines()))
    assert list(rows[0]) == gpu.predict.KERNELS
    assert len(rows) == len([case for case in every(gpu) if case.operator != "layers"])
    for row in rows:
        if row["m"] == "1":
            assert (row["measured_us"], row["skipped"]) == ("", "RuntimeError: no such kernel")
        else:
            assert float(row["measured_us"]) == pytest.approx(1.5 * float(row["predicted_us"]), rel=0.01)
    assert (points / "gpu_machine_h100.json").read_text() == "{}"


def test_calibrate_reads_the_kernels(points) -> None:
    found = calibrate(points / "gpu_kernels_h100.csv", CHIP)
    assert {part.name for part in found.report.parts} == {
        *("copy", "decode_attention bf16", "prefill_attention 64 wide", "prefill_attention 128 wide"),
        *("gemm bf16", "gemm fp8"),
    }


def test_validate_reads_the_layers(gpu, points) -> None:
    """Its own prediction of a step is the one beside the measurement, whole models alone."""
    path = points / "gpu_layers_h100.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == gpu.predict.LAYERS
    whole = [row for row in rows if row["layers"] == ""]
    found = validate_points(path)
    (overall,) = [group for group in found.groups if group.group == "all"]
    assert 0 < overall.n <= len(whole) < len(rows)
    assert overall.median_ratio == pytest.approx(1 / 1.5, rel=1e-3)
    assert overall.mean_abs_error == pytest.approx(1 / 3, rel=1e-3)
    for row in rows:
        assert int(row["isl"]) + int(row["osl"]) / 2 == int(row["context"])


def test_the_table(gpu, measured, tmp_path, capsys) -> None:
    gpu.measure.main(["--predict", str(measured), "--to", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "median ratio 0.67, median error 33%" in printed
    assert "rows in" in printed


def test_columns_of_an_operator_are_filled_and_no_others(gpu) -> None:
    needed = {
        **{name: set() for name in ("empty", "empty_eager", "graph_replay")},
        **{name: {"m", "k", "size"} for name in ("rms_norm", "silu_mul", "add")},
        **{name: {"size", "n_chips"} for name in gpu.grid.EXCHANGES},
        **{name: {"size"} for name in ("copy", "read")},
        **dict.fromkeys(("prefill_attention", "decode_attention"), ATTENTION),
        "gemm": {"m", "n", "k"},
        "experts": {"m", "n", "k", "experts", "active"},
    }
    tiny = [case for cases in gpu.grid.tiny().values() for case in cases]
    cases = [*every(gpu), *tiny, *gpu.grid.exchanges(8)]
    for case in cases:
        given = {name for name in gpu.grid.DIMS if getattr(case, name) is not None}
        if case.operator == "layers":
            assert given - {"layers"} == {"batch", "context", "model"}
        else:
            assert given == needed[case.operator]
        assert gpu.grid.bytes_needed(case) > 0
        assert gpu.predict.predicted_us(case, CHIP) > 0
    assert {case.operator for case in tiny} == {case.operator for case in every(gpu)}
    assert len({gpu.results.key(vars(case)) for case in every(gpu)}) == len(every(gpu))


def test_predictions_are_the_cost_models(gpu) -> None:
    """8192 cubed in bf16 on H100 measured 1.5001 ms (ai-dynamo/aiconfigurator @095f58a5)."""
    case = gpu.grid.Case("gemm", "gemm", m=8192, n=8192, k=8192)
    assert gpu.predict.predicted_us(case, CHIP) == pytest.approx(1500.1, rel=0.12)


def test_a_model_cut_short_has_its_share_of_the_layers(gpu) -> None:
    def us(layers):
        case = gpu.grid.Case("layers", "layers", batch=4, context=1024, model="Llama-3.2-1B", layers=layers)
        return gpu.predict.predicted_us(case, CHIP)

    assert us(None) == us(16)
    assert us(16) - us(4) == pytest.approx(12 * (us(2) - us(1)))


def test_a_run_goes_on_after_what_stopped_it(gpu, tmp_path) -> None:
    cases = gpu.grid.grid()["memory"][:5]
    rows = gpu.results.Rows(tmp_path, "some-chip")
    seen = []

    def clock(case):
        seen.append(case)
        if case == cases[1]:
            raise RuntimeError("illegal memory access")
        if case == cases[2]:
            raise KeyboardInterrupt  # stands for the end of the process
        return timed(2.0)

    def run(seconds: float) -> int:
        return gpu.processes.run_cases(cases, clock, rows, seconds, lambda error: "illegal" in str(error))

    assert run(1e6) == gpu.processes.LOST
    with pytest.raises(KeyboardInterrupt):
        run(1e6)
    assert run(-1.0) == 0
    assert seen == cases[:3]
    told = [(row["measured_us"], row["skipped"]) for row in gpu.results.read(tmp_path / "rows.csv")]
    assert told == [
        ("2", ""),
        ("", "RuntimeError: illegal memory access"),
        ("", "ended or hung its process"),
        ("", "no time left"),
        ("", "no time left"),
    ]
    gpu.processes.fill([*cases, gpu.grid.Case("launch", "empty")], rows)
    assert [row["operator"] for row in gpu.results.read(rows.path)[5:]] == ["empty"]


def test_processes(gpu, tmp_path, monkeypatch) -> None:
    """One that ends early is begun again, one that hangs is ended, one that cannot measure is let be."""
    monkeypatch.setattr(gpu.processes, "GRACE_S", 0.5)
    monkeypatch.setattr(gpu.processes, "LEAST_S", 5.0)
    asked = []

    def command(parts, seconds, attempt):
        asked.append((parts[0], attempt))
        code = {"dies": f"exit({0 if attempt else 3})", "hangs": "import time; time.sleep(60)"}.get(parts[0])
        return [sys.executable, "-c", code or "print('no'); exit(2)"]

    def run(seconds: float, *names: str) -> list[str]:
        groups = {(name,): 1.0 for name in names}
        told = gpu.processes.run_groups(groups, command, seconds, tmp_path / "log")
        return [line.split(" after")[0] for line in told]

    assert run(1e4, "dies", "none") == ["dies: status 3", "dies: status 0", "none: status 2"]
    assert asked == [("dies", 0), ("dies", 1), ("none", 0)]
    assert run(0.1, "hangs") == ["hangs: status ended: hung"]
    assert "no" in (tmp_path / "log").read_text()


def test_chips_by_the_names_that_nvidia_smi_gives(gpu) -> None:
    assert gpu.machine.chip_of("NVIDIA H100 80GB HBM3") == "nvidia-h100-sxm"
    assert gpu.machine.chip_of("NVIDIA H200") == "nvidia-h200-sxm"
    assert gpu.machine.chip_of("NVIDIA H200 NVL") == "nvidia-h200-nvl"
    assert gpu.machine.chip_of("") == "unknown"
    assert {catalog.chip(name).name for name in gpu.machine.CHIPS.values()} == {*gpu.machine.CHIPS.values()}


def test_models_are_the_catalogues(gpu) -> None:
    """The measured side finds them by the end of their file's name."""
    for name in gpu.grid.MODELS:
        (path,) = (FOLDER.parents[1] / "models").glob(f"*--{name}.yaml")
        assert catalog.model(name).name == path.stem.replace("--", "/")


def test_without_torch_every_case_has_a_row_that_says_so(gpu, tmp_path) -> None:
    """Measuring imports neither archsat nor, before its processes, torch."""
    for name in ("torch", "optimizer"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('No module named {name}')")
    command = [sys.executable, str(FOLDER / "measure.py"), "--tiny", "--out", str(tmp_path / "out")]
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*command, "--chip", "h200"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    rows = gpu.results.read(tmp_path / "out" / "rows.csv")
    assert len(rows) == sum(map(len, gpu.grid.tiny().values()))
    assert {(row["chip"], row["skipped"]) for row in rows} == {("h200", "no time left")}
    assert "memory: 0 measured; 2 x no time left" in done.stdout
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "measure: needs torch and a CUDA GPU (No module named torch)\n" in log
    said = json.loads((tmp_path / "out" / "machine.json").read_text())
    assert [line.split(" after")[0] for line in said["processes"]][-1] == "experts layers: status 2"


def test_predicting_says_what_is_missing(gpu, tmp_path, capsys) -> None:
    assert gpu.measure.main(["--predict", str(tmp_path)]) == 2
    rows = gpu.results.Rows(tmp_path, "h2000")
    rows.add(gpu.grid.Case("launch", "empty"), timed(1.0))
    assert gpu.measure.main(["--predict", str(tmp_path), "--to", str(tmp_path)]) == 2
    assert "no rows in" in (told := capsys.readouterr().err) and "h2000" in told
