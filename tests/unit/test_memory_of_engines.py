"""What engines set aside before traffic comes, and how many tokens their caches then hold: by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import samples

from optimizer import catalog
from optimizer.cost import memory, memory_room
from optimizer.cost.frame import Frame
from optimizer.cost.memory_tokens import free_bytes, kv_cache_tokens, max_context_tokens, token_bytes
from optimizer.cost.memory_working import budget_tokens
from optimizer.evidence.kv_points import read_kv_points
from optimizer.metrics import held
from optimizer.spec.split import Split

ROOT = Path(__file__).resolve().parents[2]
LLAMA = catalog.model("meta-llama/Llama-3.1-8B")
H100, A100 = catalog.chip("h100"), catalog.chip("a100-80")
GIB = 2.0**30
DRY = {"large_gib": 79.5, "tokens": [2048, 8192], "sequences": [256, 1024], "sampler_bytes": 10}
ROOM = {
    "per_token_mib": 2,
    "per_sequence_mib": 1,
    "per_chip_gib": 0.25,
    "cards": [
        {"below_gib": 30, "fixed_gib": 1, "tokens": 512, "sequences": 64},
        {"below_gib": 90, "fixed_gib": 1, "tokens": 1024, "sequences": 512, "least_gib": 4},
    ],
}


def own(**figures: Any) -> Any:
    return catalog.engine("ideal").changed(name="own", **figures)


def frame(engine: Any, chip: Any = H100, **fields: Any) -> Frame:
    common = {"batch": 4, "input_tokens": 1000, "output_tokens": 24} | fields
    return replace(samples.frame("meta-llama/Llama-3.1-8B", chip, **common), engine=engine)


def test_a_dry_run_sets_aside_the_whole_budget_whatever_comes() -> None:
    """16 bit of (10.5 / t + 3, and 2 where ranks exchange) widths of 4,096 for each token of the budget."""
    engine = own(dry_run=DRY | {"sampler_bytes": 0})
    assert memory.working_bytes(frame(engine)) == 2 * 8192 * 4096 * 13.5
    assert memory.working_bytes(frame(engine, A100)) == 2 * 2048 * 4096 * 13.5
    assert memory.working_bytes(frame(engine, tensor_parallel=2)) == 2 * 8192 * 4096 * 10.25
    assert memory.logits_bytes(frame(engine)) == 0
    assert budget_tokens(frame(engine.changed(step_tokens=100))) == 100


def test_the_sampler_of_a_dry_run_counts_where_it_takes_more_than_the_layers() -> None:
    few = frame(own(dry_run=DRY), A100)
    assert memory.activation_bytes(few) == 10 * 256 * 128256  # 0.31 GiB over the layers' 0.21
    layers = 2 * 8192 * 4096 * 13.5
    assert memory.activation_bytes(frame(own(dry_run=DRY, max_sequences=64))) == layers
    assert memory.activation_bytes(frame(own(dry_run=DRY))) == max(layers, 10 * 1024 * 128256)


@pytest.mark.parametrize(
    ("chip", "split", "gib"),
    [
        ("h100", Split(), 4.0),  # 1 + 2 + 0.5 + 0.25 are less than the least
        ("h100", Split(tensor_parallel=4, pipeline_parallel=2), 5.5),
        ("l4", Split(), 1 + 1 + 64 / 1024 + 0.25),
        ("h200", Split(tensor_parallel=8), 1 + 2 + 0.5 + 2),  # larger than all rows: the last
    ],
)
def test_a_headroom_by_the_size_of_the_card(chip: str, split: Split, gib: float) -> None:
    engine = own(headroom=ROOM)
    assert memory_room.headroom_bytes(catalog.chip(chip), engine, split, 0.0) == pytest.approx(gib * GIB)
    assert memory_room.room_bytes(catalog.chip(chip), engine) == catalog.chip(chip).hbm_for_programs


def test_a_share_that_is_given_stands_for_the_headroom_and_buffers_lie_in_it() -> None:
    engine = own(headroom=ROOM, memory_share=0.9, reserve_gib=1.0)
    left = 0.1 * (H100.hbm_for_programs - GIB)
    assert memory_room.reserve_bytes(H100, engine, Split(), 0.0) == pytest.approx(GIB + left)
    assert memory_room.reserve_bytes(H100, engine, Split(), GIB) == pytest.approx(left)
    assert memory_room.reserve_bytes(H100, engine, Split(), 2 * left) == GIB


def test_buffers_of_the_collective_library_are_of_chips_on_a_switch() -> None:
    engine = own(reserve_gib=0.5, collective_gib=2.0)
    found = [
        memory_room.reserve_bytes(catalog.chip(chip), engine, Split(tensor_parallel=t), 0.0) / GIB
        for chip, t in (("h100", 1), ("h100", 2), ("l40s", 2))
    ]
    assert found == [0.5, 2.5, 0.5]


def test_tokens_that_a_cache_holds() -> None:
    """128 KiB a token; in blocks of 16, and as many on each attention rank."""
    engine = own(block_tokens=16, cache_share=0.5, reserve_gib=10.0)
    at = frame(engine)
    assert token_bytes(at, LLAMA) == 32 * 2 * 8 * 128 * 2
    weights = memory.embedding_bytes(at) + 32 * (
        2 * (4096 * (32 + 16 + 32) * 128 + 3 * 4096 * 14336) + 2 * 2 * 4096
    )
    free = 0.5 * (H100.hbm_for_programs - weights - 10 * GIB - memory.activation_bytes(at))
    assert free_bytes(at, LLAMA) == pytest.approx(free)
    assert kv_cache_tokens(at, LLAMA) == free // 131072 // 16 * 16
    many = replace(at, batch=300)
    assert kv_cache_tokens(many, LLAMA) == pytest.approx(kv_cache_tokens(at, LLAMA), rel=1e-2)
    assert held(at, LLAMA)["kv_cache_tokens"] == kv_cache_tokens(at, LLAMA)


def test_the_longest_request_is_the_last_that_fits() -> None:
    at = frame(own(reserve_gib=60.0))
    most = int(max_context_tokens(at, LLAMA))
    assert 10_000 < most < 50_000
    for tokens, fits in ((most, True), (most + 1, False)):
        one = replace(at, input_tokens=tokens - 1, output_tokens=1)
        assert (token_bytes(one, LLAMA) * tokens <= free_bytes(one, LLAMA)) is fits
    assert max_context_tokens(frame(own(reserve_gib=70.0)), LLAMA) == 0
    assert kv_cache_tokens(frame(own(reserve_gib=70.0)), LLAMA) == 0


def test_a_window_lets_requests_be_longer() -> None:
    """Layers of gpt-oss with a window of 128 keep no more than that: half of all."""
    model, engine = catalog.model("gpt-oss-20b"), own(reserve_gib=60.0)
    base = replace(samples.frame("openai/gpt-oss-20b", H100, weight_dtype="mxfp4"), engine=engine)
    kept = max_context_tokens(base, model)
    whole = max_context_tokens(replace(base, engine=engine.changed(window_cache=False)), model)
    assert kept == pytest.approx(2 * whole, rel=0.01)


@pytest.mark.parametrize(
    ("model", "kv", "tokens", "step", "gib"),
    [
        ("gemma-4-26b-a4b", "fp8", 98304, 2048, 8.29 / 6.73),  # available over the requests that it says fit
        ("gemma-4-26b-a4b", "fp8", 98304, 8192, 9.08 / 5.00),
        ("gpt-oss-120b", "bf16", 131072, 1024, 4.54),  # "4.54 GiB KV cache is needed"
    ],
)
def test_vllm_plans_a_step_beside_a_window(model: str, kv: str, tokens: int, step: int, gib: float) -> None:
    """Start-up logs (benchmarks/points/memory/kv_tokens.csv); what a running request keeps is the window."""
    name = catalog.model(model).name
    split = {"kv_dtype": kv, "input_tokens": tokens - 1, "output_tokens": 1, "batch": 1}
    engine = catalog.engine("vllm", step_tokens=step)
    at = replace(samples.frame(name, H100, **split), engine=engine)
    assert token_bytes(at, catalog.model(model)) * tokens / GIB == pytest.approx(gib, rel=5e-3)
    less = replace(at, engine=engine.changed(window_step=False))
    assert token_bytes(less, catalog.model(model)) < token_bytes(at, catalog.model(model))
    assert memory.cache_bytes(at, catalog.model(model)) == memory.cache_bytes(less, catalog.model(model))


def test_measured_caches_are_met() -> None:
    """Start-up logs that no constant was read off are within the goal; see benchmarks/kv_tokens.py."""
    points = read_kv_points(ROOT / "benchmarks" / "points" / "memory" / "kv_tokens.csv")
    apart = [p for p in points if p.row["part"] == "apart"]
    errors = sorted(abs(p.error) for p in apart if p.error is not None)
    assert len(points) >= 40 and len(errors) >= 20
    assert errors[len(errors) // 2] <= 0.07
    right = [p.right for p in points if p.right is not None]
    assert sum(right) / len(right) >= 0.95
