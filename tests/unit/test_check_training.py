"""Each branch of the checker of training refuses what only it can; terms of step and memory by hand."""

import numpy as np
import pytest

from optimizer import catalog
from optimizer.cost.collectives import reduce_scatter_s
from optimizer.cost.training import messages
from optimizer.cost.training.job import job
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.links import exchange_s
from optimizer.cost.training.memory import expert_group, rank_parameters, training_memory
from optimizer.questions.training.check import check_training
from optimizer.questions.training.lattice import Lattice
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.search import Counts, Limits, search
from optimizer.spec.training import TrainingSetup

LLAMA = catalog.model("meta-llama/Llama-3.1-8B")
MIXTURE = catalog.model("Qwen/Qwen3-30B-A3B")
H100 = catalog.chip("h100")
SETUP = TrainingSetup(tensor_parallel=2, data_parallel=4, global_batch=8)
TOKENS = 1e12


def broken(limits, setup=SETUP):
    return check_training(LLAMA, H100, setup, TOKENS, limits).broken


def test_a_setting_within_its_limits_breaks_nothing() -> None:
    own = job(LLAMA, H100, SETUP)
    metrics = check_training(LLAMA, H100, SETUP, TOKENS, {}).metrics
    assert metrics["step_s"] == own.step_s
    assert metrics["chips"] == 8
    assert metrics["train_tokens_per_s"] == pytest.approx(8 * 4096 / own.step_s)
    edges = {"memory_capacity": float(own.memory.total), "chips": 8.0, "step_s_max": own.step_s}
    assert broken(edges | {"train_tokens_per_s_min": own.tokens_per_s}) == ()


@pytest.mark.parametrize(
    ("rule", "beside"),
    [
        ("memory_capacity", 0.999),
        ("chips", 0.999),
        ("step_s_max", 0.999),
        ("train_days_max", 0.999),
        ("train_tokens_per_s_min", 1.001),
        ("mfu_min", 1.001),
    ],
)
def test_each_limit_is_looked_at_a_thousandth_beside_its_border(rule, beside) -> None:
    own = job(LLAMA, H100, SETUP)
    metrics = check_training(LLAMA, H100, SETUP, TOKENS, {}).metrics
    name = rule.rpartition("_")[0]
    value = {"memory_capacity": float(own.memory.total), "chips": 8.0}.get(rule) or metrics[name]
    assert broken({rule: value}) == ()
    assert broken({rule: beside * value}) == (rule,)


def test_each_rule_of_divisibility_is_looked_at() -> None:
    assert broken({}, TrainingSetup(tensor_parallel=3)) == (
        "heads_divide",
        "width_divides",
        "sequence_divides",
    )
    assert broken({}, TrainingSetup(data_parallel=2, global_batch=3)) == ("batch_divides",)
    assert broken({}, TrainingSetup(data_parallel=4, global_batch=4, zero_group=3)) == (
        "shard_group_divides",
    )


def test_the_last_microbatch_may_be_part_full() -> None:
    assert layout_of(TrainingSetup(global_batch=5, microbatch=2)).n_microbatches == 3
    assert layout_of(TrainingSetup(global_batch=4, microbatch=2)).n_microbatches == 2


def test_memory_of_logits_and_gathered_layers_by_hand() -> None:
    """6 bytes a logit: 16 bit and a 32-bit copy. FSDP holds two whole layers and half their gradients.

    The backward pass of the feed-forward half has gradients of what it kept: its input and its norm's, gate,
    up and their product.
    """
    at = layout_of(TrainingSetup(tensor_parallel=2, microbatch=3, global_batch=3, sequence_length=1024))
    memory = training_memory(LLAMA, at)
    assert float(memory.logits) == pytest.approx(6 * 3 * 1024 * 128256 / 2)
    at = layout_of(TrainingSetup(data_parallel=8, global_batch=8, zero_stage=3))
    held = rank_parameters(LLAMA, at)
    whole_layer = float(held.layers) / 32
    in_turn = 4096 * 2 * (2 * 4096 + 3 * 14336)
    assert float(training_memory(LLAMA, at).buffers) == pytest.approx(2 * whole_layer * (2 + 4 / 2) + in_turn)


