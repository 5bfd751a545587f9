"""Training against published memory, arithmetic, message volumes and step times.

Memory and step times: Korthikanti et al. 2022 (arXiv 2205.05198) as in calculon-ai/calculon validation.py
@caa4b11f; ZeRO: arXiv 1910.02054, figure 1. Memory is exact, to the last digit printed. The step times were
among the rows the A100's shares were fitted to (every other one): half in sample.
"""

import csv
from pathlib import Path

import pytest

from optimizer import catalog
from optimizer.anatomy.training import train_estimate
from optimizer.cost.memory import GIB
from optimizer.cost.training.activations import mean_layer_bytes
from optimizer.cost.training.flops import forward_flops
from optimizer.cost.training.job import job
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.limits import (
    tokens_hiding_gathers,
    tokens_hiding_ring,
    widest_tensor_parallel,
)
from optimizer.cost.training.long_run import effective_share
from optimizer.cost.training.memory import rank_parameters, state_bytes
from optimizer.cost.training.pipeline import bubble_stages, layers_in_flight
from optimizer.cost.training.work import Shape, work
from optimizer.evidence.train_validate import ScoredStep, scored_rows
from optimizer.questions.training.problem import TrainingProblem
from optimizer.spec.architecture import Architecture
from optimizer.spec.long_run import LongRun
from optimizer.spec.training import TrainingSetup
from optimizer.studies.solve import solve

# layers, width, heads, microbatch, pipeline, chunks, global batch, chips
GPT = {
    "22B": (48, 6144, 64, 4, 1, 1, 4, 8),
    "175B": (96, 12288, 96, 1, 8, 3, 64, 64),
    "530B": (105, 20480, 128, 1, 35, 3, 280, 280),
    "1T": (128, 25600, 160, 1, 64, 1, 512, 512),
}
# GiB: weights and states, activations with tensor parallelism, with sequence parallelism and selective
PUBLISHED = {
    "22B": (45.5625, 59.25, 9.5625),
    "175B": (45.5625, 66.84375, 12.3515625),
    "530B": (31.640625, 114.0234375, 23.076171875),
    "1T": (32.958984375, 131.25, 26.5625),
}
MFU = {"22B": (1.10, 0.415), "175B": (13.75, 0.514), "530B": (37.83, 0.560), "1T": (71.49, 0.563)}


def gpt(name: str) -> Architecture:
    """A GPT as the published formulas see it: 12 L h^2 parameters, no norms or biases."""
    layers, width, heads, *_ = GPT[name]
    return Architecture.model_validate(
        {
            "name": name,
            "d_model": width,
            "n_layers": layers,
            "n_heads": heads,
            "n_kv_heads": heads,
            "d_head": width // heads,
            "d_ff": 4 * width,
            "gated_ffn": False,
            "vocab_size": 51200,
            "n_norms": 0,
            "tied_embeddings": True,
        }
    )


def setup(name: str, **fields) -> TrainingSetup:
    _, _, _, b, p, v, batch, _ = GPT[name]
    own = {
        "tensor_parallel": 8,
        "sequence_parallel": False,
        "pipeline_parallel": p,
        "pipeline_interleave": v,
        "microbatch": b,
        "global_batch": batch,
        "sequence_length": 2048,
        "zero_stage": 0,
        "flash_attention": False,
        "dropout": True,
        "overlap": False,
    }
    return TrainingSetup(**(own | fields))


def activations(name: str, **fields) -> float:
    at = layout_of(setup(name, **fields))
    return float(mean_layer_bytes(gpt(name), at) * layers_in_flight(GPT[name][0], at)) / GIB


@pytest.mark.parametrize("name", GPT)
def test_memory_is_the_published_to_the_last_digit(name: str) -> None:
    at = layout_of(setup(name))
    states = float(sum(state_bytes(at, 1)) * rank_parameters(gpt(name), at).layers) / GIB
    plain = activations(name)
    best = activations(name, sequence_parallel=True, recompute="selective")
    assert (states, plain, best) == PUBLISHED[name]


