"""What one rank computes for a microbatch, and which splits may run: operator by operator, rule by rule.

Guards the sorting of operators into what recomputation, sequence parallelism and overlap treat unlike, and
the borders of every rule of a setup, here in words over whole numbers.
"""

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.blocks import embedding
from optimizer.blocks.operators import (
    AllReduce,
    Elementwise,
    Experts,
    ForSome,
    Gemm,
    PrefillAttention,
    Products,
)
from optimizer.cost.roofline import Roofline
from optimizer.cost.training.constants import ENGINES
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.rules import Facts, facts_of, kept
from optimizer.cost.training.work import Shape, Work, forward_step, head_s, part_work, rates_of, work, work_of
from optimizer.spec.architecture import Architecture
from optimizer.spec.split import Formats, Split
from optimizer.spec.training import TrainingSetup

INF = float("inf")


def shape(**own: Any) -> Shape:
    base = {
        "tensor_parallel": 2, "context_parallel": 4, "expert_parallel": 1, "microbatch": 6,
        "sequence_length": 100, "dtype": "bf16", "flash_attention": True, "engine": "pytorch",
    }  # fmt: skip
    return Shape(**(base | own))


class Rates:
    """Costs by kind: 2 s of overhead each; memory 3 s a byte or element, arithmetic 5 s a row."""

    formats = Formats("bf16")
    split = Split(tensor_parallel=2)
    chip = samples.chip(dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"})
    stored = Roofline.stored

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def cost(self, op: Any) -> Any:
        self.asked.append(op)
        match op:
            case Elementwise():
                memory, compute = 3.0 * op.bytes, 0.0
            case Experts():
                memory, compute = 0.0, 100.0 * op.rows
            case PrefillAttention():
                memory, compute = 0.0, 1000.0
            case _:
                memory, compute = 0.0, 5.0 * op.m
        return SimpleNamespace(
            seconds=memory + compute + 2, overhead_s=2.0, memory_s=memory, compute_s=compute
        )


def worked(operators: list[Any], own: Shape, rates: Any = None) -> Work:
    return work_of(operators, 64, rates or Rates(), own)


def test_a_forward_pass_is_a_prefill_of_a_ranks_share() -> None:
    own = shape()
    assert own.tokens == 150
    step = forward_step(64, own)
    assert (step.d_model, step.split.tensor_parallel, step.batch, step.prompts, step.prompt_tokens) == (
        64,
        2,
        0,
        1.5,
        100,
    )
    assert step.prefix == 0


def test_operators_are_sorted_by_what_training_does_with_them() -> None:
    found = worked(
        [
            Elementwise("mixer norm, residual", 7.0), Gemm("a", 10, 1, 1), Elementwise("activation", 11.0),
            PrefillAttention("core", 100, 100, 8, 3, 16), AllReduce("sum", 1.0), Gemm("b", 20, 1, 1),
            AllReduce("sum", 1.0), Products("c", 4, 1, 1, 1, 1), Experts("e", 6, 64, 8, 4, 2, 4, True),
        ],
        shape(),
    )  # fmt: skip
    assert found.norms == pytest.approx(3 * 7 * ENGINES["pytorch"].elementwise)
    assert found.elementwise == pytest.approx(3 * 11 * ENGINES["pytorch"].elementwise)
    assert found.products == 5 * (10 + 20 + 4)
    assert found.experts == 100 * 6 + 2  # with their own fixed time
    assert found.attention == 1000
    assert found.kernels == 2 * 6
    assert found.reductions == 2
    assert found.reduced_bytes == 2 * 150 * 64
    assert found.key_value_bytes == 2 * 6 * 100 * 2 * 3 * 16
    assert (found.attention_layers, found.head, found.routed, found.routed_layers) == (1, 0, 0, 0)
    none = worked([Gemm("a", 10, 1, 1)], shape())
    assert (none.attention_layers, none.key_value_bytes, none.reductions, none.kernels) == (0, 0, 0, 2)
    assert Work() == Work(*[0.0] * 12, groups=1.0, active_groups=1.0)


def test_what_only_some_layers_have_counts_for_those() -> None:
    core = PrefillAttention("core", 100, 100, 8, 3, 16)
    found = worked(
        [ForSome(Gemm("a", 10, 1, 1), 3.0), ForSome(core, 4.0), ForSome(AllReduce("r", 1.0), 5.0)], shape()
    )
    assert (found.products, found.attention, found.reductions) == (150, 4000, 5)
    assert (found.kernels, found.attention_layers) == (2 * 3 + 2 * 4, 4)
    assert found.key_value_bytes == 2 * 6 * 100 * 2 * 3 * 16


def test_products_in_narrow_formats_are_quantised_first() -> None:
    """Five bytes for each element read, through memory; not where a product or the chip stays at 16 bit."""
    rates = Rates()
    rates.formats = Formats("fp8")
    assert worked([Gemm("a", 10, 1, 7)], shape(), rates).products == 5 * 10 + 3 * (10 * 7 * 5)
    assert worked([Gemm("a", 10, 1, 7, weight_dtype="bf16")], shape(), rates).products == 50
    assert worked([Gemm("a", 10, 1, 7, weight_dtype="fp8")], shape(), Rates()).products == 50 + 1050


def test_attention_without_a_flash_kernel_goes_through_memory() -> None:
    """Two products of 2 x 16 for each pair and head, and 13 bytes for each score."""
    rates = Rates()
    core = PrefillAttention("core", 100, 80, 8, 3, 16, prompts=1.5)
    found = worked([core], shape(flash_attention=False), rates)
    pairs = 1.5 * 100 * 80 * 8
    assert found.attention == pytest.approx(5 * pairs + 3 * 13 * pairs)
    assert found.kernels == 2
    products = rates.asked[0]
    assert (products.m, products.elements, products.weight_dtype) == (pairs, 32, "bf16")


@pytest.mark.parametrize(("e", "n_local", "active"), [(2, 4.0, 3), (4, 2.0, 2), (8, 1.0, 1), (16, 1.0, 1)])
def test_experts_spread_over_ranks_are_fewer_and_whole(e: int, n_local: float, active: float) -> None:
    """Of eight experts, three for each token: as many pairs of both as the rank's own tokens make."""
    rates = Rates()
    op = Experts("e", 60, 64, 10, 8, 3, 8, True, launched=1.0)
    worked([op], shape(expert_parallel=e), rates)
    [asked] = rates.asked
    assert (asked.n_local, asked.n_experts, asked.n_active) == (n_local, n_local, active)
    assert (asked.d_expert, asked.launched) == (20, 0.0)
    assert asked.rows * asked.n_active == pytest.approx(60 / 2 * 3)
    rates = Rates()
    worked([op], shape(), rates)
    [whole] = rates.asked
    assert (whole.rows, whole.d_expert, whole.n_local, whole.launched) == (60, 10, 8, 0.0)


def test_the_head_and_its_loss() -> None:
    """The padded vocabulary on two ranks; ten bytes a logit."""
    rates = Rates()
    shard = float(embedding.padded_vocab(1000, 2)) / 2
    assert shard >= 500
    assert head_s(64, 1000, rates, shape()) == pytest.approx(5 * 150 + 2 + 3 * 150 * shard * 10)
    product_ = rates.asked[0]
    assert (product_.m, product_.n, product_.k, product_.weight_dtype) == (150, shard, 64, "bf16")


MIXED = Architecture.model_validate(
    {
        "name": "mixed", "d_model": 64, "vocab_size": 1000, "n_layers": 5, "n_dense_layers": 2, "n_heads": 8,
        "n_kv_heads": 4, "d_head": 16, "d_ff": 192, "n_experts": 8, "n_active_experts": 3, "d_expert": 32,
    }
)  # fmt: skip


def test_the_work_of_a_model_is_that_of_its_layers() -> None:
    own, chip = shape(expert_parallel=4, engine="megatron"), Rates.chip
    rates = rates_of(chip, own)
    dense, experts = (group.block for group in MIXED.layers)
    halves = [(2, dense.mixer), (2, dense.ffn), (3, experts.mixer), (3, experts.ffn)]
    parts = [(n, part_work(part, 64, rates, own)) for n, part in halves]
    found = work(MIXED, chip, own)
    for name in ("products", "experts", "attention", "norms", "elementwise", "kernels", "reductions"):
        total = sum(n * float(getattr(part, name)) for n, part in parts)
        assert float(getattr(found, name)) == pytest.approx(total, rel=1e-12) and total > 0
    assert (found.routed_layers, found.attention_layers, found.reductions) == (3, 5, 10)
    assert (found.routed, found.n_active) == (150 / 2 * 64, 3)  # half the tokens, to three experts
    assert (found.groups, found.active_groups) == (1, 1)
    assert found.key_value_bytes == 2 * 6 * 100 * 2 * 2 * 16
    assert found.reduced_bytes == 2 * 150 * 64
    assert found.head == head_s(64, 1000, rates, own)
    assert [part.routed_layers for _, part in parts] == [0, 0, 0, 1]
    assert [float(part.routed > 0) for _, part in parts] == [0, 0, 0, 1]


# Rules.


def words(facts: Facts, **own: Any) -> dict[str, bool]:
    t, p, v, c, d, e, b = (own[k] for k in "tpvcdeb")
    ranks, micro = t * c * d, -(-own["batch"] // (b * d))
    return {
        "chips_connected": t * p * c * d <= facts.reach,
        "heads_divide": all(n % t == 0 for n in facts.heads)
        and all(n % t == 0 or t % n == 0 for n in facts.key_value_heads),
        "width_divides": all(n % t == 0 for n in facts.widths),
        "experts_divide": all(n % e == 0 and ranks % e == 0 for n in facts.experts)
        if facts.experts
        else e == 1,
        "stages_have_layers": p * v <= facts.n_layers,
        "interleave_fills": v == 1 or (p > 1 and micro % p == 0),
        "dualpipe_fills": not own["dual"] or (p in (2, 4) and v == 1 and micro % 2 == 0 and micro >= 2 * p),
        "whole_weights_in_pipelines": own["zero"] < 3 or p == 1,
        "batch_divides": own["batch"] % (b * d) == 0,
        "sequence_divides": (c == 1 or own["length"] % (2 * c) == 0)
        and (not own["split"] or t == 1 or (own["length"] // c) % t == 0),
        "shard_group_divides": (c * d) % own["group"] == 0,
    }


def test_every_rule_is_its_sentence_over_all_small_setups() -> None:
    """Every combination of small degrees as arrays, and each rule both kept and broken somewhere."""
    values: dict[str, list[Any]] = {
        "t": [1, 2, 3], "p": [1, 2, 3], "v": [1, 2], "c": [1, 2, 3], "d": [1, 2], "e": [1, 2, 4], "b": [1, 3],
        "zero": [0, 2, 3], "group": [1, 2, 4], "split": [0, 1], "dual": [0, 1],
    }  # fmt: skip
    rows = list(product(*values.values()))
    columns = {name: np.array([row[i] for row in rows]) for i, name in enumerate(values)}
    base = layout_of(TrainingSetup())
    names = {
        "t": "tensor_parallel", "p": "pipeline_parallel", "v": "pipeline_interleave", "c": "context_parallel",
        "d": "data_parallel", "e": "expert_parallel", "b": "microbatch", "zero": "zero_stage",
        "group": "zero_group", "split": "sequence_parallel", "dual": "dualpipe",
    }  # fmt: skip
    for facts, batch, length in (
        (Facts((6, 12), (2, 6), (12,), (), 5, 12.0), 12, 12),
        (Facts((4,), (4,), (8, 12), (4, 8), 4), 9, 16),
        (Facts((), (), (), (), 3, 4), 6, 6),
    ):
        fields = {names[k]: v for k, v in columns.items()} | {
            "global_batch": batch,
            "sequence_length": length,
        }
        found = kept(facts, type(base)(**(vars(base) | fields)))
        expected = [
            words(facts, **dict(zip(values, row, strict=True)), batch=batch, length=length) for row in rows
        ]
        for rule, holds in found.items():
            assert np.broadcast_to(holds, len(rows)).tolist() == [own[rule] for own in expected], rule


def test_the_facts_of_a_model_and_of_its_chips() -> None:
    far, alone = (samples.chip(**own) for own in ({"scaleout_bandwidth": "50 GB/s"}, {}))
    assert facts_of(MIXED, far).reach == INF
    assert facts_of(MIXED, alone).reach == 8
    own = facts_of(MIXED, far)
    assert (own.heads, own.key_value_heads, own.experts, own.n_layers) == ((8,), (4,), (8,), 5)
    assert 192 in own.widths and list(own.widths) == sorted(own.widths)