@pytest.mark.parametrize(("group", "few"), [(1, 1), (2, 2), (4, 4), (8, 8)])
def test_states_of_experts_are_sharded_over_their_own_replicas(group, few) -> None:
    """8 data ranks x 2 tensor ranks / 2 expert groups: each expert lies on 8 ranks."""
    own = {"tensor_parallel": 2, "data_parallel": 8, "expert_parallel": 2, "global_batch": 8}
    at = layout_of(TrainingSetup(**own, zero_group=group))
    assert float(at.expert_replicas) == 8
    assert float(expert_group(at)) == few
    narrow = layout_of(TrainingSetup(**own | {"expert_parallel": 16}, zero_group=group))
    assert float(expert_group(narrow)) == 1
    experts = float(rank_parameters(MIXTURE, at).experts)
    states = training_memory(MIXTURE, at).optimizer
    shared = float(rank_parameters(MIXTURE, at).layers + rank_parameters(MIXTURE, at).tables)
    assert float(states) == pytest.approx(12 * (shared / group + experts / few))


def scattered(size, n, stride=1, chip=H100):
    return float(exchange_s(reduce_scatter_s, size, n, chip, stride))


def test_gradient_sums_by_hand() -> None:
    """Inside a group, then twice between groups; ZeRO 0 is a group of one."""
    own = {"data_parallel": 16, "global_batch": 16, "gradient_bytes": 4.0}
    size = 4 * float(rank_parameters(LLAMA, layout_of(TrainingSetup(**own))).layers)
    size += 4 * float(rank_parameters(LLAMA, layout_of(TrainingSetup(**own))).tables)
    for stage, group in ((0, None), (1, 1), (1, 2), (2, 8), (3, 16)):
        at = layout_of(TrainingSetup(**own, zero_stage=stage, zero_group=group))
        sums = messages.sum_s(rank_parameters(LLAMA, at), at, H100)
        g = group or 1
        assert float(sums.within) == pytest.approx(scattered(size, g) if g > 1 else 0.0)
        across = 2 * scattered(size / g, 16 // g, g) if g < 16 else 0.0
        assert float(sums.across) == pytest.approx(max(across, scattered(size, 16) - float(sums.within)))


def test_sums_in_groups_are_never_faster_than_at_once() -> None:
    """Groups of 9 of 72 cards on PCIe would be: then the library would not use them."""
    card = catalog.chip("nvidia-l40s")
    for group in (1, 3, 9, 24, 72):
        sums = messages._sums(3e10, 72, group, card, 1)
        assert float(sums.whole) >= scattered(3e10, 72, chip=card) * (1 - 1e-12)
    assert float(messages._sums(3e10, 4, 3, H100, 1).across) > 0  # three of four ranks: the fourth is a group


@pytest.mark.parametrize("beside", [1.0, 0.999])
def test_memory_is_a_limit_to_the_byte(beside) -> None:
    """A setting is found where memory is just enough, and none where it is a thousandth short."""
    space = {"tensor_parallel": 2, "pipeline_parallel": 1, "context_parallel": 1, "data_parallel": [1, 2, 4]}
    problem = TrainingProblem.model_validate(
        {
            "name": "q",
            "train_model": LLAMA.name,
            "hardware": "h100",
            "chips": 8,
            "global_batch": 8,
            "minimize": "step_s",
            "setup": space,
        }
    )
    lattice = Lattice(problem, LLAMA, H100, 8)
    least = search(lattice, lambda s, n, m: m + 0.0 * s, Limits((), np.inf), Counts())
    held = search(lattice, lambda s, n, m: s, Limits((), beside * least.memory), Counts())
    assert (held is not None) is (beside == 1.0)
    assert held is None or held.memory == least.memory
