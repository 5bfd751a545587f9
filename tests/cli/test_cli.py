"""The command line: what it prints, where, with which exit code, and that no error is a traceback.

Guards the contract with scripts (keys of the JSON, exit codes, nothing else on stdout) and with people
(one message that names what is wrong and what would do; a report that fits 80 columns).
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import samples
import yaml

from optimizer import catalog
from optimizer.cli import main
from optimizer.plugins import plugins

RESULT_KEYS = {
    "status",
    "objective",
    "architecture",
    "deployment",
    "metrics",
    "baseline",
    "binding",
    "conflict",
    "certificate",
    "wall_s",
    "version",
    "problem",
}


@pytest.fixture
def file(tmp_path: Path):
    """Write the sample problem with some fields changed; return its path."""

    def write(**fields: Any) -> str:
        path = tmp_path / "problem.yaml"
        path.write_text(yaml.safe_dump(samples.PROBLEM | fields))
        return str(path)

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run one command in this process; return code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def is_one_message(err: str) -> bool:
    return err.startswith("archsat: ") and err.count("archsat: ") == 1 and "Traceback" not in err


def process(command: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `archsat ...` in a shell of its own; `$ARCHSAT` is the command."""
    env = os.environ | {"ARCHSAT": f"{sys.executable} -m optimizer", "COLUMNS": ""}
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env=env | more, timeout=60
    )


def test_json_has_the_keys_of_the_interface_and_stdout_nothing_else(file, run) -> None:
    code, out, err = run("solve", file(baseline="meta-llama/Llama-3.2-1B"), "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert set(data) >= RESULT_KEYS
    assert data["status"] == "optimal"
    assert set(data["objective"]) >= {"name", "value", "unit", "bound", "gap"}
    assert set(data["architecture"]) >= {
        "n_layers",
        "d_model",
        "n_heads",
        "n_kv_heads",
        "d_head",
        "d_ff",
        "n_params",
        "n_active_params",
    }
    assert set(data["deployment"]["pools"][0]) >= {
        "phase",
        "chip",
        "replicas",
        "tensor_parallel",
        "pipeline_parallel",
        "expert_parallel",
        "data_parallel",
        "batch",
        "weight_dtype",
        "kv_dtype",
        "chips",
    }
    assert set(data["certificate"]) >= {
        "lattice_points",
        "frames",
        "frames_solved",
        "columns",
        "engine",
        "engine_version",
        "solves",
        "band",
        "confirmed_by",
        "checker",
        "deterministic_time",
        "seed",
    }
    assert set(data["baseline"]) >= {"metrics", "difference"}
    assert data["metrics"]["tpot_ms"] == data["objective"]["value"]
    for name, difference in data["baseline"]["difference"].items():
        assert difference == data["metrics"][name] - data["baseline"]["metrics"][name]


def test_json_of_a_conflict(file, run) -> None:
    code, out, err = run("solve", file(constraints={"tpot_ms_max": 0.001}), "--json")
    assert (code, err) == (3, "")
    data = json.loads(out)
    assert data["status"] == "infeasible"
    assert data["architecture"] is None
    assert data["conflict"]["constraints"] == ["tpot_ms_max"]
    change = data["conflict"]["relaxations"][0]
    assert set(change) >= {"constraint", "from", "to", "unit"}
    assert change["from"] == 0.001
    assert change["to"] > 1


def test_the_change_that_a_conflict_names_is_enough_and_hardly_more(file, run) -> None:
    path = file(constraints={"tpot_ms_max": 0.001})
    _, out, _ = run("solve", path, "--json")
    to = json.loads(out)["conflict"]["relaxations"][0]["to"]
    assert run("solve", path, "-q", "--set", f"constraints.tpot_ms_max={to}")[0] == 0
    assert run("solve", path, "-q", "--set", f"constraints.tpot_ms_max={to * 0.999}")[0] == 3


def test_quiet_is_one_line(file, run) -> None:
    code, out, _ = run("solve", file(), "--quiet")
    assert code == 0
    assert out.startswith("optimal tpot_ms ")
    assert out.endswith(" ms\n")
    assert out.count("\n") == 1


def test_set_overrides_a_field(file, run) -> None:
    _, out, _ = run("solve", file(), "--json", "--set", "workload.batch=64", "--set", "minimize=[memory_gib]")
    data = json.loads(out)
    assert data["deployment"]["pools"][0]["batch"] == 64
    assert data["objective"]["name"] == "memory_gib"
    assert data["problem"]["workload"]["batch"] == 64


def test_a_limit_of_no_time_is_code_4(run) -> None:
    code, out, _ = run("solve", "dense-8b-b200", "--time-limit", "1e-9", "--json")
    assert code == 4
    assert json.loads(out)["status"] in ("feasible", "unknown")


def test_a_report_after_a_time_limit_claims_no_proof(run) -> None:
    code, out, _ = run("solve", "dense-8b-b200", "--time-limit", "1e-9")
    assert code == 4
    assert "OPTIMAL" not in out
    assert "INFEASIBLE" not in out


def no_wider_than_80(text: str) -> bool:
    return text != "" and all(len(line) <= 80 for line in text.splitlines()) and "\x1b" not in text


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"baseline": "meta-llama/Llama-3.2-1B", "question": "Which one is fastest? " * 10},
        {"hardware": "google-tpu-v6e", "deployment": {"tensor_parallel": 4, "batch": [100_000]}},
        {"constraints": {"tpot_ms_max": 0.001}},
        {"constraints": {"memory_gib_max": 8.0, "n_params_min": 10**12, "loss_max": 1.9}},
    ],
)
@pytest.mark.parametrize("verbosity", [[], ["-v"]])
def test_reports_fit_80_columns_without_escape_codes(file, run, change: dict, verbosity: list) -> None:
    code, out, err = run("solve", file(**change), *verbosity)
    assert code in (0, 3)
    assert err == ""
    wide = [line for line in out.splitlines() if len(line) > 80]
    assert not wide
    assert no_wider_than_80(out)


