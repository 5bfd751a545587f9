"""Slips in chip files that are possible values: each is named; no shipped chip is suspected without cause."""

import json
import re
import subprocess
import sys

import pytest
import samples
import yaml

from optimizer import catalog
from optimizer.cli import main
from optimizer.spec.chip import Chip
from optimizer.spec.smells import model_smells, smells

KNOWN = list(catalog.chips().values())


def h100(**fields: object) -> Chip:
    return catalog.chip("h100").model_copy(update={"name": "mine", **fields})


def wired(chip: Chip, **fields: object) -> Chip:
    return chip.model_copy(update={"scaleup": chip.scaleup.model_copy(update=fields)})


SLIPS = {
    "sparse fp8 only": (h100(dense_flops={"bf16": 989e12, "fp8": 3958e12}), "dense_flops.fp8 is four times"),
    "all sparse": (h100(dense_flops={"bf16": 1979e12, "fp8": 3958e12}), "twice that of nvidia-.*sparsity"),
    "sparse fp4": (
        catalog.chip("b200").model_copy(
            update={"dense_flops": {"bf16": 2250e12, "fp8": 4.5e15, "fp4": 18e15}}
        ),
        "dense_flops.fp4",
    ),
    "TFLOP for GFLOP": (h100(dense_flops={"bf16": 989e15}), "FLOP for each byte"),
    "GB for GiB": (h100(hbm_capacity=80e9, hbm_usable=79e9), "80 GB, which is 74.51 GiB.*80 GiB meant"),
    "GB/s for TB/s": (h100(hbm_bandwidth=3.35e9), "to read the memory once"),
    "both directions of NVLink": (wired(h100(), bandwidth=900e9), "twice that of nvidia-.*directions"),
    "bits of a link": (wired(h100(), bandwidth=3600e9), "no less than hbm_bandwidth"),
    "both directions of PCIe": (wired(catalog.chip("l4"), bandwidth=256e9), "PCIe"),
    "bits of a network": (h100(scaleout_bandwidth=400e9), "Gbit/s written as GB/s"),
}
EXPLAINED = {
    "nvidia-rtx-5070-ti": "as the RTX 5090",
    "nvidia-rtx-5080": "as the RTX 5090",
    "nvidia-rtx-5090": "its notes say why: fp8 accumulates in 16 bit there",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_named(slip: str) -> None:
    chip, expected = SLIPS[slip]
    found = smells(chip, KNOWN)
    assert any(re.search(expected, line) for line in found), found


def test_no_shipped_chip_is_suspected_but_for_the_explained() -> None:
    assert {chip.name for chip in KNOWN if smells(chip, KNOWN)} == set(EXPLAINED)
    assert "four times bf16" in catalog.chip("rtx-5090").notes


def test_an_exact_copy_of_a_chip_is_not_suspected() -> None:
    assert smells(h100(), KNOWN) == ()
    assert smells(samples.chip(), KNOWN) == ()


@pytest.fixture
def sparse(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(samples.CHIP | {"dense_flops": {"bf16": "1 PFLOP/s", "fp8": "4 PFLOP/s"}}))
    return str(path)


def test_a_users_own_file_is_used_with_a_warning(sparse) -> None:
    """In a process of its own: pytest catches log messages before they reach stderr."""
    command = ["estimate", "--model", "meta-llama/Llama-3.1-8B", "--chip", sparse, "--json"]
    done = subprocess.run([sys.executable, "-m", "optimizer", *command], capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "feasible"
    assert done.stderr.count("archsat: warning:") == 1
    assert "mine.yaml: dense_flops.fp8 is four times bf16" in done.stderr


def test_the_catalogue_shows_what_looks_wrong(sparse, capsys) -> None:
    assert main(["chips", sparse]) == 0
    assert "looks_wrong" in capsys.readouterr().out
    assert main(["chips", "h100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["looks_wrong"] == []


def test_the_wiring_of_a_system_is_shown(capsys) -> None:
    """Two links from chip to chip through a switch; 36 of the rack's 72 chips send 900 GB/s each."""
    assert main(["chips", "nvidia-gb200-nvl72", "--json"]) == 0
    wiring = json.loads(capsys.readouterr().out)["wiring"]
    assert wiring == {"diameter_links": 2, "bisection_gb_per_s": 32400.0, "ring": True}
    assert main(["chips", "h100"]) == 0
    assert "diameter_links: 2" in capsys.readouterr().out


def test_a_sparse_peak_is_known_by_its_digits_on_any_chip() -> None:
    """1979 TFLOP/s is printed for the H100 with sparsity: a chip of another name and size has it too."""
    known = list(catalog.chips().values())
    made_up = samples.chip(dense_flops={"bf16": "1979 TFLOP/s"}, n_cores=96)
    assert any("2:4 sparsity" in said for said in smells(made_up, known))
    assert not [
        said for said in smells(samples.chip(dense_flops={"bf16": "989.5 TFLOP/s"}), known) if "spars" in said
    ]


def test_no_shipped_model_is_suspected() -> None:
    assert {m.name: model_smells(m) for m in catalog.models().values() if model_smells(m)} == {}


@pytest.mark.parametrize(
    "change",
    [
        {"head_dim": 1},
        {"head_dim": 10**7},
        {"hidden_size": 7},
        {"intermediate_size": 10**6},
        {"vocab_size": 2},
    ],
)
def test_a_model_unlike_all_others_is_told(change, tmp_path, capsys) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert main(["estimate", "--model", str(path), "--chip", "h200"]) == 0
    assert capsys.readouterr().err == ""
    path.write_text(json.dumps(config | change))
    assert main(["estimate", "--model", str(path), "--chip", "h200"]) in (0, 3)
    assert "archsat: warning: " in capsys.readouterr().err
