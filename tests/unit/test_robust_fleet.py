"""Fleets that hold when things go wrong, by hand: rates in a case, prices, conflicts, the check, refusals."""

from dataclasses import replace
from typing import Any

import pytest
from test_robust import TABLE

from optimizer import InputError, read_problem, solve
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.question import Ask, question_of
from optimizer.report.json import to_json

SMALL = [row | {"size": "short"} for row in TABLE[:2]]
"""One red chip: 1 request/s at 10 ms a token, 1.5 at 15."""
CHAT: dict[str, Any] = {
    "name": "chat",
    "performance_table": SMALL,
    "traffic": [{"input_tokens": 10, "output_tokens": 10, "requests_per_s": 3}],
    "constraints": {"tpot_ms_max": 16},
}
PROBLEM: dict[str, Any] = {
    "name": "holds",
    "hardware": [{"chip": "red", "usd_per_chip_hour": 1.0, "max_count": 9}],
    "services": [CHAT],
    "minimize": "chips",
}


def question(changed: Any = (), **robust: Any) -> Any:
    return question_of(read_problem(PROBLEM | {"robust": robust} | dict(changed)))


def solved(changed: Any = (), **robust: Any) -> Any:
    return solve(read_problem(PROBLEM | {"robust": robust} | dict(changed)))


def test_slower_replicas_run_fewer_sequences_and_serve_less() -> None:
    """At 1.3 as long 15 ms are too many; at 13 ms 1 / 1.3 request/s: 3 take four replicas, not two."""
    answer = solved(latency=1.3)
    assert (answer.status, answer.objective.value) == ("optimal", 4.0)
    assert [(row.case, row.requests_per_s) for row in answer.robustness.cases] == [
        ("latencies x1.3", pytest.approx(4 / 1.3)),
        ("as predicted", pytest.approx(6.0)),
    ]
    assert answer.robustness.cases[0].to_spare == pytest.approx(4 / 3.9 - 1)
    assert [(r.without, r.value, r.difference) for r in answer.robustness.prices] == [
        ("robust.latency", 2, 2)
    ]
    assert answer.binding[0].constraint == "robust.latency"
    assert [(part.requests_per_s, part.batch) for pool in answer.deployment.pools for part in pool.parts] == [
        (3.0, 8)
    ]


def test_all_at_once_takes_more_than_one_at_a_time() -> None:
    """3.9 at half as much again are six replicas; 3.9 and 3 are four, which carry either."""
    assert solved(latency=1.3, traffic=1.5).objective.value == 6.0
    apart = solved(latency=1.3, traffic=1.5, at_once=1)
    assert apart.objective.value == 4.0
    assert {row.without: row.value for row in apart.robustness.prices} == {
        "robust.latency": 3.0,
        "robust.traffic": 4.0,
        "robust": 2.0,
    }


def test_the_most_traffic_is_that_of_the_worst_case() -> None:
    """Two replicas serve 3 as predicted, 2 / 1.3 when slower, and 3 / 1.2 of what is asked for of more."""
    few = {"minimize": None, "maximize": "requests_per_s"}
    few["hardware"] = [{"chip": "red", "usd_per_chip_hour": 1.0, "max_count": 2}]
    assert solved(few, traffic=1.2).metrics["requests_per_s"] == pytest.approx(2.5)
    both = solved(few, latency=1.3, traffic=1.2, at_once=1)
    assert both.metrics["requests_per_s"] == pytest.approx(2 / 1.3)
    assert all(row.to_spare is None for row in both.robustness.cases)
    assert solved(few, latency=1.3, traffic=1.2).metrics["requests_per_s"] == pytest.approx(2 / 1.56)


def test_nothing_is_said_where_nothing_may_go_wrong() -> None:
    plain = solve(read_problem(PROBLEM))
    assert plain.robustness is None and '"robustness"' not in to_json(plain)
    assert '"robustness"' in to_json(solved(rate=0.9))


def test_a_conflict_names_the_parts_and_how_far_they_may_go() -> None:
    """Nine replicas at 10 ms each carry 9 / 1.6, which is more; beyond 1.6 none is in time."""
    answer = solved(latency=2.0)
    assert answer.status == "infeasible" and answer.robustness.cases == ()
    assert {row.constraint: row.sentence for row in answer.conflict.relaxations} == {
        "service:chat": "no fleet without it either",
        "chat.tpot_ms_max": "leaving chat.tpot_ms_max out would do",
        "robust.latency": "latency x1.599 would do",
    }


def test_the_check_refuses_a_plan_that_is_short_in_a_case() -> None:
    asked = question(latency=1.3, rate=0.9, at_once=1)
    found, columns = asked.planned(Ask(aims=()))
    good = asked.best().found.check
    assert good.broken({}, everything=True) == []
    three = dict.fromkeys(found.replicas, 3)
    short = replace(good, replicas=three)
    assert short.broken({}, everything=True) == ["robust (latencies x1.3)"]
    assert FleetCheck(columns, three, good.shares, good.routes[:1]).at_worst[0].holds
    half = {key: x / 2 for key, x in good.shares.items()}
    assert replace(good, routes=(half,)).broken({}, everything=True) == ["service:chat"]
    assert replace(good, replicas={}).at_worst[0].fullest is None


def test_a_plan_is_priced_again_in_every_case() -> None:
    asked = question(latency=1.3)
    plan = asked.best().plan
    assert asked.priced(plan).broken == ()
    assert asked.priced(plan, values={"robust.latency": 1.4}).broken == ("robust (latencies x1.4)",)
    assert not asked.tighter("robust.latency", 1.3, 1.2) and not asked.tighter("chat.tpot_ms_max", 16, 14)
    assert [move[1] for move in asked.moves("robust.latency", plan)] == pytest.approx(
        [1.235, 1.287, 1.313, 1.365]
    )
    lifted = asked.optimum(Ask(aims=asked.own_aims(), without=("robust.latency",))).plan
    assert lifted.metrics["chips"] == 2.0


@pytest.mark.parametrize(
    "robust, said",
    [
        ({"losses": 1}, "robust.losses: a fleet has none; ask for the service as a deployment"),
        ({"traffic": [{"requests_per_s": 4}]}, "robust.traffic: requests_per_s is of one service"),
        ({"rate": "band"}, "robust.rate: band is of the cost model; of a performance_table give a factor"),
        ({"latency": 0.9}, "robust.latency: 0.9 is neither a factor from 1 to 100 nor band"),
        ({}, "give one or several of latency, rate, traffic, losses"),
    ],
)
def test_what_cannot_be_asked_is_named(robust: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_problem(PROBLEM | {"robust": robust})
    assert said in str(error.value)