def test_a_report_says_what_was_found_and_how_it_is_known(file, run) -> None:
    _, out, _ = run("solve", file(baseline="meta-llama/Llama-3.2-1B"))
    data = json.loads(run("solve", file(baseline="meta-llama/Llama-3.2-1B"), "--json")[1])
    assert "OPTIMAL" in out
    assert "meta-llama/Llama-3.2-1B" in out
    assert "What binds" in out
    for key in ("d_model", "n_layers", "d_ff"):
        assert str(data["architecture"][key]) in out
    assert "confirmed by" in out
    assert "decode step" in out
    assert "prefill" in out


@pytest.mark.parametrize("command", ["chips", "engines", "models", "problems"])
def test_catalogues_list_everything(run, command: str) -> None:
    load = {
        "chips": catalog.chips,
        "engines": catalog.engines,
        "models": catalog.models,
        "problems": catalog.problem_files,
    }[command]
    names = list(load())
    code, out, err = run(command)
    assert (code, err) == (0, "")
    assert no_wider_than_80(out)
    assert [name for name in names if name[:24] not in out] == []
    code, out, _ = run(command, "--json")
    assert code == 0
    assert [item["name"] for item in json.loads(out)] == names


def test_the_table_of_models_cuts_no_number(run) -> None:
    _, out, _ = run("models")
    rows = [row.split() for row in out.splitlines()[2:]]
    assert len(rows) == len(catalog.models())
    assert not [row for row in rows if any("…" in cell for cell in row[1:])]
    widths = {
        str(model.first.ffn.d_ff)
        for model in catalog.models().values()
        if model.family == "dense" and model.plain
    }
    assert widths <= {row[-2] for row in rows}


def test_the_table_of_chips_cuts_nothing(run) -> None:
    assert "…" not in run("chips")[1]


@pytest.mark.parametrize(
    ("command", "name", "key"),
    [
        ("chips", "nvidia-b200-sxm", "hbm_bandwidth"),
        ("chips", "b200", "hbm_bandwidth"),
        ("chips", "nvidia-dgx-h100", "n_chips"),
        ("models", "meta-llama/Llama-3.1-8B", "d_model"),
        ("engines", "trtllm", "cache_share"),
        ("problems", "dense-8b-b200", "workload"),
    ],
)
def test_catalogues_show_one(run, command: str, name: str, key: str) -> None:
    code, out, err = run(command, name)
    assert (code, err) == (0, "")
    assert key in out
    assert "\x1b" not in out
    code, out, _ = run(command, name, "--json")
    assert code == 0
    assert key in json.loads(out)


