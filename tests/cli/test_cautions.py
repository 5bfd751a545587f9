"""What nobody measured is said beside the headline, by name, for every kind of problem; and only that.

Guards the promise of the README: who reads the first screen sees what an answer rests on.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import samples
import yaml

from optimizer.cli import main

CARD = "nvidia-rtx-3090"  # no kernel of it was fitted
MAC = "apple-m4-max"  # nor its memory read
MODEL = "meta-llama/Llama-3.2-1B"
TRAFFIC = {"input_tokens": 512, "output_tokens": 128, "requests_per_s": 5}
SPLIT = {"tensor_parallel": [1], "batch": [1, 8], "engine": "ideal"}
PROBLEMS: dict[str, dict[str, Any]] = {
    "architecture": samples.PROBLEM | {"hardware": CARD, "training": {"hardware": CARD}},
    "deployment": {
        "name": "deployed",
        "architecture": MODEL,
        "hardware": [{"chip": CARD, "max_count": 4}],
        "deployment": SPLIT,
        "workload": TRAFFIC,
        "minimize": "chips",
    },
    "fleet": {
        "name": "shared",
        "hardware": [{"chip": CARD, "max_count": 4}],
        "deployment": SPLIT,
        "services": [{"name": "chat", "architecture": MODEL, "traffic": [TRAFFIC]}],
        "minimize": "chips",
    },
    "pipeline": {
        "name": "staged",
        "architecture": MODEL,
        "pipeline": {"stages": [{"chip": CARD, "chips": 1}, {"chip": "nvidia-h100-sxm", "chips": 1}]},
        "deployment": {"batch": [1, 8]},
        "workload": {"input_tokens": 512, "output_tokens": 128},
        "maximize": "output_tokens_per_s",
    },
    "training": {
        "name": "trained",
        "train_model": MODEL,
        "hardware": "mi210",
        "chips": 4,
        "global_batch": 8,
        "sequence_length": 2048,
        "setup": {"microbatch": [1], "recompute": ["full"], "schedule": "1f1b", "zero_stage": [1]},
        "maximize": "train_tokens_per_s",
    },
}


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The default report of a command in plain lines, and its JSON, as a user gets them."""

    def run(*words: str, problem: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        if problem is not None:
            path = tmp_path / "problem.yaml"
            path.write_text(yaml.safe_dump(problem))
            words = ("solve", str(path))
        assert main([*words]) == 0
        report = " ".join(capsys.readouterr().out.split())
        assert main([*words, "--json"]) == 0
        return report, json.loads(capsys.readouterr().out)

    return run


def cautions(said: dict[str, Any]) -> list[str]:
    return [f"caution: {row['name']} {row['value']}" for row in said["assumptions"] if row["caveat"]]


@pytest.mark.parametrize("kind", PROBLEMS)
def test_an_unmeasured_chip_is_named_in_the_default_report(typed, kind: str) -> None:
    report, said = typed(problem=PROBLEMS[kind])
    chip = "amd-mi210" if kind == "training" else CARD
    assert f"caution: {chip}" in report
    assert "assumed, not measured on this chip" in report
    expected = cautions(said)
    assert expected and all(line in report for line in expected)
    assert report.count("caution:") == len(expected)


@pytest.mark.parametrize("kind", ["deployment", "fleet"])
@pytest.mark.parametrize("own", [False, True])
def test_a_price_of_the_catalogue_that_decides_is_named(typed, kind: str, own: bool) -> None:
    """The problem's own price is given, not assumed."""
    offer = {"chip": "nvidia-h100-sxm", "max_count": 4} | ({"usd_per_chip_hour": 2.0} if own else {})
    report, said = typed(problem=PROBLEMS[kind] | {"hardware": [offer], "minimize": "usd_per_hour"})
    line = "caution: nvidia-h100-sxm price 1.3 USD an hour, assumed, the catalogue's"
    assert (line in report) is not own
    assert cautions(said) == ([] if own else [line])


def test_a_price_that_decides_nothing_is_no_caution(typed) -> None:
    report, said = typed(problem=PROBLEMS["deployment"] | {"hardware": [{"chip": "h100", "max_count": 4}]})
    assert "caution" not in report
    assert [row["value"] for row in said["assumptions"] if row["name"].endswith("price")] == [
        "1.3 USD an hour"
    ]


def test_a_bound_in_money_rests_on_the_price_too(typed) -> None:
    bounded = {"hardware": [{"chip": "h100", "max_count": 4}], "constraints": {"usd_per_hour_max": 100}}
    report, _ = typed(problem=PROBLEMS["deployment"] | bounded)
    assert "price 1.3 USD an hour, assumed" in report


def test_an_estimate_says_whose_memory_nobody_read(typed) -> None:
    report, said = typed("estimate", "--model", MODEL, "--chip", MAC)
    assert f"caution: {MAC} usable memory 96 GiB, assumed, not read from a device" in report
    assert all(line in report for line in cautions(said))


def test_an_estimate_of_a_measured_chip_says_nothing(typed) -> None:
    assert "caution" not in typed("estimate", "--model", MODEL, "--chip", "h100")[0]


def test_a_training_estimate_says_which_shares_are_assumed(typed) -> None:
    report, said = typed("estimate", "--phase", "train", "--model", MODEL, "--chip", "mi300x")
    assert "caution: amd-mi300x products" in report
    assert "caution: amd-mi300x flash attention" in report
    assert all(line in report for line in cautions(said))


def test_a_measured_chip_names_what_of_it_was_not(typed, tmp_path: Path) -> None:
    """An H100 without its expert kernels and all-reduces, in a file of one's own."""
    own = yaml.safe_load(Path("hardware/chips/nvidia-h100-sxm.yaml").read_text()) | {"name": "mine"}
    for part in ("experts", "all_reduce"):
        del own["efficiency"][part]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(own))
    model = ("--model", "Qwen/Qwen3-30B-A3B", "--chip", str(path))
    report, _ = typed("estimate", *model, "--tensor-parallel", "2")
    assert "caution: mine expert kernels assumed, slower than those measured on other chips" in report
    assert "caution: mine exchanges assumed from the links of other chips, not measured" in report
    alone, _ = typed("estimate", "--model", MODEL, "--chip", str(path))
    assert "caution" not in alone


