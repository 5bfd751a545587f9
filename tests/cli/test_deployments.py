"""Deployment, fleet and pipeline questions as a user types them: answers, exit codes, and bad input."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer import catalog, load_problem, solve
from optimizer.cli import main
from optimizer.questions import problems
from optimizer.questions.deployment.optimum import Packed
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.kinds import kind_of, kinds
from optimizer.questions.pipeline.problem import PipelineProblem

SMALL: dict[str, Any] = {
    "name": "small",
    "architecture": "meta-llama/Llama-3.1-8B",
    "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 8}],
    "deployment": {"tensor_parallel": [1, 2], "batch": [1, 8, 32, 64]},
    "workload": {"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 90},
    "minimize": "chips",
    "constraints": {"ttft_ms_max": 1000, "tpot_ms_max": 40},
}
MOST = {"minimize": None, "maximize": "requests_per_s"}
LATE = SMALL["workload"] | {"percentile": 99}
TABLE = """mode,chip,chips,tp,ttft_ms,tpot_ms,requests_per_s,batch
prefill,red,2,2,100,,4,1
decode,red,1,1,,20,1.5,8
agg,blue,4,4,300,30,5,16
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Solve the small problem with some fields changed; return code, stdout, stderr."""

    def call(*arguments: str, **fields: Any) -> tuple[int, str, str]:
        path = tmp_path / "problem.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in (SMALL | fields).items() if v is not None}))
        code = main(["solve", str(path), *arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def answer(run: Any, **fields: Any) -> dict[str, Any]:
    code, out, err = run("--json", **fields)
    assert code in (0, 3), err
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_json_of_a_deployment(run: Any) -> None:
    found = answer(run)
    assert found["status"] == "optimal"
    assert found["objective"]["gap"] == 0
    [pool] = found["deployment"]["pools"]
    assert pool["phase"] == "aggregated"
    assert pool["chips"] == pool["replicas"] * pool["tensor_parallel"] == found["objective"]["value"]
    assert pool["requests_per_s"] >= 90
    assert 0 < pool["utilisation"] <= 1
    assert found["metrics"]["ttft_ms"] <= 1000
    assert found["certificate"]["confirmed_by"]
    assert "short of 90" in found["next_better"]


def test_two_runs_give_the_same_bytes(run: Any) -> None:
    first, second = answer(run), answer(run)
    assert first.pop("wall_s") > 0
    second.pop("wall_s")
    assert first == second


def test_the_report_fits_eighty_columns(run: Any) -> None:
    code, out, _ = run()
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    for part in ("OPTIMAL", "TTFT", "USD/h", "Proof", "confirmed by", "short of 90"):
        assert part in out
    assert run("--quiet")[1].startswith("optimal chips ")


def test_infeasible_says_what_conflicts_and_what_would_do(run: Any) -> None:
    """Each relaxation is put back into the question, which then has an answer."""
    fields = {"workload": SMALL["workload"] | {"requests_per_s": 2000}}
    found = answer(run, **fields)
    assert found["status"] == "infeasible"
    assert found["conflict"]["constraints"] == ["inventory:nvidia-h100-sxm", "requests_per_s"]
    relaxed = {r["constraint"]: r["to"] for r in found["conflict"]["relaxations"]}
    slower = SMALL["workload"] | {"requests_per_s": relaxed["requests_per_s"]}
    assert answer(run, workload=slower)["status"] == "optimal"
    more = [{"chip": "nvidia-h100-sxm", "max_count": int(relaxed["inventory:nvidia-h100-sxm"])}]
    assert answer(run, **fields, hardware=more)["status"] == "optimal"
    one_less = [{"chip": "nvidia-h100-sxm", "max_count": int(relaxed["inventory:nvidia-h100-sxm"]) - 1}]
    assert answer(run, **fields, hardware=one_less)["status"] == "infeasible"


@pytest.mark.parametrize(
    "name, value", [("ttft_ms_max", 5.0), ("tpot_ms_max", 1.0), ("memory_capacity", 0.1)]
)
def test_a_bound_on_a_replica_is_relaxed_to_the_nearest_that_does(run: Any, name: str, value: float) -> None:
    found = answer(run, constraints={name: value})
    assert found["conflict"]["constraints"] == [name]
    to = found["conflict"]["relaxations"][0]["to"]
    assert answer(run, constraints={name: to})["status"] == "optimal"
    assert answer(run, constraints={name: to * 0.99})["status"] == "infeasible"


@pytest.mark.parametrize(
    "fields, code, words",
    [
        ({"workload": SMALL["workload"] | {"requests_per_s": 0}}, 2, "workload.requests_per_s"),
        ({"workload": SMALL["workload"] | {"requests_per_s": -1}}, 2, "greater than"),
        ({"workload": {"input_tokens": 1, "output_tokens": 1}}, 2, "give the traffic that must be served"),
        ({"hardware": [{"chip": "nvidia-h100-sxm", "max_count": 0}]}, 3, "inventory:nvidia-h100-sxm"),
        (
            {"hardware": [{"chip": "nvidia-l4"}], "architecture": "meta-llama/Llama-3.1-405B"},
            3,
            "times the usable memory would do",
        ),
        (
            {"hardware": [{"chip": "nvidia-h900"}]},
            2,
            "unknown chip 'nvidia-h900'. Did you mean nvidia-h800-sxm? `archsat chips` lists them",
        ),
        ({"hardware": [{"chip": "h100"}, {"chip": "nvidia-h100-sxm"}]}, 2, "same chip"),
        ({"hardware": []}, 2, "at least 1 item"),
        (
            {"workload": SMALL["workload"] | {"requests_per_s": 2e9}, "hardware": "h100"},
            2,
            "workload.requests_per_s: Input should be less than or equal to 1000000000",
        ),
        (
            {"deployment": {"tensor_parallel": 48}},
            2,
            "tensor_parallel 48 breaks tensor_parallel_divisibility",
        ),
        (
            {"hardware": [{"chip": "nvidia-a100-80-sxm"}], "deployment": {"weight_dtype": "fp8"}},
            2,
            "nvidia-a100-80-sxm has no fp8 arithmetic",
        ),
        ({"architecture": "meta-llama/Llama-9"}, 2, "unknown model"),
        ({"architecture": None}, 2, "give architecture (a model's name), or performance_table"),
        ({"minimize": "tpot"}, 2, "minimize"),
        (
            {"minimize": None, "maximize": "requests_per_s", "hardware": [{"chip": "h100"}]},
            2,
            "give max_count",
        ),
        ({"minimize": None}, 2, "give either minimize"),
        ({"deployment": {"mode": "split"}}, 2, "deployment.mode"),
        ({"constraints": {"ttft_max": 3}}, 2, "Did you mean ttft_ms_max"),
        (
            {"workload": SMALL["workload"] | {"percentile": 99}, "constraints": {}, "performance_table": "t"},
            2,
            "needs constraints.ttft",
        ),
        ({"workload": SMALL["workload"] | {"percentile": 150}}, 2, "150 is no percentile of requests; give"),
        ({"workload": SMALL["workload"] | {"percentile": "p95"}}, 2, "or none for replicas that are always"),
        ({"deployment": {"batch": 1}}, 2, "deployment.batch leaves no slot for requests that come at random"),
        ({"performance_table": "none.csv"}, 2, "none.csv: no such file"),
    ],
)
def test_what_cannot_be_answered_is_told_in_one_message(run: Any, fields: Any, code: int, words: str) -> None:
    got, out, err = run(**fields)
    assert got == code, out + err
    assert words in out + err
    assert "Traceback" not in err


def test_a_table_of_the_users_own_beside_the_problem(run: Any, tmp_path: Path) -> None:
    """Chips that no catalogue knows; the path is relative to the problem file."""
    (tmp_path / "mine.csv").write_text(TABLE)
    fields = {
        "architecture": None,
        "performance_table": "mine.csv",
        "hardware": [{"chip": "red", "usd_per_chip_hour": 1}, {"chip": "blue", "usd_per_chip_hour": 2}],
        "deployment": {"mode": ["aggregated", "disaggregated"]},
        "workload": {"input_tokens": 10, "output_tokens": 10, "requests_per_s": 4},
        "minimize": ["usd_per_hour", "chips"],
    }
    found = answer(run, **fields)
    pools = {(p["phase"], p["chip"]): p["replicas"] for p in found["deployment"]["pools"]}
    assert pools == {("prefill", "red"): 1, ("decode", "red"): 3}
    assert found["objective"]["value"] == 5
    (tmp_path / "mine.csv").write_text(TABLE.replace(",5,16", ",-5,16"))
    code, _, err = run(**fields)
    assert (code, "line 4: requests_per_s '-5' is not a positive number" in err) == (2, True)


def test_a_percentile_needs_more_chips(run: Any) -> None:
    bounds = {"ttft_ms_max": 300, "tpot_ms_max": 40}
    mean = answer(run, constraints=bounds)
    late = answer(run, constraints=bounds, workload=LATE)
    assert late["objective"]["value"] >= mean["objective"]["value"]
    assert late["metrics"]["requests_per_s"] >= 90


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.name)
def test_every_kind_has_a_schema(capsys: pytest.CaptureFixture[str], kind: Any) -> None:
    assert main(["schema", kind.name]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == set(kind.load().model_fields)
    assert main(["schema", "poem"]) == 2
    assert "architecture" in capsys.readouterr().err


def test_kinds_are_known_by_their_keys() -> None:
    assert kind_of({"services": []}).load() is FleetProblem
    assert kind_of({"pipeline": {}}).load() is PipelineProblem
    assert kind_of({"workload": {"requests_per_s": 1}}).load() is DeploymentProblem
    assert kind_of({"hardware": [{"chip": "h100"}]}).load() is DeploymentProblem
    assert kind_of({"deployment": {"tensor_parallel": 1}}) is kinds()["architecture"]
    assert kind_of("text") is kinds()["architecture"]
    assert len({kind.load() for kind in kinds().values()}) == len(kinds())


DEPLOYMENTS = (
    "deepseek-v3-gb200-disaggregated",
    "deepseek-v3-h200-disaggregated",
    "gpt-oss-120b-b200",
    "llama-405b-h100",
    "llama-70b-b200-prefill-h200-decode",
    "llama-70b-chat",
    "llama-70b-cheapest-mix",
    "llama-70b-mi300x",
)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_ready_deployments_are_proven(name: str) -> None:
    result = solve(load_problem(name))
    assert result.status == "optimal"
    assert result.objective.value == pytest.approx(result.objective.bound)
    assert result.certificate.confirmed_by


def test_llama_405b_needs_twelve_h100s_or_sixteen_for_a_tighter_tpot() -> None:
    """Earlier tools say eleven, or that it does not fit: 12 is 4 x 3 stages, and 16 is 8 x 2."""
    setups = []
    for tpot in (100, 60):
        [pool] = solve(load_problem("llama-405b-h100", {"constraints.tpot_ms_max": tpot})).deployment.pools
        setups.append((pool.chips, pool.tensor_parallel, pool.pipeline_parallel))
    assert setups == [(12, 4, 3), (16, 8, 2)]


def test_the_fleet_and_the_pipeline_that_ship(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fleet-three-models", "llama-70b-a100-h100-pipeline"):
        assert main(["solve", name]) == 0
        out = capsys.readouterr().out
        assert "OPTIMAL" in out
        assert max(map(len, out.splitlines())) <= 80


def test_a_fleet_too_large_names_the_service_or_the_inventory() -> None:
    problem = load_problem("fleet-three-models", {"hardware": [{"chip": "nvidia-h100-sxm", "max_count": 4}]})
    result = solve(problem)
    assert result.status == "infeasible"
    assert "inventory:nvidia-h100-sxm" in result.conflict.constraints
    change = next(r for r in result.conflict.relaxations if r.constraint.startswith("inventory"))
    more = [{"chip": "nvidia-h100-sxm", "max_count": int(change.to)}]
    services = {f"service:{s.name}" for s in problem.services}
    if services <= set(result.conflict.constraints):
        assert solve(load_problem("fleet-three-models", {"hardware": more})).status == "optimal"


def test_a_fleet_serves_what_it_can() -> None:
    few = {
        "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 2}],
        "minimize": None,
        "maximize": "requests_per_s",
    }
    result = solve(load_problem("fleet-three-models", few))
    assert result.status == "optimal"
    assert 0 < result.metrics["requests_per_s"] < result.metrics["requests_per_s_asked"]


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("services", [], "services"),
        ("minimize", None, "give either minimize"),
        ("pipeline.stages", [{"chip": "h100", "chips": 3, "tensor_parallel": 2}], "no structure can run"),
        ("architecture", "meta-llama/Llama-9", "unknown model"),
        ("maximize", "speed", "maximize: output_tokens_per_s"),
    ],
)
def test_wrong_fleets_and_pipelines(
    capsys: pytest.CaptureFixture[str], field: str, value: Any, words: str
) -> None:
    name = "fleet-three-models" if field in ("services", "minimize") else "llama-70b-a100-h100-pipeline"
    code = main(["solve", name, "--set", f"{field}={'' if value is None else json.dumps(value)}"])
    assert code == 2
    assert words in capsys.readouterr().err


def test_every_shipped_problem_loads() -> None:
    for name in catalog.problem_files():
        assert problems.load(name).name == name


def test_an_undecided_question_is_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that stops is not an engine that found no plan."""
    from optimizer.questions.deployment import explain as deploy_explain
    from optimizer.questions.deployment.columns import all_bounds, prepare

    problem = problems.load("llama-70b-chat", {"constraints.ttft_ms_max": 5.0})
    columns = prepare(problem)
    bounds = all_bounds(problem, columns.supplies)
    assert deploy_explain.explain_deployment(problem, columns, bounds, prepare) is not None

    def stopped(*_: Any, **__: Any) -> Packed:
        return Packed("unknown", {}, {}, {}, 0.0, 0, 0, {}, ())

    monkeypatch.setattr(deploy_explain, "optimum", stopped)
    assert deploy_explain.explain_deployment(problem, columns, bounds, prepare) is None


