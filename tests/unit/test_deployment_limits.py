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
from optimizer.questions.deployment import optimum as deployment
from optimizer.questions.deployment.columns import offered_by, prepare
from optimizer.questions.deployment.least import least_chips, weights_gib
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.fleet import pricing as fleet_columns
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.questions.options import Options
from optimizer.report.deployment import report
from optimizer.search.programme import Programme, Proved
from optimizer.studies import solve as deploy
from optimizer.studies import solve as fleet
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


SETUPS = 2 * 3 * 2 * 2 + 2 * 3 * 2
"""Chips and degrees, and the attention sides."""


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


@pytest.mark.parametrize("weights", [["bf16"], ["bf16", "fp8"]])
def test_every_replica_holds_the_weights(weights: list[str]) -> None:
    """However it is split, its experts apart or not: what the bound of a stopped study rests on."""
    problem = asked(deployment=PROBLEM["deployment"] | {"weight_dtype": weights, "expert_parallel": [1, 8]})
    r, offered = prepare(problem).replicas, offered_by(problem)
    held = r.chips * r.memory_gib + r.expert_chips * r.expert_memory_gib
    least = weights_gib(problem, offered[0])
    assert 30.5e9 * (1 if "fp8" in weights else 2) / 2**30 == pytest.approx(least, rel=0.03)
    assert (held >= least).all()
    assert held.min() < 2 * least  # it says something
    on_h100 = asked(
        hardware=["nvidia-h100-sxm"], deployment={"weight_dtype": weights, "tensor_parallel": [1, 2]}
    )
    assert least_chips(on_h100, offered_by(on_h100)) == 1
    on_l40s = asked(hardware=["nvidia-l40s"], deployment={"weight_dtype": weights, "mode": ["disaggregated"]})
    assert least_chips(on_l40s, offered_by(on_l40s)) == 2 * (1 if "fp8" in weights else 2)


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
        assert found.objective.bound is not None and 0 < found.objective.bound <= best.objective.value
        left = found.certificate.counts["dropped"].get(UNPRICED, 0)
        assert found.stopped == (f"{SETUPS - left} of {SETUPS} setups were priced by then" if left else "")
        assert found.stopped in " ".join(printed(report(found)).split())
        if left:
            assert (found.certificate.counts["setups"], found.certificate.confirmed_by) == (SETUPS, ())
    assert looked[0] is None and looked[-1] is not None


def test_no_plan_among_what_is_priced_is_no_proof() -> None:
    impossible = asked(constraints={"tpot_ms_max": 0.001})
    assert deploy.solve(impossible).status == "infeasible"
    for looks in (0, 4, 30):
        found = deploy.solve(impossible, Options(cancelled=after(looks)))
        assert (found.status, found.conflict) == ("unknown", None)


def test_a_limit_that_is_over_before_the_first_price() -> None:
    found = deploy.solve(asked(maximize="output_tokens_per_s", minimize=None), Options(time_limit_s=0.0))
    assert (found.status, found.deployment, found.certificate.counts["columns"]) == ("unknown", None, 0)
    assert (found.objective.name, found.objective.sense) == ("output_tokens_per_s", "max")
    assert found.objective.bound is None  # the best of what has no price is unknown, and it is said
    assert found.stopped == f"0 of {SETUPS} setups were priced by then"
    assert found.stopped in " ".join(printed(report(found)).split())


def test_a_later_objective_may_improve_an_earlier_one_that_was_not_proven(monkeypatch) -> None:
    """The value told is the plan's own, not that of the plan before it."""
    honest, calls = deployment.prove, []

    def lazy(m: Programme, *more: Any) -> Proved:
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
        assert everything == SETUPS
        said.append(priced)
    assert said == sorted(said)
    assert said[0] == 0 and (len(said) < 4 or said[-1] > 0)


@pytest.mark.parametrize("name", STUDIES)
def test_no_question_is_put_once_the_watch_is_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But the one that finds a plan at hand: each question sorts all configurations."""
    asked_so_far: list[None] = []

    def counted(*question: Any, **more: Any) -> Any:
        asked_so_far.append(None)
        return deployment.optimum(*question, **more)

    for module in ("bounded", "explain", "question"):
        monkeypatch.setattr(f"optimizer.questions.deployment.{module}.optimum", counted)
    for questions in (1, 2, 4, 7, 11):
        asked_so_far.clear()
        found = STUDIES[name](Options(cancelled=lambda n=questions: len(asked_so_far) >= n))
        assert len(asked_so_far) <= questions + 1
        assert found.status in ("unknown", "partial", "feasible")


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


TWO: dict[str, Any] = {
    "name": "two",
    "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 16}, {"chip": "nvidia-l40s", "max_count": 16}],
    "deployment": {"tensor_parallel": [1, 2, 4], "batch": [4, 16, 64]},
    "services": [
        {
            "name": name,
            "architecture": model,
            "traffic": [
                {"input_tokens": 500, "output_tokens": 100, "requests_per_s": 5},
                {"input_tokens": 4000, "output_tokens": 200, "requests_per_s": 1},
            ],
        }
        for name, model in (("large", "Qwen/Qwen3-30B-A3B"), ("small", "meta-llama/Llama-3.1-8B"))
    ],
}


@pytest.mark.parametrize("goal", [{"minimize": "chips"}, {"maximize": "requests_per_s"}])
def test_a_fleet_stops_while_it_is_priced(goal: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is priced after the watch is over; what is not proven is not said, and the bound is true."""
    problem = FleetProblem.model_validate(TWO | goal)
    best = fleet.solve(problem)
    assert (best.status, best.stopped, best.certificate.counts["setups"]) == ("optimal", "", 2 * 2 * 2 * 3)
    sense = 1 if "minimize" in goal else -1
    for looks in (0, 3, 8, 14, 20):
        watched = Asked(looks, monkeypatch)
        found = fleet.solve(problem, watched.options)
        monkeypatch.undo()
        assert watched.late == 0
        assert found.status == "unknown" and "setup" in found.stopped
        assert sense * found.objective.bound <= sense * best.objective.value
        assert found.objective.bound > 0


def test_a_part_of_every_bucket_is_a_fleet_but_no_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when each bucket had its share of the time: the largest splits have no price."""
    problem = FleetProblem.model_validate(TWO | {"minimize": "chips"})
    best, honest = fleet.solve(problem), fleet_columns.prepare

    def some(single: DeploymentProblem, offered: None, watch: Watch) -> Any:
        return honest(single, offered, Watch(cancelled=after(9)))

    monkeypatch.setattr(fleet_columns, "prepare", some)
    found = fleet.solve(problem)
    assert found.status == "feasible"
    assert found.objective.value >= best.objective.value >= found.objective.bound > 0
    assert found.certificate.confirmed_by == ()
    left = found.certificate.counts["dropped"][UNPRICED]
    assert 0 < left < found.certificate.counts["setups"]
    assert found.stopped == f"{24 - left} of 24 setups were priced by then"


def printed(what: Any) -> str:
    out = StringIO()
    Console(file=out, width=80).print(what)
    return out.getvalue()
