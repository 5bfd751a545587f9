"""The search as a whole: faults put into each of its witnesses are caught, and its answers are stable.

Guards the claim that no wrong answer is silent. Each fault here stands for a defect that was seen or
that one could make: a solver that says infeasible, one that loses plans, rows that are not posted,
floors that are too high, columns that disagree with the cost model.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import samples

import optimizer.questions.architecture.search as search_module
import optimizer.questions.architecture.slice_search as slice_module
import optimizer.questions.architecture.table as table_module
from optimizer import InputError, InternalMismatch, Options, catalog, solve
from optimizer.metrics import evaluate, held
from optimizer.questions import problems
from optimizer.questions.architecture.enumeration import brute_force
from optimizer.questions.architecture.equals import chosen_among_equals
from optimizer.questions.architecture.floors import Floors
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.slice_model import SliceModel
from optimizer.questions.architecture.space import resolve
from optimizer.report.json import to_json
from optimizer.solver.cp_sat_twice import Solve
from optimizer.watch import Stopped

BOUNDED = {"constraints": {"loss_max": 2.22, "memory_gib_max": 7.5}}
WIDEST = {"minimize": None, "maximize": "n_params"}
TIGHT = WIDEST | {"constraints": {"memory_gib_max": 7.0, "ttft_ms_max": 1e4}}


def optimum(problem) -> float:
    """By full enumeration of the columns."""
    space = resolve(problem)
    name, sense = problem.objectives[0]
    return sense * brute_force(space, space.rules, symbol(name), sense)


def answer(result) -> tuple:
    return result.status, result.objective, result.architecture, result.deployment, result.metrics


def test_a_false_infeasible_is_never_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SliceModel, "solve", lambda *a: (Solve("infeasible", None, None, (), 0.0), None))
    with pytest.raises(InternalMismatch, match="no answer is given"):
        solve(samples.problem())


def test_a_solver_that_loses_the_best_kind_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SliceModel.solve

    def faulty(self: SliceModel, *rest: Any) -> Any:
        _, choice = honest(self, *rest)
        if choice is not None:
            self.model.add(self._a[choice[0]] == 0)
        return honest(self, *rest)

    monkeypatch.setattr(SliceModel, "solve", faulty)
    with pytest.raises(InternalMismatch, match="no answer is given"):
        solve(samples.problem())


def test_a_solver_that_stops_at_a_worse_plan_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPTIMAL at the wrong end of the slice, then infeasible: the defect of 9.15."""
    honest = SliceModel.solve
    asked: list[int] = []

    def faulty(self: SliceModel, *rest: Any) -> Any:
        if id(self) in asked:
            return Solve("infeasible", None, None, (), 0.0), None
        asked.append(id(self))
        self.model.maximize(self._value)
        return honest(self, *rest)

    monkeypatch.setattr(SliceModel, "solve", faulty)
    with pytest.raises(InternalMismatch, match="no answer is given"):
        solve(samples.problem())


def test_rows_that_are_not_posted_cost_time_and_not_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rows let through, the float model rejects plan by plan."""
    truth = solve(samples.problem(**TIGHT))
    assert truth.metrics["n_params"] < solve(samples.problem(**WIDEST)).metrics["n_params"]
    monkeypatch.setattr(SliceModel, "add_rules", lambda self: None)
    again = solve(samples.problem(**TIGHT))
    assert answer(again) == answer(truth)
    assert again.certificate.counts["band"] > truth.certificate.counts["band"]


def test_floors_that_rule_out_everything_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Floors, "key", lambda self, setting: np.full(len(setting.d_model), np.inf))
    with pytest.raises(InternalMismatch, match="without them"):
        solve(samples.problem())


def test_columns_that_disagree_with_the_cost_model_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """CP-SAT and its enumeration read the same columns; only the checker knows better."""
    honest = table_module.frame_table

    def faulty(*rest: Any) -> Any:
        table = honest(*rest)
        table.columns.update(
            {n: replace(c, attention=0.9 * c.attention) for n, c in table.columns.items() if n == "decode_s"}
        )
        return table

    monkeypatch.setattr(table_module, "frame_table", faulty)
    with pytest.raises(InternalMismatch):
        solve(samples.problem())


def test_a_plan_that_breaks_a_rule_when_recomputed_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if compiler, rows and enumeration all had forgotten one rule."""
    asked = samples.problem(constraints={"tpot_ms_max": 1e-3})
    forgetful = search_module.Search.run

    def run(self: Any) -> Any:
        self.rules = self.rules.without("tpot_ms_max")
        return forgetful(self)

    monkeypatch.setattr(search_module.Search, "run", run)
    with pytest.raises(InternalMismatch, match="breaks tpot_ms_max"):
        solve(asked)


