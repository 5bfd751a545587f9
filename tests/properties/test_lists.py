"""Lists of the best plans, and frontiers of fleets, pipelines and training, against counting them all.

Guards that cutting boxes of choices misses no combination and lists none twice: of kinds whose plans have one
value of each choice, and of those whose plans may mix several.
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import packing_oracle as oracle
import pytest
import small_problems
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_deployment_studies import MOST, deployments, posed

from optimizer import enumerate_plans, frontier, solve
from optimizer.questions.deployment.question import DeploymentQuestion
from optimizer.questions.question import question_of
from optimizer.search.steps import steps_of

SETTINGS = settings(max_examples=16, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
CHOICES = {"hardware": "chip", "mode": "mode", "tensor_parallel": "tensor_parallel", "kv_dtype": "kv_dtype"}
PHASE = {"aggregated": "aggregated", "prefill": "disaggregated", "decode": "disaggregated"}


@SETTINGS
@given(deployments(), st.sets(st.sampled_from(sorted(CHOICES)), min_size=1, max_size=3))
def test_a_list_of_deployments_is_that_of_counting(tmp_path: Path, instance: Any, names: set[str]) -> None:
    """Of each set of values that plans have of the named choices, the cheapest; and in that order."""
    problem = posed(tmp_path, *instance)
    question = DeploymentQuestion(problem)
    free = question.domains()
    distinct = sorted(name for name in names if name in free)
    if not distinct:
        return
    columns, bounds = question.columns, question.bounds
    table = [columns.replicas.row(i) for i in range(len(columns.replicas))]
    best: dict[Any, float] = {}
    for counts in oracle._plans(columns, bounds, MOST):
        key = tuple(frozenset(_value(table[i], name) for i in counts) for name in distinct)
        value = oracle._value(columns, counts, "chips", bounds)
        assert value is not None
        best[key] = min(float(value), best.get(key, float("inf")))
    found = enumerate_plans(problem, top=100, distinct=distinct)
    keys = [
        tuple(frozenset(_of_pool(pool, name) for pool in plan.pools) for name in distinct)
        for plan in found.plans
    ]
    assert len(set(keys)) == len(keys)
    assert {key: plan.metrics["chips"] for key, plan in zip(keys, found.plans, strict=True)} == best
    assert [p.metrics["chips"] for p in found.plans] == sorted(best.values())


def _value(row: Mapping[str, Any], name: str) -> Any:
    return PHASE[row["mode"]] if name == "mode" else row[CHOICES[name]]


def _of_pool(pool: Any, name: str) -> Any:
    return PHASE[pool.phase] if name == "mode" else getattr(pool, CHOICES[name])


@pytest.mark.parametrize("kind", ["pipeline", "training"])
def test_a_list_is_that_of_every_combination_solved_alone(kind: str) -> None:
    """Each combination of free choices is a re-solve of its own; their optima in order are the list."""
    from optimizer.questions.question import Ask

    problem = small_problems.problem(kind)
    question = question_of(problem)
    [aim] = question.own_aims()
    names = question.listed_by()
    values = [question.domains()[name] for name in names]
    alone = []
    for chosen in product(*values):
        within = {name: (value,) for name, value in zip(names, chosen, strict=True)}
        plan = question.optimum(Ask(aims=(aim,), within=within)).plan
        if plan is not None:
            own = question.choices(plan)
            assert tuple(own[name] for name in names) == chosen
            alone.append(aim.sign * plan.metrics[aim.metric])
    found = enumerate_plans(problem, top=10_000)
    assert found.plans_complete
    assert [aim.sign * p.metrics[aim.metric] for p in found.plans] == pytest.approx(sorted(alone), rel=1e-9)
    few = enumerate_plans(problem, within=0.8)
    limit = min(alone) + 0.8 * abs(min(alone))
    assert len(few.plans) == sum(key <= limit for key in alone) > 1


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("fleet", ("usd_per_hour", "chips")),
        ("fleet", ("power_w", "usd_per_hour", "chips")),
        ("pipeline", ("output_tokens_per_s", "tpot_ms")),
        ("training", ("train_tokens_per_s", "chips")),
        ("training", ("step_s", "memory_gib", "chips")),
    ],
)
def test_no_list_has_a_plan_that_a_frontier_lacks(kind: str, names: tuple[str, ...]) -> None:
    """Every plan of a long list is dominated by a point, or is one; and no point dominates another."""
    problem = small_problems.problem(kind)
    found = frontier(problem, names)
    assert found.status == "complete"
    first, *later = found.objectives
    points = [
        (round(first.sign * p.metrics[first.metric], 6), *steps_of(tuple(later), p)) for p in found.points
    ]
    for one in points:
        assert not any(o != one and all(x <= y for x, y in zip(o, one, strict=True)) for o in points)
    for plan in enumerate_plans(problem, top=200).plans:
        own = (round(first.sign * plan.metrics[first.metric], 6), *steps_of(tuple(later), plan))
        assert any(all(x <= y + 1e-6 for x, y in zip(o, own, strict=True)) for o in points)
    best = solve(problem).objective
    if best.name == first.metric:
        assert found.points[0].metrics[first.metric] == pytest.approx(best.value, rel=1e-9)


@pytest.mark.parametrize("services", [1, 2])
def test_a_fleet_of_tables_is_that_of_counting(services: int) -> None:
    """The frontier of a small fleet against every number of replicas of every row."""
    own = small_problems.PROBLEMS["fleet"]
    problem = small_problems.problem("fleet", services=own["services"][:services])
    found = frontier(problem, ("usd_per_hour", "chips"))
    rows = [row for row in small_problems.ROWS if row["chip"] in ("red", "blue")]
    price = {"red": 1.0, "blue": 2.5}
    stock = {"red": 8, "blue": 4}
    each = []
    for service in own["services"][:services]:
        demand = service["traffic"][0]["requests_per_s"]
        limit = service.get("constraints", {}).get("tpot_ms_max", float("inf"))
        usable = [row for row in rows if row["mode"] == "prefill" or row["tpot_ms"] <= limit]
        ways = set()
        for counts in product(range(5), repeat=len(usable)):
            sums = dict.fromkeys(("aggregated", "prefill", "decode"), 0.0)
            used = {"red": 0, "blue": 0}
            for row, n in zip(usable, counts, strict=True):
                sums[row["mode"]] += n * row["requests_per_s"]
                used[row["chip"]] += n * row["chips"]
            if sums["aggregated"] + min(sums["prefill"], sums["decode"]) >= demand - 1e-9:
                ways.add((used["red"], used["blue"]))
        each.append(ways)
    totals = {(sum(w[0] for w in chosen), sum(w[1] for w in chosen)) for chosen in product(*each)}
    keys = {
        (price["red"] * r + price["blue"] * b, r + b)
        for r, b in totals
        if r <= stock["red"] and b <= stock["blue"]
    }
    pareto = {k for k in keys if not any(o != k and o[0] <= k[0] and o[1] <= k[1] for o in keys)}
    assert {(p.metrics["usd_per_hour"], p.metrics["chips"]) for p in found.points} == pareto
