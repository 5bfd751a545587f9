"""What a person reads: caveats first, every change asked for, whole figures on narrow screens."""

import re
from io import StringIO
from typing import Any

import pytest
import samples
from rich.console import Console

from optimizer import catalog, load_problem
from optimizer import solve as front_door
from optimizer.questions import problems
from optimizer.report import architecture as solve
from optimizer.report import catalogues, frontier, perturb, sweep
from optimizer.report import deployment as deploy
from optimizer.report.fitting import new_table
from optimizer.studies import frontier as frontiers
from optimizer.studies import perturb as perturbing
from optimizer.studies import sweep as sweeping
from optimizer.studies.changes import Variation
from optimizer.studies.explain import explain

SMALL = {"architecture.d_model": [1536, 1792, 2048], "architecture.n_layers": [16, 20]}


def text(what: Any, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(what)
    return console.file.getvalue()


def flat(what: Any) -> str:
    return " ".join(text(what, 200).split())


@pytest.fixture(scope="module")
def chat():
    return front_door(problems.load("llama-70b-mi300x"))


def test_an_unmeasured_chip_is_said_beside_the_headline(chat) -> None:
    head = flat(deploy.report(chat)).partition("pool")[0]
    assert "caution: amd-mi300x efficiency assumed, not measured on this chip" in head
    said = {row.name: row for row in chat.assumptions}
    assert said["amd-mi300x price"].source == catalog.chip("amd-mi300x").source("usd_per_chip_hour")


def test_a_measured_chip_and_one_that_is_not_used_need_no_caution() -> None:
    result = front_door(problems.load("llama-70b-cheapest-mix"))
    assert "amd-mi300x" not in [pool.chip for pool in result.deployment.pools]
    said = {row.name: row for row in result.assumptions}
    assert "assumed" in said["amd-mi300x efficiency"].value
    assert all(row.name.endswith(" price") for row in result.assumptions if row.caveat)
    assert "amd-mi300x" not in flat(deploy.report(result)).partition("pool")[0]


def test_a_chip_of_ones_own_is_said_to_be_unmeasured_in_an_architecture_too(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{name: mine, title: Mine, vendor: Me, dense_flops: {bf16: 800 TFLOP/s}, hbm_capacity: 96 GiB,"
        " hbm_usable: 94 GiB, hbm_bandwidth: 4 TB/s, n_cores: 128, scaleup: {topology: switch, domain: 8,"
        " bandwidth: 400 GB/s}, alignment: {bf16: 64}, sources: {default: me}}"
    )
    result = front_door(samples.problem(hardware=str(path)))
    assert "caution: mine efficiency assumed, not measured on this chip" in flat(solve.report(result))


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"minimize": "loss"}, True),
        ({"constraints": {"loss_max": 2.5}}, True),
        ({"minimize": "tpot_ms"}, False),
    ],
)
def test_dimensions_that_the_loss_cannot_see_are_named_where_the_loss_decides(fields, seen) -> None:
    said = flat(solve.report(front_door(samples.problem(**fields))))
    assert ("does not see n_heads, n_kv_heads, d_ff but by their parameters" in said) is seen


@pytest.mark.parametrize("width", [30, 40, 52, 60, 71, 80, 120])
def test_no_figure_is_ever_cut(width) -> None:
    """Narrow screens lose columns, and are told which."""
    for shown in (
        solve.report(front_door(samples.problem())),
        catalogues.chips_table([catalog.chip(name) for name in catalog.chips()]),
        catalogues.models_table([catalog.model(name) for name in catalog.models()]),
    ):
        lines = text(shown, width).splitlines()
        cut = [word for line in lines for word in line.split() if re.fullmatch(r"[-+\d.,%]+…", word)]
        assert not cut
        assert all(len(line) <= width for line in lines)


def test_a_table_drops_its_last_columns_and_names_them() -> None:
    table = new_table("what", "first", "second", "third")
    table.add_row("a", "123456", "234567", "345678")
    assert "345678" in text(table, 40)
    narrow = text(table, 22)
    assert "123456" in narrow
    assert "345678" not in narrow
    assert "too narrow for: third" in " ".join(narrow.split())


def test_a_model_beside_a_frontier_says_what_the_lattice_has_not() -> None:
    problem = load_problem("dense-1b-b200", SMALL)
    found = frontiers.frontier(problem, ["tpot_ms", "loss"], models=["gemma-3-4b-it", "qwen3-4b"])
    rows = {row.name: row for row in found.placed}
    assert rows["gemma-3-4b-it"].unlike == (
        "layers: 29 x gqa with a window of 1024 and dense_ffn, 5 x gqa and dense_ffn",
    )
    assert rows["qwen3-4b"].unlike == ("n_layers 36, not in its domain", "d_model 2560, not in its domain")
    assert "the lattice has nothing like its layers: 29 x gqa with a window" in flat(frontier.report(found))
    assert any("bands of the loss's noise" in note for note in found.notes)


