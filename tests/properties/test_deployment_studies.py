"""Frontiers and perturbations of small deployments against enumeration of every plan.

Guards that a frontier is complete with a latency among its objectives, and that prices have the right sign.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import packing_oracle as oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer import explain, frontier, perturb
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.question import DeploymentQuestion
from optimizer.search.steps import steps_of, whole_steps

HEADER = "mode,chip,chips,tp,requests_per_s,ttft_ms,tpot_ms,kv_dtype"
SLOW = "aggregated,red,1,1,0.5,600.0,60.0,bf16"
"""A configuration of every table: cheap and late."""
LATENCY = {"ttft_ms": "decode", "tpot_ms": "prefill"}
MOST = 4
SETTINGS = settings(max_examples=36, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def rows(draw: Any) -> str:
    tp = draw(st.sampled_from([1, 2, 3]))
    cells = [
        draw(st.sampled_from(["aggregated", "aggregated", "prefill", "decode"])),
        draw(st.sampled_from(["red", "blue"])),
        tp * draw(st.sampled_from([1, 1, 2])),
        tp,
        draw(st.sampled_from([1.125, 0.25, 0.4, 0.75, 1.9, 3.0])),
        draw(st.sampled_from([50.0, 100.0, 250.5, 500.0])),
        draw(st.sampled_from([5.0, 10.0, 20.25, 50.0])),
        draw(st.sampled_from(["bf16", "bf16", "fp8"])),
    ]
    return ",".join(map(str, cells))


def offer(draw: Any, name: str) -> dict[str, Any]:
    return {
        "chip": name,
        "max_count": draw(st.sampled_from([MOST, MOST, 3, 1])),
        "usd_per_chip_hour": draw(st.sampled_from([1.3, 2.05, 3.0])),
        "power_w": draw(st.sampled_from([700.0, 1000.5])),
        "node": draw(st.sampled_from([4, 5, 8])),
    }


@st.composite
def deployments(draw: Any) -> tuple[str, dict[str, Any]]:
    """A table, and a problem about it."""
    table = draw(st.lists(rows(), min_size=2, max_size=3, unique=True))
    optional = {"ttft_ms_max": st.sampled_from([260.0, 900.0]), "chips_max": st.integers(2, 8)}
    problem = {
        "name": "small",
        "hardware": [offer(draw, "red"), offer(draw, "blue")],
        "deployment": {
            "mode": ["aggregated", "disaggregated"],
            "mix": draw(st.sampled_from(["any", "any", "same"])),
        },
        "workload": {
            "input_tokens": 100,
            "output_tokens": 10,
            "requests_per_s": draw(st.sampled_from([0.9, 1.5, 0.2, 4.0])),
        },
        "minimize": "chips",
        "constraints": draw(st.fixed_dictionaries({}, optional=optional)),
    }
    return "\n".join([HEADER, SLOW, *table]) + "\n", problem


def posed(folder: Path, table: str, problem: dict[str, Any]) -> DeploymentProblem:
    path = folder / "table.csv"
    path.write_text(table)
    return DeploymentProblem.model_validate(problem | {"performance_table": str(path)})


def all_plans(problem: DeploymentProblem, names: tuple[str, ...]) -> list[tuple[Fraction, ...]]:
    """The metrics of every plan, by counting."""
    question = DeploymentQuestion(problem)
    columns, bounds = question.columns, question.bounds
    table = [columns.replicas.row(i) for i in range(len(columns.replicas))]

    def metric(counts: dict[int, int], name: str) -> Fraction:
        if name in LATENCY:
            return max(Fraction(repr(table[i][name])) for i in counts if table[i]["mode"] != LATENCY[name])
        value = oracle._value(columns, counts, name, bounds)
        assert value is not None
        return value

    return [tuple(metric(c, n) for n in names) for c in oracle._plans(columns, bounds, MOST)]


def pareto(plans: list[tuple[Fraction, ...]], aims: Any) -> set[tuple[float, ...]]:
    keys = {
        (
            aims[0].sign * float(p[0]),
            *(whole_steps(a, float(v)) for a, v in zip(aims[1:], p[1:], strict=True)),
        )
        for p in plans
    }
    return {
        k for k in keys if not any(o != k and all(x <= y for x, y in zip(o, k, strict=True)) for o in keys)
    }


NAMES = ("chips", "usd_per_hour", "power_w", "nodes", "requests_per_s", "ttft_ms", "tpot_ms")


@SETTINGS
@given(deployments(), st.permutations(NAMES), st.sampled_from([2, 2, 3]))
def test_a_frontier_equals_enumeration(tmp_path: Path, instance: Any, order: list[str], n: int) -> None:
    problem = posed(tmp_path, *instance)
    names = tuple(order[:n])
    found = frontier(problem, names)
    truth = pareto(all_plans(problem, names), found.objectives)
    first, *later = found.objectives
    points = {(first.sign * p.metrics[first.metric], *steps_of(tuple(later), p)) for p in found.points}
    assert {tuple(round(v, 6) for v in p) for p in points} == {tuple(round(v, 6) for v in p) for p in truth}
    assert found.status == ("complete" if truth else "infeasible")


@settings(SETTINGS, max_examples=8)
@given(deployments())
def test_looser_is_never_worse_and_every_change_is_the_optimum_of_its_own_problem(
    tmp_path: Path, instance: Any
) -> None:
    table, asked = instance
    problem = posed(tmp_path, table, asked)
    found = perturb(problem)
    plans = all_plans(problem, ("chips",))
    assert (found.value is None) == (not plans)
    for change in (c for c in found.changes if c.kind == "constraint"):
        demand = change.name == "requests_per_s"
        looser = change.to is None or (change.to <= change.from_) == demand
        if looser:
            assert change.difference is not None and change.difference <= 0
        elif change.difference is not None:
            assert change.difference >= 0
        if demand:
            moved = asked | {"workload": asked["workload"] | {"requests_per_s": change.to}}
            truth = min(all_plans(posed(tmp_path, table, moved), ("chips",)), default=None)
            assert change.objective == (None if truth is None else float(truth[0]))


@settings(SETTINGS, max_examples=8)
@given(deployments())
def test_every_minimal_conflict_is_one(tmp_path: Path, instance: Any) -> None:
    """Brute force has no plan within a conflict, and one when any of its bounds is left out."""
    table, asked = instance
    asked = asked | {"constraints": {"ttft_ms_max": 120.0, "tpot_ms_max": 15.0, "chips_max": 2}}
    problem = posed(tmp_path, table, asked)
    found = explain(problem)
    question = DeploymentQuestion(problem)

    def feasible(names: set[str]) -> bool:
        bounds = {"requests_per_s": 1e-6} | {n: v for n, v in question.bounds.items() if n in names}
        return any(True for _ in oracle._plans(question.columns, bounds, MOST))

    assert (found.status == "feasible") == feasible(set(question.bounds))
    assert found.status == "feasible" or (found.complete and found.conflicts)
    for conflict in found.conflicts:
        if "requests_per_s" in conflict:
            continue  # the oracle's largest count would be a limit of its own
        assert not feasible(set(conflict))
        assert all(feasible(set(conflict) - {name}) for name in conflict)


def test_a_table_that_changed_is_read_again(tmp_path: Path) -> None:
    problem = {
        "name": "small",
        "hardware": [{"chip": "red", "max_count": 8}],
        "workload": {"input_tokens": 1, "output_tokens": 1, "requests_per_s": 4},
        "minimize": "chips",
    }
    for rate, chips in ((1, 4), (2, 2)):
        asked = posed(tmp_path, f"{HEADER}\naggregated,red,1,1,{rate},100,10,bf16\n", problem)
        assert [p.metrics["chips"] for p in frontier(asked, ("chips", "tpot_ms")).points] == [chips]


@pytest.mark.parametrize("names", [("chips", "loss"), ("usd_per_hour", "chips"), ("chips", "memory_gib")])
def test_objectives_that_a_deployment_has_not(tmp_path: Path, names: tuple[str, str]) -> None:
    from optimizer import InputError

    problem = {
        "name": "small",
        "hardware": [{"chip": "red", "max_count": 8}],
        "workload": {"input_tokens": 1, "output_tokens": 1, "requests_per_s": 4},
        "minimize": "chips",
    }
    asked = posed(tmp_path, f"{HEADER}\naggregated,red,1,1,1,100,10,bf16\n", problem)
    with pytest.raises(InputError, match="objectives"):
        frontier(asked, names)
