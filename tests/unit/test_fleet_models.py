"""Services that several models may answer: what is refused, what a mean quality costs, who runs what.

The small fleet: a cheap model answers 10 requests/s on a chip at quality 0.6, a dear one 2 at 0.9; 10 come.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from optimizer import InputError, Replaying, explain, simulate, solve
from optimizer.cli import main
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.problem import FleetProblem, Service
from optimizer.questions.fleet.question import FleetQuestion
from optimizer.questions.options import Options
from optimizer.questions.problems import read
from optimizer.questions.question import Ask
from optimizer.report.json import to_json
from optimizer.solver.cp_sat_twice import SolveSettings

CHIP = "nvidia-h100-sxm"
HEAD = "mode,chip,chips,requests_per_s,ttft_ms,tpot_ms\n"
TABLES = {"cheap": f"{HEAD}agg,{CHIP},1,10,100,10\n", "dear": f"{HEAD}agg,{CHIP},1,2,100,10\n"}
MODELS = [
    {"performance_table": "cheap", "quality": 0.6},
    {"performance_table": "dear", "quality": 0.9},
]
SIZE = {"input_tokens": 100, "output_tokens": 100}


def service(least: float | None = 0.75, models: Any = MODELS, **fields: Any) -> dict[str, Any]:
    bounds = {} if least is None else {"quality_min": least}
    traffic = [SIZE | {"requests_per_s": 10}]
    return {"name": "chat", "models": models, "traffic": traffic, "constraints": bounds} | fields


def fleet(least: float | None = 0.75, tables: dict[str, str] = TABLES, **fields: Any) -> FleetProblem:
    """The small fleet; fields that a service has are the service's."""
    own = {name: fields.pop(name) for name in list(fields) if name in ("models", "traffic", "deployment")}
    asked = {
        "name": "fleet",
        "documents": {"tables": tables},
        "hardware": [{"chip": CHIP, "max_count": 20}],
        "services": [service(least, **own)],
        "minimize": "chips",
    }
    return FleetProblem.model_validate(asked | fields)


@pytest.mark.parametrize(
    ("least", "chips", "mean"),
    [
        (None, 1, 0.6),
        (0.6, 1, 0.6),
        (0.61, 2, None),  # a thirtieth of the traffic goes to one dear chip
        (0.75, 4, 0.75),  # half of it to three
        (0.9, 5, 0.9),
    ],
)
def test_a_mean_quality_is_kept_by_the_fewest_chips(least: float | None, chips: int, mean: Any) -> None:
    found = solve(fleet(least))
    assert (found.status, found.objective.value) == ("optimal", chips)
    assert found.quality["chat"] >= (least or 0)
    assert mean is None or found.quality["chat"] == pytest.approx(mean, abs=1e-8)
    assert {pool.model for pool in found.deployment.pools} <= {"cheap", "dear"}


def test_the_mean_is_over_all_sizes_of_request() -> None:
    """The dear model is as quick with long requests: they carry the quality of the short ones."""
    rows = {"cheap": (("short", 10), ("long", 1)), "dear": (("short", 1), ("long", 1))}
    head = HEAD.strip() + ",size\n"
    tables = {
        name: head + "".join(f"agg,{CHIP},1,{rate},100,10,{size}\n" for size, rate in own)
        for name, own in rows.items()
    }
    traffic = [SIZE | {"requests_per_s": 4, "rows": {"size": size}} for size in ("short", "long")]
    found = solve(fleet(0.75, tables, traffic=traffic))
    assert found.objective.value == 5  # 0.4 and 4: half of the requests, all long ones, at 0.9
    [parts] = [pool.parts for pool in found.deployment.pools if pool.model == "dear"]
    assert sum(part.requests_per_s for part in parts) == pytest.approx(4)


