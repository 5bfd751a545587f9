"""The training cost model: every layer kind, monotone where physics is, stages of unequal length.

Guards against terms that vanish or turn negative in some corner of the lattice, and against the scalar and
the array form of a formula parting ways.
"""

from dataclasses import fields

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.anatomy.training import train_estimate
from optimizer.blocks.operators import Elementwise
from optimizer.blocks.step import Step
from optimizer.cost.training.job import job
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.pipeline import slowest_stage, stage_layers
from optimizer.cost.training.rates import attention_share, products_share, training_chip
from optimizer.cost.training.rules import SENTENCES, facts_of, kept
from optimizer.plugins import plugins
from optimizer.spec.split import Split
from optimizer.spec.training import TrainingSetup

LLAMA = "meta-llama/Llama-3.1-8B"
SPLIT = {"tensor_parallel": 2, "pipeline_parallel": 2, "data_parallel": 4, "global_batch": 32}
KINDS = [
    LLAMA,
    "deepseek-ai/DeepSeek-V3",
    "Qwen/Qwen3-30B-A3B",
    "state-spaces/mamba2-2.7b",
    "ai21labs/Jamba-v0.1",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "MiniMaxAI/MiniMax-Text-01",
    "google/gemma-2-9b",
    "openai/gpt-3-175b",
]


def priced(model: str = LLAMA, chip: str = "h100", **own):
    return job(catalog.model(model), catalog.chip(chip), TrainingSetup(**own))


def parts(item) -> dict[str, float]:
    return {f.name: float(getattr(item, f.name)) for f in fields(item)}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("again", ["none", "selective", "full"])
def test_every_layer_kind_has_a_step_and_its_parts_add_up(name: str, again: str) -> None:
    experts = 8 if "moe" in {g.block.ffn.kind for g in catalog.model(name).layers} else 1
    made = priced(name, **SPLIT, recompute=again, expert_parallel=experts)
    times, memory = parts(made.times), parts(made.memory)
    assert all(value >= 0 for value in (*times.values(), *memory.values()))
    assert made.step_s == pytest.approx(sum(times.values()), rel=1e-12)
    assert float(made.memory.total) == pytest.approx(sum(memory.values()), rel=1e-12)
    assert (times["expert_parallel"] > 0) == (experts > 1)
    assert 0 < made.mfu(989e12, causal=True) < 1


def test_every_mixer_and_ffn_names_its_norm_so() -> None:
    """Sequence parallelism splits what is called 'norm, residual'; a kind that renames it would lose that."""
    found = {}
    for model in catalog.models().values():
        for group in model.layers:
            for part in (group.block.mixer, group.block.ffn):
                step = Step(model.d_model, Split(), 0, 0, 1.0, 128)
                found[part.kind] = plugins("blocks")[part.kind].operators(part, step)
    for kind, operators in found.items():
        norms = [o for o in operators if isinstance(o, Elementwise) and o.name.endswith("norm, residual")]
        assert len(norms) == (0 if kind in ("no_mixer", "no_ffn") else 1), kind


def test_recomputing_trades_time_for_memory() -> None:
    steps = [priced(**SPLIT, recompute=how) for how in ("none", "selective", "full")]
    times = [s.step_s for s in steps]
    kept_bytes = [float(s.memory.activations) for s in steps]
    assert times == sorted(times) and len(set(times)) == 3
    assert kept_bytes == sorted(kept_bytes, reverse=True) and len(set(kept_bytes)) == 3


def test_zero_trades_messages_for_memory() -> None:
    totals = [float(priced(data_parallel=8, global_batch=8, zero_stage=z).memory.total) for z in range(4)]
    assert totals == sorted(totals, reverse=True)
    three, one = (priced(data_parallel=8, global_batch=64, zero_stage=z, overlap=False) for z in (3, 1))
    assert float(three.times.data_parallel) > 5 * float(one.times.data_parallel)


def test_a_smaller_zero_group_keeps_more_and_sends_less_far() -> None:
    wide, narrow = (
        priced(chip="a100", data_parallel=64, global_batch=512, zero_stage=3, zero_group=g, overlap=False)
        for g in (64, 8)
    )
    assert float(narrow.memory.total) > float(wide.memory.total)
    assert float(narrow.times.data_parallel) < float(wide.times.data_parallel)


def test_interleaving_shrinks_the_bubble_and_holds_more() -> None:
    plain, chunks = (priced(**SPLIT, pipeline_interleave=v) for v in (1, 4))
    assert float(chunks.times.bubble) == pytest.approx(float(plain.times.bubble) / 4, rel=1e-9)
    assert float(chunks.memory.activations) > float(plain.memory.activations)
    assert float(priced(**SPLIT, schedule="zero_bubble").times.bubble) == pytest.approx(
        float(plain.times.bubble) / 3, rel=1e-9
    )


@pytest.mark.parametrize(
    ("layers", "stages", "largest", "last"), [(126, 8, 16, 14), (61, 16, 4, 1), (96, 8, 12, 12)]
)
def test_uneven_stages(layers: int, stages: int, largest: int, last: int) -> None:
    """Llama-3.1-405B on 8 stages: 16 layers in the largest, 14 and the head in the last."""
    at = layout_of(TrainingSetup(pipeline_parallel=stages, global_batch=64))
    assert stage_layers(layers, at) == largest
    assert slowest_stage(layers, at, 1.0, 0.5) == max(largest, last + 0.5)
    assert slowest_stage(layers, at, 1.0, 100.0) == last + 100


def test_sequence_parallelism_splits_norms_and_hides_messages() -> None:
    whole, split = (priced(tensor_parallel=8, global_batch=1, sequence_parallel=s) for s in (False, True))
    assert float(split.times.forward) < float(whole.times.forward)
    assert float(split.times.tensor_parallel) < float(whole.times.tensor_parallel)
    assert float(split.memory.activations) < float(whole.memory.activations)