@pytest.mark.parametrize("change", [{}, BOUNDED, {"constraints": {"tpot_ms_max": 1e-3}}])
def test_two_runs_give_the_same_json(change: dict) -> None:
    def run() -> str:
        data = json.loads(to_json(solve(samples.problem(**change))))
        data.pop("wall_s")
        return json.dumps(data)

    assert run() == run()


@pytest.mark.parametrize("metric", ["tpot_ms", "ttft_ms", "memory_gib", "n_params", "loss"])
def test_minimum_is_the_enumerated_one(metric: str) -> None:
    asked = samples.problem(minimize=metric)
    result = solve(asked)
    assert result.objective.value == pytest.approx(optimum(asked), rel=1e-9)
    assert result.objective.gap == pytest.approx(0, abs=1e-12)
    assert result.objective.sense == "min"


@pytest.mark.parametrize("metric", ["output_tokens_per_s_per_chip", "n_params", "tpot_ms"])
def test_maximum_is_the_enumerated_one(metric: str) -> None:
    asked = samples.problem(minimize=None, maximize=metric)
    result = solve(asked)
    assert result.objective.sense == "max"
    assert result.objective.value == pytest.approx(optimum(asked), rel=1e-9)
    assert result.objective.value > solve(samples.problem(minimize=metric)).metrics[metric]


def test_later_objectives_decide_between_equals() -> None:
    """The smallest model is as small on each chip and split; the second objective picks among them."""
    choice = {
        "hardware": ["nvidia-a100-80-sxm", "nvidia-b200-sxm", "nvidia-h100-sxm"],
        "deployment": {"tensor_parallel": [1, 2]},
    }
    smallest = solve(samples.problem(minimize="n_params", **choice)).objective.value
    fastest = solve(samples.problem(minimize=["n_params", "tpot_ms"], **choice))
    slowest_first = solve(samples.problem(minimize=["tpot_ms", "n_params"], **choice))
    assert fastest.objective.value == fastest.metrics["n_params"] == smallest
    assert slowest_first.metrics["tpot_ms"] <= fastest.metrics["tpot_ms"]
    only = samples.problem(minimize="tpot_ms", constraints={"n_params_max": smallest}, **choice)
    assert fastest.metrics["tpot_ms"] == pytest.approx(optimum(only), rel=1e-9)
    assert fastest.deployment.pools[0].chip == "nvidia-b200-sxm"
    assert fastest.objective.name == "n_params"


def test_the_best_of_several_chips() -> None:
    names = ["nvidia-h100-sxm", "nvidia-b200-sxm", "google-tpu-v5e"]
    alone = {n: solve(samples.problem(hardware=n)) for n in names}
    both = solve(samples.problem(hardware=names))
    best = min(names, key=lambda n: alone[n].objective.value)
    assert both.deployment.pools[0].chip == best
    assert both.objective.value == alone[best].objective.value
    assert both.certificate.counts["frames"] == sum(r.certificate.counts["frames"] for r in alone.values())
    assert both.certificate.counts["lattice_points"] == 3 * alone[best].certificate.counts["lattice_points"]


def test_a_published_model_can_be_the_fixed_architecture() -> None:
    """Only the deployment is free, and shape rules that published models break do not apply."""
    name = "mistralai/Mistral-7B-v0.3"
    result = solve(
        samples.problem(
            architecture=name,
            deployment={"tensor_parallel": [1, 2, 4, 8], "weight_dtype": ["bf16", "fp8"]},
        )
    )
    assert result.status == "optimal"
    own = catalog.model(name)
    dims = result.architecture
    assert (dims.n_layers, dims.d_model, dims.n_params) == (32, 4096, 7_248_023_552)
    pool = result.deployment.pools[0]
    assert (pool.tensor_parallel, pool.weight_dtype) == (8, "fp8")
    frame = samples.frame(
        own,
        tensor_parallel=8,
        batch=8,
        weight_dtype="fp8",
        input_tokens=1024,
        output_tokens=256,
        training_tokens=2e12,
        engine=catalog.engine("trtllm"),
        requests_per_s=5000.0,
    )
    assert result.metrics == pytest.approx(evaluate(frame, own) | held(frame, own), rel=1e-12)


def test_every_catalogue_model_can_be_fixed() -> None:
    """Whatever its heads and widths, a published model is priced as it is; 405B needs eight B300."""
    for name in catalog.models():
        asked = samples.problem(
            architecture=name,
            hardware="nvidia-b300-sxm",
            deployment={"tensor_parallel": [1, 2, 4, 8]},
        )
        try:
            result = solve(asked)
        except InputError as error:
            assert "one kind of layer" in str(error)
            continue
        assert result.status == "optimal", name