def test_schema_is_json(run) -> None:
    code, out, _ = run("schema")
    assert code == 0
    assert "workload" in json.loads(out)["properties"]


def test_enumerate_lists_plans(file, run) -> None:
    code, out, _ = run("enumerate", file(), "--top", "4", "--json")
    assert code == 0
    plans = json.loads(out)["plans"]
    assert len(plans) == 4
    assert plans[0]["metrics"]["tpot_ms"] <= plans[3]["metrics"]["tpot_ms"]
    code, out, _ = run("enumerate", file(), "--within", "5%")
    assert code == 0
    assert no_wider_than_80(out)
    assert run("enumerate", file(constraints={"tpot_ms_max": 0.001}), "-q")[0] == 3


def test_enumerate_within_a_share_is_complete(file, run) -> None:
    everything = json.loads(run("enumerate", file(), "--top", "1000", "--json")[1])["plans"]
    values = [plan["metrics"]["tpot_ms"] for plan in everything]
    near = json.loads(run("enumerate", file(), "--within", "10%", "--json")[1])["plans"]
    assert 1 < len(near) < len(values)
    assert len(near) == sum(v <= values[0] * 1.1 for v in values)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_exit_0(capsys, flag: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([flag])
    assert stop.value.code == 0
    assert "archsat" in capsys.readouterr().out


BAD_PROBLEMS = {
    "typo in a field": ({"hardwear": "h100"}, "Did you mean hardware"),
    "typo in a dimension": ({"architecture": samples.SPACE | {"d_mode": 1}}, "Did you mean d_model"),
    "unknown chip": ({"hardware": "nvidia-h100-smx"}, "nvidia-h100-sxm"),
    "unknown model": ({"architecture": "meta-llama/Llama-3.1-8"}, "meta-llama/Llama-3.1-8B"),
    "unknown baseline": ({"baseline": "Llama-9"}, "archsat models"),
    "unknown metric": ({"minimize": "tpot_s"}, "Did you mean tpot_ms"),
    "unknown constraint": ({"constraints": {"tpot_max": 1}}, "tpot_ms_max"),
    "unknown rule": ({"constraints": {"tile_alignement": 64}}, "tile_alignment"),
    "wrong value of a rule": ({"constraints": {"tile_alignment": "big"}}, "a number of elements"),
    "band upside down": ({"constraints": {"ffn_ratio": [5, 2]}}, "above"),
    "bound without a number": ({"constraints": {"tpot_ms_max": "fast"}}, "is not a number of ms"),
    "bound that is no number": ({"constraints": {"tpot_ms_max": float("nan")}}, "tpot_ms_max"),
    "bound that is infinite": ({"constraints": {"tpot_ms_max": float("inf")}}, "tpot_ms_max"),
    "empty list": ({"architecture": samples.SPACE | {"d_ff": []}}, "domain is empty"),
    "empty range": ({"architecture": samples.SPACE | {"d_ff": {"min": 9, "max": 5}}}, "domain is empty"),
    "count in bytes": ({"architecture": samples.SPACE | {"n_params": "8 GB"}}, "not a count"),
    "no such dtype": ({"deployment": {"weight_dtype": "fp7"}}, "bf16"),
    "empty name": ({"hardware": ""}, "unknown chip"),
    "system that is none": ({"hardware": "nvidia-dgx-h1000"}, "nvidia-dgx-h100"),
    "nested chip": ({"hardware": [["h100"]]}, "hardware"),
    "huge number": ({"workload": {"input_tokens": 10**4000, "output_tokens": 1}}, "input_tokens"),
    "huge prompt": ({"workload": {"input_tokens": 10**12, "output_tokens": 1}}, "less than or equal"),
}


@pytest.mark.parametrize("case", BAD_PROBLEMS)
def test_a_wrong_problem_is_one_message_and_code_2(file, run, case: str) -> None:
    change, named = BAD_PROBLEMS[case]
    code, out, err = run("solve", file(**change))
    assert (code, out) == (2, "")
    assert is_one_message(err)
    assert named in err
    assert len(err) < 1000


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"name: \xff\n", "UTF-8"),
        (bytes(range(256)), ""),
        (b"a: &a [x]\nb: *a\n", "aliases"),
        (b"name: x\nname: y\n", "given twice"),
        (b"name: [1, 2\n", "not valid YAML"),
        (b"- a list\n", "not fields"),
        (b"workload: {batch: " + b"9" * 10_000 + b"}\n", ""),
        (b"x: " + b"y" * (2 << 20), "bytes"),
    ],
)
def test_a_file_that_is_no_problem(tmp_path: Path, run, content: bytes, named: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    code, out, err = run("solve", path)
    assert (code, out) == (2, "")
    assert is_one_message(err)
    assert named in err
    assert "bad.yaml" in err


def test_a_number_of_10_gb(tmp_path: Path, run) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as out:
        out.write(b"workload: ")
        out.truncate(10 * 10**9)
    code, _, err = run("solve", path)
    assert code == 2
    assert is_one_message(err)
    assert "bytes" in err


def test_directory_missing_and_unknown_names(tmp_path: Path, run) -> None:
    for name, named in (
        (str(tmp_path), "directory"),
        (str(tmp_path / "none.yaml"), "no such file"),
        ("dense-8b-b20", "Did you mean dense-8b-b200"),
        ("", ""),
    ):
        code, out, err = run("solve", name)
        assert (code, out) == (2, "")
        assert is_one_message(err)
        assert named in err


def test_home_of_nobody(run) -> None:
    assert run("solve", "~nosuchuser/p.yaml")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["solv", "dense-8b-b200"], "Did you mean solve"),
        (["pareto", "dense-8b-b200"], "invalid choice"),
        (["solve"], "required"),
        (["solve", "dense-8b-b200", "--jsn"], "--jsn"),
        (["solve", "dense-8b-b200", "--set", "workload.batch"], "write KEY=VALUE"),
        (["solve", "dense-8b-b200", "--set", "=5"], "write KEY=VALUE"),
        (["solve", "dense-8b-b200", "--set", "a..b=5"], "unknown field"),
        (["solve", "dense-8b-b200", "--set", "name.x=5"], "names no field"),
        (["solve", "dense-8b-b200", "--set", "name.x.y=5"], "has no fields"),
        (["solve", "dense-8b-b200", "--set", "workload.bach=5"], "Did you mean batch"),
        (["solve", "dense-8b-b200", "--set", "workload.batch=[1"], "not valid YAML"),
        (["solve", "dense-8b-b200", "--set", "workload.batch=" + "9" * 5000], ""),
        (["solve", "dense-8b-b200", "--time-limit", "0"], "positive number of seconds"),
        (["solve", "dense-8b-b200", "--time-limit", "nan"], "positive number of seconds"),
        (["solve", "dense-8b-b200", "--workers", "0"], "whole number from 1"),
        (["solve", "dense-8b-b200", "--workers", "many"], "whole number"),
        (["solve", "dense-8b-b200", "--seed", "-1"], "whole number"),
        (["solve", "dense-8b-b200", "--seed", "9" * 5000], "whole number"),
        (["enumerate", "dense-8b-b200", "--within", "half"], "percentage"),
        (["enumerate", "dense-8b-b200", "--top", "0"], "whole number from 1"),
        (["chips", "b2000"], "Did you mean"),
        (["models", "lama"], "Did you mean"),
        (["problems", "dense-8b"], "Did you mean"),
    ],
)
def test_wrong_arguments_are_one_message_and_code_2(run, arguments: list[str], named: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert is_one_message(err)
    assert named in err
    assert len(err) < 1500


def test_every_command_has_help(capsys) -> None:
    for command in plugins("commands"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert "--json" in capsys.readouterr().out


def test_an_unreachable_target_is_a_conflict(file, run) -> None:
    path = file(architecture=samples.SPACE | {"n_params": "405B"})
    code, out, err = run("solve", path, "--json")
    assert (code, err) == (3, "")
    conflict = json.loads(out)["conflict"]
    assert conflict["constraints"] == ["parameter_window"]
    assert conflict["relaxations"][0]["to"][0] < 3e9
    code, out, _ = run("solve", path)
    assert code == 3
    assert "INFEASIBLE" in out
    assert "parameter_window" in out


def test_a_bound_that_nothing_meets_is_a_conflict(file, run) -> None:
    code, out, _ = run("solve", file(constraints={"memory_gib_max": 0.1}))
    assert code == 3
    assert "memory_gib_max" in out
    assert "GiB would do" in out


def test_a_split_that_no_kind_allows_is_a_conflict(file, run) -> None:
    code, out, _ = run("solve", file(deployment={"tensor_parallel": 7}), "--json")
    assert code == 3
    assert "tensor_parallel_divisibility" in json.loads(out)["conflict"]["constraints"]


@pytest.fixture
def chip_file(tmp_path: Path):
    """Write the sample chip with some fields changed; return its path."""

    def write(**fields: Any) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(samples.CHIP | fields))
        return str(path)

    return write


def test_a_users_own_chip_solves(file, chip_file, run) -> None:
    code, out, _ = run("solve", file(hardware=chip_file()), "--json")
    assert code == 0
    assert json.loads(out)["deployment"]["pools"][0]["chip"] == "sample"
    assert run("chips", chip_file())[0] == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hbm_bandwidth": "3 TB"}, "no unit of bytes/s"),
        ({"hbm_capacity": 80}, "no unit"),
        ({"hbm_capacity": "80 GB"}, "hbm_usable is larger"),
        ({"dense_flops": {"bf16": "989 TFLOPS"}}, "no unit of FLOP/s"),
        ({"sources": {}}, "sources lacks"),
        ({"hbm_bandwith": "3 TB/s"}, "Did you mean hbm_bandwidth"),
    ],
)
def test_a_users_own_chip_with_a_slip(file, chip_file, run, change: dict, named: str) -> None:
    path = chip_file(**change)
    code, out, err = run("solve", file(hardware=path))
    assert (code, out) == (2, "")
    assert is_one_message(err)
    assert named in err
    assert "mine.yaml" in err


