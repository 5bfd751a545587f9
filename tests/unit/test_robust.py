"""Plans that hold when things go wrong, by hand: scenarios, rates in them, prices, conflicts, refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_check_deployment import RED, ROW, checked

from optimizer import InputError, explain, read_problem, solve
from optimizer.bands import band_of
from optimizer.catalog import chip, engine, model
from optimizer.columns.at_worst import Worst
from optimizer.columns.deployment import DeploymentColumns, planned
from optimizer.columns.families import best_within
from optimizer.columns.replicas import Replicas
from optimizer.columns.scenarios import Scenario, Spread, Uncertain, scenarios
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.columns import all_bounds, prepare
from optimizer.questions.deployment.least import least_chips
from optimizer.questions.deployment.nearest import fewer, nearest_part
from optimizer.questions.question import Ask, question_of
from optimizer.report.json import to_json

TABLE = [
    {
        "mode": "agg",
        "chip": "red",
        "chips": 1,
        "batch": 4,
        "requests_per_s": 1,
        "ttft_ms": 100,
        "tpot_ms": 10,
    },
    {
        "mode": "agg",
        "chip": "red",
        "chips": 1,
        "batch": 8,
        "requests_per_s": 1.5,
        "ttft_ms": 150,
        "tpot_ms": 15,
    },
    {"mode": "agg", "chip": "red", "chips": 2, "batch": 8, "requests_per_s": 3, "ttft_ms": 50, "tpot_ms": 9},
]
PROBLEM: dict[str, Any] = {
    "name": "holds",
    "hardware": [{"chip": "red", "usd_per_chip_hour": 1.0, "max_count": 9}],
    "performance_table": TABLE,
    "workload": {"input_tokens": 10, "output_tokens": 10, "requests_per_s": 3},
    "minimize": "chips",
    "constraints": {"tpot_ms_max": 16},
}
ALL = {"robust.latency": 1.3, "robust.rate": 0.9, "robust.traffic": 1.2, "robust.losses": 1.0}


def solved(**robust: Any) -> Any:
    return solve(read_problem(PROBLEM | {"robust": robust}))


def of_asked(worst: Worst) -> Any:
    return planned(worst.of_asked)


def test_all_at_once_is_one_scenario() -> None:
    assert scenarios(Uncertain(), ALL) == (
        Scenario(("latency", "rate", "traffic", "losses"), 1.3, 0.0, 0.9, 0.0, 1.2, 1),
    )
    assert scenarios(None, {"spares": 2.0}) == (Scenario(lost=2),)


@pytest.mark.parametrize("at_once, n", [(1, 4), (2, 6), (3, 4), (4, 1)])
def test_a_budget_leaves_the_largest_choices(at_once: int, n: int) -> None:
    found = scenarios(Uncertain(at_once=at_once), ALL)
    assert [len(s.parts) for s in found] == [at_once] * n


def test_of_hours_those_remain_that_are_worse_in_something() -> None:
    hours = ((1.5, 1.0), (1.2, 1.0), (0.8, 1.4), (0.7, 1.2))
    found = scenarios(Uncertain(hours, by_share=("traffic",)), {"robust.traffic": 1.0})
    assert [(s.traffic, s.slow) for s in found] == [(1.5, 1.0), (0.8, 1.4)]
    half = scenarios(Uncertain(hours, by_share=("traffic",)), {"robust.traffic": 0.5})
    assert [(s.traffic, s.slow) for s in half] == [(1.25, 1.0), (0.9, 1.2)]


def test_a_replica_may_run_with_fewer_sequences() -> None:
    """Rows of one family with a smaller batch; rows of the same batch stand each by itself."""
    family = np.array([0, 0, 1, 0, 1, 0])
    batch = np.array([8, 4, 4, 8, 2, 2])
    values = np.array([[1, 5, 2, 9, 7, 3], [0, 0, 1, 0, 0, 4]])
    assert best_within(family, batch, values).tolist() == [[5, 5, 7, 9, 7, 3], [4, 4, 1, 4, 0, 4]]
    assert best_within(family[:0], batch[:0], values[:, :0]).shape == (2, 0)


def test_the_price_of_slower_replicas() -> None:
    """At 1.3 as long a small replica runs 4 sequences and serves 1 / 1.3, a large one 3 / 1.3."""
    answer = solved(latency=1.3)
    assert (answer.status, answer.objective.value) == ("optimal", 3.0)
    assert answer.metrics["requests_per_s"] == pytest.approx(4 / 1.3)
    assert answer.metrics["requests_per_s_whole"] == 4.5
    assert [(row.case, row.requests_per_s) for row in answer.robustness.cases] == [
        ("latencies x1.3", pytest.approx(4 / 1.3)),
        ("as predicted", 4.5),
    ]
    assert answer.robustness.cases[0].to_spare == pytest.approx(4 / 3.9 - 1)
    prices = [(row.without, row.value, row.difference) for row in answer.robustness.prices]
    assert prices == [("robust.latency", 2.0, 1.0)]
    assert answer.binding[0].constraint == "robust.latency"


def test_several_at_once_and_the_price_of_each() -> None:
    """Half as much traffic again takes three small replicas and one that may be lost; apart three will do."""
    assert solved(traffic=1.5, losses=1).objective.value == 4.0
    answer = solved(traffic=1.5, losses=1, at_once=1)
    assert answer.objective.value == 3.0  # 3 x 1.5 / 1.5, and two of them are left
    assert {row.without: row.value for row in answer.robustness.prices} == {
        "robust.traffic": 3.0,
        "robust.losses": 3.0,
        "robust": 2.0,
    }


def test_nothing_is_said_where_nothing_may_go_wrong() -> None:
    plain = solve(read_problem(PROBLEM))
    assert plain.robustness is None and '"robustness"' not in to_json(plain)
    assert '"robustness"' in to_json(solved(rate=0.9))


def test_steps_that_are_slower_serve_less_and_that_is_not_counted_twice() -> None:
    assert solved(rate=0.8).metrics["requests_per_s"] == pytest.approx(
        3.6
    )  # three small ones, or one of each
    both = solved(rate=0.8, latency=1.3).metrics["requests_per_s"]
    assert both == pytest.approx(4 / 1.3)
    assert solved(rate=0.5, latency=1.3).metrics["requests_per_s"] == pytest.approx(3.0)


def test_a_row_never_counts_for_more_than_it_promises() -> None:
    """With fewer sequences this one would serve more; it says 1."""
    rows = [TABLE[0] | {"requests_per_s": 2}, TABLE[1] | {"requests_per_s": 1}, TABLE[2]]
    columns = prepare(read_problem(PROBLEM | {"performance_table": rows, "robust": {"rate": 1.0}}))
    usable = columns.within({"robust.rate": 1.0}, prune=False)
    assert of_asked(usable.worst[0]).tolist() == [2 * 10**8, 10**8, 3 * 10**8]


def test_bands_are_those_of_a_rows_chip_and_engine() -> None:
    rows = [ROW, ROW | {"batch": 4, "tpot_ms": 10.0, "requests_per_s": 1.5}, ROW | {"chip": "blue"}]
    spreads = {("red", ""): Spread(1.5, 1.2, 0.7), ("blue", ""): Spread(1.0, 1.0, 0.5)}
    own = Uncertain(by_share=("latency", "rate"), spreads=spreads)
    blue = replace(RED, name="blue")
    columns = DeploymentColumns(Replicas.of(rows), (RED, blue), 1.0, False, {}, None, {}, robust=own)
    late = columns.within({"robust.latency": 1.0, "tpot_ms_max": 22.0}, prune=False).worst[0]
    assert of_asked(late).tolist() == [125000000, 125000000, 200000000]  # 24 ms is late, 12 ms is not
    half = columns.within({"robust.latency": 0.5, "tpot_ms_max": 22.0}, prune=False).worst[0]
    assert of_asked(half)[0] == 181818181
    less = columns.within({"robust.rate": 1.0}, prune=False).worst[0]
    assert of_asked(less).tolist() == [140000000, 105000000, 100000000]


def test_a_band_is_read_from_the_points() -> None:
    problem = read_problem(
        {
            "name": "banded",
            "architecture": "meta-llama/Llama-3.1-8B",
            "hardware": "nvidia-h100-sxm",
            "deployment": {"tensor_parallel": 1, "batch": [8, 32]},
            "workload": {"input_tokens": 1000, "output_tokens": 100, "requests_per_s": 5},
            "minimize": "chips",
            "constraints": {"tpot_ms_max": 60},
            "robust": {"latency": "band", "rate": "band"},
        }
    )
    columns = prepare(problem)
    of = chip("nvidia-h100-sxm"), engine("trtllm"), model("meta-llama/Llama-3.1-8B")
    assert columns.robust is not None
    assert columns.robust.spreads == {
        ("nvidia-h100-sxm", ""): Spread(
            max(1.0, band_of(*of, "ttft_ms").high),
            max(1.0, band_of(*of, "tpot_ms").high),
            min(1.0, band_of(*of, "requests_per_s").low),
        )
    }
    bounds = all_bounds(problem, columns.supplies)
    assert (bounds["robust.latency"], bounds["robust.rate"]) == (1.0, 1.0)
    answer = solve(problem)
    assert answer.status == "optimal"
    assert answer.robustness.cases[0].case == "latency band, rate band"


def holds(**fields: Any) -> DeploymentCheck:
    """Two small replicas at batch 8 for 3 requests/s, whose rows are those of the table."""
    plain = {"tensor_parallel": 1, "chips": 1, "domains": "1"}
    rows = [ROW | plain | {n: row[n] for n in ("batch", "requests_per_s", "tpot_ms")} for row in TABLE[:2]]
    return checked(*rows, counts={1: 2}, demand=3.0, uncertain=Uncertain(), **fields)


def test_the_checker_says_which_case_breaks() -> None:
    assert holds().broken({}) == []
    broken = holds(bounds={"robust.traffic": 1.01, "robust.latency": 1.05, "tpot_ms_max": 16.0})
    assert broken.breaks_when == ("latencies x1.05", "traffic x1.01", "latencies x1.05, traffic x1.01")
    assert broken.broken({})[0] == "robust (latencies x1.05)"
    three = replace(broken, counts={1: 3})
    assert three.broken({}) == [] and three.totals()["requests_per_s"] == pytest.approx(4.5 / 1.05 / 1.01)
    lost = replace(three, bounds={"robust.losses": 1.0, "robust.rate": 0.99})
    assert lost.broken({}) == ["robust (rates x0.99, 1 lost)"]
    assert replace(lost, uncertain=Uncertain(at_once=1)).broken({}) == []


def test_the_checker_runs_replicas_with_fewer_sequences() -> None:
    """Beyond 16 / 15 of the times batch 8 is late, and batch 4 serves 1 of 1.5."""
    late = holds(bounds={"robust.latency": 1.1, "tpot_ms_max": 16.0})
    assert late.totals()["requests_per_s"] == pytest.approx(2 / 1.1)
    assert (
        replace(late, bounds={"robust.latency": 1.7, "tpot_ms_max": 16.0}).totals()["requests_per_s"] == 0.0
    )


def test_a_conflict_names_the_parts_and_how_far_they_may_go() -> None:
    """9 ms is the least time per token, and 18 at twice; 16 / 9 of it keeps the bound."""
    answer = solved(latency=2.0)
    assert answer.status == "infeasible" and answer.conflict is not None and answer.robustness.cases == ()
    said = {row.constraint: row.sentence for row in answer.conflict.relaxations}
    assert said == {
        "tpot_ms_max": "tpot_ms at most 18 ms would do",
        "robust.latency": "latency x1.777 would do",
    }
    said = {row.constraint: row.sentence for row in solved(traffic=2.0, losses=7).conflict.relaxations}
    assert said == {
        "inventory:red": "11 chips of red would do",
        "requests_per_s": "1.5 requests/s would do",
        "robust.traffic": "leaving traffic out would do",
        "robust.losses": "5 lost would do",
    }


def test_how_far_something_may_go_is_found_by_halving() -> None:
    banded = Uncertain(by_share=("latency", "rate"))
    assert nearest_part(Uncertain(), "latency", 1.5, lambda to: to <= 1.2345) == pytest.approx(
        1.234, abs=2e-3
    )
    assert nearest_part(Uncertain(), "rate", 0.5, lambda to: to >= 0.8) == pytest.approx(0.8, abs=1e-3)
    assert nearest_part(banded, "rate", 1.0, lambda to: to <= 0.3) == pytest.approx(0.3, abs=1e-3)
    assert nearest_part(banded, "latency", 1.0, lambda to: to < -1) is None
    assert nearest_part(Uncertain(), "traffic", 1.5, lambda to: True) == 1.5
    assert nearest_part(Uncertain(), "losses", 5, lambda to: to <= 3) == 3
    assert fewer(4, lambda lost: lost < 0) is None


def test_parts_move_within_what_they_can_be() -> None:
    robust = {"latency": 1.02, "rate": 0.99, "traffic": [1.5, {"factor": 0.9, "latency": 1.2}], "losses": 1}
    question = question_of(read_problem(PROBLEM | {"robust": robust}))
    plan = question.best().plan
    assert plan is not None
    moved = {rule: [move[1] for move in question.moves(f"robust.{rule}", plan)] for rule in robust}
    assert moved["latency"] == pytest.approx([1.0098, 1.0302, 1.071])
    assert moved["rate"] == pytest.approx([0.9405, 0.9801, 0.9999])
    assert moved["traffic"] == pytest.approx([0.95, 0.99, 1.01, 1.05])
    assert moved["losses"] == [0, 2]
    assert not question.tighter("robust.latency", 1.02, 1.01)


def test_the_least_known_before_pricing_counts_the_losses() -> None:
    problem = {
        "name": "p",
        "architecture": "meta-llama/Llama-3.1-8B",
        "hardware": "nvidia-h100-sxm",
        "deployment": {"mode": ["disaggregated"], "tensor_parallel": [2, 4]},
        "workload": {"input_tokens": 10, "output_tokens": 10, "requests_per_s": 1},
        "minimize": "chips",
        "constraints": {"spares": 1},
        "robust": {"losses": 2},
    }
    read = read_problem(problem)
    assert least_chips(read, question_of(read).offered) == 2 * 2 * 3


@pytest.mark.parametrize(
    "robust, said",
    [
        ({}, "give one or several of latency, rate, traffic, losses"),
        ({"latency": 0.9}, "robust.latency: 0.9 is neither a factor from 1 to 100 nor band"),
        ({"latency": True}, "True is neither"),
        ({"latency": "wide"}, "'wide' is neither"),
        ({"rate": 1.1}, "robust.rate: 1.1 is neither a factor from 0.001 to 1 nor band"),
        ({"rate": 0}, "0 is neither"),
        ({"traffic": []}, "robust.traffic: the list is empty"),
        ({"traffic": 0.5}, "0.5 is neither a factor from 1 to 100 nor a list"),
        ({"traffic": [{"latency": 1.2}]}, "give either factor, of the traffic asked for, or requests_per_s"),
        ({"traffic": [{"factor": 1.2, "slow": 1.2}]}, "unknown field 'slow'"),
        ({"losses": 0}, "robust.losses"),
        ({"losses": 1.5}, "robust.losses"),
        (
            {"latency": 1.2, "losses": 1, "at_once": 3},
            "at_once: 3 of the 2 given, latency, losses; use 1 to 2",
        ),
        ({"latencies": 1.2}, "unknown field 'latencies'. Did you mean latency"),
        (
            {"latency": "band"},
            "robust.latency: band is of the cost model; of a performance_table give a factor",
        ),
    ],
)
def test_what_cannot_be_asked_is_named(robust: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_problem(PROBLEM | {"robust": robust})
    assert said in str(error.value)


def test_hours_in_requests_need_the_traffic_they_stand_beside() -> None:
    free = {"input_tokens": 10, "output_tokens": 10}
    asked = PROBLEM | {
        "workload": free,
        "maximize": "requests_per_s",
        "robust": {"traffic": [{"requests_per_s": 4}]},
    }
    with pytest.raises(InputError, match=r"robust.traffic: requests_per_s needs workload.requests_per_s"):
        read_problem({name: value for name, value in asked.items() if name != "minimize"})
    hours = read_problem(PROBLEM | {"robust": {"traffic": [1.2, {"requests_per_s": 4.5, "latency": 1.1}]}})
    columns = prepare(hours)
    assert columns.robust is not None and columns.robust.hours == ((1.2, 1.0), (1.5, 1.1))


def test_the_quickest_plan_is_quick_as_predicted_and_holds_within_the_bounds() -> None:
    """A large replica takes 9 ms, and 11.7 at the worst, which the bound of 16 allows: 9 is the optimum."""
    asked = read_problem(PROBLEM | {"robust": {"latency": 1.3}})
    question = question_of(asked)
    found = question.optimum(Ask(aims=(question.aim("tpot_ms"), question.aim("chips")))).plan
    assert found is not None
    assert (found.metrics["tpot_ms"], found.metrics["chips"]) == (9.0, 4.0)
    held = question.optimum(Ask(aims=(question.aim("chips"),), bounds={"tpot_ms": 9.5})).plan
    assert held is not None and held.metrics["chips"] == 4.0


def test_a_plan_that_keeps_a_tighter_bound_as_predicted_may_break_at_the_worst() -> None:
    """A bound of 12 ms leaves 9 x 1.3 and not 10 x 1.3."""
    question = question_of(read_problem(PROBLEM | {"robust": {"latency": 1.3}}))
    plan = question.best().plan
    assert plan is not None and plan.metrics["tpot_ms"] == 15.0
    assert not question.tighter("tpot_ms_max", 16.0, 15.5)
    found = question.optimum(Ask(aims=question.own_aims(), values={"tpot_ms_max": 12.0})).plan
    assert found is not None and found.metrics["chips"] == 4.0


@pytest.mark.parametrize(
    "robust",
    [{"latency": 2.0}, {"latency": 1.5, "traffic": 3.5}, {"losses": 9}, {"traffic": 2.5, "losses": 5}],
)
def test_conflicts_are_minimal_and_all(robust: Any) -> None:
    """Each conflict leaves no plan, and without any of its rules there is one, each asked by itself."""
    problem = read_problem(PROBLEM | {"robust": robust})
    question, found = question_of(problem), explain(problem)

    def plan(*names: str) -> bool:
        return question.kept_by_a_plan(frozenset(names)) is not None

    assert found.status == "infeasible" and found.complete and found.conflicts
    for conflict in found.conflicts:
        assert not plan(*conflict)
        assert all(plan(*(name for name in conflict if name != left)) for left in conflict)


def test_no_rounding_decides_whether_a_demand_is_reached() -> None:
    """Nine replicas of 5 requests/s carry just 30 at 1.5 times the traffic, or when 1.5 times as slow."""
    row = TABLE[0] | {"requests_per_s": 5}
    exactly = PROBLEM | {"performance_table": [row], "workload": PROBLEM["workload"] | {"requests_per_s": 30}}
    assert solve(read_problem(exactly | {"robust": {"traffic": 1.5}})).objective.value == 9.0
    assert solve(read_problem(exactly | {"robust": {"latency": 1.5}})).objective.value == 9.0
    assert solve(read_problem(exactly | {"robust": {"latency": 1.5, "rate": 0.9}})).objective.value == 9.0
    question = question_of(read_problem(exactly | {"robust": {"traffic": 1.5}}))
    both = question.optimum(Ask(aims=(question.aim("chips"), question.aim("requests_per_s")))).plan
    assert both is not None and both.metrics["chips"] == 9.0