def test_a_limit_of_no_time_gives_no_proof() -> None:
    result = solve(problems.load("dense-8b-b200"), Options(time_limit_s=1e-9))
    assert result.status in ("feasible", "unknown")
    assert not result.certificate.confirmed_by
    assert result.conflict is None


def test_a_stop_after_the_first_plan_keeps_it_with_a_true_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The incumbent is kept, the bound is below the optimum, nothing is proven."""
    asked = samples.problem(**BOUNDED)
    best = solve(asked).objective.value
    honest = slice_module.SliceSearch._confirm

    def interrupted(self: Any, *rest: Any) -> None:
        honest(self, *rest)
        if self.hunt.best is not None:
            raise Stopped

    monkeypatch.setattr(slice_module.SliceSearch, "_confirm", interrupted)
    result = solve(asked)
    assert result.status == "feasible"
    assert result.objective.bound <= best <= result.objective.value
    assert not result.certificate.confirmed_by


def test_binding_bounds_are_named_and_idle_ones_are_not() -> None:
    free = solve(samples.problem(**WIDEST))
    assert not free.binding
    tight = solve(samples.problem(**TIGHT))
    assert [b.constraint for b in tight.binding] == ["memory_gib_max"]
    assert tight.binding[0].value == tight.metrics["memory_gib"] <= tight.binding[0].bound == 7.0


def test_a_bound_that_a_coarse_lattice_stays_far_from_binds_too() -> None:
    """The plan lies 6 % below the bound, because the lattice has nothing between; without it 0.1 GiB more
    would be taken and a larger model found. The report then says that no bound on a metric binds."""
    free = solve(samples.problem(**WIDEST))
    limit = free.metrics["memory_gib"] - 0.01
    tight = solve(samples.problem(constraints={"memory_gib_max": limit}, **WIDEST))
    assert tight.objective.value < free.objective.value
    assert [b.constraint for b in tight.binding] == ["memory_gib_max"]


def test_the_certificate_counts_what_there_is() -> None:
    certificate = solve(samples.problem()).certificate
    assert certificate.counts["lattice_points"] == 2 * 2 * 4 * 2 * 1 * 3
    assert certificate.counts["frames"] == 2
    assert 1 <= certificate.counts["frames_solved"] <= certificate.counts["frames"]
    assert certificate.solves >= certificate.counts["slices_solved"] >= 1
    assert len(certificate.confirmed_by) >= 1
    assert certificate.engine_version


def test_a_question_that_cannot_be_asked_is_an_input_error() -> None:
    with pytest.raises(InputError, match="Did you mean tpot_ms"):
        solve(samples.problem(minimize="tpot"))
    with pytest.raises(InputError, match="needs a baseline"):
        solve(samples.problem(constraints={"loss_increase_max": 0.1}))


def test_a_choice_that_no_kind_has_is_infeasible() -> None:
    """As a perturbation asks for it: ten heads where the rules leave no group of them."""
    space = resolve(samples.problem()).restricted({"n_heads": 7})
    assert len(space.attention) == 0
    outcome = search_module.Search(space, space.rules, symbol("tpot_ms"), 1).run()
    assert outcome.finished
    assert outcome.best is None


def test_a_lattice_too_large_for_memory_is_refused_by_its_size() -> None:
    dimensions = {"n_heads": {"min": 1, "max": 2048}, "n_kv_heads": {"min": 1, "max": 2048}}
    wide = samples.SPACE | dimensions | {"d_head": {"min": 1, "max": 512}}
    with pytest.raises(InputError, match=r"2,147,483,648 kinds of gqa.*n_kv_heads"):
        resolve(samples.problem(architecture=wide))


def test_counts_of_a_search_that_is_stopped_are_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped when its first slice is at hand: what was priced until then is counted."""

    def stopped(*rest: Any) -> Any:
        raise Stopped

    monkeypatch.setattr(slice_module.SliceSearch, "look", stopped)
    certificate = solve(samples.problem()).certificate
    assert certificate.counts["slices"] > 0
    assert certificate.counts["slices_solved"] == 0


def test_a_plan_to_begin_with_that_is_in_no_slice_is_no_answer() -> None:
    """The columns are looked through for the plan that a search began with; a claim alone is not enough."""
    space = resolve(samples.problem())
    name, sense = space.problem.objectives[0]
    best = search_module.Search(space, space.rules, symbol(name), sense).run().best
    assert best is not None
    for claim, found in ((best, True), (replace(best, key=best.key * (1 - 1e-6)), False)):
        search = search_module.Search(space, space.rules, symbol(name), sense, start=claim)
        assert search.run().best == claim
        assert search.counts.solves == 0
        if found:
            assert chosen_among_equals(search, ()) == best
        else:
            with pytest.raises(InternalMismatch, match="is in no slice"):
                chosen_among_equals(search, ())
