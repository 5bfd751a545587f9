"""A run over clusters by hand: step, messages, memory; plans that are none; files that are wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small_problems

from optimizer import InputError, catalog, read_problem, solve
from optimizer.cost.training import across as across_module
from optimizer.cost.training.across import Link, Stages, Turn, away_s, priced_across
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.memory import stage_memory
from optimizer.cost.training.run import mean_chip
from optimizer.cost.training.step import Passes
from optimizer.cost.training.work import Work
from optimizer.errors import InternalMismatch
from optimizer.questions.question import Ask, question_of
from optimizer.questions.training_across import costs
from optimizer.questions.training_across.plan import read
from optimizer.spec.training import TrainingSetup

H100, A100 = catalog.chip("nvidia-h100-sxm"), catalog.chip("nvidia-a100-80-sxm")
LLAMA = catalog.model("meta-llama/Llama-3.2-1B")
SMALL = small_problems.PROBLEMS["training_across"]


def setup(**own: Any) -> TrainingSetup:
    return TrainingSetup(**{"pipeline_parallel": 3, "global_batch": 8, "sequence_length": 2048} | own)


def test_a_step_is_the_slowest_turn_the_mean_turn_the_slowest_message_and_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """16 layers, 6 and 6 at half a second each, 4 at a second and the head's 3: turns of 3, 3 and 7 s."""
    turns = {H100.name: 16.0, A100.name: 8.0}
    monkeypatch.setattr(
        across_module, "turn_of",
        lambda own, at, chip: Turn(Passes(turns[chip.name] - 3, 1.0, 0.0), 1.0, 0.5, 0.5, 3.0),
    )  # fmt: skip
    ends = {H100.name: (0.25, 0.5), A100.name: (0.5, 0.0)}
    monkeypatch.setattr(
        across_module, "end_of_step",
        lambda model, at, chip, computing: tuple(x * float(at.layers) for x in ends[chip.name]),
    )  # fmt: skip
    monkeypatch.setattr(across_module, "next_s", lambda own, at, chip, stages: 0.01 * (stages > 1))
    monkeypatch.setattr(
        across_module, "away_s", lambda own, at, chip, link: {"nvidia-h100-sxm": 0.02}.get(chip.name, 0.03)
    )
    at = layout_of(setup())
    run = [Stages(A100, at, Work(), (6, 6)), Stages(H100, at, Work(), (4,))]
    found = priced_across(LLAMA, run, None)
    assert found.stage_s == (3.0, 3.0, 7.0)
    slowest_end = max(0.5 * 6, 0.75 * 4)
    assert found.step_s == pytest.approx(8 * 7 + 2 * 13 / 3 + 8 * 2 * 0.03 + slowest_end)
    assert float(found.times.bubble) == pytest.approx(2 * 13 / 3)
    assert float(found.times.head) == pytest.approx(8 * 3)
    alone = priced_across(LLAMA, [Stages(H100, replace(at, pipeline_parallel=1), Work(), (16,))], None)
    assert alone.step_s == pytest.approx(8 * 19 + 16 * 0.75)


def test_a_message_between_clusters_takes_the_link_that_is_given() -> None:
    """Two bytes of each of 4096 x 1024 elements, a fourth on each of four ranks; the chip's share."""
    own, at = Work(reduced_bytes=2.0 * 4096 * 1024), layout_of(setup(tensor_parallel=4))
    share = H100.efficiency.scaleout.link
    found = away_s(own, at, H100, Link(1e9, 5e-5))
    assert float(found) == pytest.approx(5e-5 + 2 * 4096 * 1024 / 4 / (1e9 * share))
    assert float(away_s(own, at, H100, None)) < float(found)


def test_only_the_ends_hold_tables_and_only_the_last_logits() -> None:
    """18 bytes a parameter of the table, 6 a logit; a microbatch more for each stage behind."""
    at = layout_of(setup(tensor_parallel=2, zero_stage=0))

    def held(layers: int, behind: int, first: int, last: int) -> Any:
        return stage_memory(LLAMA, at, layers, behind, first, last)

    middle, first, last = held(4, 1, 0, 0), held(4, 1, 1, 0), held(4, 1, 0, 1)
    table = 18 * LLAMA.vocab_size * LLAMA.d_model / 2
    assert float(first.total - middle.total) == pytest.approx(table)
    assert float(last.total - middle.total) == pytest.approx(table + 6 * 2048 * LLAMA.vocab_size / 2)
    one, two, many = (float(held(4, behind, 0, 0).activations) for behind in (0, 1, 100))
    assert two == pytest.approx(2 * one) and many == pytest.approx(8 * one)
    assert float(held(8, 0, 0, 0).weights) == pytest.approx(2 * float(held(4, 0, 0, 0).weights))


def test_the_mean_chip_costs_and_reaches_what_its_chips_do() -> None:
    red = H100.supposed(usd_per_chip_hour=2.0, dense_flops={"bf16": 1e15, "fp8": 2e15})
    blue = A100.supposed(usd_per_chip_hour=5.0, dense_flops={"bf16": 4e15})
    mean = mean_chip([(red, np.array([1, 2])), (blue, np.array([2, 0]))])
    assert mean.usd_per_chip_hour == pytest.approx([4.0, 2.0])
    assert mean.dense_flops["bf16"] == pytest.approx([3e15, 1e15]) and set(mean.dense_flops) == {"bf16"}
    assert mean_chip([(red, 1), (blue.supposed(usd_per_chip_hour=None), 1)]).usd_per_chip_hour is None