@pytest.fixture
def wafer(tmp_path: Path):
    """A chip of SRAM from its data sheet, with efficiencies or without."""

    def write(efficiency: dict[str, Any] | None) -> str:
        sheet = samples.CHIP | {"hbm_capacity": "41 GiB", "hbm_usable": "39 GiB", "hbm_bandwidth": "21 PB/s"}
        path = tmp_path / "wafer.yaml"
        path.write_text(json.dumps(sheet | ({"efficiency": efficiency} if efficiency else {})))
        return str(path)

    return write


def test_a_chip_whose_time_is_fallback_overhead_says_so_and_how_to_set_it(typed, wafer) -> None:
    user = ("--model", "llama-3.1-8b", "--engine", "ideal", "--batch", "1")
    report, _ = typed("estimate", *user, "--chip", wafer(None))
    assert (
        "caution: sample kernel overheads are 100% of the decode step, assumed to be those of a GPU" in report
    )
    assert "give each overhead in efficiency of the chip's file, such as 0 us" in report
    none = {"memory": 0.7, "overhead": "0 us"}
    product = {"bf16": {"compute": 0.5, **none}}
    report, _ = typed(
        "estimate",
        *user,
        "--chip",
        wafer({"gemm": product, "attention_decode": {"bf16": none}, "elementwise": none}),
    )
    assert "kernel overheads" not in report


STUDIES = {
    "frontier": ("--objectives", "chips,tpot_ms"),
    "enumerate": ("--top", "2"),
    "perturb": (),
    "sweep": ("--over", "workload.requests_per_s=1,5"),
}


@pytest.mark.parametrize("study", STUDIES)
def test_studies_say_so_too(typed, tmp_path: Path, study: str) -> None:
    path = tmp_path / "deployed.yaml"
    path.write_text(yaml.safe_dump(PROBLEMS["deployment"]))
    report, said = typed(study, str(path), *STUDIES[study])
    assert f"caution: {CARD} efficiency assumed, not measured on this chip" in report
    assert all(line in report for line in cautions(said))


def test_a_frontier_in_money_rests_on_prices(typed, tmp_path: Path) -> None:
    path = tmp_path / "deployed.yaml"
    path.write_text(yaml.safe_dump(PROBLEMS["deployment"] | {"hardware": [{"chip": "h100", "max_count": 2}]}))
    report, _ = typed("frontier", str(path), "--objectives", "usd_per_hour,tpot_ms")
    assert "caution: nvidia-h100-sxm price 1.3 USD an hour, assumed" in report
    assert "caution" not in typed("frontier", str(path), "--objectives", "chips,tpot_ms")[0]


def test_a_sweep_over_chips_names_those_that_are_unmeasured(typed, tmp_path: Path) -> None:
    path = tmp_path / "designed.yaml"
    path.write_text(yaml.safe_dump(samples.PROBLEM))
    report, _ = typed("sweep", str(path), "--over", f"hardware=h100,{CARD}")
    assert f"caution: {CARD} efficiency assumed" in report
    assert "caution: nvidia-h100" not in report
