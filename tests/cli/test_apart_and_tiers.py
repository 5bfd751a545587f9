"""Attention apart from experts, and a second tier of memory, as a user asks for them."""

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer import load_problem, solve
from optimizer.cli import main

APART, TIERS = "deepseek-v3-experts-apart", "llama-70b-gh200-two-tier"


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["solve", *arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_separated_never_serves_less_than_without(capsys: pytest.CaptureFixture[str]) -> None:
    both = answer(capsys, APART)[1]
    plain = answer(capsys, APART, "--set", "deployment.mode=disaggregated")[1]
    assert both["objective"]["value"] >= plain["objective"]["value"] > 0
    pools = both["deployment"]["pools"]
    apart = [pool for pool in pools if pool["expert_chip"]]
    assert apart and all(pool["phase"] == "decode" for pool in apart)
    chips = sum(pool["chips"] + pool["expert_chips"] for pool in pools)
    assert both["metrics"]["chips"] == chips
    assert sum(pool["usd_per_hour"] for pool in pools) == pytest.approx(both["metrics"]["usd_per_hour"])
    assert sum(pool["power_w"] for pool in pools) == pytest.approx(both["metrics"]["power_w"])


def test_the_report_shows_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", APART]) == 0
    out = capsys.readouterr().out
    assert "experts" in out and "1/2" in out
    assert main(["solve", TIERS]) == 0
    assert "slow tier" in capsys.readouterr().out


def test_a_second_tier_makes_a_model_fit(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answer(capsys, TIERS)
    assert (code, found["objective"]["value"]) == (0, 1)
    [pool] = found["deployment"]["pools"]
    assert pool["second_tier_gib"] > 0
    assert pool["memory_gib"] <= pool["hbm_usable_gib"] * (1 + 1e-12)
    alone = ("--set", "deployment.tensor_parallel=1")
    code, without = answer(capsys, TIERS, "--set", "deployment.second_tier=false", *alone)
    assert (code, without["status"]) == (3, "infeasible")
    sentences = [change["sentence"] for change in without["conflict"]["relaxations"]]
    assert "second_tier true would do" in sentences


def test_the_choice_never_hurts() -> None:
    """What fits runs from fast memory: with the choice, an answer is as good or better."""
    change = {"hardware": "nvidia-h200-sxm", "deployment.weight_dtype": "fp8", "constraints.tpot_ms_max": 30}
    plain = solve(load_problem(TIERS, {**change, "deployment.second_tier": False}))
    chosen = solve(load_problem(TIERS, change))
    assert plain.objective.value is not None and chosen.objective.value is not None
    assert chosen.objective.value <= plain.objective.value


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("llama-70b-chat", "--set", "deployment.mode=separated"), "needs a mixture of experts"),
        (("fleet-three-models", "--set", "deployment.second_tier=true"), "a fleet has no mode separated"),
        ((APART, "--set", "deployment.microbatches=0"), "microbatches"),
        ((TIERS, "--set", "deployment.second_tier=maybe"), "second_tier"),
    ],
)
def test_what_is_refused(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    assert main(["solve", *arguments]) == 2
    assert words in capsys.readouterr().err


TABLE = """mode,chip,chips,tp,ttft_ms,tpot_ms,requests_per_s,expert_chip,expert_chips
prefill,red,1,1,100,,4,,
decode,red,2,2,,20,2,blue,3
"""
PROBLEM = """
name: apart
hardware: [{chip: red, usd_per_chip_hour: 2}, {chip: blue, usd_per_chip_hour: 1}]
deployment: {mode: separated}
workload: {input_tokens: 1000, output_tokens: 100, requests_per_s: 4}
minimize: usd_per_hour
"""


def test_a_table_may_hold_both_sides(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One prefill replica of a red chip, two of two red and three blue chips: 5 x 2 + 6 x 1 USD/h."""
    (tmp_path / "rows.csv").write_text(TABLE)
    (tmp_path / "problem.yaml").write_text(PROBLEM + f"performance_table: {tmp_path / 'rows.csv'}\n")
    code, found = answer(capsys, str(tmp_path / "problem.yaml"))
    assert (code, found["objective"]["value"]) == (0, 16.0)
    command = ["solve", str(tmp_path / "problem.yaml"), "--set", "deployment.mode=disaggregated"]
    assert main(command) in (2, 3)
    capsys.readouterr()


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("blue,3", "blue,0", "expert_chips '0'"),
        ("blue,3", ",3", "which expert_chips needs"),
        ("100,,4,,", "100,,4,blue,1", "decode rows"),
        ("blue,3", "green,3", "no row is left|a decode configuration"),
    ],
)
def test_a_table_with_a_wrong_side(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, old: str, new: str, words: str
) -> None:
    (tmp_path / "rows.csv").write_text(TABLE.replace(old, new))
    (tmp_path / "problem.yaml").write_text(PROBLEM + f"performance_table: {tmp_path / 'rows.csv'}\n")
    assert main(["solve", str(tmp_path / "problem.yaml")]) in (2, 3)
    err = capsys.readouterr().err
    assert any(word in err for word in words.split("|")), err