def test_millions_of_chips_are_placed_and_checked() -> None:
    """In memory that does not grow with them: a hundred times the traffic, about as many times the chips."""
    small, large = (
        solve(problems.load("llama-405b-h100", {"workload.requests_per_s": rate})) for rate in (1e5, 1e7)
    )
    assert (small.status, large.status) == ("optimal", "optimal")
    assert small.plan is not None and large.plan is not None
    few, many = small.plan.metrics["chips"], large.plan.metrics["chips"]
    assert 99 * few < many <= 100 * few
    assert many > 1e7


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("1e9", "too much traffic, or too many chips"),
        ("1000000001", "less than or equal to 1000000000"),
        ("1e12", "less than or equal to 1000000000"),
    ],
)
def test_traffic_beyond_all_counting_is_an_input_error(rate, words, capsys) -> None:
    """More than shares of replicas are counted for: named at the field, or where chips cannot be planned."""
    assert main(["solve", "llama-70b-chat", "--set", f"workload.requests_per_s={rate}"]) == 2
    said = capsys.readouterr().err
    assert "requests_per_s" in said
    assert words in said


ROOM = SMALL | {"workload": {"input_tokens": 1000, "output_tokens": 200}, "constraints": {}}


@pytest.mark.parametrize("metric", ["kv_cache_tokens", "max_context_tokens"])
def test_which_setup_has_the_most_room(run: Any, metric: str) -> None:
    found = answer(run, **(ROOM | {"minimize": None, "maximize": metric}))
    assert (found["objective"]["name"], found["objective"]["unit"]) == (metric, "tokens")
    [pool] = found["deployment"]["pools"]
    assert pool["room_for"][metric] == found["metrics"][metric] == found["objective"]["value"]
    assert pool["tensor_parallel"] == 2 and pool["chips"] == (8 if metric == "kv_cache_tokens" else 2)
    code, out, err = run(**(ROOM | {"minimize": None, "maximize": metric}))
    assert (code, err) == (0, "") and "the longest request that fits is" in out and "caches hold" in out


