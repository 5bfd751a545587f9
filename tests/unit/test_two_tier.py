"""Two tiers of memory: times, placement, and the estimate that uses them."""

import json

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import Setup, catalog, estimate
from optimizer.anatomy.second_tier import estimate_two_tier
from optimizer.cli import main
from optimizer.cost.two_tier import Tensor, hiding_tokens, place, read_s
from optimizer.errors import InputError

GIB = 2**30
LLAMA = "meta-llama/Llama-3.1-70B"
SETUP = Setup(batch=8, input_tokens=2000, output_tokens=500)


def test_a_model_split_over_two_tiers() -> None:
    """30 GB at 0.85 x 3.35 TB/s and 40 GB at 0.8 x 450 GB/s: 111.1 ms at once, 121.6 ms in series."""
    tiers = (30e9, 40e9, 0.85 * 3.35e12, 0.8 * 450e9)
    assert 1e3 * read_s(*tiers) == pytest.approx(111.111, rel=1e-4)
    assert 1e3 * read_s(*tiers, overlapped=False) == pytest.approx(121.647, rel=1e-4)


def test_tokens_that_hide_streamed_weights() -> None:
    """bf16 weights over PCIe 5 at 64 GB/s: some 15 500 tokens at an H100's peak, so prefill only."""
    assert hiding_tokens(989e12, 2, 64e9) == pytest.approx(15_500, rel=0.01)


sizes = st.floats(1, 100)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(sizes, sizes, st.floats(0.05, 1), st.floats(0.05, 1), st.floats(0, 200), st.integers(3, 100))
def test_no_other_placement_streams_less(weights, cache, r_weights, r_cache, free, n_layers) -> None:
    """Against a grid of shares: whatever else fits the fast tier reads at least as much of the slow one."""
    tensors = [Tensor("weights", weights, r_weights * weights), Tensor("cache", cache, r_cache * cache)]
    try:
        best = place(tensors, free, n_layers, 1e9)
    except InputError:
        assert (weights + cache) * (1 - 2 / n_layers) < weights + cache - free
        return
    held = weights + cache - best.slow_bytes + best.buffer_bytes
    assert held <= free * (1 + 1e-9) or best.slow_bytes == 0
    for a in range(21):
        for b in range(21):
            out = a / 20 * weights + b / 20 * cache
            if weights + cache - out * (1 - 2 / n_layers) <= free:
                assert a / 20 * r_weights * weights + b / 20 * r_cache * cache >= best.slow_read * (1 - 1e-9)


def test_what_fits_stays() -> None:
    placed = place([Tensor("weights", 10, 10)], 20, 32, 100)
    assert (placed.slow_bytes, placed.buffer_bytes, placed.slow_read) == (0, 0, 0)


def test_too_much_for_both_tiers() -> None:
    with pytest.raises(InputError, match="the second tier can take"):
        place([Tensor("weights", 100 * GIB, 1)], 10 * GIB, 32, 20 * GIB)


def test_a_70b_on_one_gh200() -> None:
    """It does not fit 96 GiB; with Grace's memory it runs at the pace of the slow link."""
    model, chip = catalog.model(LLAMA), catalog.chip("gh200-96")
    assert estimate(model, chip, SETUP).breaks == ("memory_capacity",)
    answer = estimate_two_tier(model, chip, SETUP)
    use = answer.second_tier
    assert answer.status == "feasible" and use is not None
    assert sum(answer.memory_gib.values()) == pytest.approx(answer.room_gib)
    assert answer.metrics["memory_gib"] == pytest.approx(answer.room_gib)
    assert answer.metrics["tpot_ms"] == pytest.approx(use.streamed_ms_per_step)
    assert use.memory_gib * GIB / (0.8 * 450e9) * 1e3 == pytest.approx(use.streamed_ms_per_step, rel=0.02)
    assert (
        use.slow_share["cache"] == 1.0
    )  # it is read less than its size: half of the answer is not there yet
    assert 0 < use.slow_share["weights"] < 1


def test_an_estimate_that_fits_is_unchanged() -> None:
    model, chip = catalog.model("meta-llama/Llama-3.1-8B"), catalog.chip("gh200-96")
    plain, tiered = estimate(model, chip, SETUP), estimate_two_tier(model, chip, SETUP)
    assert tiered.metrics == pytest.approx(plain.metrics)
    assert tiered.memory_gib == pytest.approx(plain.memory_gib)


def test_a_slower_link_never_helps() -> None:
    model, chip = catalog.model(LLAMA), catalog.chip("gh200-96")
    assert chip.second_tier is not None
    slow = chip.model_copy(update={"second_tier": chip.second_tier.model_copy(update={"bandwidth": 63e9})})
    fast, slower = (estimate_two_tier(model, c, SETUP).metrics for c in (chip, slow))
    assert slower["tpot_ms"] == pytest.approx(fast["tpot_ms"] * 450 / 63)
    assert slower["ttft_ms"] > fast["ttft_ms"]
    assert slower["output_tokens_per_s"] < fast["output_tokens_per_s"]


def test_a_chip_without_a_second_tier() -> None:
    with pytest.raises(InputError, match="sample has none; give the chip file one"):
        estimate_two_tier(catalog.model(LLAMA), samples.chip(), SETUP)


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["estimate", "--model", LLAMA, "--chip", "gh200-96"]
    assert main(command) == 3
    capsys.readouterr()
    assert main([*command, "--second-tier", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["second_tier"]["kind"] == "lpddr"
    assert main([*command, "--second-tier"]) == 0
    assert "second tier, lpddr" in capsys.readouterr().out
    assert main(["estimate", "--model", LLAMA, "--chip", "l4", "--second-tier"]) == 2
    assert "has none" in capsys.readouterr().err
