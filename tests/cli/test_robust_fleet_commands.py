"""Fleets that hold when things go wrong, as a user types them."""

from pathlib import Path

import pytest

from optimizer.cli import main

FLEET = """
name: holds
hardware: {chip: red, usd_per_chip_hour: 1, max_count: 9}
services:
  - name: chat
    performance_table:
      - {mode: agg, chip: red, chips: 1, batch: 4, requests_per_s: 1, ttft_ms: 100, tpot_ms: 10}
      - {mode: agg, chip: red, chips: 1, batch: 8, requests_per_s: 1.5, ttft_ms: 150, tpot_ms: 15}
    traffic: [{input_tokens: 10, output_tokens: 10, requests_per_s: 3}]
    constraints: {tpot_ms_max: 16}
minimize: chips
"""


def test_a_fleet_says_what_it_holds_and_what_that_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "holds.yaml"
    path.write_text(FLEET)
    assert main(["solve", str(path), "--set", "robust={latency: 1.3, traffic: 1.2, at_once: 1}"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "OPTIMAL chips 4 chips" in out
    assert "latencies x1.3 3.077 2.6%" in out
    assert "without robust.latency: 3 chips; it costs +1 chips" in out
    assert "without all of robust: 2 chips; it costs +2 chips" in out


def test_what_a_fleet_has_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "fleet-three-models", "--set", "robust={losses: 1}"]) == 2
    assert "robust.losses: a fleet has none" in capsys.readouterr().err
