"""Replicas that overflow into a second tier of memory: their columns are the two-tier estimate's."""

from dataclasses import replace
from typing import Any

import pytest

from optimizer import Setup, catalog
from optimizer.anatomy.second_tier import estimate_two_tier
from optimizer.columns.replica_costs import replica_columns
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply, supplies
from optimizer.errors import InputError
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.spec.deployment import Offer, ReplicaSpace, Traffic

LLAMA, GH200 = "meta-llama/Llama-3.3-70B-Instruct", "nvidia-gh200-96"
TRAFFIC = Traffic(input_tokens=2000, output_tokens=400, percentile="none")


def table(chip: str = GH200, share: float = 1.0, **space: Any) -> Replicas:
    wanted: dict[str, Any] = {"tensor_parallel": 1, "second_tier": True}
    found = ReplicaSpace.model_validate(wanted | space)
    return replica_columns(catalog.model(LLAMA), supplies([Offer(chip=chip)]), found, TRAFFIC, share)[0]


def test_rows_are_the_two_tier_estimate() -> None:
    """A 70B on one GH200, which its fast memory cannot hold, at several batches."""
    rows = table(mode="disaggregated", batch=[1, 4, 64])
    decodes = [rows.row(i) for i in range(len(rows)) if rows.mode[i] == "decode"]
    assert [row["batch"] for row in decodes] == [1, 4, 64]
    for row in decodes:
        setup = Setup(batch=row["batch"], input_tokens=2000, output_tokens=400)
        alone = estimate_two_tier(catalog.model(LLAMA), catalog.chip(GH200), setup)
        assert alone.second_tier is not None
        assert row["tpot_ms"] == pytest.approx(alone.metrics["tpot_ms"], rel=1e-12)
        assert row["memory_gib"] == pytest.approx(alone.metrics["memory_gib"], rel=1e-12)
        assert row["second_tier_gib"] == pytest.approx(alone.second_tier.memory_gib, rel=1e-12)
    [prefill] = [rows.row(i) for i in range(len(rows)) if rows.mode[i] == "prefill"]
    assert prefill["second_tier_gib"] > 0 and prefill["ttft_ms"] > 0


def test_an_aggregated_step_lasts_as_long_as_its_stream() -> None:
    row = table(batch=4).row(0)
    estimated = estimate_two_tier(
        catalog.model(LLAMA), catalog.chip(GH200), Setup(batch=4, input_tokens=2000, output_tokens=400)
    )
    assert estimated.second_tier is not None
    assert row["tpot_ms"] == pytest.approx(estimated.second_tier.streamed_ms_per_step)
    plain = table(batch=4, second_tier=False).row(0)
    computed = plain["ttft_ms"] - plain["tpot_ms"] / 2  # the prompt's own chunks take longer than the stream
    assert computed > row["tpot_ms"] > 1.2 * plain["tpot_ms"]
    assert row["ttft_ms"] == pytest.approx(row["tpot_ms"] / 2 + computed)


def test_what_fits_is_priced_as_without() -> None:
    plain = table("nvidia-h200-sxm", weight_dtype="fp8", batch=8, second_tier=False).row(0)
    tiered = table("nvidia-h200-sxm", weight_dtype="fp8", batch=8).row(0)
    assert tiered["second_tier_gib"] == 0
    assert tiered == pytest.approx(plain | {"memory_gib": tiered["memory_gib"]})
    assert tiered["memory_gib"] == pytest.approx(plain["memory_gib"])


def test_a_smaller_share_of_fast_memory_spills_more() -> None:
    full, less = table(batch=4).row(0), table(batch=4, share=0.8).row(0)
    assert less["memory_gib"] == pytest.approx(0.8 * full["memory_gib"])
    assert less["second_tier_gib"] > full["second_tier_gib"]
    assert less["tpot_ms"] > full["tpot_ms"]


@pytest.mark.parametrize(
    "chip, space, words",
    [
        ("nvidia-l4", {"second_tier": True}, "nvidia-l4 has no second tier"),
        (GH200, {"pipeline_parallel": 2}, "tensor parallelism alone"),
        (GH200, {"batch": 2048}, "two tiers of memory are too small"),
    ],
)
def test_what_has_no_second_tier(chip: str, space: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        table(chip, **space)


def test_the_checker_knows_the_slow_tier() -> None:
    rows = table(batch=4)
    chip = catalog.chip(GH200)
    supply = Supply(GH200, 1, 1.0, 1.0, None, chip.hbm_usable / 2**30, chip)
    plan = DeploymentCheck(rows, (supply,), {0: 1}, {}, demand=None)
    assert plan.broken({"memory_capacity": 1.0}) == []
    assert chip.second_tier is not None
    small = chip.model_copy(update={"second_tier": chip.second_tier.model_copy(update={"capacity": 1e9})})
    assert replace(plan, supplies=(replace(supply, chip=small),)).broken({}) == ["second_tier"]
    without = chip.model_copy(update={"second_tier": None})
    assert replace(plan, supplies=(replace(supply, chip=without),)).broken({}) == ["second_tier"]
