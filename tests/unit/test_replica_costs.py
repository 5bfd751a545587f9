"""Replica columns of the cost model: equal to the estimate where both speak, and sound where it does not."""

import numpy as np
import pytest
import samples

from optimizer import Setup, catalog, estimate
from optimizer.columns.queueing import rate_at_percentile
from optimizer.columns.replica_costs import replica_columns
from optimizer.columns.supply import Supply, supplies
from optimizer.cost.quantities import step_of, step_s
from optimizer.errors import InputError
from optimizer.spec.deployment import Offer, ReplicaSpace, Traffic

TRAFFIC = Traffic(input_tokens=2000, output_tokens=400, requests_per_s=1, percentile="none")


def columns(model: str, chip: str, **space: object):
    offered = supplies([Offer(chip=chip)])
    return replica_columns(catalog.model(model), offered, ReplicaSpace.model_validate(space), TRAFFIC)


@pytest.mark.parametrize(
    "model",
    ["meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-V3", "openai/gpt-oss-120b", "ai21labs/Jamba-v0.1"],
)
def test_all_batches_at_once_equal_one_by_one(model: str) -> None:
    """Arrays of batches give what the estimate gives for each: decode time, rate and memory."""
    space = {"mode": "disaggregated", "tensor_parallel": 8, "weight_dtype": "fp8", "batch": [1, 7, 64]}
    table, _ = columns(model, "nvidia-h200-sxm", **space)
    rows = [table.row(i) for i in range(len(table))]
    for row in (r for r in rows if r["mode"] == "decode"):
        setup = Setup(
            tensor_parallel=8,
            weight_dtype="fp8",
            batch=row["batch"],
            input_tokens=2000,
            output_tokens=400,
        )
        alone = estimate(catalog.model(model), catalog.chip("nvidia-h200-sxm"), setup)
        if alone.status == "feasible":
            assert row["tpot_ms"] == pytest.approx(alone.metrics["tpot_ms"], rel=1e-12)
        assert row["memory_gib"] == pytest.approx(alone.metrics["memory_gib"], rel=1e-12)
        assert row["requests_per_s"] == pytest.approx(1e3 * row["batch"] / 400 / row["tpot_ms"], rel=1e-12)


def test_aggregated_rows_are_the_mixed_step() -> None:
    table, _ = columns("meta-llama/Llama-3.1-8B", "nvidia-h100-sxm", tensor_parallel=2, batch=32)
    [row] = [table.row(i) for i in range(len(table))]
    model = catalog.model("meta-llama/Llama-3.1-8B")
    engine = catalog.engine("trtllm")
    frame = samples.frame(
        model, tensor_parallel=2, batch=32, input_tokens=2000, output_tokens=400, engine=engine
    )
    mixed = step_s(frame, model, step_of(frame, "mixed"))
    assert row["tpot_ms"] == pytest.approx(1e3 * mixed, rel=1e-12)
    assert row["requests_per_s"] == pytest.approx(32 / 400 / mixed, rel=1e-12)
    assert row["ttft_ms"] > row["tpot_ms"] / 2


def test_pipeline_stages_halve_the_layers_a_chip_holds() -> None:
    space = {"tensor_parallel": 4, "batch": [64], "pipeline_parallel": [1, 2]}
    table, _ = columns("meta-llama/Llama-3.1-70B", "nvidia-h100-sxm", **space)
    one, two = (table.row(i) for i in range(2))
    assert (one["chips"], two["chips"]) == (4, 8)
    assert two["memory_gib"] - 3.9 == pytest.approx((one["memory_gib"] - 3.9) / 2, rel=0.1)
    assert one["requests_per_s"] < two["requests_per_s"] < 2 * one["requests_per_s"]


def test_405b_fits_no_eleven_chips() -> None:
    """bf16 weights alone need eleven H100s; twelve hold it as 4 x 3, no other number below sixteen does."""
    space = {"tensor_parallel": [1, 2, 4, 8, 11], "pipeline_parallel": [1, 2, 3, 4], "batch": [12]}
    table, dropped = columns("meta-llama/Llama-3.1-405B", "nvidia-h100-sxm", **space)
    fits = table.take(table.memory_gib <= catalog.chip("h100").hbm_usable / 2**30)
    assert sorted(set(fits.chips.tolist())) == [12, 16, 24, 32]
    assert "tensor_parallel 11 breaks tensor_parallel_divisibility" in dropped