def test_relative_activation_memory_of_the_four_techniques() -> None:
    """Figure 7 for 175B, in per cent of tensor parallelism alone."""
    whole = activations("175B")
    split = {"sequence_parallel": True}
    shares = [
        activations("175B", **split),
        activations("175B", recompute="selective"),
        activations("175B", recompute="selective", **split),
        activations("175B", recompute="full"),
    ]
    assert [100 * s / whole for s in shares] == pytest.approx([61.96, 56.52, 18.48, 8.70], abs=0.005)


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120.0), (1, 31.40625), (2, 16.640625), (3, 1.875)])
def test_zero_memory(stage: int, gigabytes: float) -> None:
    """7.5 billion parameters on 64 ranks, 2 + 2 + 12 bytes each."""
    at = layout_of(TrainingSetup(zero_stage=stage, gradient_bytes=2.0, data_parallel=64, global_batch=64))
    assert 7.5 * float(sum(state_bytes(at, 64))) == gigabytes


@pytest.mark.parametrize("name", GPT)
def test_megatron_flops_and_mfu(name: str) -> None:
    """72 B L s h^2 (1 + s/6h + V/12hL): attention over all pairs."""
    layers, h, _, _, _, _, batch, chips = GPT[name]
    expected = 72 * batch * layers * 2048 * h**2 * (1 + 2048 / (6 * h) + 51200 / (12 * h * layers))
    flops = forward_flops(gpt(name), 2048).model(causal=False) * batch * 2048
    assert flops == pytest.approx(expected, rel=1e-12)
    seconds, mfu = MFU[name]
    assert flops / (seconds * chips * 312e12) == pytest.approx(mfu, abs=0.003)


def test_flops_of_a_token_of_deepseek_v3() -> None:
    """250 GFLOP a token at 4096 tokens (arXiv 2505.09343, table 2)."""
    flops = forward_flops(catalog.model("deepseek-ai/DeepSeek-V3"), 4096).model(causal=True)
    assert flops == pytest.approx(250.456e9, rel=0.003)


def test_hardware_flops_of_full_recomputation() -> None:
    """96 B L s h^2 (1 + s/6h + V/16hL): the layers once more, the head not."""
    h, layers = 12288, 96
    flops = forward_flops(gpt("175B"), 2048)
    again = flops.hardware("full", causal=False) - flops.model(causal=False)
    body = 24 * layers * h**2 * (1 + 2048 / (6 * h))
    assert again == pytest.approx(body, rel=1e-9)


def test_bubble_of_narayanan() -> None:
    """(p - 1)/m of the ideal time, (p - 1)/(v m) interleaved; a third with zero-bubble schedules."""
    at = {"pipeline_parallel": 16, "global_batch": 32}
    assert bubble_stages(layout_of(TrainingSetup(**at))) / 32 == 0.46875
    assert bubble_stages(layout_of(TrainingSetup(**at, pipeline_interleave=8))) / 32 == 0.05859375
    zero = TrainingSetup(**at, schedule="zero_bubble")
    assert bubble_stages(layout_of(zero)) / 32 == pytest.approx(0.46875 / 3)


def test_published_message_sizes() -> None:
    """175B: 50.3 MB all-reduces, four a layer and microbatch; 405B at 131072 tokens: 67.1 MB of keys and
    values; DeepSeek-V3 with 4096 tokens: 462.4 MB to 63 of 64 ranks in each dispatch."""
    h100 = catalog.chip("h100")
    own = work(gpt("175B"), catalog.chip("a100"), Shape(8, 1, 1, 1, 2048, "bf16", True, "megatron"))
    assert (own.reduced_bytes, own.reductions) == (50331648, 2 * 96)
    llama = catalog.model("llama-3.1-405b")
    ring = work(llama, h100, Shape(8, 16, 1, 1, 131072, "bf16", True, "megatron"))
    assert ring.key_value_bytes == 67108864
    deepseek = catalog.model("deepseek-ai/DeepSeek-V3")
    spread = work(deepseek, h100, Shape(1, 1, 64, 1, 4096, "bf16", True, "megatron"))
    assert 2 * spread.routed * spread.n_active * 63 / 64 == 462422016
    assert (spread.groups, spread.active_groups) == (8, 4)  # eight nodes, of which a token reaches four
    assert spread.routed_layers == 58


def test_korthikanti_step_times() -> None:
    """Within 5 % on average: 22B, 175B, 1T, with full recomputation and with sequence parallelism."""
    path = Path(__file__).parents[2] / "benchmarks" / "points" / "training.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["src_family"] == "korthikanti-2022"]
    scored = [item for item in scored_rows(rows) if isinstance(item, ScoredStep)]
    assert len(scored) == len(rows) == 6
    errors = [abs(step.error) for step in scored]
    assert sum(errors) / 6 <= 0.05
    assert max(errors) <= 0.12