def test_flash_attention_keeps_no_scores() -> None:
    flash, scores = (
        priced("openai/gpt-3-175b", tensor_parallel=8, flash_attention=f, sequence_length=8192)
        for f in (True, False)
    )
    assert float(flash.memory.activations) < 0.5 * float(scores.memory.activations)
    assert flash.step_s < scores.step_s


def test_narrow_formats_are_faster_where_the_chip_has_them() -> None:
    steps = {
        d: priced(chip="b200", dtype=d, microbatch=4, global_batch=4).step_s for d in ("bf16", "fp8", "nvfp4")
    }
    assert steps["bf16"] > steps["fp8"] > steps["nvfp4"]
    a100 = [priced(chip="a100", dtype=d).step_s for d in ("bf16", "fp8")]
    assert a100[0] == a100[1]


@pytest.mark.parametrize("name", sorted(catalog.chips()))
def test_every_chip_has_rates(name: str) -> None:
    chip = catalog.chip(name)
    assert 0 < attention_share(chip) <= 1
    rates = training_chip(chip, "megatron")
    for dtype in chip.dense_flops:
        assert rates.efficiency.gemm[dtype].compute == products_share(chip, dtype) <= 1.1


def test_fallback_of_a_chip_nobody_trained_on() -> None:
    """A chip without any figure: labelled constants, and the estimate says so."""
    chip = samples.chip()
    assert (products_share(chip, "bf16"), attention_share(chip)) == (0.62, 0.35)
    said = train_estimate(
        catalog.model(LLAMA), chip, TrainingSetup(zero_stage=3, data_parallel=8, global_batch=8)
    )
    assert any("fallback" in a.source for a in said.assumptions)


RULES = {
    "chips_connected": {"data_parallel": 16, "global_batch": 16},
    "heads_divide": {"tensor_parallel": 3},
    "width_divides": {"tensor_parallel": 5},
    "experts_divide": {"expert_parallel": 2, "data_parallel": 2, "global_batch": 2},
    "stages_have_layers": {"pipeline_parallel": 33},
    "interleave_fills": {"pipeline_parallel": 4, "pipeline_interleave": 2, "global_batch": 3},
    "dualpipe_fills": {"pipeline_parallel": 4, "global_batch": 6, "schedule": "dualpipe"},
    "whole_weights_in_pipelines": {"pipeline_parallel": 2, "global_batch": 2, "zero_stage": 3},
    "batch_divides": {"data_parallel": 2, "global_batch": 3},
    "sequence_divides": {"context_parallel": 3},
    "shard_group_divides": {"data_parallel": 4, "global_batch": 4, "zero_group": 3},
}


def test_every_rule_has_a_sentence_and_a_case() -> None:
    assert set(RULES) == set(SENTENCES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_each_rule_breaks_alone(rule: str) -> None:
    own = dict(RULES[rule])
    chip = catalog.chip("h100").model_copy(update={"scaleout_bandwidth": None})
    facts = facts_of(catalog.model(LLAMA), chip)
    assert not kept(facts, layout_of(TrainingSetup(**own)))[rule]
    facts = facts_of(catalog.model(LLAMA), catalog.chip("h100"))
    assert all(kept(facts, layout_of(TrainingSetup(**SPLIT, sequence_length=4096))).values())


def test_what_does_not_fit_has_no_times() -> None:
    said = train_estimate(catalog.model("llama-3.1-70b"), catalog.chip("h100"), TrainingSetup())
    assert said.status == "infeasible"
    assert set(said.breaks) == {"memory_capacity"}
    assert not said.metrics and not said.step_ms
    assert sum(said.memory_gib.values()) > said.hbm_usable_gib


def test_money_and_days() -> None:
    own = TrainingSetup(data_parallel=8, global_batch=64, zero_stage=3, recompute="full")
    said = train_estimate(catalog.model(LLAMA), catalog.chip("h100"), own, training_tokens=1e12)
    days = 1e12 / said.metrics["tokens_per_s"] / 86400 / said.metrics["effective_share"]
    assert said.metrics["train_days"] == pytest.approx(days)
    assert said.metrics["train_usd"] == pytest.approx(days * 24 * 8 * 1.30)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 3),
    st.booleans(),
)
def test_a_faster_chip_is_never_slower(t: int, p: int, b: int, zero: int, overlap: bool) -> None:
    own = {
        "tensor_parallel": t,
        "pipeline_parallel": p,
        "data_parallel": 4,
        "microbatch": b,
        "global_batch": 32,
        "zero_stage": zero,
        "overlap": overlap,
    }
    model, chip = catalog.model(LLAMA), catalog.chip("h100")
    base = job(model, chip, TrainingSetup(**own)).step_s
    for change in (
        {"hbm_bandwidth": chip.hbm_bandwidth * 2},
        {"dense_flops": {d: 2 * f for d, f in chip.dense_flops.items()}},
        {"scaleout_bandwidth": chip.scaleout_bandwidth * 2},
    ):
        assert job(model, chip.model_copy(update=change), TrainingSetup(**own)).step_s <= base * (1 + 1e-9)


def test_layouts_of_arrays_are_layouts_of_numbers() -> None:
    """A microbatch array gives, place by place, what each microbatch gives."""
    import dataclasses

    own = TrainingSetup(**SPLIT)
    many = dataclasses.replace(layout_of(own), zero_stage=np.arange(4))
    facts = facts_of(catalog.model(LLAMA), catalog.chip("h100"))
    assert np.all(kept(facts, many)["batch_divides"])