def test_a_plan_that_is_none_is_told_from_its_stages_alone() -> None:
    question = question_of(small_problems.problem("training_across"))
    plan = question.optimum(Ask(aims=question.own_aims())).plan
    assert plan is not None
    clusters = read(question.problem, question.clusters, plan, {})
    assert len(clusters) == 2 and question.checker(clusters).unsound() == ()
    first, last = clusters
    wrong: dict[str, Any] = {
        "layers": (replace(first, layers=(1,)), last),
        "stages_have_layers": (replace(first, layers=(*first.layers, 0)), last),
        "clusters": (first, replace(last, chip=first.chip)),
        "zero_stage": (replace(first, setup=first.setup.changed(zero_stage=2)), last),
        "heads_divide": (replace(first, setup=first.setup.changed(tensor_parallel=3)), last),
    }
    for name, plans in wrong.items():
        assert name in question.checker(plans).unsound(), name
    other = (replace(first, setup=first.setup.changed(microbatch=2)), last)
    assert "clusters" in question.checker(other).unsound()
    sound = question.checker(clusters)
    used = sound.used(first.chip.name)
    limits = {
        f"inventory:{first.chip.name}": used - 1.0,
        "memory_capacity": sound.share / 2,
        "step_s_max": 1e-6,
    }
    assert sound.broken(limits) == tuple(limits)
    assert sound.broken({rule: limit * 1e9 for rule, limit in limits.items()}) == ()


def test_a_bound_above_a_plan_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A structure that is priced is held against the bound that could have ruled it out."""
    problem = small_problems.problem("training_across")
    monkeypatch.setattr(costs.WayCosts, "least_end_s", 1.0)
    with pytest.raises(InternalMismatch, match="its bound says"):
        solve(problem)


def test_clusters_that_hardly_reach_each_other_train_alone() -> None:
    far = solve(read_problem(SMALL | {"network": {"bandwidth": "1 MB/s", "latency": "1 s"}}))
    near = solve(read_problem(SMALL))
    assert len(far.used) == 1 and far.objective.value == max(far.alone.values())
    assert len(near.used) == 2 and near.objective.value > far.objective.value
    assert near.alone == pytest.approx(far.alone)
    assert sum(near.step_ms.values()) == pytest.approx(1e3 * near.metrics["step_s"])
    assert all(0 < share < 1 for share in near.waiting.values())


H = {"chip": "nvidia-h100-sxm", "chips": 2}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no cluster": ({"train_on": []}, "train_on: Tuple should have at least 1 item"),
    "a chip twice": ({"train_on": [H, H | {"chip": "h100"}]}, "train_on.1: nvidia-h100-sxm is there twice"),
    "no chips": ({"train_on": [H | {"chips": 0}]}, "train_on.0.chips: .* greater than or equal to 1"),
    "stages": ({"train_on": [H | {"stages": 99}]}, "train_on.0.stages: 99 stages of the 16 layers"),
    "a field": ({"train_on": [H | {"tp": 2}]}, "train_on.0: unknown field 'tp'. Accepted: chip, chips"),
    "hardware": ({"hardware": "h100"}, "unknown field 'hardware'"),
    "replicas": ({"setup": {"data_parallel": [3, 5]}}, "none of 3, 5 divides global_batch 8"),
    "shards": ({"setup": {"zero_stage": 3}}, "setup.zero_stage"),
    "a metric": ({"maximize": "loss"}, "'loss' is no metric of training here"),
    "a way": ({"maximize": "step_s"}, "minimize it"),
    "a side": ({"constraints": {"step_s_min": 1}}, "write step_s_max"),
    "an aim": ({"minimize": "chips"}, "either minimize or maximize"),
    "a chip": ({"train_on": [H | {"chip": "nvidia-zzz"}]}, "unknown chip 'nvidia-zzz'"),
    "a link": ({"network": {"bandwidth": "3 lightyears"}}, "network.bandwidth: .* no unit"),
    "no link": ({"train_on": [H, {"chip": "apple-m2-ultra", "chips": 1}]}, "give network.bandwidth"),
    "no memory": ({"setup": {"reserve_gib": 900}}, "leaves no memory of nvidia-h100-sxm"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_told_what_is_wrong(name: str) -> None:
    changes, said = WRONG[name]
    with pytest.raises(InputError, match=said):
        question_of(read_problem(SMALL | changes))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"setup": {"microbatch": 3}}, "setup: batch_divides"),
        ({"train_on": [H | {"tensor_parallel": 3, "chips": 4}]}, "setup: heads_divide"),
        ({"train_on": [H | {"expert_parallel": 2}]}, "setup: experts_divide"),
        ({"train_on": [H | {"stages": 9}]}, "inventory:nvidia-h100-sxm"),
    ],
)
def test_choices_that_leave_nothing_are_named(changes: dict[str, Any], rule: str) -> None:
    found = solve(read_problem(SMALL | changes))
    assert found.status == "infeasible" and found.conflict is not None
    assert rule in found.conflict.constraints
