"""What four earlier tools answer: their right numbers are reproduced, their wrong ones are not.

The tools: AC (AntheaLi/AC, archc 0.0.1), disagg (epsteinj/disagg), Mantile (gminneci/mantile) and
'The Architecture Playground'. Numbers are our own arithmetic or runs of the tools on 2026-11-21. Labels
such as A5 count their answers. Guards both directions: an equation that drifts, and a rule or a proof
that lets through what those tools let through.
"""

from dataclasses import replace

import pytest
import samples
from kinds import GroupedQueryAttention

from optimizer import catalog, solve
from optimizer.anatomy.check import check
from optimizer.blocks import embedding, gqa
from optimizer.blocks.operators import Gemm, PrefillAttention
from optimizer.blocks.step import Step
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import (
    QUANTITIES,
    layer_operators,
    roofline,
)
from optimizer.metrics import evaluate
from optimizer.plugins import plugins
from optimizer.questions import problems
from optimizer.questions.architecture.explain import find_plan
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.space import resolve
from optimizer.scope import Scope, holds
from optimizer.spec.split import Split

LLAMA_70B = "meta-llama/Llama-3.3-70B-Instruct"


def flops(frame: Frame, operators: list, kind: type) -> float:
    return float(sum(roofline(frame).cost(op).flops for op in operators if isinstance(op, kind)))


def cache_per_token(name: str, kv_dtype: str = "bf16") -> float:
    own = catalog.model(name)
    one = samples.frame(own, input_tokens=0, output_tokens=1, kv_dtype=kv_dtype)
    return own.n_layers * memory.kv_bytes(own.first.mixer, one)


def test_m1_weights_of_llama_70b() -> None:
    own = catalog.model(LLAMA_70B)
    frame = samples.frame(own)
    block = own.first
    layers = memory.attention_bytes(block.mixer, frame) - memory.kv_bytes(block.mixer, frame)
    layers += memory.ffn_bytes(block.ffn, frame) + memory.norm_bytes(block.norms, frame)
    total = memory.embedding_bytes(frame) + own.n_layers * layers
    assert round(total / 1e9, 3) == 141.107
    assert total == 2 * 70_553_706_496


def test_m2_prefill_arithmetic_of_llama_70b() -> None:
    """The causal half and no norms: 280.375 + 5.500 TFLOP; 291.38 with the full square is Mantile's."""
    own = catalog.model(LLAMA_70B)
    frame = samples.frame(own, input_tokens=2048)
    attention = layer_operators(frame, own.first.mixer, "prefill")
    layer = [*attention, *layer_operators(frame, own.first.ffn, "prefill")]
    assert round(80 * flops(frame, layer, Gemm) / 1e12, 3) == 280.375
    assert round(80 * flops(frame, layer, PrefillAttention) / 1e12, 3) == 5.500
    head = embedding.operators(Step(8192, Split(), 0, 0, 2048, 1), 128256)
    assert round(flops(frame, head, Gemm) / 1e12, 3) == 4.304


def test_m3_weights_of_one_layer() -> None:
    own = catalog.model(LLAMA_70B)
    attention = gqa.weights(own.first.mixer, own.d_model, 1)
    assert attention.vector == 0
    assert round(2 * attention.matrix / 1e6, 2) == 301.99
    assert round(memory.ffn_bytes(own.first.ffn, samples.frame(own)) / 1e6, 2) == 1409.29
    one_table = embedding.n_embedding_params(own.d_model, own.vocab_size, tied=True)
    assert round(2 * one_table / 1e6, 2) == 2101.35


def test_m4_activations_of_one_layer_at_a_time_not_of_all() -> None:
    """141.11 GB + 0.671 GB cache + about one layer; Mantile adds 42.3 GB of activations."""
    own = catalog.model(LLAMA_70B)
    total = QUANTITIES["memory_bytes"].total(samples.frame(own, output_tokens=0), own) / 1e9
    assert 141.107 + 0.671 < total < 141.107 + 0.671 + 1.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("meta-llama/Llama-3.1-8B", 131_072),
        (LLAMA_70B, 327_680),
        ("meta-llama/Llama-3.1-405B", 516_096),
        ("meta-llama/Llama-2-7b-hf", 524_288),
    ],
)
def test_cache_per_token(name: str, expected: int) -> None:
    assert cache_per_token(name) == expected
    assert cache_per_token(name, "fp8") == expected / 2


def test_m5_and_d12_cache_of_a_prompt() -> None:
    assert round(2048 * cache_per_token(LLAMA_70B) / 1e9, 3) == 0.671
    assert 4096 * cache_per_token(LLAMA_70B, "fp8") == 671_088_640


