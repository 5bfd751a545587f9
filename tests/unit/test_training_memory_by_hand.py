"""Memory of training by hand where stages, heads and recomputation meet; the step as a sum over layer halves.

Guards the choice of the fullest stage, and the additive form of an architecture search: repeats, waiting,
what is divided by stages, what tables cost.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.blocks.dense_ffn import DenseFeedForward
from optimizer.cost.training import memory as memory_module
from optimizer.cost.training import messages
from optimizer.cost.training import quantity as module
from optimizer.cost.training.activations import half_bytes as kept_half
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.memory import (
    Parameters,
    half_bytes_of,
    rank_parameters,
    tables_bytes,
    training_memory,
)
from optimizer.cost.training.quantity import TrainingRun, base_bytes, base_s, half_bytes, half_s
from optimizer.cost.training.step import Passes
from optimizer.cost.training.work import Work
from optimizer.spec.architecture import Architecture
from optimizer.spec.training import TrainingSetup

CHIP = samples.chip(scaleout_bandwidth="50 GB/s")
MODEL = Architecture.model_validate(
    {
        "name": "own", "d_model": 64, "vocab_size": 1024, "n_layers": 8, "n_heads": 8, "n_kv_heads": 4,
        "d_head": 16, "d_ff": 192, "position_embeddings": 7,
    }
)  # fmt: skip


def setup(**own: Any) -> TrainingSetup:
    base = {"sequence_length": 1000, "global_batch": 48, "zero_stage": 0, "sequence_parallel": False}
    return TrainingSetup.model_validate(base | own)


@pytest.mark.parametrize("layer", [1e3, 2e6, 1e9])
@pytest.mark.parametrize("split", [(1, 1), (4, 2), (4, 24)])
def test_the_fullest_stage_is_the_first_or_the_last(
    layer: float, split: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first holds as many microbatches as there are stages, the last one, and six bytes a logit."""
    stages, microbatch = split
    monkeypatch.setattr(memory_module, "mean_layer_bytes", lambda architecture, at: layer)
    at = layout_of(setup(pipeline_parallel=stages, microbatch=microbatch, tensor_parallel=2))
    found = training_memory(MODEL, at)
    held = min(stages, 48 // microbatch)
    logits = 6 * 1000 * microbatch * 1024 / 2
    first, last = (0.0 if stages == 1 else 8 / stages * layer * held, 0.0), (8 / stages * layer, logits)
    expected = max(first, last, key=sum)
    assert (float(found.activations), float(found.logits)) == pytest.approx(expected)


MOE = Architecture.model_validate(
    {
        "name": "moe", "d_model": 64, "vocab_size": 1024, "n_layers": 2, "n_heads": 8, "n_kv_heads": 4,
        "d_head": 16, "n_experts": 8, "n_active_experts": 2, "d_expert": 32,
    }
)  # fmt: skip


def test_states_of_experts_are_sharded_over_those_with_the_same() -> None:
    """Eight replicas, of which two have the same experts: states over eight ranks, of experts over two."""
    own = {"data_parallel": 8, "expert_parallel": 4, "gradient_bytes": 4, "optimizer_bytes": 12}
    held = rank_parameters(MOE, layout_of(setup(**own)))
    shared, experts = float(held.layers + held.tables), float(held.experts)
    assert experts == 2 * 8 * 3 * 64 * 32 / 4
    for stage in range(4):
        found = training_memory(MOE, layout_of(setup(**own | {"zero_stage": stage})))
        for part, bytes_, sharded in (("weights", 2, 3), ("gradients", 4, 2), ("optimizer", 12, 1)):
            many, few = (8, 2) if stage >= sharded else (1, 1)
            assert float(getattr(found, part)) == pytest.approx(bytes_ * (shared / many + experts / few))


def test_a_layer_that_is_computed_again_needs_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest of the layers, and gradients of its wider half; gathered layers, with half of theirs."""
    two = {
        "name": "two", "d_model": 64, "vocab_size": 1024, "n_layers": 8, "n_heads": 8, "n_kv_heads": 4,
        "d_head": 16, "layers": [{"count": 6, "d_ff": 192}, {"count": 2, "d_ff": 128}],
    }  # fmt: skip
    model = Architecture.model_validate(two)
    wide = {192: 300.0, 128: 200.0}
    monkeypatch.setattr(memory_module, "saved_per_token", lambda block, d_model, at: wide[block.ffn.d_ff])
    halves = {"dense_ffn": 210.0}
    monkeypatch.setattr(memory_module, "saved_by", lambda part, d_model, at: halves.get(part.kind, 90.0))
    tokens = 1000 * 2 / 4
    for how, again in (("none", 210), ("selective", 210), ("full", 300 + 210)):
        at = layout_of(setup(recompute=how, microbatch=2, context_parallel=4))
        assert float(training_memory(model, at).buffers) == pytest.approx(tokens * again)
    at = layout_of(setup(recompute="full", microbatch=2, context_parallel=4, zero_stage=3, gradient_bytes=4))
    per_layer = float(rank_parameters(model, at).layers) / 8
    assert float(training_memory(model, at).buffers) == pytest.approx(tokens * 510 + 2 * per_layer * (2 + 2))


def test_gradients_of_weights_put_off_keep_what_they_read() -> None:
    """A zero-bubble pipeline spares nothing by computing layers again; one stage has no schedule."""

    def kept(stages: int, **own: Any) -> tuple[float, float]:
        at = layout_of(setup(pipeline_parallel=stages, microbatch=2, flash_attention=True, **own))
        return float(training_memory(MODEL, at).activations), kept_half(MODEL.layers[0].block.ffn, 64, at)

    for stages in (1, 4):
        late, whole = kept(stages, recompute="full", schedule="zero_bubble"), kept(stages, recompute="full")
        again = kept(stages, recompute="selective")
        assert late == (whole if stages == 1 else again)
        assert again[0] > whole[0] and again[1] > whole[1] == 0


def test_bytes_of_halves_on_the_first_of_equal_stages() -> None:
    """A fourth of the states; of the activations, a fourth of four microbatches."""
    at = layout_of(
        setup(pipeline_parallel=4, data_parallel=4, zero_stage=1, optimizer_bytes=12, gradient_bytes=4)
    )
    held = Parameters(100.0, 40.0, 0.0)
    each = 2 + 4 + 12 / 4
    assert float(half_bytes_of(held, 30.0, at)) == pytest.approx((140 * each + 30 * 4) / 4)
    few = layout_of(setup(pipeline_parallel=4, global_batch=2))
    assert float(half_bytes_of(held, 30.0, few)) == pytest.approx((140 * 18 + 30 * 2) / 4)


# The step as a sum.


def run(**own: Any) -> TrainingRun:
    return TrainingRun(setup(**own), CHIP)


def test_the_shape_of_a_run_is_that_of_its_setup() -> None:
    own = run(
        tensor_parallel=2, context_parallel=4, data_parallel=2, expert_parallel=8, microbatch=3, dtype="fp8",
        flash_attention=False, engine="pytorch",
    ).shape  # fmt: skip
    assert (own.tensor_parallel, own.context_parallel, own.expert_parallel, own.microbatch) == (2, 4, 8, 3)
    assert (own.sequence_length, own.dtype, own.flash_attention, own.engine) == (
        1000,
        "fp8",
        False,
        "pytorch",
    )


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Passes of 20, 40 and 10 s; messages of 3, 5 and 2; weights and gradients 1.5 and 4; optimizer 6."""
    seen: dict[str, Any] = {"behind": []}
    for name, seconds in (("tensor_s", 3.0), ("expert_s", 5.0), ("context_s", 2.0), ("boundary_s", 7.0)):
        monkeypatch.setattr(messages, name, lambda own, at, chip, seconds=seconds: seconds)

    def data_parallel(chip: Any, at: Any, held: Any, computing: Any, share: Any) -> Any:
        seen["held"], seen["share"], seen["computing"] = held, share, computing
        return 1.5, 4.0

    monkeypatch.setattr(module, "passes", lambda own, at: Passes(20.0, 40.0, 10.0))
    monkeypatch.setattr(module, "data_parallel_s", data_parallel)
    monkeypatch.setattr(module, "optimizer_s", lambda held, at, chip: 6.0)
    monkeypatch.setattr(module, "part_work", lambda part, d_model, rates, shape: Work(products=9.0))
    monkeypatch.setattr(module, "head_s", lambda d_model, vocab_size, rates, shape: 2.0)
    return seen


@pytest.mark.parametrize("again", [False, True])
def test_seconds_of_a_layer_half(again: bool, made_up: dict[str, Any]) -> None:
    """Twelve microbatches and three stages of waiting, on four stages."""
    own = run(pipeline_parallel=4, microbatch=4, recompute="full" if again else "none")
    found = half_s(own, MODEL.first.ffn, 64, 11.0)
    layer = 70 + (3 if again else 2) * (3 + 0.8 * 5) + 2
    assert float(found) == pytest.approx((15 * (layer + 1.5) + 4 + 6) / 4)
    held = made_up["held"]
    assert (float(held.layers), float(held.experts), held.tables) == (3 * 64 * 192 + 11, 0.0, 0.0)
    assert made_up["share"] == 1.0


def test_seconds_outside_the_layers(made_up: dict[str, Any]) -> None:
    """The head thrice, in each microbatch and a fourth of three stages of waiting; tables and messages."""
    own = run(pipeline_parallel=4, microbatch=4, tensor_parallel=2)
    found = base_s(own, 64, 1024, True, 7)
    assert float(found) == pytest.approx((12 + 3 / 4) * 6 + 12 * 1.5 + 4 + 7 + 6)
    c = made_up["computing"]
    assert (float(c.forward), float(c.backward), float(c.again)) == (2.0, 4.0, 0.0)
    one = 1024 * 64 / 2
    for stages, tied, tables in ((4, True, 1), (4, False, 1), (1, True, 1), (1, False, 2)):
        base_s(run(pipeline_parallel=stages, tensor_parallel=2), 64, 1024, tied, 7)
        assert float(made_up["held"].tables) == tables * one + 7 * 64
        assert (made_up["held"].layers, made_up["held"].experts) == (0.0, 0.0)


def test_bytes_of_halves_and_outside() -> None:
    own = run(tensor_parallel=2, data_parallel=4, microbatch=3)
    at = layout_of(own.setup)
    moe = MOE.first.ffn
    spread = run(tensor_parallel=2, data_parallel=4, microbatch=3, expert_parallel=4)
    for part, which, shared, experts in (
        (MODEL.first.ffn, own, 3 * 64 * 192 / 2 + 5, 0.0),
        (moe, own, 64 * 8 + 5, 8 * 3 * 64 * 32 / 2),
        (moe, spread, 64 * 8 + 5, 8 * 3 * 64 * 32 / 4),
    ):
        kept = kept_half(part, 64, layout_of(which.setup))
        expected = half_bytes_of(Parameters(shared, experts, 0.0), kept, layout_of(which.setup))
        assert float(half_bytes(which, part, 64, 5.0)) == pytest.approx(float(expected))
    tables = Parameters(0.0, 0.0, 2 * 1024 * 64 / 2 + 7 * 64)
    assert float(base_bytes(own, 64, 1024, False, 7)) == pytest.approx(float(tables_bytes(tables, 1024, at)))


def test_no_message_hides_worse_than_behind_endless_attention(
    made_up: dict[str, Any], monkeypatch: Any
) -> None:
    hiding: list[float] = []

    def context(own: Work, at: Any, chip: Any) -> float:
        hiding.append(float(own.attention))
        return 2.0

    monkeypatch.setattr(messages, "context_s", context)
    monkeypatch.setattr(module, "work_of", lambda operators, d_model, rates, shape: Work(attention=1.0))
    ffn = DenseFeedForward(d_ff=64)
    least: Any = SimpleNamespace(operators=lambda step: [], elements=lambda t: 100.0 / t, n_layers=3, ffn=ffn)
    found = module.least_s(run(tensor_parallel=2), least, 64)
    assert float(found) == pytest.approx(48 * (70 + 2 * (3 + 0.8 * 5) + 2 + 1.5) + 4 + 6)
    assert hiding == [np.inf]
    assert made_up["held"].layers == 50.0