def test_a_pair_hands_over_within_its_model() -> None:
    """Prefill by one model and decode by another answers nothing."""
    row = f"{CHIP},1,10,100,10\n"
    tables = {"cheap": f"{HEAD}prefill,{row}", "dear": f"{HEAD}prefill,{row}decode,{row}"}
    assert solve(fleet(0.6, tables, deployment={"mode": ["disaggregated"]})).quality == {"chat": 0.9}
    tables["dear"] = f"{HEAD}decode,{row}"
    with pytest.raises(InputError, match="no whole replica for all its traffic"):
        solve(fleet(0.6, tables, deployment={"mode": ["disaggregated"]}))


def test_one_setup_a_phase_is_one_model() -> None:
    found = solve(fleet(0.75, deployment={"mix": "same"}))
    assert (found.objective.value, {pool.model for pool in found.deployment.pools}) == (5, {"dear"})


def test_of_the_most_traffic_the_mean_is_of_what_is_served() -> None:
    """Three chips, one cheap: two dear ones answer 4, so that 8 are served at 0.75."""
    hardware = [{"chip": CHIP, "max_count": 3}]
    found = solve(fleet(0.75, hardware=hardware, minimize=None, maximize="requests_per_s"))
    assert found.objective.value == pytest.approx(8)
    assert found.quality["chat"] == pytest.approx(0.75)


def test_the_checker_refuses_a_plan_below_the_quality() -> None:
    question = FleetQuestion(fleet())
    found, columns = question.planned(Ask(aims=()))
    check = FleetCheck(columns, found.replicas, found.shares)
    assert (check.quality(0), check.broken(question.bounds, True)) == (Fraction(3, 4), [])
    cheap, dear = sorted(found.shares, key=lambda key: columns.items[key[0]].model)
    less = {cheap: found.shares[cheap] + Fraction(1, 10**6), dear: found.shares[dear] - Fraction(1, 10**6)}
    assert replace(check, shares=less).broken(question.bounds, True) == ["chat.quality_min"]


def test_a_plan_is_priced_again_and_its_rules_are_moved() -> None:
    question = FleetQuestion(fleet(constraints={"chips_max": 9}))
    plan = question.best().plan
    assert plan is not None
    assert question.priced(plan).broken == ()
    assert question.priced(plan, values={"chat.quality_min": 0.76}).broken == ("chat.quality_min",)
    assert question.optimum_without("chat.quality_min", question.best()) == 1
    assert "cheap 1 aggregated" in question.choices(plan)["pools"]


def test_a_conflict_names_the_quality_and_what_would_do() -> None:
    """With three chips two dear ones answer 4 of 10: 0.72."""
    found = explain(fleet(constraints={"chips_max": 3}))
    assert found.conflicts == (("service:chat", "chat.quality_min", "chips_max"),)
    said = {r.constraint: r.sentence for r in found.relaxations}
    assert said["chat.quality_min"] == "quality_min 0.72 would do"
    assert said["chips_max"] == "chips at most 4 chips would do"


