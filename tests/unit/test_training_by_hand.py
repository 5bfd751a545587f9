"""Layouts, states, logits and optimizer of a training step by hand."""

from typing import Any

import pytest
import samples

from optimizer.cost.training.activations import saved_by
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.memory import (
    Parameters,
    expert_group,
    half_bytes_of,
    rank_parameters,
    state_bytes,
    tables_bytes,
    training_memory,
)
from optimizer.cost.training.step import optimizer_s
from optimizer.spec.architecture import Architecture
from optimizer.spec.training import TrainingSetup

DENSE: dict[str, Any] = {
    "name": "own", "d_model": 64, "vocab_size": 1000, "n_layers": 8, "n_heads": 8, "n_kv_heads": 4,
    "d_head": 16, "d_ff": 192, "position_embeddings": 7,
}  # fmt: skip


def layout(**fields: Any) -> Any:
    own = {"sequence_length": 1000, "global_batch": 48, "zero_stage": 0, "sequence_parallel": False}
    return layout_of(TrainingSetup.model_validate(own | fields))


def test_a_layout_counts_its_ranks() -> None:
    own = layout(data_parallel=4, microbatch=5, context_parallel=2, tensor_parallel=4)
    assert own.n_microbatches == 3  # 48 / 20 sequences, the last part full
    assert layout(data_parallel=4, microbatch=4).n_microbatches == 3
    assert own.tokens == 1000 * 5 / 2
    assert own.replicas == 8
    assert (own.sequence_shards, layout(tensor_parallel=4, sequence_parallel=True).sequence_shards) == (1, 4)
    assert (own.expert_replicas, own.expert_tensor_parallel) == (8, 4)
    spread = layout(data_parallel=4, context_parallel=2, tensor_parallel=4, expert_parallel=8)
    assert (spread.expert_replicas, spread.expert_tensor_parallel) == (4, 1)
    assert layout(data_parallel=2, expert_parallel=8).expert_replicas == 1


@pytest.mark.parametrize(("stage", "bytes_"), [(0, 16), (1, 4 + 12 / 8), (2, 2 + 14 / 8), (3, 16 / 8)])
def test_states_of_a_parameter(stage: int, bytes_: float) -> None:
    own = layout(data_parallel=8, zero_stage=stage, gradient_bytes=2, optimizer_bytes=12)
    assert own.zero_group == (8 if stage else 1)
    assert sum(state_bytes(own, 8)) == pytest.approx(bytes_)
    weights, gradients, optimizer = state_bytes(own, 8)
    assert [float(weights), float(gradients), float(optimizer)] == [
        2 / (8 if stage >= 3 else 1), 2 / (8 if stage >= 2 else 1), 12 / (8 if stage >= 1 else 1)
    ]  # fmt: skip
    grouped = layout(data_parallel=8, zero_stage=stage, zero_group=2) if stage else own
    assert grouped.zero_group == (2 if stage else 1)


def test_parameters_of_a_rank() -> None:
    model = Architecture.model_validate(DENSE | {"tied_embeddings": False})
    layer = 64 * (128 + 128 + 2 * 64) / 2 + 3 * 64 * 192 / 2 + 2 * 64
    one, four = (rank_parameters(model, layout(tensor_parallel=2, pipeline_parallel=p)) for p in (1, 4))
    assert (float(one.layers), float(one.experts)) == (8 * layer, 0)
    assert float(four.layers) == 2 * layer
    assert float(one.tables) == 2 * 1000 * 64 / 2 + 7 * 64
    assert float(four.tables) == 1000 * 64 / 2 + 7 * 64  # no stage of several has both
    tied = Architecture.model_validate(DENSE | {"tied_embeddings": True})
    assert float(rank_parameters(tied, layout(tensor_parallel=2)).tables) == 1000 * 64 / 2 + 7 * 64
    experts = {k: v for k, v in DENSE.items() if k != "d_ff"}
    experts |= {"n_experts": 16, "n_active_experts": 2, "d_expert": 32}
    moe = Architecture.model_validate(experts)
    own = rank_parameters(moe, layout(tensor_parallel=2, data_parallel=4, expert_parallel=4))
    assert float(own.experts) == 8 * 16 * 3 * 64 * 32 / 4
    assert float(rank_parameters(moe, layout(tensor_parallel=2)).experts) == 8 * 16 * 3 * 64 * 32 / 2


def test_logits_and_gathered_layers() -> None:
    """Six bytes a logit of the padded vocabulary; two layers are gathered, with half their gradients."""
    model = Architecture.model_validate(DENSE)
    own = layout(tensor_parallel=2, data_parallel=4, microbatch=2)
    assert float(training_memory(model, own).logits) == 6 * 2000 * 1024 / 2
    held = rank_parameters(model, own)
    sharded = layout(tensor_parallel=2, data_parallel=4, microbatch=2, zero_stage=3, gradient_bytes=4)
    layer = model.layers[0].block
    in_turn = own.tokens * max(float(saved_by(part, 64, own)) for part in (layer.mixer, layer.ffn))
    assert float(training_memory(model, own).buffers) == in_turn
    split = layout(tensor_parallel=2, sequence_parallel=True, data_parallel=4, microbatch=2)
    half = max(float(saved_by(part, 64, split)) for part in (layer.mixer, layer.ffn))
    assert float(training_memory(model, split).buffers) == split.tokens * (half + 2 * 2 * 64)
    assert float(training_memory(model, sharded).buffers) == pytest.approx(
        2 * float(held.layers) / 8 * (2 + 4 / 2) + in_turn
    )
    states = float(held.tables) * sum(map(float, state_bytes(own, 1)))
    assert float(tables_bytes(held, 1000, own)) == states + 6 * 2000 * 1024 / 2 + 6.1 * 2**30
    parts = training_memory(model, own)
    assert float(parts.weights) == 2 * (float(held.layers) + float(held.tables))
    names = ("weights", "gradients", "optimizer", "activations", "logits", "buffers", "reserve")
    assert float(parts.total) == pytest.approx(sum(float(getattr(parts, name)) for name in names))


def test_half_a_layer_of_a_stage() -> None:
    held = Parameters(100.0, 40.0, 0.0)
    own = layout(data_parallel=8, zero_stage=1, gradient_bytes=2, optimizer_bytes=12, expert_parallel=4)
    assert (float(expert_group(own)), own.zero_group) == (2, 8)
    shared, spread = 4 + 12 / 8, 4 + 12 / 2
    assert float(half_bytes_of(held, 3.0, own)) == pytest.approx(100 * shared + 40 * spread + 3)


def test_seconds_of_the_optimizer() -> None:
    """Gradients read, states read and written, weights written: 4 + 2 x 12 + 2 bytes a parameter."""
    held, chip = Parameters(6e9, 4e9, 2e9), samples.chip()
    rate = 3e12 * 0.7
    split = {"data_parallel": 8, "expert_parallel": 4, "gradient_bytes": 4, "optimizer_bytes": 12}
    plain = layout(**split)
    assert float(optimizer_s(held, plain, chip)) == pytest.approx(30 * 12e9 / rate)
    for stage in (1, 2, 3):
        own = layout(
            data_parallel=8, expert_parallel=4, gradient_bytes=4, optimizer_bytes=12, zero_stage=stage
        )
        assert float(optimizer_s(held, own, chip)) == pytest.approx(30 * (8e9 / 8 + 4e9 / 2) / rate)
