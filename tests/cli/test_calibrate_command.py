"""archsat calibrate and archsat engines, as a user types them: what is written, the others accept."""

import csv
import json
import os
from pathlib import Path

import pytest
import samples
import yaml

from optimizer import catalog
from optimizer.cli import main

POINTS = Path(__file__).parent.parent.parent / "benchmarks" / "points"
COLLECTIVES, SERVING = str(POINTS / "collectives.csv"), str(POINTS / "serving.csv")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run one command in this process; return code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


@pytest.fixture
def few(tmp_path: Path) -> str:
    """Every fifth row of one backend, its steps half as long again: enough for two figures."""
    path = tmp_path / "mine.csv"
    with Path(SERVING).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["backend"] == "vllm"][::5]
    for row in rows:
        row["silicon_tpot_ms"] = str(1.5 * float(row["silicon_tpot_ms"]))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_a_chip_is_calibrated_written_and_used(run, tmp_path: Path) -> None:
    out = tmp_path / "my-h100.yaml"
    code, text, err = run("calibrate", COLLECTIVES, "--chip", "h100", "--out", out)
    assert (code, err) == (0, "")
    assert max(map(len, text.splitlines())) <= 80
    for part in (
        "all_reduce 8 chips",
        "one_shot.latency",
        "held out",
        "written: use it as --chip",
        "Rows left out",
    ):
        assert part in " ".join(text.split())
    chip = catalog.chip(str(out))
    assert (chip.name, chip.efficiency.measured) == ("my-h100", True)
    assert chip.efficiency.all_reduce != catalog.chip("h100").efficiency.all_reduce
    assert chip.efficiency.gemm == catalog.chip("h100").efficiency.gemm
    code, text, _ = run("estimate", "--model", "llama-3.1-8b", "--chip", out, "--tensor-parallel", "8")
    assert code == 0
    assert "my-h100" in text


def test_a_calibrated_chip_can_be_calibrated_again(run, tmp_path: Path) -> None:
    """Its rows still name the chip it came from; the second fit starts where the first ended."""
    first, second = tmp_path / "one.yaml", tmp_path / "two.yaml"
    assert run("calibrate", COLLECTIVES, "--chip", "h200", "--out", first)[0] == 0
    code, text, _ = run("calibrate", COLLECTIVES, "--chip", first, "--json", "--out", second)
    assert code == 0
    for part in json.loads(text)["parts"]:
        seen = next(e for e in part["errors"] if e["rows"] == "fitted")
        assert seen["mean_after"] <= seen["mean_before"] + 1e-3


def test_an_engine_is_calibrated_and_a_problem_beside_it_runs_on_it(run, few: str, tmp_path: Path) -> None:
    out = tmp_path / "my-engine.yaml"
    fit = ("--fit", "host_us_per_sequence,request_ms")
    code, text, err = run("calibrate", few, "--engine", "vllm", *fit, "--out", out)
    assert (code, err) == (0, "")
    assert max(map(len, text.splitlines())) <= 80
    engine = catalog.engine(str(out))
    assert engine.name == "my-engine"
    assert engine.host_us_per_sequence != catalog.engine("vllm").host_us_per_sequence
    assert "mine.csv" in engine.sources["host_us_per_sequence"]
    problem = tmp_path / "problem.yaml"
    problem.write_text(yaml.safe_dump(samples.PROBLEM | {"deployment": {"engine": "./my-engine.yaml"}}))
    code, text, err = run("solve", problem, "--json")
    assert (code, err) == (0, "")
    slow = samples.PROBLEM | {"deployment": {"engine": "vllm"}}
    problem.write_text(yaml.safe_dump(slow))
    value = json.loads(text)["objective"]["value"]
    assert value != json.loads(run("solve", problem, "--json")[1])["objective"]["value"]


def test_json_is_the_report(run, few: str) -> None:
    code, text, err = run("calibrate", few, "--engine", "vllm", "--fit", "host_ms", "--json")
    assert (code, err) == (0, "")
    data = json.loads(text)
    assert (data["kind"], data["starts_from"]) == ("engine", "vllm")
    assert {e["rows"] for e in data["parts"][0]["errors"]} == {"fitted", "held out"}


def test_without_out_nothing_is_written(run, few: str) -> None:
    before = sorted(Path(few).parent.iterdir())
    code, text, _ = run("calibrate", few, "--engine", "vllm", "--fit", "host_ms")
    assert code == 0
    assert "Nothing written; --out FILE.yaml keeps it" in text
    assert sorted(Path(few).parent.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((COLLECTIVES,), "name the chip"),
        ((COLLECTIVES, "--chip", "h1000"), "unknown chip"),
        ((COLLECTIVES, "--chip", "google-tpu-v7"), "not on google-tpu-v7"),
        ((COLLECTIVES, "--chip", "h100", "--fit", "host_ms"), "no engine or figures to fit"),
        ((COLLECTIVES, "--chip", "h100", "--hold-out", "library"), "COLUMN=VALUE"),
        ((COLLECTIVES, "--chip", "h100", "--hold-out", "library=nickel"), "no row says so"),
        ((COLLECTIVES, "--chip", "h100", "--out", "mine.txt"), "ends in .yaml"),
        ((COLLECTIVES, "--chip", "h100", "--out", "no/such/mine.yaml"), "does not exist"),
        ((SERVING,), "name the engine"),
        ((SERVING, "--engine", "vlm"), "Did you mean vLLM"),
        ((SERVING, "--engine", "fastertransformer"), "no row can be scored for engine fastertransformer"),
        ((SERVING, "--engine", "vllm", "--fit", "hostms"), "Did you mean host_ms"),
        (("none.csv", "--engine", "vllm"), "no such file"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_code_2(run, arguments: tuple[str, ...], named: str) -> None:
    code, out, err = run("calibrate", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("archsat: ")
    assert "Traceback" not in err
    assert named in err
    assert len(err) < 1000


def test_a_place_that_may_not_be_written_is_refused_before_the_work(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *a: False)
    code, out, err = run("calibrate", "none.csv", "--chip", "h100", "--out", tmp_path / "mine.yaml")
    assert (code, out) == (2, "")
    assert "may not be written" in err


def test_engines_are_listed_whole(run) -> None:
    code, out, err = run("engines")
    assert (code, err) == (0, "")
    assert "…" not in out
    assert len(out.splitlines()) == 3 + len(catalog.engines())
    assert "Did you mean vLLM" in run("engines", "vlllm")[2]