def test_services_that_share_too_few_chips_are_planned_at_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would take the quick chip, of which there is enough for one: who saves more by it gets it."""
    head, other = HEAD.strip() + ",size\n", "nvidia-l40s"
    rates = {"a": (4, 2), "b": (4, 1)}
    tables = {
        name: head + f"agg,{CHIP},1,{quick},100,10,x\nagg,{other},1,{slow},100,10,x\n"
        for name, (quick, slow) in rates.items()
    }
    traffic = [SIZE | {"requests_per_s": 4}]
    services = [
        service(0.5, [{"performance_table": name, "quality": 0.5}], name=name, traffic=traffic)
        for name in "ab"
    ]
    hardware = [
        {"chip": CHIP, "max_count": 1, "usd_per_chip_hour": 1.5},
        {"chip": other, "usd_per_chip_hour": 1.0},
    ]
    asked = fleet(tables=tables, services=services, hardware=hardware, minimize="usd_per_hour")
    found = solve(asked)
    assert (found.status, found.objective.value) == ("optimal", 3.5)
    assert {pool.service: pool.chip for pool in found.deployment.pools} == {"a": other, "b": CHIP}
    near = solve(asked, Options(settings=SolveSettings(tolerance=0.2)))
    assert near.status == "optimal" and near.objective.value <= 3.5 / 0.8


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"architecture": "meta-llama/Llama-3.1-8B"},
            "give one of architecture, performance_table and models",
        ),
        ({"models": None}, "give one of architecture, performance_table and models"),
        ({"models": [MODELS[0], MODELS[0]]}, "models: two are called cheap; give one of them a name"),
        ({"models": [{"performance_table": "cheap"}]}, "models 1, cheap: give its quality, from 0 to 1"),
        ({"models": [MODELS[0] | {"quality": 82}]}, "less than or equal to 1"),
        ({"models": [{"quality": 0.8}]}, "models 1: give either architecture or performance_table"),
        ({"models": [MODELS[0] | {"deployment": {"mix": "same"}}]}, "deployment.mix is of the whole service"),
        ({"least": 0.91}, "quality_min 0.91 is above 0.9, the best model's; give at most that"),
        ({"models": None, "performance_table": "cheap"}, "quality_min: needs models, each with its quality"),
    ],
)
def test_what_cannot_be_asked_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Service.model_validate(service(**changed))


def test_a_service_with_one_model_is_asked_and_answered_as_before() -> None:
    only = fleet(None, models=MODELS[:1])
    plain = {**service(None), "performance_table": "cheap"}
    plain.pop("models")
    alone = FleetProblem.model_validate(only.model_dump(exclude_unset=True) | {"services": [plain]})
    found = to_json(solve(alone))
    assert "quality" not in found and '"model"' not in found
    assert solve(alone).objective.value == solve(only).objective.value


REAL = {
    "name": "fleet",
    "hardware": CHIP,
    "deployment": {"batch": [8, 32], "weight_dtype": "fp8"},
    "services": [
        {
            "name": "chat",
            "models": [
                {"architecture": "meta-llama/Llama-3.2-1B", "quality": 0.5},
                {"architecture": "meta-llama/Llama-3.1-8B", "quality": 0.7, "deployment": {"batch": [16]}},
            ],
            "traffic": [{"input_tokens": 500, "output_tokens": 50, "requests_per_s": 40}],
            "constraints": {"quality_min": 0.55},
        }
    ],
    "minimize": "chips",
}


def test_the_fewest_chips_for_the_most_traffic() -> None:
    """One chip of each model answers 4 of 10, half of them well: that all 10 take more chips is no matter."""
    few = {"hardware": [{"chip": CHIP, "max_count": 3}], "maximize": "requests_per_s", "minimize": None}
    asked = FleetQuestion(fleet(**few, models=[MODELS[0], MODELS[1] | {"name": "dear"}]))
    aims = (asked.aim("requests_per_s"), asked.aim("chips"))
    found = asked.optimum(Ask(aims=aims, values={"inventory:" + CHIP: 2})).plan
    assert found is not None
    assert found.metrics["requests_per_s"] == pytest.approx(4.0) and found.metrics["chips"] == 2.0


def test_a_replay_sends_each_request_to_the_model_that_the_plan_says() -> None:
    """A quarter of them to the larger model, on the pool that runs it, at the batch that is its own."""
    answer = solve(read(REAL))
    large = next(pool for pool in answer.deployment.pools if pool.model.endswith("8B"))
    assert large.parts[0].batch == 16
    found = simulate(answer, Replaying(requests=2000))
    of = {kind.name: kind.requests for kind in found.kinds}
    assert set(of) == {f"chat meta-llama/Llama-3.{size} 500/50" for size in ("2-1B", "1-8B")}
    share = of["chat meta-llama/Llama-3.1-8B 500/50"] / sum(of.values())
    assert share == pytest.approx(large.parts[0].requests_per_s / 40, abs=0.04)
    assert [pool.requests for pool in found.pools] == sorted(pool.requests for pool in found.pools)[::-1]


def test_the_shipped_fleet_as_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "fleet-two-models-a-service"]) == 0
    shown = capsys.readouterr().out
    assert "mean quality 0.74 chat, 0.75 code" in shown
    assert "chat.quality_min (0.74 against 0.74)" in shown
