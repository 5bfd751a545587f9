"""Fleets whose requests come at random: what is claimed of each part, what its checker asks, what is refused.

Guards the percentile of a service: a plan's parts are operating points of the cost model within the bounds, a
row that claims more is refused, and a plan read from JSON is found again.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_problems import PROBLEMS
from yaml import safe_dump

from optimizer import InputError, Replaying, catalog, read_problem, simulate, solve
from optimizer.cli import main
from optimizer.columns.operating_points import up_to
from optimizer.cost.frame import frame_of
from optimizer.cost.under_load import under_load
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.question import FleetQuestion
from optimizer.spec.plan import Deployment, Part, Plan, Pool
from optimizer.spec.setup import Setup
from optimizer.spec.split import DEGREES, FORMATS


def fleet(percentile: Any = "unsaid", **more: Any) -> dict[str, Any]:
    """A chat of two sizes of request on one kind of chip."""
    service = {
        "name": "chat",
        "architecture": "meta-llama/Llama-3.1-8B",
        "traffic": [
            {"input_tokens": 500, "output_tokens": 100, "requests_per_s": 40},
            {"input_tokens": 4000, "output_tokens": 200, "requests_per_s": 6},
        ],
        "constraints": {"ttft_ms_max": 400, "tpot_ms_max": 18},
    }
    said = {} if percentile == "unsaid" else {"percentile": percentile}
    return {
        "name": "own",
        "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 8}],
        "deployment": {"tensor_parallel": 1, "weight_dtype": "fp8"},
        "services": [service | said | more],
        "minimize": "chips",
    }


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    percentile=st.sampled_from(["none", 50, 90, 95, 99.9]),
    chip=st.sampled_from(["nvidia-h100-sxm", "nvidia-l40s"]),
    model=st.sampled_from(["meta-llama/Llama-3.2-1B", "openai/gpt-oss-20b"]),
    mode=st.sampled_from([["aggregated"], ["disaggregated"]]),
    sizes=st.lists(st.tuples(st.integers(50, 3000), st.integers(2, 400)), min_size=1, max_size=2),
    rate=st.floats(0.5, 20),
)
def test_what_a_fleet_claims_is_what_its_checker_finds(
    percentile: Any, chip: str, model: str, mode: Any, sizes: Any, rate: float
) -> None:
    """Rate, latencies and slots of each part at the load it names; more is refused; JSON finds it again."""
    traffic = [{"input_tokens": i, "output_tokens": o, "requests_per_s": rate} for i, o in sizes]
    own = fleet(percentile, architecture=model, traffic=traffic, constraints={"tpot_ms_max": 60})
    own |= {"hardware": chip, "deployment": {"mode": mode, "tensor_parallel": 1, "batch": [8, 40]}}
    question = FleetQuestion(read_problem(own))
    best = question.best()
    check: FleetCheck = best.found.check
    assert best.status == "optimal" and check.broken(question.bounds, everything=True) == []
    again = Plan.model_validate_json(best.plan.model_dump_json())
    assert question.priced(again).broken == () and question.priced(again).metrics == best.plan.metrics
    parts = [(pool, part) for pool in best.plan.pools for part in pool.parts]
    for pool, part in parts:
        assert (part.in_flight > 0) == (percentile != "none") and (part.tpot_ms or 0) <= 60
        if part.in_flight and pool.phase == "aggregated":
            setup = Setup(input_tokens=part.input_tokens, output_tokens=part.output_tokens)
            frame = frame_of(catalog.model(model), catalog.chip(chip), setup)
            found = under_load(
                "aggregated", frame, catalog.model(model), up_to(part.in_flight, 1), percentile
            )
            said = found.served
            assert part.ttft_ms == pytest.approx(1e3 * said.ttft_s[-1])
            assert part.tpot_ms == pytest.approx(1e3 * said.tpot_s[-1])
            assert part.batch >= found.slots[-1] > part.in_flight
    _refused(check)


def _refused(check: FleetCheck) -> None:
    """One figure of one row changed, and nothing else: the checker says so."""
    (j, k, b) = next(iter(check.shares))
    columns = check.columns
    item = columns.items[j]
    row = int(item.rows[b, k])
    for name in ("requests_per_s", "ttft_ms", "tpot_ms", "in_flight"):
        table = columns.tables[item.service][item.model][b]
        values = getattr(table, name).copy()
        if not values[row]:
            continue
        values[row] *= 1.01 if name == "requests_per_s" else 0.99
        other = type(table)(**{**vars(table), name: values})
        of_model = tuple(other if at == b else t for at, t in enumerate(columns.tables[0][0]))
        changed = replace(check, columns=replace(columns, tables=((of_model,),), asked={}))
        assert changed.broken({}, everything=True) == ["prices"], name
    rates = item.rates.copy()
    rates[b, k] *= 1.01  # planned beyond what its row serves
    items = tuple(replace(item, rates=rates) if at == j else own for at, own in enumerate(columns.items))
    shares = {key: share * Fraction(99, 100) for key, share in check.shares.items()}
    planned = FleetCheck(replace(columns, items=items, asked={}), check.replicas, shares)
    assert planned.broken({}, everything=False) == ["prices"]


def test_a_fleet_of_one_size_is_the_deployment() -> None:
    """The same operating point, at the percentile that neither says and at one that both do."""
    for percentile in ("unsaid", 99):
        traffic = {"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 60}
        found = solve(read_problem(fleet(percentile, traffic=[traffic])))
        said = {} if percentile == "unsaid" else {"percentile": percentile}
        alone = {name: value for name, value in fleet().items() if name != "services"} | {
            "architecture": "meta-llama/Llama-3.1-8B",
            "workload": traffic | said,
            "constraints": {"ttft_ms_max": 400, "tpot_ms_max": 18},
        }
        deployed = solve(read_problem(alone))
        assert found.metrics["chips"] == deployed.metrics["chips"] > 1
        assert found.percentile == {"chat": deployed.percentile}


def test_percentiles_cost_chips_and_full_replicas_are_what_they_were() -> None:
    answers = [solve(read_problem(fleet(p))) for p in ("none", None, 50, 99.9)]
    assert answers[0].deployment == answers[1].deployment and answers[0].percentile == {}
    assert "percentile" not in answers[0].model_dump()
    chips = [answer.metrics["chips"] for answer in answers[1:]]
    assert chips == sorted(chips) and chips[0] < chips[-1]
    own = fleet("none")
    own["services"] += [fleet(90)["services"][0] | {"name": "code"}]
    both = solve(read_problem(own))
    assert both.percentile == {"code": 90.0}
    said = {row.name: row.value for row in both.assumptions}
    assert said["latencies of code"] == "p90 of requests that come at random" and "latencies" not in said


def test_a_replay_is_beside_the_claims_at_the_percentile() -> None:
    """No later than claimed; where sizes share a replica, than the slowest of them alone."""
    traffic = [{"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 40}]
    seen = simulate(read_problem(fleet(traffic=traffic)), Replaying(requests=4000))
    assert {claim.of for claim in seen.claims if claim.unit == "ms"} == {"p95"} and len(seen.claims) > 1
    assert all(-0.5 < claim.difference < 0.1 for claim in seen.claims if claim.unit == "ms")
    both = simulate(read_problem(fleet()), Replaying(requests=4000))
    claims = [claim for kind in both.kinds for claim in kind.claims]
    assert len(claims) == 4 and {claim.of for claim in claims} == {"p95"}
    most = {
        name: max(claim.claimed for claim in claims if claim.name == name) for name in ("ttft_ms", "tpot_ms")
    }
    assert all(0.3 * most[claim.name] < claim.replayed < 1.1 * most[claim.name] for claim in claims)
    full = simulate(read_problem(fleet("none")), Replaying(requests=500))
    assert {claim.of for kind in full.kinds for claim in kind.claims} == {"mean"}


@pytest.mark.parametrize("percentile", [49.9, 99.95, 150, "p95", True, "", [95]])
def test_what_is_no_percentile(percentile: Any) -> None:
    with pytest.raises(
        InputError, match=r"services\.0\.percentile: .* from 50 to 99\.9, such as 95, or none"
    ):
        read_problem(fleet(percentile))


def test_a_table_knows_no_requests_at_random() -> None:
    own = PROBLEMS["fleet"]
    tabled = own["services"][0] | {"percentile": 95}
    with pytest.raises(
        InputError, match=r"chat: percentile 95: a performance_table .* leave it out, or give none"
    ):
        read_problem(own | {"services": [tabled]})
    answer = solve(read_problem(own | {"services": [tabled | {"percentile": "none"}]}))
    assert answer.status == "optimal" and answer.percentile == {}


def test_decimals_of_a_plan_serve_all_of_a_bucket() -> None:
    """A bucket on aggregated replicas and on pairs: 0.3 + 2.6 is not 2.9 in floats, and all is served."""
    question = FleetQuestion(read_problem(PROBLEMS["fleet"]))
    best = question.best()
    pools = [pool for pool in best.plan.pools if pool.service == "search"]
    tables = question.tables()
    for mode, chip, rates in (
        ("aggregated", "blue", [1.1]),
        ("prefill", "blue", [0.3, 2.6]),
        ("decode", "red", [2.9]),
    ):
        of = (tables[0].mode == mode) & (tables[0].chip == chip)
        row = tables[0].row(int(of.nonzero()[0][0]))
        pools += [_pool(row, rate) for rate in rates]
    plan = best.plan.changed(deployment=Deployment(pools=tuple(pools)))
    assert question.priced(plan).broken == ()


def _pool(row: dict[str, Any], rate: float) -> Pool:
    part = Part(
        input_tokens=10, output_tokens=10, requests_per_s=rate, batch=row["batch"], ttft_ms=None, tpot_ms=None
    )
    own = {name: row[name] for name in ("chip", "domains", *DEGREES, *FORMATS)}
    return Pool(service="chat", phase=row["mode"], parts=(part,), **own)


def test_as_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(safe_dump(fleet()))
    assert main(["solve", str(file)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "What requests see at most chat p95: TTFT" in shown and "of at most 18 ms" in shown
    assert main(["simulate", str(file), "--requests", "1000"]) == 0
    assert "claimed: TTFT/TPOT, p95;" in " ".join(capsys.readouterr().out.split())
    file.write_text(safe_dump(fleet(101)))
    assert main(["solve", str(file)]) == 2
    assert "services.0.percentile: 101 is no percentile" in capsys.readouterr().err