def test_p1_language_model_head() -> None:
    """4096 x 128256."""
    head = embedding.operators(Step(4096, Split(), 1, 1, 0, 0), 128256)[1]
    assert head.n * head.k == 525_336_576


def test_p3_halving_the_kv_heads_halves_the_cache() -> None:
    whole = GroupedQueryAttention(n_heads=32, n_kv_heads=8, d_head=128)
    half = whole.model_copy(update={"n_kv_heads": 4})
    assert gqa.kv_elements(half, 1000, 1) == gqa.kv_elements(whole, 1000, 1) / 2


def test_p4_kv_heads_save_a_tenth_of_the_parameters() -> None:
    """32 -> 8 key-value heads in Llama-3-8B: 805.3 M of 8.03 B; 'barely touches' is overstated."""
    shared = GroupedQueryAttention(n_heads=32, n_kv_heads=8, d_head=128)
    whole = shared.model_copy(update={"n_kv_heads": 32})
    saved = 32 * (gqa.n_params(whole, 4096) - gqa.n_params(shared, 4096))
    assert round(saved / 1e6, 1) == 805.3


def test_p5_cache_that_fills_24_gb() -> None:
    assert int(24e9 / cache_per_token("meta-llama/Llama-2-7b-hf")) == 45_776


def test_p7_cache_outgrows_the_weights_at_430_626_tokens() -> None:
    assert round(2 * 70_553_706_496 / cache_per_token(LLAMA_70B)) == 430_626


def test_a15_group_of_eight_gains_nothing_on_eight_ranks() -> None:
    """Mistral-7B, 32k, tensor parallel 8: four key-value heads are replicated twice."""
    own = catalog.model("mistralai/Mistral-7B-v0.3").first.mixer
    assert own.n_kv_heads == 8
    four = own.model_copy(update={"n_kv_heads": 4})
    assert gqa.kv_elements(four, 32768, 8) == gqa.kv_elements(own, 32768, 8)
    assert gqa.kv_elements(four, 32768, 4) == gqa.kv_elements(own, 32768, 4) / 2


def test_a17_sliding_window_keeps_an_eighth_of_the_cache() -> None:
    """A window of 4096 at 32k, tensor parallel 8: 0.500 GiB a chip becomes 0.0625, -87.5 %."""
    own = catalog.model("mistralai/Mistral-7B-v0.3")
    frame = samples.frame(own, tensor_parallel=8, input_tokens=32768, output_tokens=0)
    full = own.first.mixer
    window = full.model_copy(update={"attention_window": 4096})
    sizes = [32 * memory.kv_bytes(a, frame) / memory.GIB for a in (full, window)]
    assert sizes == [0.5, 0.0625]


def keeps_split(n_heads: int, n_kv_heads: int, d_ff: int, tensor_parallel: int) -> bool:
    values = {
        "n_heads": n_heads,
        "n_kv_heads": n_kv_heads,
        "d_ff": d_ff,
        "tensor_parallel": tensor_parallel,
    }
    rule = plugins("constraints")["tensor_parallel_divisibility"].rule
    return bool(holds(rule(Scope(values, {}.__getitem__), True)))


@pytest.mark.parametrize(("name", "tensor_parallel"), [(LLAMA_70B, 3), ("meta-llama/Llama-3.1-405B", 11)])
def test_d2_and_d5_illegal_splits_are_refused(name: str, tensor_parallel: int) -> None:
    """disagg serves 70B on 3 chips and 405B on 11; neither divides the heads."""
    asked = samples.problem(
        architecture=name, deployment={"tensor_parallel": tensor_parallel}, constraints={}
    )
    space = resolve(asked)
    own = catalog.model(name)
    broken = check(next(space.frames()), own, space.rules).broken
    assert "tensor_parallel_divisibility" in broken


def test_d2_three_chips_have_no_plan() -> None:
    result = solve(samples.problem(architecture=LLAMA_70B, deployment={"tensor_parallel": 3}))
    assert result.status == "infeasible"
    assert "tensor_parallel_divisibility" in result.conflict.constraints


@pytest.mark.parametrize(("n_heads", "n_kv_heads"), [(80, 10), (104, 13), (72, 9)])
def test_a5_kv_heads_that_neither_divide_nor_are_divided(n_heads: int, n_kv_heads: int) -> None:
    assert not keeps_split(n_heads, n_kv_heads, 27136, 8)
    assert keeps_split(n_heads, 8, 27136, 8)


