"""Frontier, perturb and explain on deployments as a user types them: answers, exit codes, and bad input."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.cli import main

SMALL: dict[str, Any] = {
    "name": "small",
    "architecture": "meta-llama/Llama-3.1-8B",
    "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 16}],
    "deployment": {"tensor_parallel": [1, 2, 4], "batch": [1, 8, 32, 64]},
    "workload": {"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 30},
    "minimize": "chips",
    "constraints": {"ttft_ms_max": 1000, "tpot_ms_max": 40},
}
TABLE = "mode,chip,chips,tp,ttft_ms,tpot_ms,requests_per_s\nagg,red,1,1,300,30,5\nagg,red,2,2,150,15,5\n"
TABLED = {"architecture": None, "deployment": None, "performance_table": "table.csv"}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A command on the small problem with some fields changed; return code, stdout, stderr."""

    def call(command: str, *arguments: str, **fields: Any) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        Path("table.csv").write_text(TABLE)
        text = yaml.safe_dump({k: v for k, v in (SMALL | fields).items() if v is not None})
        Path("problem.yaml").write_text(text)
        code = main([command, "problem.yaml", *arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def test_a_frontier_for_a_person(run: Any) -> None:
    code, out, err = run("frontier", "--objectives", "chips,tpot_ms")
    assert (code, err) == (0, "")
    assert "COMPLETE" in out and "h100-sxm tp4 batch 32" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_a_frontier_for_a_program(run: Any) -> None:
    found = json.loads(run("frontier", "--objectives", "chips,tpot_ms", "--json")[1])
    chips = [point["metrics"]["chips"] for point in found["points"]]
    assert chips == sorted(set(chips)) and len(chips) > 1
    assert all(p["deployment"]["pools"][0]["chip"] == "nvidia-h100-sxm" for p in found["points"])
    assert found["points"][0]["metrics"]["output_tokens_per_s"] == 30 * 200
    one = json.loads(run("solve", "--json")[1])
    assert one["metrics"]["chips"] == chips[0]


def test_the_most_traffic_against_chips_asks_beyond_the_demand(run: Any) -> None:
    most = {k: v for k, v in SMALL["workload"].items() if k != "requests_per_s"}
    fields = {"workload": most, "minimize": None, "maximize": "requests_per_s"}
    found = json.loads(run("frontier", "--objectives", "requests_per_s,chips", "--json", **fields)[1])
    assert [p["metrics"]["chips"] for p in found["points"]] == list(range(16, 0, -1))
    served = [p["metrics"]["requests_per_s"] for p in found["points"]]
    assert served == pytest.approx([served[-1] * n for n in range(16, 0, -1)])


def test_a_journal_is_taken_up_again(run: Any) -> None:
    asked = ("frontier", "--objectives", "chips,ttft_ms", "--json", "--resume", "journal")
    first = run(*asked)
    assert first[0] == 0
    size = Path("journal").stat().st_size
    assert run(*asked) == first
    assert Path("journal").stat().st_size == size
    lines = Path("journal").read_bytes().splitlines(keepends=True)
    Path("journal").write_bytes(b"".join(lines[: len(lines) // 2]))
    assert run(*asked) == first
    code, _, err = run(*asked, constraints={"ttft_ms_max": 900, "tpot_ms_max": 40})
    assert code == 2 and "another study" in err


def test_workers_find_the_same_frontier(run: Any) -> None:
    asked = ("frontier", "--objectives", "chips,tpot_ms", "--json")
    assert run(*asked, "--executor", "threads:2") == run(*asked)


def test_a_picture_names_the_pools(run: Any) -> None:
    assert run("frontier", "--objectives", "chips,tpot_ms", "--plot", "picture.html", "-q")[0] == 0
    assert "tp4 batch 32" in Path("picture.html").read_text()


def test_perturb(run: Any) -> None:
    vary = ("--vary", "hardware.hbm_bandwidth=-10%", "--vary", "hardware.usd_per_chip_hour=+10%")
    code, out, err = run("perturb", *vary, "--json", minimize="usd_per_hour")
    assert (code, err) == (0, "")
    found = json.loads(out)
    changes = {(c["name"], c["move"]): c for c in found["changes"]}
    assert changes["hardware.usd_per_chip_hour", "+10 %"]["difference"] == pytest.approx(0.1 * found["value"])
    assert changes["hardware.hbm_bandwidth", "-10 %"]["difference"] >= 0
    assert changes["requests_per_s", "+5 %"]["difference"] >= 0
    assert changes["tpot_ms_max", "dropped"]["difference"] <= 0
    assert {"tensor_parallel"} == {c["name"] for c in found["changes"] if c["kind"] == "dimension"}
    assert {b["constraint"]: b["binds"] for b in found["bearings"]}["requests_per_s"] is None


def test_perturb_for_a_person(run: Any) -> None:
    code, out, err = run("perturb", "--vary", "hardware.nvidia-h100-sxm.hbm_bandwidth=+10%")
    assert (code, err) == (0, "")
    assert "What each constraint costs" in out and "limits of every plan in fractions" in " ".join(
        out.split()
    )


def test_prices_vary_where_a_table_gives_the_rates(run: Any) -> None:
    priced = [{"chip": "red", "max_count": 90, "usd_per_chip_hour": 2}]
    fields = TABLED | {"hardware": priced, "minimize": "usd_per_hour"}
    code, out, _ = run("perturb", "--vary", "hardware.usd_per_chip_hour=+50%", "--json", **fields)
    assert code == 0
    [price] = [c for c in json.loads(out)["changes"] if c["kind"] == "constant"]
    assert price["difference"] == pytest.approx(0.5 * 12)
    code, _, err = run("perturb", "--vary", "hardware.hbm_bandwidth=+50%", **fields)
    assert code == 2 and "rates are read from performance_table" in err


def test_explain_lists_every_conflict(run: Any) -> None:
    bounds = {"ttft_ms_max": 1, "tpot_ms_max": 0.1, "chips_max": 1}
    code, out, err = run("explain", "--json", constraints=bounds)
    assert (code, err) == (3, "")
    found = json.loads(out)
    assert found["complete"]
    assert ["ttft_ms_max"] in found["conflicts"] and ["tpot_ms_max"] in found["conflicts"]
    code, out, _ = run("explain")
    assert code == 0 and "FEASIBLE" in out


def test_one_conflict_and_a_change_that_is_enough(run: Any) -> None:
    found = json.loads(run("explain", "--json", constraints={"tpot_ms_max": 0.5})[1])
    assert found["conflicts"] == [["tpot_ms_max"]]
    [change] = [r for r in found["relaxations"] if r["constraint"] == "tpot_ms_max"]
    assert run("solve", "-q", constraints={"tpot_ms_max": change["to"]})[0] == 0


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["frontier", "--objectives", "chips,loss"], "is no objective of a deployment"),
        (["frontier", "--objectives", "chips,tpot"], "tpot_ms"),
        (["frontier", "--objectives", "chips,output_tokens_per_s"], "fixed by workload.requests_per_s"),
        (["frontier", "--objectives", "chips"], "two or three"),
        (["frontier", "--models", "meta-llama/Llama-3.1-8B"], "no model can be placed beside"),
        (["perturb", "--vary", "hardware.hbm_speed=+10%"], "no figure of this chip"),
        (["perturb", "--vary", "hardware.power_watts=+10%"], "no figure of this chip"),
        (["perturb", "--vary", "workload.inputs=+10%"], "no number of the problem"),
        (["sweep", "--over", "workload.requests_per_s=-1,-2"], "no combination can be asked"),
        (["enumerate", "--distinct", "colour"], "no free choice"),
    ],
)
def test_what_cannot_be_asked(run: Any, arguments: list[str], says: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert says in err


def test_an_infeasible_frontier_says_why(run: Any) -> None:
    code, out, _ = run("frontier", constraints={"tpot_ms_max": 0.1})
    assert code == 3 and "tpot_ms_max" in out


def test_a_percentile_is_no_objective_but_moves(run: Any) -> None:
    """Of a table, which states what replicas do without a queue."""
    Path("table.csv").write_text(TABLE)
    hardware = [{"chip": "red", "max_count": 40, "usd_per_chip_hour": 1}]
    late = TABLED | {"workload": SMALL["workload"] | {"percentile": 99}, "hardware": hardware}
    code, _, err = run("frontier", "--objectives", "chips,ttft_ms", **late)
    assert code == 2 and "depends on the load" in err
    code, out, _ = run("perturb", "--json", **late | {"minimize": "usd_per_hour"})
    assert code == 0
    moved = [c for c in json.loads(out)["changes"] if c["name"] == "ttft_ms_max" and c["move"] == "+5 %"]
    assert moved[0]["difference"] <= 0


def test_a_percentile_as_it_is_typed(run: Any) -> None:
    """Fewer chips where replicas are always full; what is no percentile is refused by name."""
    chips = {}
    for said in ("none", "", "50", "99"):
        code, out, err = run("solve", "--json", "--set", f"workload.percentile={said}", "--set", RATE)
        assert (code, err) == (0, "")
        found = json.loads(out)
        chips[said] = found["metrics"]["chips"]
        assert found["percentile"] == (float(said) if said.isdigit() else None)
        assert all(bool(pool.get("in_flight")) == said.isdigit() for pool in found["deployment"]["pools"])
    assert chips["none"] == chips[""] <= chips["50"] <= chips["99"] and chips["none"] < chips["99"]
    for said in ("150", "p95", "[95]"):
        code, out, err = run("solve", "--set", f"workload.percentile={said}")
        assert (code, out) == (2, "") and "workload.percentile" in err and "or none for replicas" in err
    out = run("solve", "--set", RATE)[1]
    assert "ttft_ms p95" in out and "At the traffic asked for" in out and "TPOT" in out


RATE = "workload.requests_per_s=90"
SPARED = {"constraints": SMALL["constraints"] | {"spares": 1}, "deployment": {"tensor_parallel": [1, 2]}}


def test_spares_are_held_and_said(run: Any) -> None:
    code, out, err = run("solve", **SPARED)
    assert (code, err) == (0, "")
    assert "1 spare: holds" in out and "requests/s with any one replica lost" in out
    assert "serve at most" in out and "spares (1 against 1)" in out
    found = json.loads(run("solve", "--set", "constraints.spares=2", "--json", **SPARED)[1])
    assert found["metrics"]["spares"] >= 2 == found["problem"]["constraints"]["spares"]
    assert found["metrics"]["requests_per_s_whole"] > found["metrics"]["requests_per_s"] >= 30


def test_spares_are_swept_perturbed_compared(run: Any) -> None:
    rows = json.loads(run("sweep", "--over", "constraints.spares=0,1,2,99", "--json", **SPARED)[1])["rows"]
    assert [row["plan"] and row["plan"]["metrics"]["chips"] for row in rows] == [2, 3, 4, None]
    changes = json.loads(run("perturb", "--json", **SPARED)[1])["changes"]
    own = {row["to"]: row["objective"] for row in changes if row["name"] == "spares"}
    assert own == {0: 2, 2: 4, None: 2}
    Path("other.yaml").write_text(yaml.safe_dump(SMALL))
    _, out, _ = run("compare", "other.yaml", **SPARED)
    assert "spares" in out and "any one replica lost" in " ".join(out.split())


def test_too_many_spares_are_a_conflict(run: Any) -> None:
    code, out, _ = run("explain", "--set", "constraints.spares=16", **SPARED)
    assert code == 3 and "14 spares would do" in out
    found = json.loads(run("solve", "--set", "constraints.spares=16", "--json", **SPARED)[1])
    said = {row["constraint"]: row["to"] for row in found["conflict"]["relaxations"]}
    assert (
        found["status"] == "infeasible" and said["spares"] == 14 and said["inventory:nvidia-h100-sxm"] == 18
    )


@pytest.mark.parametrize(
    "value, said", [("-1", "greater than or equal to 0"), ("1.5", "valid integer"), ("true", "valid integer")]
)
def test_spares_are_a_whole_number(run: Any, value: str, said: str) -> None:
    code, _, err = run("solve", "--set", f"constraints.spares={value}")
    assert code == 2 and "constraints.spares" in err and said in err and "Traceback" not in err


WRONG = TABLED | {
    "robust": {"latency": 1.2, "traffic": 1.5, "at_once": 1},
    "hardware": {"chip": "red", "max_count": 16},
}


def test_what_holds_when_things_go_wrong_is_said_with_its_price(run: Any) -> None:
    """Of 5 requests/s a chip 30 take 6 chips, 9 at half as much again; at 1.2 as long 30 ms are 36 of 40."""
    code, out, err = run("solve", **WRONG)
    assert (code, err) == (0, "") and all(len(line) <= 80 for line in out.splitlines())
    said = " ".join(out.split())
    for words in (
        "chips 9 chips",
        "traffic x1.5 30 0.0%",
        "latencies x1.2 37.5 25.0%",
        "as predicted 45 50.0%",
        "without robust.latency: 9 chips, the same",
        "without all of robust: 6 chips; it costs +3 chips, +50.0%",
    ):
        assert words in said
    found = json.loads(run("solve", "--json", **WRONG)[1])["robustness"]
    assert found["cases"][0] == {
        "case": "traffic x1.5",
        "parts": ["traffic"],
        "requests_per_s": 30.0,
        "to_spare": 0.0,
    }
    assert found["prices"][1] == {"without": "robust.traffic", "value": 8.0, "difference": 1.0}
    plain = json.loads(run("solve", "--set", "robust=null", "--json", **WRONG)[1])
    assert "robustness" not in plain and plain["metrics"]["chips"] == 6


def test_parts_of_what_may_go_wrong_are_swept_perturbed_explained(run: Any) -> None:
    rows = json.loads(run("sweep", "--over", "robust.traffic=1,1.2,2,9", "--json", **WRONG)[1])["rows"]
    assert [row["plan"] and row["plan"]["metrics"]["chips"] for row in rows] == [8, 8, 12, None]
    changes = json.loads(run("perturb", "--json", **WRONG)[1])["changes"]
    own = {row["move"]: row["objective"] for row in changes if row["name"] == "robust.traffic"}
    assert own["dropped"] == 8 and own["+5 %"] == 10 and own["-5 %"] == 9
    code, out, _ = run("explain", "--set", "robust.traffic=9", **WRONG)
    assert code == 3 and "robust.traffic: traffic x2.666 would do" in out
    assert run("solve", "--set", "robust.at_once=3", **WRONG)[0] == 2