def test_a_sweep_shows_every_dimension_that_differs_and_what_people_choose_by() -> None:
    problem = load_problem("dense-1b-b200")
    shown = text(sweep.report(sweeping.sweep(problem, {"workload.batch": [1, 32]})), 160)
    heads = shown.partition("───")[0]
    for column in ("d_model", "heads", "d_head", "kv", "d_ff", "tpot_ms", "ttft_ms", "loss", "gib"):
        assert column in heads, column


def test_every_constant_asked_for_is_shown_and_split_into_slope_and_step() -> None:
    problem = load_problem("dense-1b-b200", SMALL | {"deployment.batch": [32, 64, 128]})
    vary = [Variation("hardware.scaleup.domain", 2.0), Variation("hardware.hbm_bandwidth", 1.5)]
    found = perturbing.perturb(problem, vary)
    shown = flat(perturb.report(found))
    assert "hardware.scaleup.domain +100 %" in shown
    assert "hardware.hbm_bandwidth +50 %" in shown
    [faster] = [c for c in found.changes if c.name == "hardware.hbm_bandwidth"]
    metric = found.objective.metric
    assert 0 < faster.alone[metric] <= faster.difference * (1 + 1e-12)
    [idle] = [c for c in found.changes if c.name == "hardware.scaleup.domain"]
    assert idle.alone[metric] == idle.difference == 0


def test_a_deployment_held_while_a_constant_changes_is_no_better_than_the_new_optimum() -> None:
    found = perturbing.perturb(load_problem("gpt-oss-120b-b200"), [Variation("hardware.hbm_bandwidth", 1.2)])
    [faster] = [c for c in found.changes if c.kind == "constant"]
    slope = faster.alone[found.objective.metric]
    assert found.objective.sense == "max"
    assert 0 < slope <= faster.difference + 1e-9


def test_no_change_is_only_counted() -> None:
    found = perturbing.perturb(load_problem("dense-1b-b200", SMALL))
    shown = flat(perturb.report(found))
    for change in found.changes:
        assert change.name in shown


def test_configurations_left_out_are_grouped_by_rule() -> None:
    dropped = {
        "expert_parallel 8: does not divide 1": 2,
        "expert_parallel 16: does not divide 1": 3,
        "tpot_ms_max": 4,
        "dominated": 5,
    }
    assert deploy.grouped(dropped) == {"expert_parallel": 5, "tpot_ms_max": 4, "a better configuration": 5}


def test_a_deployment_says_how_much_there_is_to_spare(chat) -> None:
    shown = flat(deploy.report(chat))
    spare = re.search(r"to spare: ([\d.]+)% of", shown)
    assert spare
    limit, value = chat.problem["constraints"]["tpot_ms_max"], chat.metrics["tpot_ms"]
    assert f"{1 - value / limit:.1%} of tpot_ms" in shown


@pytest.mark.parametrize("name", ["dense-1b-b200", "llama-70b-chat", "llama-70b-training-deadline"])
def test_answers_print_in_a_line_and_as_tables(name) -> None:
    result = front_door(problems.load(name))
    assert len(repr(result)) < 200
    assert result.status in repr(result)
    assert "<table>" in result._repr_html_()
    assert set(result.to_frame()["metric"]) == set(result.metrics)


def test_studies_print_in_a_line_and_as_tables() -> None:
    problem = load_problem("dense-1b-b200", SMALL)
    points = frontiers.frontier(problem, ["tpot_ms", "loss"])
    assert (
        repr(points) == f"Frontier(dense-1b-b200: complete, {len(points.points)} points of tpot_ms and loss)"
    )
    frame = points.to_frame()
    assert list(frame["tpot_ms"]) == [plan.metrics["tpot_ms"] for plan in points.points]
    assert list(frame["d_model"]) == [plan.architecture.d_model for plan in points.points]
    swept = sweeping.sweep(problem, {"workload.batch": [1, 64]})
    assert list(swept.to_frame()["workload.batch"]) == [1, 64]
    assert len(repr(explain(problem))) < 200


def test_html_escapes_what_users_named() -> None:
    result = front_door(samples.problem(name="<script>alert(1)</script>"))
    assert "<script>" not in result._repr_html_()


def test_a_stopped_search_does_not_say_that_nothing_binds(chat) -> None:
    stopped = chat.model_copy(update={"status": "feasible", "binding": ()})
    assert "not tried: the search was stopped first" in flat(deploy.report(stopped))
    assert "not tried" not in flat(deploy.report(chat.model_copy(update={"binding": ()})))
