"""A deployment that is stopped says what it has, and proves nothing of what it did not look at.

Guards the early plan, and the words 'optimal' and 'infeasible', which need every configuration.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from optimizer.columns.replica_costs import UNPRICED
from optimizer.solver import deployment
from optimizer.solver.milp import Milp, Proved
from optimizer.spec.deployment import DeploymentProblem
from optimizer.studies import deploy
from optimizer.studies.deploy_columns import prepare
from optimizer.studies.solve import Options
from optimizer.watch import Stopped, Watch

PROBLEM: dict[str, Any] = {
    "name": "many",
    "architecture": "Qwen/Qwen3-30B-A3B",
    "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 24}, {"chip": "nvidia-l40s", "max_count": 24}],
    "deployment": {
        "mode": ["aggregated", "disaggregated", "separated"],
        "tensor_parallel": [1, 2, 4],
        "data_parallel": [1, 2],
        "pipeline_parallel": [1, 2],
        "batch": [4, 16, 64, 128],
        "microbatches": 2,
    },
    "workload": {"input_tokens": 2000, "output_tokens": 200, "requests_per_s": 20},
    "minimize": "chips",
}


def asked(**fields: Any) -> DeploymentProblem:
    return DeploymentProblem.model_validate(PROBLEM | fields)


def after(looks: int) -> Callable[[], bool]:
    """Somebody who cancels at the n-th time of asking."""
    count = iter(range(10**9))
    return lambda: next(count) >= looks


def test_pricing_stops_where_it_is_told() -> None:
    whole = prepare(asked())
    assert whole.complete and UNPRICED not in whole.dropped
    sizes = []
    for looks in (3, 10, 30, 60):
        some = prepare(asked(), None, Watch(cancelled=after(looks)))
        assert not some.complete and some.dropped[UNPRICED] > 0
        sizes.append(len(some.replicas))
        known = {tuple(whole.replicas.row(i).values()) for i in range(len(whole.replicas))}
        assert {tuple(some.replicas.row(i).values()) for i in range(len(some.replicas))} <= known
    assert sizes == sorted(sizes) and 0 < sizes[0] < sizes[-1] < len(whole.replicas)
    with pytest.raises(Stopped):
        prepare(asked(), None, Watch(cancelled=after(0)))


def test_a_plan_among_what_is_priced_is_no_optimum() -> None:
    """The same answer of the solver, over all configurations and over some."""
    best = deploy.solve(asked())
    assert best.status == "optimal" and best.objective.value is not None
    looked = []
    for looks in (0, 4, 30, 90):
        found = deploy.solve(asked(), Options(cancelled=after(looks)))
        assert found.status in ("feasible", "unknown")
        looked.append(found.objective.value)
        assert found.objective.value is None or found.objective.value >= best.objective.value
        if UNPRICED in found.certificate.dropped:
            assert (found.objective.bound, found.certificate.confirmed_by) == (None, ())
    assert looked[0] is None and looked[-1] is not None


def test_no_plan_among_what_is_priced_is_no_proof() -> None:
    impossible = asked(constraints={"tpot_ms_max": 0.001})
    assert deploy.solve(impossible).status == "infeasible"
    for looks in (0, 4, 30):
        found = deploy.solve(impossible, Options(cancelled=after(looks)))
        assert (found.status, found.conflict) == ("unknown", None)


def test_a_limit_that_is_over_before_the_first_price() -> None:
    found = deploy.solve(asked(maximize="output_tokens_per_s", minimize=None), Options(time_limit_s=0.0))
    assert (found.status, found.deployment, found.certificate.columns) == ("unknown", None, 0)
    assert (found.objective.name, found.objective.sense) == ("output_tokens_per_s", "max")


def test_a_later_objective_may_improve_an_earlier_one_that_was_not_proven(monkeypatch) -> None:
    """The value told is the plan's own, not that of the plan before it."""
    honest, calls = deployment.prove, []

    def lazy(m: Milp, *more: Any) -> Proved:
        """The first time a plan that is as dear as can be, without a proof."""
        calls.append(m)
        if len(calls) > 1:
            return honest(m, *more)
        goal = m.objective
        m.objective = {i: -c for i, c in goal.items()}
        found = honest(m)
        m.objective = goal
        dear = sum(c * found.values[i] for i, c in goal.items())
        return replace(found, status="feasible", objective=dear, bound=None)

    monkeypatch.setattr(deployment, "prove", lazy)
    found = deploy.solve(asked(minimize=["chips", "power_w"]))
    assert len(calls) > 1
    assert found.status == "feasible"
    assert found.objective.value == found.metrics["chips"] < 48