def test_a_group_over_two_nodes_is_priced_with_its_network() -> None:
    """Where it is asked for: two nodes hold what one does not, and each all-reduce crosses the network."""
    table, _ = columns("deepseek-ai/DeepSeek-V3", "nvidia-h100-sxm", tensor_parallel=[8, 16], batch=[8])
    one, two = (table.take(table.tensor_parallel == t).row(0) for t in (8, 16))
    assert (one["domains"], two["domains"]) == ("8", "2x8")
    model, chip = catalog.model("llama-3.1-70b"), catalog.chip("h100")
    each = [
        {row.operator: row.time_ms for row in estimate(model, chip, Setup(tensor_parallel=t)).operators}
        for t in (8, 16)
    ]
    assert each[1]["attention all-reduce"] > 2 * each[0]["attention all-reduce"]
    table, dropped = columns("meta-llama/Llama-3.1-8B", "nvidia-gh200-96", batch=[8])
    assert set(table.tensor_parallel.tolist()) == {1}
    assert any("is wider than a node" in why for why in dropped)


def test_the_memory_of_a_long_prompt_is_handed_over() -> None:
    slow = columns("meta-llama/Llama-3.1-8B", "nvidia-h100-sxm", mode="disaggregated", tensor_parallel=1)[0]
    prefill = slow.take(slow.mode == "prefill").row(0)
    cache = 2 * 8 * 128 * 2 * 2000 * 32
    busy = 1e3 / prefill["requests_per_s"]
    assert prefill["ttft_ms"] - busy == pytest.approx(1e3 * cache / 50e9, rel=1e-9)


@pytest.mark.parametrize(
    "model, chip, space, words",
    [
        ("meta-llama/Llama-3.1-8B", "nvidia-a100-80-sxm", {"weight_dtype": "fp8"}, "no fp8 arithmetic"),
        ("meta-llama/Llama-3.1-8B", "cerebras-wse-3", {"tensor_parallel": 2}, "which states no network"),
        ("meta-llama/Llama-3.1-8B", "nvidia-h100-sxm", {"tensor_parallel": 3}, "breaks tensor_parallel_div"),
        (
            "meta-llama/Llama-3.1-8B",
            "nvidia-h100-sxm",
            {"pipeline_parallel": 40},
            "more stages than the 32 layers",
        ),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(model: str, chip: str, space: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        columns(model, chip, **space)


def test_the_queue_of_a_percentile() -> None:
    """M/M/1, 10/s, TTFT 100 ms: at 99 % and a bound of 600 ms, ln(100 rho) = 5 (1 - rho)."""
    rate = rate_at_percentile(np.array([10.0, 10.0]), np.array([100.0, 700.0]), 600.0, 99.0)
    rho = rate[0] / 10
    assert np.log(100 * rho) == pytest.approx((1 - rho) * 5, abs=1e-9)
    assert rate[1] == 0
    looser = rate_at_percentile(np.array([10.0]), np.array([100.0]), 1200.0, 99.0)
    assert rate[0] < looser[0] < 10


def test_a_setup_that_needs_an_unknown_network_is_left_out_alone() -> None:
    """Experts over two domains of a chip without a network: that setup goes, the others stay."""
    chip = samples.chip(scaleup={"topology": "switch", "domain": 8, "bandwidth": "450 GB/s"})
    supply = Supply(chip.name, None, 1.0, 1.0, 8, 79.0, chip)
    space = ReplicaSpace(tensor_parallel=(8,), data_parallel=(1, 2), expert_parallel=(1, 16), batch=(16,))
    table, dropped = replica_columns(catalog.model("deepseek-ai/DeepSeek-V3"), (supply,), space, TRAFFIC)
    assert set(table.expert_parallel.tolist()) == {1}
    assert any("leave the domain" in why for why in dropped)