def test_rules_of_thumb_of_the_field() -> None:
    """Fully sharded weights over 400 Gbit/s, ring attention of Llama-70B, tensor parallelism on TPU v5p."""
    h100 = 989e12 * 0.6
    assert tokens_hiding_gathers(h100, 50e9 * 0.8) == pytest.approx(14_835, rel=1e-3)
    assert tokens_hiding_ring(8, 64, 2, h100, 450e9 * 0.8) == pytest.approx(412.08, rel=1e-4)
    assert tokens_hiding_ring(8, 64, 2, h100, 50e9 * 0.8) == pytest.approx(3_708.75, rel=1e-4)
    assert widest_tensor_parallel(28_672, 459e12, 180e9) == pytest.approx(11.244, rel=1e-4)


DEEPSEEK_V3 = {
    "pipeline_parallel": 16,
    "data_parallel": 128,
    "expert_parallel": 64,
    "microbatch": 1,
    "global_batch": 15360,
    "sequence_length": 4096,
    "zero_stage": 1,
    "schedule": "dualpipe",
    "recompute": "light",
    "dtype": "fp8",
    "optimizer_bytes": 8.0,
}
"""arXiv 2412.19437, section 3: 32-bit weights and two 16-bit moments, gradients in 32 bit."""


def test_deepseek_v3_on_2048_h800_takes_the_days_it_took() -> None:
    """2.664 million H800 hours for 14.8 trillion tokens: 54.2 days, 1,543 tokens/s on a chip; held out."""
    model, chip = catalog.model("deepseek-ai/DeepSeek-V3"), catalog.chip("h800")
    said = train_estimate(model, chip, TrainingSetup(**DEEPSEEK_V3), training_tokens=14.8e12)
    assert said.status == "feasible" and said.n_chips == 2048
    assert said.metrics["train_days"] == pytest.approx(2.664e6 / 2048 / 24, rel=0.15)
    assert said.metrics["train_tokens_per_s_per_chip"] == pytest.approx(1543, rel=0.15)
    # Without what the report describes it takes longer, or does not fit.
    for change in ({"schedule": "1f1b"}, {"dispatch": "all_to_all"}, {"dispatch_dtype": "bf16"}):
        slower = job(model, chip, TrainingSetup(**DEEPSEEK_V3 | change))
        assert slower.step_s * 1e3 > sum(said.step_ms.values())
    assert train_estimate(model, chip, TrainingSetup(**DEEPSEEK_V3 | {"recompute": "none"})).breaks


def test_the_search_finds_at_least_the_setup_of_deepseek_v3() -> None:
    problem = TrainingProblem(
        name="deepseek-v3",
        train_model="deepseek-ai/DeepSeek-V3",
        hardware="h800",
        chips=2048,
        global_batch=15360,
        training_tokens=14_800_000_000_000,
        setup={
            "dtype": "fp8",
            "tensor_parallel": [1, 2],
            "pipeline_parallel": [8, 16],
            "microbatch": [1, 2],
            "optimizer_bytes": 8.0,
        },
        minimize="train_days",
    )
    found = solve(problem)
    assert found.status == "optimal"
    model, chip = catalog.model("deepseek-ai/DeepSeek-V3"), catalog.chip("h800")
    own = train_estimate(model, chip, TrainingSetup(**DEEPSEEK_V3), training_tokens=14.8e12)
    assert found.objective.value <= own.metrics["train_days"]


def test_a_long_run_on_16384_chips_keeps_what_llama_3_reports() -> None:
    """More than 90 % effective time with 419 interruptions in 54 days; stragglers are beside it (2407.21783).

    Its authors report 38 to 43 % MFU of steps: TP8 PP16 DP128 is 41 %. The model says 46 % at best, and 44 %
    with stragglers: a known miss of 3 points.
    """
    assert float(effective_share(LongRun(stragglers=0.0), 16_384)) == pytest.approx(0.90, abs=0.01)
    hours = 1 / (LongRun().failures_per_chip_hour * 16_384)
    assert hours == pytest.approx(54 * 24 / 419, rel=0.05)
    model, chip = catalog.model("llama-3.1-405b"), catalog.chip("h100")
    setup = TrainingSetup(
        tensor_parallel=8,
        pipeline_parallel=16,
        pipeline_interleave=8,
        data_parallel=128,
        global_batch=2048,
        sequence_length=8192,
    )
    mfu = job(model, chip, setup).mfu(chip.dense_flops["bf16"], causal=True)
    assert mfu * (1 - LongRun().stragglers) == pytest.approx(0.41, abs=0.035)
