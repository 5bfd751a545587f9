"""archsat simulate as a user types it: what it prints and draws, and everything that it refuses by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXCERPT = str(ROOT / "benchmarks" / "traces" / "azure-2023-conv-excerpt.csv")
SETUP = ("simulate", "--model", "llama-3.1-8b", "--chip", "h100")
FEW = ("--requests", "300")
PROBLEM: dict[str, Any] = {
    "name": "chat",
    "architecture": "meta-llama/Llama-3.1-8B",
    "hardware": "nvidia-h100-sxm",
    "deployment": {"tensor_parallel": 1, "batch": [16, 64]},
    "workload": {"input_tokens": 1000, "output_tokens": 100, "requests_per_s": 40},
    "minimize": "chips",
    "constraints": {"ttft_ms_max": 1000, "tpot_ms_max": 60},
}
HEAD = "arrival_s,input_tokens,output_tokens\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run one command in this process; return code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


@pytest.fixture
def problem(tmp_path: Path) -> str:
    """The problem as a file."""
    path = tmp_path / "chat.yaml"
    path.write_text(yaml.safe_dump(PROBLEM))
    return str(path)


def test_a_problem_is_solved_and_replayed_at_its_rate(run, problem: str) -> None:
    code, out, err = run("simulate", problem, *FEW, "--percentile", "95")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for said in (
        "poisson:40",
        "TTFT ms",
        "ttft_ms_max 1000",
        "holds at p95 up to",
        "claimed",
        "not the first",
    ):
        assert said in out


def test_a_plan_is_replayed_without_solving(run, problem: str, tmp_path: Path) -> None:
    plan = str(tmp_path / "plan.json")
    assert run("solve", problem, "--json", "--out", plan)[0] == 0
    solved = json.loads(run("simulate", problem, *FEW, "--json")[1])
    again = json.loads(run("simulate", plan, *FEW, "--json")[1])
    for told in (solved, again):
        assert told.pop("wall_s") > 0
    assert again == solved
    assert solved["counted"] == 240
    assert solved["pools"][0]["requests"] == 300
    assert solved["problem"]["name"] == "chat"
    code, _, err = run("simulate", plan, "--set", "name=x")
    assert code == 2
    assert "--set: does nothing" in err


def test_a_problem_without_a_plan_shows_why(run, problem: str) -> None:
    code, out, _ = run("simulate", problem, "--set", "constraints.tpot_ms_max=0.1")
    assert code == 3
    assert "cannot hold" in out


def test_the_shipped_trace_is_counted_whole(run, tmp_path: Path) -> None:
    picture = tmp_path / "over-time.png"
    arguments = ("--arrivals", f"trace:{EXCERPT}", "--ttft-ms", "200", "--chart", str(picture), "--json")
    code, out, err = run(*SETUP, *arguments)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["requests"], found["counted"], found["left_out"]) == (600, 600, "")
    assert found["offered_requests_per_s"] == pytest.approx(600 / 148.189)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_picture_of_a_page_says_what_is_on_it(run, tmp_path: Path) -> None:
    page = tmp_path / "over-time.html"
    code, _, err = run(*SETUP, *FEW, "--arrivals", "poisson:5", "--ttft-ms", "200", "--plot", str(page))
    assert (code, err) == (0, "")
    text = page.read_text()
    for said in ("Requests that wait", "Cache in use", "Time to first token", "Bound"):
        assert said in text


def test_clients_above_the_places_queue_and_it_says_so(run) -> None:
    code, out, _ = run(*SETUP, "--batch", "4", "--requests", "60", "--arrivals", "clients:20")
    assert code == 0
    assert "20 clients share replicas that run 4 requests together at most" in " ".join(out.split())
    assert "not the first" not in out


def test_rates_that_are_not_served_are_said_to_be_so(run) -> None:
    code, out, _ = run(*SETUP, "--batch", "2", *FEW, "--arrivals", "poisson:50")
    assert code == 0
    assert "requests come faster than they are served" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("simulate",), "simulate: give a problem, a plan, or --model and --chip"),
        (("simulate", "llama-70b-chat", "--model", "m"), "--model: llama-70b-chat says what runs already"),
        (("simulate", "llama-70b-chat", "--batch", "4"), "--batch: does nothing beside a problem"),
        (("simulate", "--model", "llama-3.1-8b"), "--model: needs --chip"),
        (
            ("simulate", "dense-1b-b200"),
            "kind architecture has no requests to replay; accepted: deployment, f",
        ),
        (("simulate", "llama-405b-training"), "kind training"),
        (("simulate", "llama-70b-a100-h100-pipeline"), "kind pipeline"),
        (SETUP, "--arrivals: say how requests come"),
        ((*SETUP, "--arrivals", "bursts:3"), "--arrivals: unknown process 'bursts'"),
        ((*SETUP, "--arrivals", "poisson"), "--arrivals: poisson needs requests a second, as in poisson:2.5"),
        ((*SETUP, "--arrivals", "poisson:-1"), "the rate of poisson is '-1'"),
        ((*SETUP, "--arrivals", "poisson:nan"), "the rate of poisson is 'nan'"),
        ((*SETUP, "--arrivals", "gamma:2.5"), "--arrivals: gamma needs"),
        ((*SETUP, "--arrivals", "gamma:2.5:1000"), "variation of gamma is '1000'"),
        ((*SETUP, "--arrivals", "clients:x"), "clients are 'x'"),
        (
            (*SETUP, "--arrivals", "clients:301", *FEW),
            "clients are '301'; give a whole number from 1 to the 300",
        ),
        (
            (*SETUP, "--arrivals", "poisson:1", "--think", "1"),
            "--think: does nothing but with --arrivals clients",
        ),
        ((*SETUP, "--arrivals", "trace:x.csv", *FEW), "--requests: does nothing with a trace"),
        ((*SETUP, "--arrivals", "poisson:1", "--percentile", "95"), "--percentile: of which bound?"),
        ((*SETUP, "--arrivals", "poisson:1", "--percentile", "100"), "is not a percentile between 0 and 100"),
        ((*SETUP, "--arrivals", "poisson:1", "--range-ratio", "0"), "is not a number above 0, at most 1"),
        ((*SETUP, "--arrivals", "poisson:1", "--chart", "x.gif"), "--chart x.gif: the name must end in"),
        ((*SETUP, "--arrivals", "poisson:1", "--requests", "10M"), "--requests"),
        (
            (*SETUP, "--arrivals", "poisson:1", "--requests", "2000000000"),
            "--requests: 2,000,000,000 of them; give 1",
        ),
        ((*SETUP, "--arrivals", "poisson:1", "--set", "name=x"), "--set: does nothing without a problem"),
        ((*SETUP, "--arrivals", "poisson:1", "--input-tokens", "4M"), "breaks memory_capacity"),
        ((*SETUP, "--arrivals", "poisson:1", "--tensor-parallel", "3"), "tensor_parallel"),
    ],
)
def test_what_cannot_be_is_refused_by_name(run, arguments: tuple[str, ...], named: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert named in err
    assert "internal" not in err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is empty"),
        (HEAD, "has no requests under its header"),
        (
            "arrival_s,input_tokens\n0,5\n",
            "needs the columns arrival_s, input_tokens, output_tokens; output_tokens",
        ),
        (HEAD + "0,5,5\n3,5,5\n2,5,5\n", "line 4: arrival_s is before the line above; sort by it"),
        (HEAD + "0,5,5\n1,,5\n", "line 3: input_tokens is ''"),
        (HEAD + "0,5\n", "line 2: 2 cells under 3 columns"),
        (HEAD + "0,5,-5\n", "line 2: output_tokens is '-5'"),
        (HEAD + "-1,5,5\n", "line 2: arrival_s is '-1'"),
        (HEAD + "0,0,5\n", "line 2: input_tokens is '0'"),
        (HEAD + "0,1000000000,5\n", "line 2: input_tokens is '1000000000'"),
        (HEAD + "0,100000000,5\n", "number 1 has 100,000,005 tokens, and the cache of"),
        (HEAD + "0,5.5,5\n", "line 2: input_tokens is '5.5'"),
        (HEAD + "nan,5,5\n", "line 2: arrival_s is 'nan'"),
    ],
)
def test_a_trace_that_cannot_be_is_refused_by_line(run, tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    code, out, err = run(*SETUP, "--arrivals", f"trace:{path}")
    assert (code, out) == (2, "")
    assert named in err


def test_traces_that_are_no_files_or_too_large_are_refused(run, tmp_path: Path) -> None:
    long = tmp_path / "long.csv"
    long.write_text(HEAD + "0,1,1\n" * 1_000_002)
    for text, named in (
        (str(tmp_path / "none.csv"), "no such file"),
        (str(tmp_path), "is a directory"),
        (str(long), "at most 1,000,000 rows are read"),
    ):
        code, _, err = run(*SETUP, "--arrivals", f"trace:{text}")
        assert code == 2
        assert named in err


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([1, 2], "holds no problem"),
        ({"problem": 3}, "holds no problem"),
        ({"problem": PROBLEM}, "holds no deployment.pools"),
        ({"problem": PROBLEM, "deployment": {"pools": []}}, "holds no deployment.pools"),
        ({"problem": PROBLEM, "status": "infeasible", "deployment": None}, "there is no plan to replay"),
        ({"problem": PROBLEM, "deployment": {"pools": [{"chip": 3}]}}, "deployment.pools.0"),
        (
            {"problem": PROBLEM | {"minimise": "chips"}, "deployment": {"pools": []}},
            "unknown field 'minimise'",
        ),
        ({"problem": PROBLEM, "deployment": {"pools": [{"chip": "h9"}]}}, "hardware offers nvidia-h100-sxm"),
    ],
)
def test_a_plan_file_that_is_no_answer_is_refused(run, tmp_path: Path, data: Any, named: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(data))
    code, out, err = run("simulate", str(path))
    assert (code, out) == (2, "")
    assert named in err


def test_a_file_that_is_no_json_is_refused(run, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("{")
    code, _, err = run("simulate", str(path))
    assert code == 2
    assert "plan.json: not JSON" in err


def test_a_replay_that_is_stopped_has_no_answer(run) -> None:
    code, out, err = run(*SETUP, "--arrivals", "poisson:5", "--time-limit", "0.000001")
    assert (code, out) == (4, "")
    assert "stopped before all requests were served" in err


def test_a_plan_is_put_under_stress(run, problem: str) -> None:
    code, out, err = run("simulate", problem, "--stress", "--requests", "100")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for said in ("Share of requests within all bounds", "traffic x1.5", "lost", "x1.3", "replays"):
        assert said in out
    found = json.loads(run("simulate", problem, "--stress", "--requests", "100", "--json")[1])
    cells = {(cell["delays"], cell["traffic"], cell["lost"]): cell["share"] for cell in found["cells"]}
    assert cells[1.0, 1.0, ""] >= cells[1.5, 1.0, ""] >= cells[1.5, 1.5, ""]
    assert (
        found["delays"] == [1.0, 1.1, 1.2, 1.3, 1.4, 1.5] and found["limits"]["requests"]["tpot_ms_max"] == 60
    )


@pytest.mark.parametrize("options", [("--percentile", "95"), ("--chart", "a.png")])
def test_stress_goes_with_no_other_question(run, problem: str, options: tuple[str, str]) -> None:
    code, _, err = run("simulate", problem, "--stress", *options)
    assert code == 2 and "does nothing with --stress" in err