def test_the_fewest_chips_for_a_long_request(run: Any) -> None:
    """A context that one chip has no room for, and one that no setup has: what would do is proposed."""
    alone = answer(run, **(ROOM | {"minimize": None, "maximize": "max_context_tokens"}))["metrics"]
    asked = {"workload": SMALL["workload"] | {"requests_per_s": 1}}
    found = answer(run, **(ROOM | asked | {"constraints": {"max_context_tokens_min": "600k"}}))
    assert found["objective"]["value"] == 2 and found["metrics"]["max_context_tokens"] >= 600_000
    most = int(alone["max_context_tokens"])
    none = answer(run, **(ROOM | asked | {"constraints": {"max_context_tokens_min": most + 1}}))
    assert none["conflict"]["constraints"] == ["max_context_tokens_min"]
    assert none["conflict"]["relaxations"][0]["to"] == most
    assert f"max_context_tokens at least {most:,} tokens" in none["conflict"]["relaxations"][0]["sentence"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"maximize": "max_contxt_tokens"}, "'kv_cache_tokens' or 'max_context_tokens'"),
        ({"constraints": {"kv_cache_token_min": 5}}, "Did you mean kv_cache_tokens_min"),
        ({"constraints": {"max_context_tokens_max": 5}}, "Did you mean max_context_tokens_min"),
        (
            {"maximize": "kv_cache_tokens", "deployment": {"second_tier": True}},
            "kv_cache_tokens: counts caches in fast memory; leave second_tier out",
        ),
        (
            {"maximize": "kv_cache_tokens", "hardware": [{"chip": "h100"}]},
            "chips_max, usd_per_hour_max or power_w_max to ask for the most kv_cache_tokens",
        ),
    ],
)
def test_room_that_cannot_be_asked_for(run: Any, fields: dict[str, Any], said: str) -> None:
    code, _, err = run(**(ROOM | {"minimize": None, "maximize": "requests_per_s"} | fields))
    assert code == 2 and said in " ".join(err.split())


def test_tables_state_no_room(run: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(TABLE)
    fields = {
        "architecture": None,
        "performance_table": str(tmp_path / "rows.csv"),
        "hardware": ["red", "blue"],
    }
    limit = {"constraints": {"max_context_tokens_min": 5}}
    code, _, err = run(**(SMALL | {"deployment": {}} | fields | limit))
    assert code == 2 and "max_context_tokens: a performance_table does not state" in " ".join(err.split())