def test_a6_kv_heads_below_the_split_are_replicated() -> None:
    """d 8192, 64 heads, tensor parallel 8: kv {1,2,4,8,16,32,64}; 256 columns a chip up to kv 8."""
    kept = [kv for kv in range(1, 65) if 64 % kv == 0 and keeps_split(64, kv, 28672, 8)]
    assert kept == [1, 2, 4, 8, 16, 32, 64]
    for kv in (1, 2, 4, 8, 16):
        own = GroupedQueryAttention(n_heads=64, n_kv_heads=kv, d_head=128)
        columns = 2 * 128 * gqa.kv_heads_per_rank(own, 8)
        assert columns == (256 if kv <= 8 else 512)
    assert keeps_split(64, 8, 28672, 16)


def test_m6_ffn_weights_are_split_over_the_ranks() -> None:
    own = catalog.model(LLAMA_70B)
    sizes = {t: memory.ffn_bytes(own.first.ffn, samples.frame(own, tensor_parallel=t)) for t in (1, 2, 4, 8)}
    assert {t: sizes[1] / size for t, size in sizes.items()} == {1: 1, 2: 2, 4: 4, 8: 8}


def test_m7_tensor_parallel_shortens_a_token() -> None:
    """Weight bounds of Llama-3.3-70B on H100: 42.1 ms on one chip, 10.5 on 4, 5.3 on 8.

    Mantile says 46.4 and 40.5 ms for 1 and 4; AC's anchor 21.8 and 14.2 ms for 4 and 8.
    """
    own = catalog.model(LLAMA_70B)
    tpot = {t: evaluate(samples.frame(own, tensor_parallel=t), own)["tpot_ms"] for t in (1, 4, 8)}
    for t, time in tpot.items():
        bound = 1e3 * 2 * 70_553_706_496 / t / 3.35e12
        assert bound < time < 2 * bound
    assert tpot[8] < tpot[4] / 1.5 < tpot[1] / 3


def test_m8_peaks_are_dense() -> None:
    """989 and 1979 TFLOP/s and 3.35 TB/s; 1.98 and 3.96 PFLOP/s are with sparsity."""
    h100 = catalog.chip("h100")
    assert (h100.dense_flops["bf16"], h100.dense_flops["fp8"]) == (989e12, 1979e12)
    assert h100.hbm_bandwidth == 3.35e12


def test_m9_memory_is_divided_by_the_split_once() -> None:
    own = catalog.model("meta-llama/Llama-3.1-405B")
    gib = evaluate(samples.frame(own, tensor_parallel=8), own)["memory_gib"]
    assert gib == pytest.approx(2 * 405_853_388_800 / 8 / 2**30, rel=0.02)


def verify_relaxations(problem: Problem, conflict) -> None:
    """Set each change that the conflict proposes, and solve again."""
    assert conflict.relaxations
    assert [r.constraint for r in conflict.relaxations] == list(conflict.constraints)
    for change in conflict.relaxations:
        assert change.to is not None, change.sentence
        loosened = problem.constraints | {change.constraint: change.to}
        # The first plan is enough here: the tightest question that can be asked about a change.
        again = solve(problem.model_copy(update={"constraints": loosened, "minimize": ("n_params",)}))
        assert again.status == "optimal", change.sentence


def test_a13_a_bound_on_latency_that_nothing_meets() -> None:
    """AC answers 'Optimal', 5.8 ms, to tpot_ms <= 0.1."""
    asked = problems.load("infeasible-7b-tpot")
    result = solve(asked)
    assert result.status == "infeasible"
    assert result.architecture is None
    assert "tpot_ms_max" in result.conflict.constraints
    verify_relaxations(asked, result.conflict)


def test_a14_seventy_billion_in_bf16_on_one_h100() -> None:
    """AC answers with a design of 157.5 GB on 80 GB."""
    asked = problems.load("infeasible-70b-one-h100")
    result = solve(asked)
    assert result.status == "infeasible"
    assert set(result.conflict.constraints) == {"memory_capacity", "parameter_window"}
    memory_change = next(r for r in result.conflict.relaxations if r.constraint == "memory_capacity")
    assert memory_change.to > 1.5  # 137 GB of weights alone against 85 GB
    window_change = next(r for r in result.conflict.relaxations if r.constraint == "parameter_window")
    loosened = asked.constraints | {"parameter_window": window_change.to}
    again = solve(asked.model_copy(update={"constraints": loosened, "minimize": ("n_params",)}))
    assert again.status == "optimal"
    space = resolve(asked)
    rules = space.rules.with_value("memory_capacity", memory_change.to)
    assert find_plan(replace(space, rules=rules), rules) is not None


def test_a22_llama_70b_does_not_fit_one_h100() -> None:
    """A demo tab shows 9.2 tokens/s for it."""
    result = solve(samples.problem(architecture=LLAMA_70B))
    assert result.status == "infeasible"
    assert result.conflict.constraints == ("memory_capacity",)
