"""The commands that solve a problem many times: what they print, write and refuse.

Guards exit codes, one-message errors, and that files that cannot be written are refused before the work.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import samples
import yaml

from optimizer.cli import main

OBJECTIVES = ("--objectives", "tpot_ms,loss")


@pytest.fixture
def file(tmp_path: Path):
    def write(**fields: Any) -> str:
        path = tmp_path / "problem.yaml"
        path.write_text(yaml.safe_dump(samples.PROBLEM | fields))
        return str(path)

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def test_frontier_for_a_person(file, run) -> None:
    asked = file(baseline="meta-llama/Llama-3.2-1B")
    code, out, err = run("frontier", asked, *OBJECTIVES, "--models", "Qwen/Qwen2.5-1.5B")
    assert (code, err) == (0, "")
    assert "COMPLETE" in out
    assert "no plan of the lattice is missing" in " ".join(out.split())
    assert "loss at 1e-05 nats" in " ".join(out.split())
    assert "meta-llama/Llama-3.2-1B" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_frontier_for_a_program(file, run) -> None:
    code, out, err = run("frontier", file(), *OBJECTIVES, "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["status"] == "complete"
    assert [aim["metric"] for aim in data["objectives"]] == ["tpot_ms", "loss"]
    values = [(p["metrics"]["tpot_ms"], -p["metrics"]["loss"]) for p in data["points"]]
    assert values == sorted(values)
    assert len({value for pair in values for value in pair}) == 2 * len(values)


def test_points_wanted_are_points_given_and_the_rest_is_a_gap(file, run) -> None:
    code, out, _ = run("frontier", file(), *OBJECTIVES, "--points", "2", "--json")
    data = json.loads(out)
    assert (code, data["status"]) == (0, "partial")
    assert len(data["points"]) >= 2
    assert data["gaps"]


def test_objectives_that_are_copies_of_each_other_are_one_point_and_a_note(file, run) -> None:
    names = "output_tokens_per_s,output_tokens_per_s_per_chip"
    code, out, _ = run("frontier", file(), "--objectives", names, "--json")
    data = json.loads(out)
    assert (code, len(data["points"])) == (0, 1)
    assert "copies of each other" in data["notes"][0]


def test_a_constant_objective_is_one_point(file, run) -> None:
    lattice = samples.SPACE | {"d_model": 2048, "n_layers": 16, "d_ff": 6144, "n_heads": 16, "n_kv_heads": 8}
    asked = file(architecture=lattice)
    code, out, _ = run("frontier", asked, "--objectives", "tpot_ms,n_params,memory_gib", "--json")
    assert (code, len(json.loads(out)["points"])) == (0, 1)


def test_an_unreachable_bound_is_infeasible_with_its_reason(file, run) -> None:
    asked = file(constraints={"loss_max": 0.1})
    for command in (["frontier", *OBJECTIVES], ["perturb"], ["explain"]):
        code, out, _ = run(command[0], asked, *command[1:])
        assert code == 3
        assert "INFEASIBLE" in out
        assert "loss_max" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["frontier", "--objectives", "tpot_ms"], "two or three"),
        (["frontier", "--objectives", "tpot_ms,tpot_ms"], "twice"),
        (["frontier", "--objectives", "tpot_ms,los"], "Did you mean loss"),
        (["frontier", "--resolution", "loss=0"], "positive step"),
        (["frontier", "--resolution", "loss"], "METRIC=STEP"),
        (["frontier", "--resolution", "ttft_ms=1"], "not among"),
        (["frontier", "--points", "0"], "whole number from 1"),
        (["frontier", "--models", "nobody/nothing"], "unknown model"),
        (["frontier", "--plot", "x.gif"], ".html or .png or .svg or .pdf"),
        (["frontier", "--plot", "/no/such/x.svg"], "folder that exists"),
        (["frontier", "--executor", "cluster"], "serial, threads"),
        (["frontier", "--resume", "/no/such/journal"], "--resume"),
        (["perturb", "--vary", "hardware.hbm_bandwidth"], "CONSTANT=+10%"),
        (["perturb", "--vary", "hardware.hbm_bandwidth=+10"], "CONSTANT=+10%"),
        (["perturb", "--vary", "hardware.hbm_bandwidth=-100%"], "CONSTANT=+10%"),
        (["perturb", "--vary", "hardware.hbm_bandwith=+10%"], "Did you mean hbm_bandwidth"),
        (["perturb", "--vary", "hardware.efficiency.gemm.fp7.compute=+10%"], "no figure of this chip"),
        (["perturb", "--vary", "hardware.efficiency=+10%"], "is no number"),
        (["perturb", "--vary", "workload.tokens=+10%"], "no number of the problem"),
        (["perturb", "--vary", "name=+10%"], "is not one number"),
        (["sweep"], "--over"),
        (["sweep", "--over", "workload.batch"], "FIELD=A,B"),
        (["sweep", "--over", "workload.batch=1,1"], "twice"),
        (["sweep", "--over", "workload.batch=1", "--table", "x.xlsx"], ".csv or .parquet"),
        (["enumerate", "--distinct", "d_modell"], "Did you mean d_model"),
        (["enumerate", "--distinct", "d_model", "--plot", "x.svg"], "two dimensions"),
    ],
)
def test_what_cannot_be_asked_is_one_message_and_code_2(file, run, arguments, named) -> None:
    code, out, err = run(arguments[0], file(), *arguments[1:])
    assert (code, out) == (2, "")
    assert err.startswith("archsat: ")
    assert err.count("archsat: ") == 1
    assert "Traceback" not in err
    assert named in err


def test_perturb_sorts_by_effect_and_prices(file, run) -> None:
    asked = file(constraints={"loss_max": 2.2, "memory_gib_max": 7.5})
    code, out, _ = run("perturb", asked, "--vary", "hardware.hbm_bandwidth=-10%", "--json")
    data = json.loads(out)
    assert (code, data["status"]) == (0, "complete")
    kinds = {change["kind"] for change in data["changes"]}
    assert kinds == {"constraint", "dimension", "constant"}
    effects = [abs(c["difference"]) for c in data["changes"] if c["difference"] is not None]
    assert effects == sorted(effects, reverse=True)
    moved = next(c for c in data["changes"] if c["name"] == "loss_max" and c["move"] == "+5 %")
    assert moved["from"] == 2.2
    assert moved["price"] == pytest.approx(moved["difference"] / (0.05 * 2.2))
    code, out, _ = run("perturb", asked)
    assert code == 0
    assert all(len(line) <= 80 for line in out.splitlines())


def test_explain_lists_every_minimal_conflict(file, run) -> None:
    """Two bounds that no plan meets, and a pair that no plan meets together."""
    bounds = {"ttft_ms_max": 0.001, "memory_gib_max": 0.5, "n_params_min": 1.3e9, "n_params_max": 1.2e9}
    code, out, _ = run("explain", file(constraints=bounds), "--json")
    data = json.loads(out)
    assert (code, data["complete"]) == (3, True)
    conflicts = [set(c) for c in data["conflicts"]]
    assert {"ttft_ms_max"} in conflicts
    assert {"memory_gib_max"} in conflicts
    assert {"n_params_min", "n_params_max"} in conflicts
    assert all(r["to"] is None for r in data["relaxations"] if r["constraint"] in bounds)
    code, out, _ = run("explain", file())
    assert code == 0
    assert "FEASIBLE" in out


def test_sweep_writes_one_row_a_problem(file, run, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    over = ["--over", "workload.batch=1,8", "--over", "hardware=[nvidia-h100-sxm, no-such-chip]"]
    code, out, _ = run("sweep", file(), *over, "--table", str(table))
    assert code == 0
    assert "unknown chip" in out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["status"] for row in rows] == ["optimal", "invalid", "optimal", "invalid"]
    assert float(rows[0]["tpot_ms"]) < float(rows[2]["tpot_ms"])
    assert rows[0]["plan.d_model"] in ("2048", "2304")


def test_parquet_needs_pyarrow_and_says_so(file, run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("optimizer.commands._many.find_spec", lambda name: None)
    over = ["--over", "workload.batch=1,8", "--table", str(tmp_path / "t.parquet")]
    code, _, err = run("sweep", file(), *over)
    assert code == 2
    assert "pyarrow" in err


def test_validate_draws_parity(run, tmp_path: Path) -> None:
    points = Path(__file__).resolve().parents[1] / "data" / "points.csv"
    path = tmp_path / "parity.html"
    assert run("validate", str(points), "--plot", str(path))[0] == 0
    assert b"measured" in path.read_bytes()