def test_a_chip_without_a_price_cannot_be_asked_for_cost(file, chip_file, run) -> None:
    code, _, err = run("solve", file(hardware=chip_file(), minimize="usd_per_million_tokens"))
    assert code == 2
    assert "usd_per_chip_hour" in err


def test_out_writes_the_same_as_stdout(file, run, tmp_path: Path) -> None:
    code, out, _ = run("solve", file(), "--quiet")
    target = tmp_path / "answer.txt"
    assert run("solve", file(), "--quiet", "--out", target) == (code, "", "")
    assert target.read_text() == out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answer.txt", "problem.yaml"]


def test_out_into_nowhere_writes_nothing(file, run, tmp_path: Path) -> None:
    path = file()
    for target in (tmp_path / "none" / "answer.json", tmp_path):
        code, out, err = run("solve", path, "--json", "--out", target)
        assert (code, out) == (2, "")
        assert is_one_message(err)
        assert "--out" in err
    assert [p.name for p in tmp_path.iterdir()] == ["problem.yaml"]


def test_an_answer_that_cannot_be_written_leaves_the_old_file(file, run, tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "answer.json"
    target.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code, _, err = run("solve", file(), "--json", "--out", target)
    assert code == 2
    assert "No space left" in err
    assert target.read_text() == "old"


def test_an_answer_that_cannot_be_written_leaves_nothing_behind(file, run, tmp_path, monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    run("solve", file(), "--json", "--out", tmp_path / "answer.json")
    assert [p.name for p in tmp_path.iterdir()] == ["problem.yaml"]


def test_an_internal_error_is_no_traceback(file, run, monkeypatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("optimizer.studies.solve.solve", broken)
    code, out, err = run("solve", file())
    assert (code, out) == (1, "")
    assert is_one_message(err)
    assert "oops" in err


def test_closed_stdout(file) -> None:
    done = process(f"$ARCHSAT solve {file()} --json >&-")
    assert done.returncode == 2
    assert is_one_message(done.stderr)
    assert "stdout" in done.stderr


def test_a_reader_that_leaves_early(file) -> None:
    done = process(f"$ARCHSAT solve {file()} --json | true; exit ${{PIPESTATUS[0]}}")
    assert done.returncode in (0, 2)  # 0 if all was written before the reader left
    assert done.stderr == "" or is_one_message(done.stderr)
    done = process("$ARCHSAT schema | head -c 1; exit ${PIPESTATUS[0]}")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_closed_stderr_is_no_crash(file) -> None:
    done = process(f"$ARCHSAT solve {file()} -q 2>&-")
    assert done.returncode == 0
    assert done.stdout.startswith("optimal ")
    assert process("$ARCHSAT solve nothing 2>&-").returncode == 2


def test_a_full_disk_is_no_traceback(file) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = process(f"$ARCHSAT solve {file()} --json > /dev/full")
    assert done.returncode not in (0, 3)
    assert is_one_message(done.stderr)


def test_two_processes_give_the_same_bytes(file) -> None:
    """Python orders sets of text by a seed of its own for each process; no answer may depend on it."""
    for change in ({"baseline": "meta-llama/Llama-3.2-1B"}, {"constraints": {"loss_max": 1.0}}):
        path = file(**change)
        answers = set()
        for seed in ("1", "2"):
            done = process(f"$ARCHSAT solve {path} --json", PYTHONHASHSEED=seed)
            answers.add("".join(line for line in done.stdout.splitlines() if '"wall_s"' not in line))
        assert len(answers) == 1


def test_a_problem_that_ships_from_another_folder(tmp_path: Path) -> None:
    """Names are looked up in the catalogue, not in the folder one happens to be in."""
    root = str(Path(catalog.__file__).parent.parent)
    done = process(f"cd {tmp_path} && $ARCHSAT problems dense-1b-b200 --json", PYTHONPATH=root)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "dense-1b-b200"


def test_estimate_prints_json_and_refuses_what_does_not_fit(run) -> None:
    code, out, err = run("estimate", "--model", "llama-3.1-8b", "--chip", "h100", "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert answer["metrics"]["tpot_ms"] > 0
    assert answer["operators"]
    code, out, err = run("estimate", "--model", "meta-llama/Llama-3.1-70B", "--chip", "h100")
    assert code == 3
    assert "CANNOT RUN: breaks memory_capacity" in out
    assert "tpot_ms" not in out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--weight-dtype", "fp7"], "weight_dtype"),
        (["--batch", "0"], "whole number"),
        (["--explain", "atention"], "Did you mean attention"),
        (["--model", "nobody/none"], "unknown model"),
    ],
)
def test_estimate_names_what_is_wrong(run, extra: list[str], message: str) -> None:
    model = [] if "--model" in extra else ["--model", "llama-3.1-8b"]
    code, out, err = run("estimate", *model, "--chip", "h100", *extra)
    assert (code, out) == (2, "")
    assert err.startswith("archsat: ")
    assert message in err
    assert "Traceback" not in err


def test_validate_scores_a_file_and_refuses_another(run, tmp_path: Path) -> None:
    points = Path(__file__).parent.parent / "data" / "points.csv"
    code, out, _ = run("validate", str(points), "--json")
    assert (code, json.loads(out)["scored"]) == (0, 4)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    code, out, err = run("validate", str(other))
    assert (code, out) == (2, "")
    assert "not a file of points" in err


def test_the_table_of_validate_cuts_no_number(run, tmp_path) -> None:
    """Long model names once pushed the counts out of 80 columns."""
    whole = Path(__file__).parents[2] / "benchmarks" / "points" / "inference.csv"
    head, *rows = whole.read_text(encoding="utf-8").splitlines()
    points = tmp_path / "some.csv"
    points.write_text("\n".join([head, *rows[::12]]), encoding="utf-8")
    code, out, _ = run("validate", str(points))
    table = out.split("Not scored")[0].splitlines()
    assert code == 0
    assert max(map(len, table)) <= 80
    rows = [line.split() for line in table[4:] if line.strip() and not line.startswith("─")]
    assert len(rows) > 30
    assert not [row for row in rows if any("…" in cell for cell in row[-5:])]
