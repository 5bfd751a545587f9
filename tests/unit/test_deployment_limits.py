"""A deployment that is stopped says what it has, and proves nothing of what it did not look at.

Guards the early plan, and the words 'optimal' and 'infeasible', which need every configuration.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from optimizer import Variation, explain, frontier, perturb
from optimizer.columns import replica_costs, separated_costs
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


class Asked:
    """Somebody who cancels at the n-th time of asking, and the setups priced after that."""

    def __init__(self, looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.priced, self.late = looks, 0, 0
        for module in (replica_costs, separated_costs):
            monkeypatch.setattr(module, "_priced", self._counted(module._priced))
        self.options = Options(cancelled=self.over)

    def over(self) -> bool:
        self.left -= 1
        return self.left < 0

    def _counted(self, honest: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*asked: Any) -> Any:
            self.priced += 1
            self.late += self.left < 0
            return honest(*asked)

        return counted


IMPOSSIBLE = {"constraints": {"tpot_ms_max": 0.001}}
STUDIES: dict[str, Callable[[Options], Any]] = {
    "frontier": lambda o: frontier(asked(), ("chips", "tpot_ms"), options=o),
    "perturb": lambda o: perturb(asked(), [Variation("hardware.hbm_bandwidth", 1.1)], options=o),
    "explain": lambda o: explain(asked(), options=o),
    "explain what cannot be": lambda o: explain(asked(**IMPOSSIBLE), options=o),
}


@pytest.mark.parametrize("name", STUDIES)
def test_studies_of_many_solves_stop_while_they_price(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is priced after the watch is over, and how much was is said."""
    said = []
    for looks in (0, 3, 20, 80):
        watched = Asked(looks, monkeypatch)
        found = STUDIES[name](watched.options)
        monkeypatch.undo()
        assert watched.late == 0
        if found.status == "feasible":
            assert (name, found.witness is not None, found.stopped) == ("explain", True, "")
            continue
        assert found.status == "unknown"
        priced, everything = map(
            int, re.fullmatch(r"(\d+) of (\d+) setups were priced by then", found.stopped).groups()
        )
        assert everything == 2 * 3 * 2 * 2 + 2 * 3 * 2  # chips, degrees; attention sides
        said.append(priced)
    assert said == sorted(said)
    assert said[0] == 0 and (len(said) < 4 or said[-1] > 0)


@pytest.mark.parametrize("name", ["frontier", "perturb"])
def test_a_study_stopped_while_it_prices_shows_a_plan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found among what was priced by then, never called proven."""
    best = deploy.solve(asked()).metrics["chips"]
    for looks, there in ((0, False), (20, True), (80, True)):
        found = STUDIES[name](Asked(looks, monkeypatch).options)
        monkeypatch.undo()
        assert (found.at_hand is not None) == there
        if there:
            assert found.at_hand.metrics["chips"] >= best
            assert found.at_hand.metrics["requests_per_s"] >= PROBLEM["workload"]["requests_per_s"]
        assert not (found.points if name == "frontier" else found.changes)
        module = import_module(f"optimizer.report.{name}")
        text = printed(module.report(found))
        assert ("The best plan met, not proven" in text) == there
        assert found.stopped in " ".join(text.split())


FEW = {
    "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 24}],
    "deployment": {"tensor_parallel": [1, 2], "data_parallel": [1, 2], "batch": [16, 64]},
}


def few(options: Options) -> Any:
    return perturb(asked(**FEW), [Variation("hardware.hbm_bandwidth", 1.1)], options=options)


def test_constants_are_priced_within_the_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after its first optimum a study is partial, and what it shows is of the whole one."""
    whole = Asked(10**9, monkeypatch)
    everything = few(whole.options)
    monkeypatch.undo()
    looks = 10**9 - whole.left
    partial = 0
    for share in (0.2, 0.4, 0.6, 0.8):
        watched = Asked(int(looks * share), monkeypatch)
        found = few(watched.options)
        monkeypatch.undo()
        assert watched.late == 0
        assert found.status in ("unknown", "partial")
        assert (found.status == "unknown") == (found.plan is None)
        partial += found.status == "partial"
        assert {change.model_dump_json() for change in found.changes} <= {
            change.model_dump_json() for change in everything.changes
        }
    assert partial
    assert (everything.status, everything.stopped, everything.at_hand) == ("complete", "", None)


def test_a_journal_is_left_as_it_is_while_configurations_are_priced(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    problem, named = asked(**FEW), ("chips", "tpot_ms")
    whole = frontier(problem, named, journal=path)
    kept = path.read_bytes()
    stopped = frontier(problem, named, journal=path, options=Options(cancelled=after(3)))
    assert (stopped.status, path.read_bytes()) == ("unknown", kept)
    again = frontier(problem, named, journal=path)
    assert again.model_dump(mode="json") == whole.model_dump(mode="json")


def printed(what: Any) -> str:
    out = StringIO()
    Console(file=out, width=80).print(what)
    return out.getvalue()
