"""Plans that do without any N of their replicas, by hand: rows, checks, the witness, what becomes of traffic.

What a loss leaves is worked out here by leaving out every choice of replicas, never from the functions under
test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import pytest
from test_check_deployment import DECODE, PREFILL, ROW, checked
from test_deployment_rows import BLUE, RED, Rows, allowed, choices, model
from test_solved_deployments import CHIPS, MOST, row

from optimizer import read_problem, solve
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.knapsack import Knapsack
from optimizer.questions.deployment.least import least_chips
from optimizer.questions.deployment.optimum import Packed, optimum
from optimizer.questions.question import question_of

UNLIKE: Rows = [
    row(1, 1.0),
    row(1, 2.5, chip="blue"),
    row(1, 2.0, mode="prefill", chip="blue"),
    row(2, 1.5, mode="decode", tensor_parallel=2),
]


def worst(each: Sequence[tuple[str, float]], lost: int) -> float:
    """The least traffic that replicas serve with some `lost` of them left out."""

    def carried(some: Sequence[tuple[str, float]]) -> float:
        pool = {mode: sum(r for m, r in some if m == mode) for mode in ("aggregated", "prefill", "decode")}
        return pool["aggregated"] + min(pool["prefill"], pool["decode"])

    return min((carried(some) for some in combinations(each, max(0, len(each) - lost))), default=0.0)


def replicas_of(rows: Rows, counts: Sequence[int]) -> list[tuple[str, float]]:
    return [(r["mode"], r["requests_per_s"]) for r, n in zip(rows, counts, strict=True) for _ in range(n)]


@pytest.mark.parametrize("spares, rows", [(1, UNLIKE), (2, [*UNLIKE[:2], row(1, 1.5)])])
@pytest.mark.parametrize("demand", [2.0, 3.0])
def test_rows_allow_the_plans_that_do_without_any_replicas(spares: int, rows: Rows, demand: float) -> None:
    limits = {"requests_per_s": demand, "spares": spares, "inventory:blue": 2.0, "inventory:red": 4.0}
    own = model(rows, limits, supplies=(replace(RED, node=None), BLUE))

    def may(*n: int) -> bool:
        used = {"red": 0, "blue": 0}
        for r, k in zip(rows, n, strict=True):
            used[r["chip"]] += k * r["chips"]
        fits = used["red"] <= 4 and used["blue"] <= 2
        return fits and worst(replicas_of(rows, n), spares) >= demand

    tops = [own.m.highs[i] for i in own.n]
    assert tops[:2] == [min(4, int(demand) + spares), 2]
    assert allowed(own) == choices(tops, may) != set()


def test_no_plan_has_use_for_more_than_the_traffic_takes_and_the_spares() -> None:
    """Three replicas of 1 request/s for 3, and two more."""
    own = model([row(1, 1.0)], {"requests_per_s": 3.0, "spares": 2.0})
    assert [own.m.highs[i] for i in own.n] == [5]


def planned(rows: Rows, objectives: Any, bounds: Mapping[str, float], **fields: Any) -> Packed:
    """The optimum, which the checker accepts."""
    columns = DeploymentColumns(
        Replicas.of(rows), (replace(RED, node=None),), None, fields.pop("same", False), {}, None, {}
    )
    found = optimum(columns, objectives, bounds)
    check = DeploymentCheck(
        columns.replicas, columns.supplies, found.counts, {}, bounds.get("requests_per_s"),
        spares=int(bounds["spares"]), same=columns.same,
    )  # fmt: skip
    assert not found.counts or check.broken(bounds) == []
    return found


@pytest.mark.parametrize("spares, chips", [(0, 2), (1, 3), (2, 4), (3, 5)])
def test_small_replicas_are_cheaper_to_lose(spares: int, chips: int) -> None:
    """For 4 requests/s one replica of 4 on two chips, or four of 2 on one: the large one is lost at once."""
    rows = [row(1, 2.0), row(2, 4.0, tensor_parallel=2)]
    found = planned(rows, CHIPS, {"requests_per_s": 4.0, "spares": spares})
    assert found.values["chips"] == chips and found.status == "optimal"
    assert spares == 0 or found.counts == {0: chips}
    assert "outside both engines" in found.confirmed_by[0]


def test_both_pools_do_without() -> None:
    """Pairs of prefill at 2 and decode at 1.5 for 3 requests/s: 2 + 2, and one more of each."""
    rows = [row(1, 2.0, mode="prefill"), row(1, 1.5, mode="decode")]
    bounds = {"requests_per_s": 3.0, "spares": 1.0}
    assert planned(rows, CHIPS, bounds).counts == {0: 3, 1: 3}
    assert planned(rows, CHIPS, bounds, same=True).counts == {0: 3, 1: 3}
    stock = {"requests_per_s": 1e-8, "spares": 1.0, "inventory:red": 6.0}
    most = planned(rows, MOST, stock)
    assert (most.served, most.values["requests_per_s"]) == (3.0, 3.0)


def test_a_plan_of_one_replica_has_no_spare() -> None:
    bounds = {"requests_per_s": 1.0, "spares": 1.0, "inventory:red": 1.0}
    assert planned([row(1, 5.0)], CHIPS, bounds).status == "infeasible"
    assert planned([row(1, 5.0)], CHIPS, bounds | {"inventory:red": 2.0}).counts == {0: 2}
    more = bounds | {"inventory:red": 10.0, "spares": 10.0**7}  # more than there are
    assert planned([row(1, 5.0)], CHIPS, more).status == "infeasible"


@pytest.mark.parametrize("modes", [("aggregated",), ("prefill", "decode")])
def test_the_witness_fills_the_same_chips(modes: tuple[str, ...]) -> None:
    """Against all replicas of two sizes of each pool on up to seven chips."""
    rows = [(m, g, c) for m in modes for g, c in ((1, 10 + 3 * (m == "decode")), (2, 27))]
    for spares in (1, 2):
        own = Knapsack(*map(list, zip(*rows, strict=True)), spares=spares)
        best = [0] * 8
        for n in product(range(8), repeat=len(rows)):
            used = sum(k * g for k, (_, g, _) in zip(n, rows, strict=True))
            if used <= 7:
                each = [(m, c) for k, (m, _, c) in zip(n, rows, strict=True) for _ in range(k)]
                best[used] = max(best[used], int(worst(each, spares)))
        assert own.most_traffic(7).tolist() == [max(best[: n + 1]) for n in range(8)]


def test_the_check_takes_replicas_away() -> None:
    """Two of 2 requests/s and a pair of pools for 3: 7 whole, 4 without the one that prefills."""
    plan = checked(ROW, PREFILL, DECODE, counts={0: 2, 1: 1, 2: 2}, demand=4.0, spares=1)
    assert float(plan.loads.served) == 7.0
    assert plan.broken({}) == []
    assert plan.totals()["requests_per_s"] == 4.0
    assert plan.totals()["requests_per_s_whole"] == 7.0
    assert plan.totals()["spares"] == 1
    assert replace(plan, demand=4.01).broken({}) == ["requests_per_s", "spares"]
    assert replace(plan, spares=2).broken({}) == ["requests_per_s", "spares"]
    assert replace(plan, spares=0, demand=7.0).broken({}) == []
    assert replace(plan, demand=None).broken({}) == []
    assert replace(plan, demand=None, spares=5).broken({}) == ["spares"]
    assert plan.loads.utilisation("decode") == pytest.approx(4 / 7)  # nothing is lost yet


def test_those_that_are_left_are_in_time_too() -> None:
    """Two replicas at 0.6 of 1 request/s each; the one that is left of them is given as much as both."""
    plan = checked(ROW | {"requests_per_s": 1.0, "ttft_ms": 1000.0}, counts={0: 2}, demand=0.6, spares=1)
    queued = replace(plan, percentile=90.0, given={0: 0.6})
    # wait(90 %) at rho 0.6: ln(0.6 / 0.1) / 0.4 s = 4.48 s after one of service
    assert queued.broken({"ttft_ms_max": 5480.0}) == []
    assert queued.broken({"ttft_ms_max": 5470.0}) == ["percentile"]
    assert replace(queued, spares=0, demand=0.6).broken({"ttft_ms_max": 5470.0}) == []


TABLED: dict[str, Any] = {
    "name": "spared",
    "hardware": [{"chip": "red", "usd_per_chip_hour": 1.0, "max_count": 6}],
    "performance_table": [
        {"mode": "aggregated", "chip": "red", "chips": 1, "requests_per_s": 1, "ttft_ms": 100, "tpot_ms": 10},
        {"mode": "aggregated", "chip": "red", "chips": 2, "requests_per_s": 3, "ttft_ms": 50, "tpot_ms": 9},
    ],
    "workload": {"input_tokens": 10, "output_tokens": 10},
}


def test_the_most_traffic_is_what_is_held() -> None:
    """Of three of 3 requests/s on six chips 6 are left; of six of 1, 5."""
    problem = TABLED | {"maximize": "requests_per_s", "constraints": {"spares": 1}}
    answer = solve(read_problem(problem))
    assert (answer.status, answer.objective.value) == ("optimal", 6.0)
    assert answer.metrics["requests_per_s_whole"] == 9.0
    assert answer.metrics["output_tokens_per_s"] == 60.0
    assert answer.metrics["utilisation"] == pytest.approx(6 / 9)
    assert [row.constraint for row in answer.binding] == ["inventory:red", "spares"]
    assert any(row.name == "spares" and "any one replica" in row.value for row in answer.assumptions)


def test_a_conflict_over_spares_says_how_many_there_can_be() -> None:
    workload = TABLED["workload"] | {"requests_per_s": 3.0}
    asked = TABLED | {"workload": workload, "minimize": "chips", "constraints": {"spares": 4}}
    answer = solve(read_problem(asked))
    assert answer.status == "infeasible" and answer.conflict is not None
    said = {row.constraint: row.sentence for row in answer.conflict.relaxations}
    assert said == {
        "inventory:red": "7 chips of red would do",
        "requests_per_s": "2 requests/s would do",
        "spares": "3 spares would do",
    }


def test_the_least_known_before_pricing_counts_the_spares() -> None:
    problem = {
        "name": "p",
        "architecture": "meta-llama/Llama-3.1-8B",
        "hardware": "nvidia-h100-sxm",
        "deployment": {"mode": ["disaggregated"], "tensor_parallel": [2, 4]},
        "workload": {"input_tokens": 10, "output_tokens": 10, "requests_per_s": 1},
        "minimize": "chips",
        "constraints": {"spares": 2},
    }
    read = read_problem(problem)
    assert least_chips(read, question_of(read).offered) == 2 * 2 * 3
